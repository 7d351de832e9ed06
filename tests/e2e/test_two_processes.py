"""Two processes with two threads each try, wait, give up, are interrupted and release, at random and as fast as they
can, and everything that they noted is judged afterwards."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random

import pytest

from lockd_client import AdminClient
from support.actor import Actor
from support.contender import NAMES, read_notes
from support.daemon import Daemon
from support.history import EXCLUSIVE, GRANTED, INTERRUPTED, REFUSED, SHARED, Operation, faults
from support.sources import REPOSITORY

SETUP = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
import lockd_client
from support import contender
interrupts = contender.Interrupts()
"""

#: How long the test runs, and its controls.
SECONDS = 6.0
MOMENT_SECONDS = 0.3
#: On a busy machine a moment may not be enough.
MOMENTS_MAX = 50

#: The pause between two of the signals that come from outside.
SIGNAL_PAUSE_SECONDS = 0.005


@contextmanager
def interrupted_at_random(pids: list[int], random: Random) -> Iterator[None]:
    """Send SIGINT to one of the processes again and again for as long as the block lasts."""
    is_over = threading.Event()

    def interrupt() -> None:
        while not is_over.wait(random.uniform(0, 2 * SIGNAL_PAUSE_SECONDS)):
            os.kill(random.choice(pids), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


class Match:
    """The two processes."""

    def __init__(self, daemon: Daemon, directory: Path, stack: ExitStack) -> None:
        self._daemon, self._directory = daemon, directory
        self.actors = {name: stack.enter_context(Actor(SETUP, daemon.environment())) for name in ("one", "other")}

    def play(self, seed: int, seconds: float, *, patient: bool = True) -> list[Operation]:
        """Let both contend, and return what they noted."""
        paths = {name: self._directory / name for name in self.actors}
        pids = [actor.pid for actor in self.actors.values()]
        try:
            with interrupted_at_random(pids, Random(seed)):
                for name, actor in self.actors.items():
                    arguments = f"{name!r}, {seed}, {seconds}, {str(paths[name])!r}, {patient=}"
                    actor.begin(f"contender.contend(interrupts, {arguments})")
                for actor in self.actors.values():
                    actor.result()
        except BaseException as error:
            # If it is over the deadline, somebody waits who was never woken, or for what nobody holds.
            with AdminClient(self._daemon.admin_socket) as admin:
                error.add_note(f"seed {seed}, processes {pids}; the daemon says:")
                for name in NAMES:
                    error.add_note(f"{admin.show(name)}")
            raise
        return [note for path in paths.values() for note in read_notes(path)]


@pytest.fixture
def match(daemon: Daemon, tmp_path: Path) -> Iterator[Match]:
    with ExitStack() as stack:
        yield Match(daemon, tmp_path, stack)


@pytest.fixture
def admin(daemon: Daemon) -> Iterator[AdminClient]:
    with AdminClient(daemon.admin_socket) as admin:
        yield admin


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.long) for seed in range(2, 13))])
def test_no_ghost_hold_and_no_lost_wake_up(seed: int, match: Match, admin: AdminClient) -> None:
    before = admin.status()
    notes = match.play(seed, SECONDS)
    found = faults(notes)
    assert not found, f"seed {seed}: {len(found)} faults in {len(notes)} operations, such as {found[:5]}"
    assert_all_sorts_are_there(notes)
    after = admin.status()
    for count in ("granted_total", "timeouts_total", "cancels_total"):
        assert after[count] > before[count], count

    # Nothing is left behind, by the daemon's word.
    assert list(admin.names()) == []
    assert (after["grants"], after["waiters"], after["sessions"]) == (0, 0, 2)
    idle = {(row["pid"], row["attached"], row["grants"], row["waiting"]) for row in admin.sessions()}
    assert idle == {(actor.pid, True, 0, 0) for actor in match.actors.values()}
    # And by that of whoever tries.
    for actor in match.actors.values():
        for name in NAMES:
            actor(f"lock = lockd_client.lock({name!r})")
            assert actor("lock.acquire(blocking=False)") is True
            actor("lock.release(); lock.locked()")


def assert_all_sorts_are_there(notes: list[Operation]) -> None:
    """A run in which nobody was interrupted, say, would show nothing."""
    limits: dict[float | None, str] = {None: "none", 0: "try"}
    sorts = Counter((note.process, note.mode, limits.get(note.timeout, "timeout"), note.outcome) for note in notes)
    expected = {("none", GRANTED), ("none", INTERRUPTED)}
    expected |= {("try", GRANTED), ("try", REFUSED), ("timeout", GRANTED), ("timeout", REFUSED)}
    for process in ("one", "other"):
        for mode in (EXCLUSIVE, SHARED):
            missing = {sort for sort in expected if not sorts[process, mode, *sort]}
            assert not missing, (process, mode, sorts)
    assert any(note.waiters_total for note in notes)


#: Builds in which something does not work, and what the judge says to them.
BROKEN = {
    "a lock that does not lock": (
        """
rwlock = lockd_client.rwlock
lockd_client.rwlock = lambda name, **options: rwlock(f"{name} of {os.getpid()}", **options)
""",
        "both held it at once",
    ),
    "releases are forgotten": (
        """
import itertools
from lockd_client._session import Session
release_if_held, numbers = Session.release_if_held, itertools.count(1)
Session.release_if_held = lambda session, token: (
    release_if_held(session, token) if next(numbers) % 50 else session._machine.held.pop(token, None) is not None
)
""",
        "already holds",
    ),
    "interrupted requests are not taken back": (
        """
from lockd_client._machine import Machine
Machine.abandon = Machine.settle
""",
        "are said to hold it",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_control_what_is_broken_is_found(what: str, match: Match) -> None:
    patch, fault = BROKEN[what]
    for actor in match.actors.values():
        actor(patch)
    found: list[str] = []
    for seed in range(1, 1 + MOMENTS_MAX):
        # With a lock that is never free again, somebody without a limit would wait for ever.
        found = faults(match.play(seed, MOMENT_SECONDS, patient=False))
        if any(fault in each for each in found):
            return
    raise AssertionError(found[:5])
