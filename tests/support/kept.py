"""The records of a manager, as a journal has them, and the manager that is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from itertools import islice

from lockd.core.manager import LockManager
from lockd.core.records import Record

#: Records of a snapshot that are taken between two events.
SLICE = 3


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
        self._begin_snapshot()

    def note(self) -> None:
        """Keep what the last event has changed, and another slice of a snapshot."""
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
