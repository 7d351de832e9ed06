"""The bytes of a journal, and what it takes to believe them.

::

    header      64 bytes: magic, version (u32), boot id (16 bytes), epoch (u64), zeros, CRC-32 of all that
    batch       length of the body (u32), CRC-32 of the body (u32), CRC-32 of these 8 bytes (u32), body, end mark (u8)
    batch ...
    zeros       at least as many as the header of a batch has bytes

Numbers are big-endian. The body is a msgpack array of records, each an array that begins with a text.

All changes of one turn are one batch, because the answers of a turn leave together when it is written: half a turn is
nothing that anybody was told, and it could be a grant without the release that made room for it.

The CRC of a batch's header goes on from that of the batch before it, and the first from that of the file's header. So a
batch is believed in its place alone: none can be missing before it, and none of another journal can follow.

Space is allocated, as zeros, before it is written to. A write that a crash cut off therefore leaves the beginning of a
batch in front of zeros, and nothing else does: the end mark, one byte that no crash can halve, is missing. Whoever
shortens the file takes away the zeros at its end, and is found out. Anything but these zeros behind the last batch, or
a batch without an end mark in front of another one, is damage: records that were believed once may be gone.

A later version will have the magic, the version, the boot id and the CRC of the header in the same places, so that its
journals are not taken for damaged ones, and those of another boot can be told by any version.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

import msgspec

VERSION: Final = 1

HEADER_BYTES: Final = 64
BATCH_HEADER_BYTES: Final = 12

_MAGIC: Final = b"LOCKDJN\n"
_HEADER: Final = struct.Struct(">8sI16sQ")
_CRC: Final = struct.Struct(">I")
_LENGTH_AND_CRC: Final = struct.Struct(">II")
_BATCH_HEADER: Final = struct.Struct(">III")

#: Four bits away from the zero that says "torn".
_END_MARK: Final = 0xA5
_END_MARK_BYTE: Final = bytes([_END_MARK])

_decoder: Final = msgspec.msgpack.Decoder(list[tuple[Any, ...]])

#: The kind, and what the writer has put behind it. Arrays inside it come back as lists.
Record = tuple[Any, ...]

#: Returns the body of a batch. Raises TypeError or OverflowError where a record holds something else than plain values,
#: which is a bug of its writer.
encoded: Final[Callable[[Sequence[Record]], bytes]] = msgspec.msgpack.Encoder().encode


class Header(NamedTuple):
    """What the file says about itself."""

    version: int
    #: The boot in which it was written, in 32 hexadecimal digits.
    boot_id: str
    epoch: int


class Ending(Enum):
    """How a journal ends."""

    SOUND = "sound"
    #: A crash cut off the last write. Nobody was told of it.
    TORN = "torn"
    #: Something that was written is not there as it was written.
    CORRUPT = "corrupt"


class Batch(NamedTuple):
    """The records of one turn."""

    #: Where it begins in the file.
    at: int
    records: list[Record]


class Log(NamedTuple):
    """The batches that can be believed, and how they end."""

    batches: list[Batch]
    ending: Ending
    #: Where the last of them ends, and the next one has to begin.
    end: int
    #: Why that is not the end of all, in words; "" if it is.
    reason: str
    #: What the next batch's CRC goes on from.
    check: int
    #: From here on the file is zeros.
    used: int


class CorruptHeaderError(Exception):
    """The header cannot be believed. The message says why."""


def packed_header(header: Header) -> bytes:
    """Return the header as it stands at the beginning of the file."""
    fields = _HEADER.pack(_MAGIC, header.version, bytes.fromhex(header.boot_id), header.epoch)
    covered = fields.ljust(HEADER_BYTES - _CRC.size, b"\0")
    return covered + _CRC.pack(zlib.crc32(covered))


def unpacked_header(content: bytes) -> Header:
    """Return the header at the beginning of the file, of whatever version.

    Raises:
        CorruptHeaderError: It is damaged, or the file is no journal.
    """
    packed = content[:HEADER_BYTES]
    if len(packed) < HEADER_BYTES:
        raise CorruptHeaderError(f"the header has {len(packed)} bytes in place of {HEADER_BYTES}")
    if zlib.crc32(packed[: -_CRC.size]) != header_check(packed):
        raise CorruptHeaderError("the header does not match its checksum")
    magic, version, boot, epoch = _HEADER.unpack_from(packed)
    if magic != _MAGIC:
        raise CorruptHeaderError("the file is no journal of this program")
    if not version:
        raise CorruptHeaderError("there is no format 0")
    return Header(version, boot.hex(), epoch)


def header_check(packed: bytes) -> int:
    """Return the CRC at the end of the file's header, from which the first batch goes on."""
    check: int = _CRC.unpack_from(packed, HEADER_BYTES - _CRC.size)[0]
    return check


