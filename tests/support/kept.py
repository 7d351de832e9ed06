"""The records of a manager, as a journal has them, and the manager that is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import islice

from lockd.core.manager import LockManager
from lockd.core.records import Record

#: Records of a snapshot that are taken between two turns.
SLICE = 3

#: Events of a turn: what they change is asked for at its end.
TURN_EVENTS = 2


class Source(Enum):
    """Of which records a manager is made."""

    #: Of all changes since the first manager.
    CHANGES = 1
    #: Of the latest snapshot that was finished, and all changes since it was begun. It was taken in slices, with events
    #: in between.
    SLICES = 2
    #: Of a snapshot that was just taken.
    SNAPSHOT = 3


class Kept:
    """What is kept of one manager after another."""

    def __init__(self, manager: LockManager) -> None:
        self._manager = manager
        self._changes = list(manager.snapshot())
        self._finished = list(manager.snapshot())
        self._events_total = 0
        self._begin_snapshot()

    def note(self) -> None:
        """Take note of an event. At the end of a turn, keep what its events have changed, and another slice of a
        snapshot."""
        self._events_total += 1
        if self._events_total % TURN_EVENTS == 0:
            self._finish_turn()

    def _finish_turn(self) -> None:
        changes = self._manager.changes()
        for records in (self._changes, self._finished, self._begun):
            records.extend(changes)
        part = list(islice(self._snapshot, SLICE))
        self._begun.extend(part)
        if not part:
            self._finished = self._begun
            self._begin_snapshot()

    def records(self, source: Source) -> list[Record]:
        """Return the records of a source. Whatever the source, they come to the same (J1)."""
        self._finish_turn()
        if source is Source.SNAPSHOT:
            return list(self._manager.snapshot())
        return self._changes if source is Source.CHANGES else self._finished

    def restarted(self, source: Source, now: float) -> LockManager:
        """Return a manager that is made of the records (J3), and keep what comes to pass in that one from now on."""
        book, window_seconds = self._manager._book, self._manager._resume_window_seconds
        manager = type(self._manager)(0, book.quotas, window_seconds)
        records = [*self.records(source)]
        manager.restore(records, now)
        self._manager = manager
        # The new one goes on from there, and nobody finishes what the old one had begun.
        records += manager.changes()
        self._changes, self._finished = records, records.copy()
        self._begin_snapshot()
        return manager

    def _begin_snapshot(self) -> None:
        self._snapshot: Iterator[Record] = self._manager.snapshot()
        self._begun: list[Record] = []
