"""What is due when."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from .state import Request, Session

#: Stale entries that are not worth a clean-up.
STALE_TOLERATED = 64

_NEVER: Final = float("inf")


class Deadlines:
    """A heap of instants.

    Most deadlines never come: a wait ends by a grant long before. So entries are not searched for but left to go stale.
    An entry counts while its subject still has it. When more than half of the heap is stale it is
    built anew, so that its size follows what is really waited for.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Session | Request]] = []
        self._pushed = 0
        self._live = 0
        #: Nothing is due before, and perhaps nothing then. Asked for with each event, so it is kept here.
        self.earliest = _NEVER

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[Session | Request]:
        """Everything that is due at some time, in no order."""
        return (entry[2] for entry in self._heap if entry[2].due is entry)

    def set(self, subject: Session | Request, at: float) -> None:
        """Let ``subject``, which has no deadline yet, be due at ``at``."""
        # The number also keeps the heap from comparing subjects, and keeps those that are due together in the order in
        # which they were set.
        self._pushed += 1
        self._live += 1
        subject.due = entry = (at, self._pushed, subject)
        heappush(self._heap, entry)
        if at < self.earliest:
            self.earliest = at

    def clear(self, subject: Session | Request) -> None:
        """Let nothing happen to ``subject``, whether it had a deadline or not."""
        if subject.due is None:
            return
        subject.due = None
        self._live -= 1
        if len(self._heap) > 2 * self._live + STALE_TOLERATED:
            self._heap = [entry for entry in self._heap if entry[2].due is entry]
            heapify(self._heap)

    def next(self) -> float | None:
        """Return the earliest instant at which something is due, or None."""
        while self._heap:
            entry = self._heap[0]
            if entry[2].due is entry:
                self.earliest = entry[0]
                return entry[0]
            heappop(self._heap)
        self.earliest = _NEVER
        return None

    def pop_due(self, now: float) -> Session | Request | None:
        """Take out and return what has been due longest at ``now``, or None."""
        while self._heap and self._heap[0][0] <= now:
            entry = heappop(self._heap)
            subject = entry[2]
            if subject.due is entry:
                subject.due = None
                self._live -= 1
                return subject
        self.earliest = self._heap[0][0] if self._heap else _NEVER
        return None
