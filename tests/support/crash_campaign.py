"""Kills the daemon again and again under the eyes of many processes, and judges what these have noted.

    python -m support.crash_campaign [KILLS [PROCESSES [SEED]]]

The daemon is killed at random moments, and at each point where it writes: at the first, before, within and after it,
at the second, and so on. Meanwhile processes are stopped and go on, are interrupted, and are killed and replaced. At
the end all is left in peace, and everybody has to be served.

The pause until a random moment is what the campaign does; nothing is waited for in that way.
"""

from __future__ import annotations

import select
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import count, cycle, islice, repeat
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Final, NamedTuple, Self

from lockd_client import AdminClient

from .crash_client import FINISH, ROLES
from .crash_daemon import AFTER, BEFORE, NONE, OWN, PASSED, WHOLE, WITHIN
from .crash_daemons import Daemons
from .crash_history import GRANTED, History, Life, Operation
from .crash_judge import faults
from .crash_process import Client
from .daemon import DEADLINE_SECONDS

KILLS: Final = 1000
PROCESSES: Final = 32
#: In a long run: after so many kills come other processes, so that their notes can be judged and thrown away.
KILLS_PER_ROUND: Final = 50

#: How long a daemon lives on average until a random moment, and how long none is there, at most.
_LIFE_SECONDS: Final = 0.2
_GAP_SECONDS_MAX: Final = 0.1
#: How often a daemon is killed while it starts.
_EARLY_PROBABILITY: Final = 0.1
#: The time between two things that happen to processes, and how long one is stopped, at most.
_CALM_SECONDS: Final = 0.1
_STOP_SECONDS_MAX: Final = 0.6
#: While all is waited for, the daemon's words have to be read as well.
_LOOK_SECONDS: Final = 0.1

#: Where nobody may pass a waiter, the order can be judged; where everybody soon may, that is tried out.
_WINDOWS_SECONDS: Final = (60.0, 60.0, 60.0, 0.1)


class Report(NamedTuple):
    """What came of a campaign."""

    #: The kills, and those of them that were at a point where the daemon writes.
    kills: int
    points: int
    operations: list[Operation]
    lives: list[Life]
    faults: list[str]
    #: What happened to processes.
    troubles: Counter[str]

    def __str__(self) -> str:
        granted = sum(operation.outcome == GRANTED for operation in self.operations)
        troubles = ", ".join(f"{total} {what}" for what, total in sorted(self.troubles.items()))
        return (
            f"{self.kills} kills ({self.points} at a write), {len(self.operations)} requests, {granted} grants, "
            f"processes: {troubles}; {len(self.faults)} violations"
        )


