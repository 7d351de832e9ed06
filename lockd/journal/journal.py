"""Writing the journal: a batch for each turn, and now and then a shorter file in place of a long one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from .files import FILES, Files, LogFile
from .format import VERSION, Header, Record, encoded
from .recovery import JournalError, Recovered, fault, journal_path

#: How many records one call of `Journal.step` writes unless it is told otherwise: less than a millisecond's work.
SLICE_RECORDS: Final = 256

#: A shorter one is not worth the trouble.
LEAST_BYTES: Final = 4 * 1024 * 1024

#: A journal may become this many times as long as it was when it had been compacted last. With 3, each byte that is
#: appended costs half a byte of compaction; with more, recovery takes longer, and with less, more is written.
FACTOR: Final = 3


class _Compaction(NamedTuple):
    log: LogFile
    header: Header
    snapshot: Iterator[Record]


class Journal:
    """The journal of a daemon that runs.

    In each turn: `append` what changes, `write` it, and hand out the answers only if that returns True. No method but
    `create` and `open` raises for what the operating system refuses. Where it refuses to write, the records wait, in
    order, and each `write` tries again: somebody has to call it again, also when nothing happens.
    """

    def __init__(self, directory: str, header: Header, log: LogFile, files: Files) -> None:
        """Go on with an open file. Use `create` or `open`."""
        self.path = journal_path(directory)
        #: What the file says about itself.
        self.header = header
        #: Why the journal is not well, in words, or None. While it is something, new requests ought to be refused:
        #: there is room for no more than what cannot be refused, or not even for that.
        self.fault: str | None = None
        #: Why the last compaction came to nothing, in words, or None. The journal is none the worse for it.
        self.compaction_fault: str | None = None
        #: What has been written for `append`, and how often a shorter file has taken the place of a longer one.
        self.written_bytes_total = 0
        self.compactions_total = 0
        self._log = log
        self._files = files
        self._waiting: list[Record] = []
        self._compaction: _Compaction | None = None
        self._compacted_bytes = 0
        self._retry_at_bytes = 0

    @classmethod
    def create(cls, directory: str, boot_id: str, epoch: int, files: Files = FILES) -> Journal:
        """Begin an empty journal in the place of any other one.

        Args:
            directory: Where it is to be. The caller sees to it that no other daemon uses it.
            boot_id: The boot that this is, in 32 hexadecimal digits.
            epoch: For the header.
            files: How to reach it, for tests.

        Raises:
            JournalError: It cannot be made. The other one is still there.
        """
        path = journal_path(directory)
        header = Header(VERSION, boot_id, epoch)
        try:
            log = LogFile.make(files, _unfinished(path), header)
            try:
                files.rename(_unfinished(path), path)
            except BaseException:
                log.close()
                raise
        except (OSError, MemoryError) as error:
            _remove(files, _unfinished(path))
            raise JournalError(fault(path, "made", error)) from error
        return cls(directory, header, log, files)

    @classmethod
    def open(cls, directory: str, recovered: Recovered, files: Files = FILES) -> Journal:
        """Go on with the journal that was recovered. What was torn is taken away by the first `write`.

        Args:
            directory: Where it is.
            recovered: From `recover`, with a sound or torn outcome.
            files: How to reach it, for tests.

        Raises:
            JournalError: It cannot be opened. It is as it was.
        """
        path = journal_path(directory)
        header, found = recovered.header, recovered.log
        if header is None or found is None:
            raise ValueError(f"{recovered.detail}: there is nothing to go on with")
        try:
            descriptor = files.open(path)
        except (OSError, MemoryError) as error:
            raise JournalError(fault(path, "opened", error)) from error
        # Of a compaction that the earlier daemon did not get to the end of.
        _remove(files, _unfinished(path))
        log = LogFile(files, descriptor, end=found.end, check=found.check, used=found.used, allocated=recovered.size)
        return cls(directory, header, log, files)

    @property
    def log_bytes(self) -> int:
        """How long the journal is, without the space that is allocated ahead."""
        return self._log.end

    @property
    def is_compacting(self) -> bool:
        """Whether `step` has something to do."""
        return self._compaction is not None

    @property
    def compaction_is_due(self) -> bool:
        """Whether it is time for `start_compaction`. After one that failed it is when the journal has grown."""
        end = self._log.end
        return (
            # A short one is the usual thing, and all that is looked at then.
            end > LEAST_BYTES
            and self._compaction is None
            and end >= self._retry_at_bytes
            and is_worth_compacting(end, self._compacted_bytes)
        )

    def append(self, records: Iterable[Record]) -> None:
        """Collect records for the next `write`. They are plain values and do not change any more."""
        self._waiting.extend(records)

    def write(self) -> bool:
        """Write all that was appended, all of it or nothing, and return whether nothing waits.

        False: what has changed since the last True is in the daemon's memory alone, and nobody may be told of it.
        `fault` says why.
        """
        if not self._waiting and self.fault is None:
            return True
        try:
            if self._waiting:
                self._write_batch()
            self._log.keep_reserve()
        except (OSError, MemoryError) as error:
            self.fault = fault(self.path, "written", error)
        else:
            self.fault = None
        return not self._waiting

    def start_compaction(self, snapshot: Iterable[Record], *, epoch: int | None = None) -> None:
        """Begin a shorter file. From now on `step` has something to do, unless the file cannot be made.

        Args:
            snapshot: All that is to be known of the state. A record is taken from it only when `step` writes it, and
                has to tell the state of that moment, not of this one: what is appended meanwhile goes to both files,
                so an older state behind it would undo it. A thing that comes up meanwhile may be left out or not.
            epoch: For the header of the new file. None: as in the old one.
        """
        if self._compaction is not None:
            self._abandon_compaction()
        header = self.header if epoch is None else self.header._replace(epoch=epoch)
        try:
            log = LogFile.make(self._files, _unfinished(self.path), header)
        except (OSError, MemoryError) as error:
            self._fail_compaction(error)
        else:
            self._compaction = _Compaction(log, header, iter(snapshot))

    def step(self, budget_records: int = SLICE_RECORDS) -> None:
        """Write another slice of the snapshot, or put the new file in the place of the old one if there is none left.

        To be called when all is written. While something waits it does nothing: the snapshot would know of it, and half
        a turn could be in the new file when it becomes the journal.
        """
        if self._compaction is None or self._waiting:
            return
        log, header, snapshot = self._compaction
        try:
            if part := list(islice(snapshot, budget_records)):
                log.append(encoded(part))
                return
            self._files.rename(_unfinished(self.path), self.path)
        except (OSError, MemoryError) as error:
            self._fail_compaction(error)
            return
        old, self._log = self._log, log
        self.header, self._compacted_bytes = header, log.end
        self._compaction, self._retry_at_bytes, self.compaction_fault = None, 0, None
        self.compactions_total += 1
        old.close()

    def close(self) -> None:
        """Close the files. What waits is not written; a compaction is forgotten."""
        if self._compaction is not None:
            self._abandon_compaction()
        self._log.close()

    def _write_batch(self) -> None:
        body = encoded(self._waiting)
        self._log.append(body)
        self._waiting = []
        self.written_bytes_total += len(body)
        if self._compaction is not None:
            try:
                self._compaction.log.append(body)
            except (OSError, MemoryError) as error:
                self._fail_compaction(error)

    def _fail_compaction(self, error: OSError | MemoryError) -> None:
        self._abandon_compaction()
        self.compaction_fault = fault(self.path, "compacted", error)
        self._retry_at_bytes = self._log.end + LEAST_BYTES

    def _abandon_compaction(self) -> None:
        if self._compaction is not None:
            self._compaction.log.close()
            self._compaction = None
        # Without a compaction it may still be there: made, and then not written to.
        _remove(self._files, _unfinished(self.path))


def is_worth_compacting(log_bytes: int, compacted_bytes: int) -> bool:
    """Say whether to compact a journal of this length that was so long when it was compacted last, 0 for never."""
    return log_bytes > max(LEAST_BYTES, FACTOR * compacted_bytes)


def _unfinished(path: str) -> str:
    return f"{path}.new"


def _remove(files: Files, path: str) -> None:
    """Remove a file, if there is one. One that stays is overwritten when the next is made."""
    with suppress(OSError, MemoryError):
        files.unlink(path)
