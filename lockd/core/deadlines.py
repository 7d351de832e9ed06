"""What is due when."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from .state import Request, Session

#: Stale entries that are not worth a clean-up.
STALE_TOLERATED = 64


class Deadlines:
    """A heap of instants.

    Most deadlines never come: a wait ends by a grant long before. So entries are not searched for but left to go stale.
    An entry counts while its subject still has its number. When more than half of the heap is stale it is
    built anew, so that its size follows what is really waited for.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Session | Request]] = []
        self._pushed = 0
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def __iter__(self) -> Iterator[Session | Request]:
        """Everything that is due at some time, in no order."""
        return (subject for _, number, subject in self._heap if subject.due_number == number)

    def set(self, subject: Session | Request, at: float) -> None:
        """Let ``subject``, which has no deadline yet, be due at ``at``."""
        # The number also keeps the heap from comparing subjects, and keeps those that are due together in the order in
        # which they were set.
        self._pushed += 1
        self._live += 1
        subject.due_at, subject.due_number = at, self._pushed
        heappush(self._heap, (at, self._pushed, subject))

    def clear(self, subject: Session | Request) -> None:
        """Let nothing happen to ``subject``, whether it had a deadline or not."""
        if subject.due_at is None:
            return
        subject.due_at, subject.due_number = None, 0
        self._live -= 1
        if len(self._heap) > 2 * self._live + STALE_TOLERATED:
            self._heap = [entry for entry in self._heap if entry[2].due_number == entry[1]]
            heapify(self._heap)

    def next(self) -> float | None:
        """Return the earliest instant at which something is due, or None."""
        while self._heap:
            at, number, subject = self._heap[0]
            if subject.due_number == number:
                return at
            heappop(self._heap)
        return None

    def pop_due(self, now: float) -> Session | Request | None:
        """Take out and return what has been due longest at ``now``, or None."""
        while self._heap and self._heap[0][0] <= now:
            _, number, subject = heappop(self._heap)
            if subject.due_number == number:
                subject.due_at, subject.due_number = None, 0
                self._live -= 1
                return subject
        return None