class Campaign:
    """Processes that contend for locks, and daemons that are killed. As a context manager all are gone at the end."""

    def __init__(
        self,
        directory: Path,
        seed: object,
        processes: int,
        *,
        sockets: str = PASSED,
        build: str = WHOLE,
        patience_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        """Start a daemon and the processes.

        Args:
            directory: For sockets, journal and notes.
            seed: What is random follows from it, as far as it does not depend on who is faster.
            processes: How many, of all roles in turn.
            sockets: Who makes them, and which daemon is built: as `support.crash_daemon` has it.
            build: See there.
            patience_seconds: After so long without being served somebody is said not to be.
        """
        self._patience_seconds = patience_seconds
        self._directory, self._seed = directory, seed
        self._random = Random(f"{seed}")
        self._troubles: Counter[str] = Counter()
        self._trouble_at = 0.0
        self._numbers = count(1)
        self._gone: list[Client] = []
        self._daemons = Daemons(directory, sockets, build)
        # This one begins in peace. If it died before there was a journal, the next would have to take that for lost.
        self._daemons.start(_WINDOWS_SECONDS[0])
        self._daemons.wait_ready()
        self._clients = [self._made(role) for role in islice(cycle(ROLES), processes)]

    def run(self, plan: Iterable[tuple[str, int]]) -> Report:
        """Kill the daemon, then others in each of these ways, then start one more and see whether all are served.

        Args:
            plan: At which write each daemon is to die, and how, as `support.crash_daemon` has it; or `NONE`, for a
                random moment.
        """
        points = 0
        self._kill_at_random()
        for manner, point in plan:
            self._daemons.start(self._random.choice(_WINDOWS_SECONDS), manner, point)
            if manner == NONE:
                if self._random.random() > _EARLY_PROBABILITY:
                    self._daemons.wait_ready()
                self._kill_at_random()
            else:
                points += 1
                self._live_until_it_ends()
            self._live_for(self._random.random() * _GAP_SECONDS_MAX)
        self._daemons.start(_WINDOWS_SECONDS[0])
        self._daemons.wait_ready()
        complaints = [*self._unserved(), *self._left_behind()]
        everybody = [*self._gone, *self._clients]
        for client in self._clients:
            client.close()
        complaints += [complaint for client in everybody for complaint in client.complaints()]
        operations = [operation for client in everybody for operation in client.operations()]
        lives = self._daemons.lives
        found = [*complaints, *self._daemons.complaints, *faults(History(operations, lives))]
        return Report(len(lives) - 1, points, operations, lives, found, self._troubles)

    def _made(self, role: str) -> Client:
        return Client(f"{role}-{next(self._numbers)}", role, self._seed, self._directory, self._daemons.client_socket)

    def _kill_at_random(self) -> None:
        self._live_for(self._random.expovariate(1 / _LIFE_SECONDS))
        self._daemons.kill()

    def _live_for(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            wake_at = min(until, self._make_trouble())
            if self._daemons.is_running:
                self._daemons.look(wake_at)
            else:
                time.sleep(max(0.0, wake_at - now))

    def _live_until_it_ends(self) -> None:
        """Wait until the daemon is killed at its point. It comes there, because everybody goes on asking for things."""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while self._daemons.is_running and time.monotonic() < give_up_at:
            self._daemons.look(self._make_trouble())
        if self._daemons.is_running:
            raise AssertionError(f"nobody gets on for {DEADLINE_SECONDS:g} s, and the daemon says: {self._names()}")

    def _make_trouble(self) -> float:
        """Do to processes what is due, and return when there will be more."""
        now, random = time.monotonic(), self._random
        for client in self._clients:
            if client.stopped_until and client.stopped_until <= now:
                client.go_on()
        if self._trouble_at <= now:
            self._trouble_at = now + random.expovariate(1 / _CALM_SECONDS)
            place = random.randrange(len(self._clients))
            client = self._clients[place]
            trouble = random.choices(("stopped", "interrupted", "killed"), (3, 3, 1))[0]
            self._troubles[trouble] += 1
            if trouble == "stopped":
                client.stop(now + random.random() * _STOP_SECONDS_MAX)
            elif trouble == "interrupted":
                if client.has_begun:
                    client.process.send_signal(signal.SIGINT)
            else:
                client.kill()
                self._gone.append(client)
                self._clients[place] = self._made(client.role)
        return min([self._trouble_at, *(each.stopped_until for each in self._clients if each.stopped_until)])

    def _unserved(self) -> Iterator[str]:
        """Ask all to come to an end, and say who does not."""
        for client in self._clients:
            client.go_on()
            client.tell(FINISH)
        silent = {client.stdout: client for client in self._clients}
        give_up_at = time.monotonic() + self._patience_seconds
        while silent and (now := time.monotonic()) < give_up_at:
            for stream in select.select(list(silent), [], [], min(_LOOK_SECONDS, give_up_at - now))[0]:
                # Whatever it says, or if it has exited: more is not expected of it.
                silent.pop(stream)
            self._daemons.look(time.monotonic())
        for client in silent.values():
            yield f"{client.name} was not served in {self._patience_seconds:g} s"
        if silent:
            yield f"and the daemon says: {self._names()}"
        for client in silent.values():
            client.kill()

    def _left_behind(self) -> Iterator[str]:
        """Say what is held or waited for when all processes have given everything back, and still live."""
        if names := self._names():
            yield f"everybody has given back all that he knows of, and the daemon says: {names}"

    def _names(self) -> list[object]:
        with AdminClient(self._daemons.admin_socket) as admin:
            return [admin.show(row["name"]) for row in admin.names()]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            client.kill()
        self._daemons.close()


def random_moments() -> Iterator[tuple[str, int]]:
    """Kill at random moments, for ever."""
    return repeat((NONE, 0))


def every_point() -> Iterator[tuple[str, int]]:
    """Kill at the first point where a daemon writes, before, within and after it, then at the second, and so on."""
    return ((manner, point) for point in count(1) for manner in (BEFORE, WITHIN, AFTER))


def _run_long(kills: int, processes: int, seed: str) -> bool:
    """Run rounds until so many kills are done, tell of each, and return whether all was well."""
    begun_at, points = time.monotonic(), every_point()
    totals: Counter[str] = Counter()
    for number in count(1):
        left = kills - totals["kills"]
        if left <= 0:
            return True
        plan = [next(points) if index % 2 else (NONE, 0) for index in range(min(left, KILLS_PER_ROUND) - 1)]
        directory = Path(tempfile.mkdtemp(prefix="lockd-crash-"))
        with Campaign(directory, f"{seed} {number}", processes, sockets=(PASSED, OWN)[number % 2]) as campaign:
            report = campaign.run(plan)
        totals["kills"] += report.kills
        totals["requests"] += len(report.operations)
        minutes = (time.monotonic() - begun_at) / 60
        print(
            f"{minutes:.1f} min, {totals['kills']} of {kills} kills, {totals['requests']} requests; the last round: "
            f"{report}",
            file=sys.stderr,
        )
        if report.faults:
            print(*report.faults[:20], f"what was noted is in {directory}", sep="\n", file=sys.stderr)
            return False
        shutil.rmtree(directory)
    raise AssertionError("rounds never end")


if __name__ == "__main__":
    _kills, _processes, _seed, *_ = [*sys.argv[1:], *(str(KILLS), str(PROCESSES), "0")[len(sys.argv) - 1 :]]
    sys.exit(not _run_long(int(_kills), int(_processes), _seed))