def packed_batch(body: bytes, check: int) -> tuple[bytes, int]:
    """Return the batch with this body, and what the next one's CRC goes on from.

    Args:
        body: From `encoded`.
        check: What the CRC of this one goes on from.
    """
    covered = _LENGTH_AND_CRC.pack(len(body), zlib.crc32(body))
    check = zlib.crc32(covered, check)
    return b"".join((covered, _CRC.pack(check), body, _END_MARK_BYTE)), check


def read_log(content: bytes, header: Header) -> Log:
    """Return every batch up to the end or the first one that cannot be believed. Never raises, whatever the bytes.

    Args:
        content: The whole file.
        header: From `unpacked_header`, of a version that this program knows.
    """
    return _READERS[header.version](content)


def _read_version_1(content: bytes) -> Log:
    size, used = len(content), len(content.rstrip(b"\0"))
    batches: list[Batch] = []
    at, check = HEADER_BYTES, header_check(content)
    while True:
        body_at = at + BATCH_HEADER_BYTES
        if body_at > size:
            break
        length, body_check, next_check = _BATCH_HEADER.unpack_from(content, at)
        if not length or zlib.crc32(content[at : at + _LENGTH_AND_CRC.size], check) != next_check:
            break
        mark_at = body_at + length
        if mark_at >= size or content[mark_at] != _END_MARK:
            break
        body = content[body_at:mark_at]
        records = _records_in(body) if zlib.crc32(body) == body_check else None
        if records is None:
            break
        batches.append(Batch(at, records))
        at, check = mark_at + 1, next_check
    ending, reason = _ending_at(at, content, check, used)
    return Log(batches, ending, at, reason, check, used)


def _ending_at(at: int, content: bytes, check: int, used: int) -> tuple[Ending, str]:
    """Say how a journal ends that has no batch to be believed at ``at``."""
    body_at = at + BATCH_HEADER_BYTES
    if body_at > len(content):
        return Ending.CORRUPT, "the file was cut off there, for space is left behind the last batch"
    length, body_check, next_check = _BATCH_HEADER.unpack_from(content, at)
    if not length or zlib.crc32(content[at : at + _LENGTH_AND_CRC.size], check) != next_check:
        if used > body_at:
            return Ending.CORRUPT, "the header of the batch there does not match its checksum, and more follows"
        if used > at:
            return Ending.TORN, "the last write was cut off in the header of a batch"
        return Ending.SOUND, ""
    mark_at = body_at + length
    if mark_at >= len(content):
        return Ending.CORRUPT, "the file was cut off in the batch that begins there"
    if used <= mark_at:
        return Ending.TORN, "the last write was cut off in the middle of a batch"
    if content[mark_at] != _END_MARK:
        return Ending.CORRUPT, "the batch there has no end mark, which a crash takes from the last one alone"
    if zlib.crc32(content[body_at:mark_at]) != body_check:
        return Ending.CORRUPT, "the batch there does not match its checksum"
    return Ending.CORRUPT, "the batch there is whole, but what it holds are no records"


def _records_in(body: bytes) -> list[Record] | None:
    """Return the records in a body, or None if it holds something else."""
    try:
        records = _decoder.decode(body)
    except (ValueError, RecursionError):
        # Each exception of msgspec is a ValueError.
        return None
    for record in records:
        if not record or type(record[0]) is not str:
            return None
    return records


#: How to read each version that there has been. What is written is of the last one.
_READERS: Final[dict[int, Callable[[bytes], Log]]] = {VERSION: _read_version_1}
