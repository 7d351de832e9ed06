"""The epoch file, as the tests know it."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Final

from lockd.epoch import CLOCK_BEGIN, SLOT_BYTES, EpochFile

BOOT: Final = "0123456789abcdef0123456789abcdef"
OTHER_BOOT: Final = "fedcba9876543210fedcba9876543210"
FILE_BYTES: Final = 2 * SLOT_BYTES

# 2026-01-01.
YEAR: Final = 365 * 86_400
NOW: Final = CLOCK_BEGIN + YEAR
# No clock at all: the machine starts in 1970, and so only the file counts.
NO_CLOCK: Final = 0.0


def slot(
    *, magic: bytes = b"LOCKDEP\n", version: int = 1, sequence: int = 7, epoch: int = 4, boot: str = BOOT
) -> bytes:
    """Return a slot. The format is written down a second time here, because versions to come have to read it."""
    covered = struct.pack(">8sIQQ16s", magic, version, sequence, epoch, bytes.fromhex(boot)).ljust(4092, b"\0")
    return covered + struct.pack(">I", zlib.crc32(covered))


def file_with_epoch(epoch: int, path: Path) -> bytes:
    """Raise the epoch so often that the file has this one, and return what is on the disk."""
    for _ in range(epoch):
        EpochFile(path).raise_epoch(BOOT, NO_CLOCK)
    assert stored_epoch(path) == epoch
    return path.read_bytes()


def stored_epoch(path: Path) -> int:
    """Return the epoch in the file."""
    record = EpochFile(path).stored()
    assert record is not None
    return record.epoch
