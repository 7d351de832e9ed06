"""Sees to it that what the lock manager knows is in the journal before anybody is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from math import ceil
from typing import Final

from lockd.core.manager import LockManager

from .histogram import Histogram
from .journal import Journal
from .journal import Record as Packed
from .logs import Event, fields, log
from .packing import Loss, packed

#: How long to wait before a write that failed is tried again. A full file system is not watched, but asked.
RETRY_SECONDS: Final = 0.1

#: One write in so many is timed.
_WRITES_PER_TIMED: Final = 16

#: Seconds.
_WRITE_BOUNDS: Final = (0.00001, 0.00005, 0.0001, 0.0005, 0.001, 0.01, 0.1, 1.0)


class Keeper:
    """The journal of one manager."""

    def __init__(self, manager: LockManager, journal: Journal, loss: Loss | None = None) -> None:
        """Keep what ``manager`` knows in ``journal``.

        Args:
            manager: Whose changes are kept.
            journal: Where.
            loss: That the state of an earlier daemon was lost.
        """
        self._manager = manager
        self._journal = journal
        #: How long writes take, of a part of them.
        self.writes = Histogram(_WRITE_BOUNDS)
        self.faults_total = 0
        self._writes_total = 0
        self._loss = loss
        # Whether the journal may have something that is not written.
        self._is_behind = True
        #: Rises when all is written that has changed.
        self.times_written = 0
        #: Whether there may be a reason to grant nothing new. `trouble` knows. Asked for each request, so it is kept
        #: here.
        self.is_degraded = loss is not None or journal.fault is not None
        self._told_fault: str | None = None
        self._told_compaction_fault: str | None = None

    @property
    def fault(self) -> str | None:
        """Why nothing new can be kept at the moment, in words, or None."""
        return self._journal.fault

    def trouble(self, now: float) -> str:
        """Return why nothing new is granted at the moment, in words; empty if all is well."""
        if self._journal.fault is not None:
            return f"{self._journal.fault}. Until then nothing new is granted, and what is held stays held"
        if self._loss is not None and now < self._loss.over_at:
            return (
                f"{self._loss.reason}. Whoever holds what was granted before has time to notice: nothing is granted"
                f" for another {ceil(self._loss.over_at - now)} s"
            )
        self._loss = None
        self.is_degraded = False
        return ""

    def write(self) -> bool:
        """Write what has changed, and return whether that was possible: if not, nobody may be told of it yet."""
        journal = self._journal
        if changes := self._manager.changes():
            journal.append([packed(record) for record in changes])
        elif not self._is_behind and journal.fault is None:
            self.times_written += 1
            return True
        self._writes_total += 1
        is_written = journal.write() if self._writes_total % _WRITES_PER_TIMED else self._write_timed()
        self.times_written += is_written
        self._is_behind = not is_written
        if journal.fault is not self._told_fault:
            self._note_fault(journal.fault)
        return is_written

    def _note_fault(self, fault: str | None) -> None:
        self.is_degraded = self._loss is not None or fault is not None
        if fault == self._told_fault:
            return
        self._told_fault = fault
        if fault is None:
            log.info("the journal can be written again", extra=fields(Event.HEALED))
        else:
            self.faults_total += 1
            log.error(
                "%s. Nobody is granted anything new until then, and what is held stays held",
                fault,
                extra=fields(Event.DEGRADED),
            )

    def _write_timed(self) -> bool:
        before = self._journal.written_bytes_total
        began_at = time.perf_counter()
        is_written = self._journal.write()
        # A try that wrote nothing says nothing about writing.
        if self._journal.written_bytes_total != before:
            self.writes.add(time.perf_counter() - began_at)
        return is_written

    @property
    def journal(self) -> Journal:
        """The journal. To look at, not to change."""
        return self._journal

    def tidy(self) -> bool:
        """Do a little of what keeps the journal short, and return whether there is more of it to do."""
        journal = self._journal
        is_compacting = journal.is_compacting
        if is_compacting:
            journal.step()
            is_compacting = journal.is_compacting
        elif journal.compaction_is_due:
            journal.start_compaction(self._snapshot(), epoch=self._manager.epoch)
            is_compacting = journal.is_compacting
        if journal.compaction_fault != self._told_compaction_fault:
            self._told_compaction_fault = journal.compaction_fault
            if journal.compaction_fault is not None:
                log.warning("%s. It grows until that works", journal.compaction_fault)
        return is_compacting

    def _snapshot(self) -> Iterator[Packed]:
        yield from map(packed, self._manager.snapshot())
        if self._loss is not None:
            yield packed(self._loss)
