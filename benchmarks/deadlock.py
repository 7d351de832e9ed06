"""What the search for deadlocks costs, as the number of waiters grows.

Run it with ``python benchmarks/deadlock.py [ROUNDS]``. It times single calls of the lock manager's `handle`, without
sockets, and prints the least and the median of all rounds.

a chain     each owner holds a name and waits for the next one's. A newcomer, for whom somebody waits, asks for the
            first name: the search goes along the whole chain, and finds no circle. Then the owner at its end asks for
            the first name, which closes the circle and is refused.
own names   each waiter waits for a name of its own, and does not concern the others.
one name    all wait for one name.
pair        an uncontended acquire and its release.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
from collections.abc import Callable

from lockd.core.actions import Failed, Granted, Opened, Reason
from lockd.core.bounds import Quotas
from lockd.core.events import NO_TERMS, Acquire, Cancel, Event, Item, OpenSession, Peer, Release
from lockd.core.manager import LockManager
from lockd.core.modes import Mode

_CHAINS = (10, 100, 1_000, 10_000)
_OWN_NAMES = (1, 10, 100, 1_000)
_ONE_NAME = (10, 100, 1_000, 10_000)
_PAIRS = 1_000


class Processes:
    """A manager, and any number of processes with one thread each, counted from 0, that ask it for names."""

    def __init__(self) -> None:
        self.manager = LockManager(1, Quotas(sessions_max=100_000, sessions_per_uid_max=100_000))
        self._sessions: list[int] = []
        self._last_request = 0

    def give(self, event: Event) -> Granted | Failed | None:
        """Let an event happen and return the answer, if there is one at once."""
        answers = [action for action in self.manager.handle(event, 0.0) if isinstance(action, Granted | Failed)]
        return answers[0] if answers else None

    def acquire(self, process: int, name: str) -> Acquire:
        """Return the event that a process asks for a name."""
        while len(self._sessions) <= process:
            [opened] = self.manager.handle(OpenSession(Peer(process, 0, 0), "benchmark", False), 0.0)
            assert isinstance(opened, Opened)
            self._sessions.append(opened.session)
        self._last_request += 1
        return Acquire(self._sessions[process], self._last_request, 1, (Item(name, Mode.EXCLUSIVE),), NO_TERMS)

    def cancel(self, asked: Acquire) -> Cancel:
        """Return the event that a request is taken back."""
        self._last_request += 1
        return Cancel(asked.session, self._last_request, asked.id)

    def release(self, granted: Granted) -> Release:
        """Return the event that a grant is given up."""
        self._last_request += 1
        return Release(granted.session, self._last_request, granted.token, False)


def milliseconds(processes: Processes, event: Event) -> tuple[float, Granted | Failed | None]:
    """Return how long an event takes, and the answer to it."""
    begun_at = time.perf_counter()
    answer = processes.give(event)
    return (time.perf_counter() - begun_at) * 1000, answer


def repeat(rounds: int, once: Callable[[], float]) -> str:
    """Return the least and the median of what ``once`` measures."""
    # Pauses for the garbage collector are the garbage's own business.
    gc.collect()
    gc.disable()
    times = [once() for _ in range(rounds)]
    gc.enable()
    return f"{min(times):8.3f} ms at least, {statistics.median(times):8.3f} ms in the median"


def chain(length: int) -> tuple[Processes, int, int]:
    """Let the processes from 0 on wait in a chain for the one at its end, which holds the last name.

    Returns them, the one at the end, and a newcomer for whom another process waits.
    """
    processes, end, newcomer = Processes(), length, length + 1
    for process in range(length + 1):
        processes.give(processes.acquire(process, f"name {process}"))
    for process in range(length):
        assert processes.give(processes.acquire(process, f"name {process + 1}")) is None
    processes.give(processes.acquire(newcomer, "newcomer"))
    assert processes.give(processes.acquire(newcomer + 1, "newcomer")) is None
    return processes, end, newcomer


def measure_chains(rounds: int) -> None:
    """Print what a search along a whole chain costs."""
    for length in _CHAINS:
        processes, end, newcomer = chain(length)

        def wait(processes: Processes = processes, newcomer: int = newcomer) -> float:
            asked = processes.acquire(newcomer, "name 0")
            taken, answer = milliseconds(processes, asked)
            assert answer is None
            processes.give(processes.cancel(asked))
            return taken

        def close(processes: Processes = processes, end: int = end) -> float:
            taken, answer = milliseconds(processes, processes.acquire(end, "name 0"))
            assert isinstance(answer, Failed)
            assert answer.reason is Reason.DEADLOCK
            assert answer.cycle_total == end + 1
            return taken

        print(f"{repeat(rounds, wait)}: a chain of {length:6,}, no circle")
        print(f"{repeat(rounds, close)}: a chain of {length:6,}, a circle")


def measure_waits(rounds: int, what: str, numbers: tuple[int, ...], name_of: Callable[[int], str]) -> None:
    """Print what it costs to become the last of so many waiters, each for the name that ``name_of`` says."""
    for number in numbers:
        processes, waiter = Processes(), number
        for process in range(number):
            processes.give(processes.acquire(number + 1 + process, name_of(process)))
        # Each holds something that somebody else waits for, so that none is let off without a search.
        processes.give(processes.acquire(waiter, "its own"))
        processes.give(processes.acquire(2 * number + 1, "its own"))
        for process in range(number - 1):
            assert processes.give(processes.acquire(process, name_of(process))) is None

        def wait(processes: Processes = processes, waiter: int = waiter, name: str = name_of(number - 1)) -> float:
            asked = processes.acquire(waiter, name)
            taken, answer = milliseconds(processes, asked)
            assert answer is None
            processes.give(processes.cancel(asked))
            return taken

        print(f"{repeat(rounds, wait)}: the last of {number:6,} waiters, {what}")


def measure_pairs(rounds: int) -> None:
    """Print what an acquire and a release cost that nobody else is concerned by."""
    processes = Processes()

    def pairs() -> float:
        begun_at = time.perf_counter()
        for _ in range(_PAIRS):
            granted = processes.give(processes.acquire(0, "name"))
            assert isinstance(granted, Granted)
            processes.give(processes.release(granted))
        return (time.perf_counter() - begun_at) * 1000 / _PAIRS

    print(f"{repeat(rounds, pairs)}: an uncontended acquire and its release")


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    measure_chains(rounds)
    measure_waits(rounds, "each for its own name", _OWN_NAMES, "name {}".format)
    measure_waits(rounds, "all for one name", _ONE_NAME, lambda process: "name")
    measure_pairs(rounds)


if __name__ == "__main__":
    main()
