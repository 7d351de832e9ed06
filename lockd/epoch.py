"""The epoch: the upper bits of every token, raised whenever the locks of before are forgotten.

A store that accepts only rising tokens must never be offered a smaller one, so the epoch has to rise over reboots, over
crashes and over clocks that go wrong. It comes from two sources that hardly fail together: the file of this module, and
the seconds since 2025.

The file has two slots with the same record in them. Raising the epoch overwrites one and then the other, in place: a
crash in between leaves one of them whole, damage to one later on loses nothing, and after the first time no disk is too
full for it.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Final, NamedTuple

from .journal import explained
from .logs import log

#: A page: no sector of a disk and no block of a file system belongs to both slots.
SLOT_BYTES: Final = 4096

#: With 32 bits of counter below it a token fits into a signed 64-bit column of a database.
EPOCH_MAX: Final = 2**31 - 1

#: From 2025-01-01 to 2090-01-01 UTC a clock is believed. One that is far ahead for a minute must not use up all epochs.
CLOCK_BEGIN: Final = 1_735_689_600
CLOCK_END: Final = 3_786_912_000

BOOT_ID_FILE: Final = "/proc/sys/kernel/random/boot_id"

_MAGIC: Final = b"LOCKDEP\n"
_VERSION: Final = 1
# Magic, version, sequence, epoch, boot id; then zeros, and at the end the CRC-32 of all that. A later version will have
# magic, version and CRC in the same places, so that its slots are not taken for damaged ones.
_RECORD: Final = struct.Struct(">8sIQQ16s")
_CRC: Final = struct.Struct(">I")


class EpochError(Exception):
    """No epoch can be had that is surely greater than all before. The message says why, and what to do about it."""


class Record(NamedTuple):
    """What is stored."""

    #: Rises by one each time; the greater one is the newer one.
    sequence: int
    epoch: int
    #: The boot in which the epoch was raised, in 32 hexadecimal digits.
    boot_id: str


class _DamagedError(Exception):
    """A slot holds no record: the message says what is wrong with it."""


class _LaterVersionError(Exception):
    """A slot was written by a later version of lockd, in the format that the argument tells."""


class EpochFile:
    """The file in which the epoch is kept. The caller sees to it that only one process uses it at a time."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Name the file. It is not opened yet; where there is none, `raise_epoch` makes it."""
        self.path = os.fspath(path)

    def stored(self) -> Record | None:
        """Return the newest record, or None if there is no file, as after a fresh installation.

        Raises:
            EpochError: The file cannot be read, both slots are damaged, or a later version of lockd wrote it.
        """
        slots = self._slots(reset=False)
        return max(filter(None, slots)) if slots is not None else None

    def raise_epoch(
        self,
        boot_id: str,
        now_unix: float,
        *,
        reset: bool = False,
        prepare: Callable[[int], None] = lambda epoch: None,
    ) -> int:
        """Store a greater epoch and return it once it is safe on the disk.

        Args:
            boot_id: The boot that this is, in 32 hexadecimal digits.
            now_unix: The time of the wall clock, in seconds since 1970. Used as far as it can be believed.
            reset: Begin anew where the file is damaged. Nobody knows then what was given out before, so tokens may be
                given out again if the clock is wrong too. What can still be read is heeded all the same.
            prepare: Called with the epoch before that is stored. If it raises, nothing is.

        Returns:
            An epoch greater than all that this file has seen, from 1 to `EPOCH_MAX`.

        Raises:
            EpochError: The file cannot be read or written, or has no record that can be believed. The epoch that was
                stored is stored still, or already the one above it.
        """
        slots = self._slots(reset=reset)
        newest = max(filter(None, slots or []), default=Record(0, 0, boot_id))
        epoch = max(newest.epoch + 1, _seconds_since_2025(now_unix))
        if epoch > EPOCH_MAX:
            raise EpochError(
                f"the epochs of {self.path} are used up: no token is greater than those of epoch {newest.epoch}, so"
                " whatever checks tokens has to forget them, and the file has to be removed"
            )
        prepare(epoch)
        self._store(Record(newest.sequence + 1, epoch, boot_id), slots)
        return epoch

    def keep_up(self, boot_id: str, epoch: int) -> None:
        """Make good what the file has lost, or not learned, of an epoch that is in use.

        Whether there was a daemon in this boot, and how great its tokens were, must be known also when the journal that
        knows it now is lost.

        Raises:
            EpochError: The file cannot be read or written, or a later version of lockd wrote it.
        """
        slots, _ = self._read(reset=False)
        newest = max(filter(None, slots or []), default=Record(0, 0, ""))
        if slots is not None and all(slots) and newest.boot_id == boot_id and newest.epoch >= epoch:
            return
        log.warning("the epoch file %s did not know epoch %d of this boot, and does from now on", self.path, epoch)
        self._store(Record(newest.sequence + 1, max(newest.epoch, epoch), boot_id), slots)

    def _store(self, record: Record, slots: list[Record | None] | None) -> None:
        with self._explained("written"):
            if slots is None:
                self._make(_packed(record))
            else:
                self._overwrite(_packed(record), slots)

    def _slots(self, *, reset: bool) -> list[Record | None] | None:
        slots, faults = self._read(reset=reset)
        self._judge(faults, reset=reset)
        return slots

    def _read(self, *, reset: bool) -> tuple[list[Record | None] | None, list[str]]:
        """Read both slots, None for one that is damaged, and what is wrong with them. Without a file they are None."""
        with self._explained("read"):
            try:
                with open(self.path, "rb") as file:
                    content = file.read(2 * SLOT_BYTES)
            except FileNotFoundError:
                return None, []
        slots: list[Record | None] = []
        faults = []
        for number in range(2):
            try:
                slots.append(_unpacked(content[number * SLOT_BYTES : (number + 1) * SLOT_BYTES]))
            except (_DamagedError, _LaterVersionError) as error:
                if isinstance(error, _LaterVersionError) and not reset:
                    raise EpochError(f"the epoch file {self.path} {error}: start the version that wrote it") from None
                slots.append(None)
                faults.append(f"slot {number} {error}")
        return slots, faults

    def _judge(self, faults: list[str], *, reset: bool) -> None:
        match faults:
            case [_, _] if not reset:
                raise EpochError(
                    f"the epoch file {self.path} is damaged ({', '.join(faults)}), so nobody knows how great the tokens"
                    " were that have been given out: restore it from a backup or, if it does not matter that tokens may"
                    " be given out again, start once with --reset-epoch"
                )
            case [_, _]:
                log.warning("the epoch file %s is made anew, as --reset-epoch says: %s", self.path, ", ".join(faults))
            case [fault]:
                log.warning("the epoch file %s is damaged (%s): its other slot decides", self.path, fault)

    def _make(self, slot: bytes) -> None:
        """Make the file so that it is there as a whole or not at all."""
        unfinished = f"{self.path}.new"
        try:
            with _opened(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as descriptor:
                _write(descriptor, 2 * slot, 0)
            os.rename(unfinished, self.path)
        except OSError:
            with suppress(OSError):
                os.unlink(unfinished)
            raise
        with _opened(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_DIRECTORY) as descriptor:
            os.fsync(descriptor)

    def _overwrite(self, slot: bytes, slots: list[Record | None]) -> None:
        """Overwrite the worse slot, and the better one when the first is safe."""
        with _opened(self.path, os.O_WRONLY) as descriptor:
            for number in sorted(range(2), key=lambda number: slots[number] or ()):
                _write(descriptor, slot, number * SLOT_BYTES)

    @contextmanager
    def _explained(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = explained(error, "--state-dir")
            raise EpochError(f"the epoch file {self.path} cannot be {done}: {why}") from error


def boot_id(environ: Mapping[str, str] = os.environ, path: str = BOOT_ID_FILE) -> str:
    """Return the id of the boot that this is, in 32 hexadecimal digits.

    ``$LOCKD_BOOT_ID`` if it is set, for units that hide the kernel's file, else what the kernel says.

    Raises:
        EpochError: Neither tells one.
    """
    text, source = environ.get("LOCKD_BOOT_ID", ""), "LOCKD_BOOT_ID"
    if not text:
        source = path
        try:
            with open(path, encoding="ascii") as file:
                text = file.read().strip()
        except OSError as error:
            raise EpochError(
                f"{path} cannot be read: {error.strerror}: set LOCKD_BOOT_ID to the id of this boot"
                " (Environment=LOCKD_BOOT_ID=%b in the unit)"
            ) from error
    try:
        return uuid.UUID(text).hex
    except ValueError:
        raise EpochError(
            f"{source} says {text!r}, which is not the id of a boot: that has 32 hexadecimal digits"
        ) from None


def _seconds_since_2025(now_unix: float) -> int:
    """Return what the clock says, or 0 if it cannot be right."""
    return int(now_unix - CLOCK_BEGIN) if CLOCK_BEGIN <= now_unix <= CLOCK_END else 0


def _packed(record: Record) -> bytes:
    fields = _RECORD.pack(_MAGIC, _VERSION, record.sequence, record.epoch, bytes.fromhex(record.boot_id))
    covered = fields.ljust(SLOT_BYTES - _CRC.size, b"\0")
    return covered + _CRC.pack(zlib.crc32(covered))


def _unpacked(slot: bytes) -> Record:
    if len(slot) < SLOT_BYTES:
        raise _DamagedError(f"has {len(slot)} bytes in place of {SLOT_BYTES}")
    covered, crc = slot[: -_CRC.size], slot[-_CRC.size :]
    if _CRC.pack(zlib.crc32(covered)) != crc:
        raise _DamagedError("does not match its checksum")
    magic, version, sequence, epoch, boot = _RECORD.unpack_from(covered)
    if magic != _MAGIC:
        raise _DamagedError("is none of this program")
    if version != _VERSION:
        raise _LaterVersionError(f"is in format {version}, and this version of lockd knows format {_VERSION} alone")
    if not 1 <= epoch <= EPOCH_MAX:
        raise _DamagedError(f"names the impossible epoch {epoch}")
    return Record(sequence, epoch, boot.hex())


@contextmanager
def _opened(path: str, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags | os.O_CLOEXEC, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes, offset: int) -> None:
    """Write all of ``data`` at ``offset`` and wait until it is on the disk."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
    os.fsync(descriptor)
