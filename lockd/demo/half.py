"""One half of act 1: the processes work on the database, and what came of it is counted."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from typing import NamedTuple

from .children import Children
from .crowd import Crowd
from .ledger import Findings, Ledger, Outcome, compare, read_ledger
from .workload import Worker, Workplace

#: Beyond the time they were given, for the operations that are still under way: the last in the queue waits for all.
_OVERTIME_SECONDS_MAX = 30.0
_LOOK_SECONDS = 0.1


class Sight(NamedTuple):
    """What can be seen from outside while they work."""

    passed_seconds: float
    finished: int
    failed: int


class Half(NamedTuple):
    """How one half went."""

    findings: Findings
    took_seconds: float
    #: Processes that did not live to the end of their work.
    died: int

    @property
    def is_flawless(self) -> bool:
        """Whether everybody did their work and nothing was lost."""
        return self.findings.is_flawless and not self.died


class _Tally:
    """Counters in memory that the processes share. Each has two of its own, so nobody has to take turns."""

    def __init__(self, processes: int) -> None:
        self._counters = memoryview(mmap.mmap(-1, processes * 16)).cast("Q")

    def reporter(self, number: int) -> Callable[[Outcome], None]:
        def report(outcome: Outcome) -> None:
            self._counters[2 * number + (outcome is Outcome.FAILED)] += 1

        return report

    def totals(self) -> tuple[int, int]:
        counters = self._counters.tolist()
        return sum(counters[0::2]), sum(counters[1::2])


def play_half(
    children: Children,
    directory: str,
    processes: int,
    seconds: float,
    workplace: Callable[[str], Workplace],
    watch: Callable[[Sight], None],
) -> Half:
    """Let the processes work for so long, and compare what they say with what is there.

    Args:
        directory: Where the database and the ledgers are put. It must not exist.
        workplace: Called in each process with the database's path.
        watch: Called several times a second meanwhile.
    """
    os.mkdir(directory, 0o700)
    database = os.path.join(directory, "database.json")
    ledgers = [os.path.join(directory, f"ledger-{number}") for number in range(processes)]
    tally = _Tally(processes)

    def prepare(number: int) -> Callable[[], None]:
        worker = Worker(number, workplace(database), Ledger(ledgers[number]))
        return lambda: worker.work(seconds, tally.reporter(number))

    crowd = Crowd(children, processes, prepare)
    crowd.begin()
    began_at = time.monotonic()
    passed_seconds = 0.0
    while not crowd.have_ended(_LOOK_SECONDS) and passed_seconds < seconds + _OVERTIME_SECONDS_MAX:
        passed_seconds = time.monotonic() - began_at
        watch(Sight(passed_seconds, *tally.totals()))
    took_seconds = time.monotonic() - began_at
    died = sum(status != 0 for status in crowd.end())
    return Half(compare([read_ledger(path) for path in ledgers], database), took_seconds, died)
