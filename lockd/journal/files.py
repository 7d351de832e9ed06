"""A file that only grows, in space that is there before it is needed, and that a failed write does not spoil."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import Final

from .format import BATCH_HEADER_BYTES, Header, header_check, packed_batch, packed_header

#: Space is allocated in steps of this size, so that a full disk shows at a step and not at a grant.
STEP_BYTES: Final = 1024 * 1024

#: The next step is taken when less than this is left. When it fails, new requests can be refused, and what cannot be
#: refused (releases, deaths, timeouts) still has this much room.
RESERVE_BYTES: Final = 256 * 1024


class Files:
    """All that the journal asks of the operating system, so that tests can let any of it fail."""

    def read(self, path: str) -> bytes:
        """Return all that is in a file."""
        with open(path, "rb") as file:
            return file.read()

    def open(self, path: str) -> int:
        """Open a file for writing."""
        return os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def make(self, path: str) -> int:
        """Make an empty file, or empty it, and open it for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        """Make the file longer by zeros for which there is room."""
        os.posix_fallocate(descriptor, offset, size)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        """Write some of ``data`` and return how much of it."""
        return os.pwrite(descriptor, data, offset)

    def rename(self, source: str, target: str) -> None:
        """Rename a file over another one."""
        os.rename(source, target)

    def unlink(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)


#: The operating system itself.
FILES: Final = Files()


class LogFile:
    """One file of batches, open for writing at its end.

    Every method that raises an OSError or a MemoryError may be called again: a batch is in the file as a whole, and
    behind the one before it, or it is not there.
    """

    def __init__(self, files: Files, descriptor: int, *, end: int, check: int, used: int, allocated: int) -> None:
        """Go on with an open file. The descriptor is this object's from then on.

        Args:
            files: What to write with.
            descriptor: The file.
            end: Where the next batch begins.
            check: What its CRC goes on from.
            used: From here on the file is zeros. Beyond the end lies what is left of a write that was cut off.
            allocated: The length of the file.
        """
        self._files = files
        self._descriptor = descriptor
        self.end = end
        self._check = check
        self._used = used
        self._allocated = allocated

    @classmethod
    def make(cls, files: Files, path: str, header: Header) -> LogFile:
        """Make a file with a header and no batch.

        Raises:
            OSError, MemoryError: There may be a part of it.
        """
        packed = packed_header(header)
        check = header_check(packed)
        log = cls(files, files.make(path), end=0, check=check, used=0, allocated=0)
        try:
            log._write(packed)
        except BaseException:
            log.close()
            raise
        return log

    def append(self, body: bytes) -> None:
        """Write a batch with this body.

        Raises:
            OSError, MemoryError: The batch is not there; at the most, the beginning of it is, or all of it but unknown
                to us. The next call takes that away before it does anything else.
        """
        batch, check = packed_batch(body, self._check)
        if self._used > self.end:
            self._cut_back()
        self._write(batch)
        self._check = check

    def keep_reserve(self) -> None:
        """Allocate the next step if little room is left.

        Raises:
            OSError, MemoryError: There is no more room than before.
        """
        if self._allocated - self.end < RESERVE_BYTES:
            self._allocate(self.end + RESERVE_BYTES)

    def close(self) -> None:
        """Close the file. Errors are of no interest: nobody waits for the disk."""
        with suppress(OSError, MemoryError):
            self._files.close(self._descriptor)

    def _write(self, data: bytes) -> None:
        at = self.end
        end = at + len(data)
        # Behind it there will be enough zeros to say that no batch begins there.
        if end + BATCH_HEADER_BYTES > self._allocated:
            self._allocate(end + BATCH_HEADER_BYTES)
        # From the first try on, any of it may be in the file, whatever comes of the call.
        self._used = end
        self._write_all(data, at)
        self.end = end

    def _allocate(self, least: int) -> None:
        size = -(-least // STEP_BYTES) * STEP_BYTES
        self._files.allocate(self._descriptor, self._allocated, size - self._allocated)
        self._allocated = size

    def _cut_back(self) -> None:
        """Make zeros of what a failed write has left, in such an order that a crash in between leaves a torn batch.

        The end mark goes first: a batch is torn without it, whatever is in its body. The header goes last: a body
        without a header is damage.
        """
        mark_at = self._used - 1
        body_at = min(self.end + BATCH_HEADER_BYTES, mark_at)
        for begin, end in ((mark_at, self._used), (body_at, mark_at), (self.end, body_at)):
            self._write_all(bytes(end - begin), begin)
        self._used = self.end

    def _write_all(self, data: bytes, offset: int) -> None:
        written = self._files.write(self._descriptor, data, offset)
        while written < len(data):
            more = self._files.write(self._descriptor, memoryview(data)[written:], offset + written)
            if not more:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            written += more
