"""The journal, as the tests know it: its bytes written down a second time, a disk that fails, a daemon that uses it."""

from __future__ import annotations

import errno
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from lockd.journal import Journal, Outcome, Record, Recovered, recover
from lockd.journal.files import Files

BOOT: Final = "0123456789abcdef0123456789abcdef"
OTHER_BOOT: Final = "fedcba9876543210fedcba9876543210"
DIRECTORY: Final = "/run/lockd"
PATH: Final = "/run/lockd/journal"
NEW: Final = "/run/lockd/journal.new"


def header(*, magic: bytes = b"LOCKDJN\n", version: int = 1, boot: str = BOOT, epoch: int = 7) -> bytes:
    """Return the header of a journal. The format is written down here because versions to come have to read it."""
    covered = struct.pack(">8sI16sQ", magic, version, bytes.fromhex(boot), epoch).ljust(60, b"\0")
    return covered + struct.pack(">I", zlib.crc32(covered))


def journal_of(*turns: list[Record], head: bytes = b"", tail: bytes = bytes(64)) -> bytes:
    """Return a journal with these turns."""
    return journal_of_bodies(*map(msgspec.msgpack.encode, turns), head=head, tail=tail)


def journal_of_bodies(*bodies: bytes, head: bytes = b"", tail: bytes = bytes(64)) -> bytes:
    """Return a journal whose batches have these bodies."""
    head = head or header()
    (check,) = struct.unpack(">I", head[60:])
    content = head
    for body in bodies:
        covered = struct.pack(">II", len(body), zlib.crc32(body))
        check = zlib.crc32(covered, check)
        content += covered + struct.pack(">I", check) + body + b"\xa5"
    return content + tail


class Disk(Files):
    """Files in memory. A write where no space was allocated is a defect of the journal, so it ends the test."""

    def __init__(self, contents: dict[str, bytes] | None = None) -> None:
        self.files = {name: bytearray(content) for name, content in (contents or {}).items()}
        self.open_files: dict[int, bytearray] = {}

    def read(self, path: str) -> bytes:
        return bytes(self._named(path))

    def open(self, path: str) -> int:
        return self._opened(self._named(path))

    def make(self, path: str) -> int:
        file = self.files.setdefault(path, bytearray())
        file.clear()
        return self._opened(file)

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        file = self.open_files[descriptor]
        assert len(file) == offset, "space is allocated at the end"
        file.extend(bytes(size))

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        file = self.open_files[descriptor]
        assert offset + len(data) <= len(file), "space is allocated before it is written to"
        file[offset : offset + len(data)] = data
        return len(data)

    def rename(self, source: str, target: str) -> None:
        self.files[target] = self._named(source)
        del self.files[source]

    def unlink(self, path: str) -> None:
        self._named(path)
        del self.files[path]

    def close(self, descriptor: int) -> None:
        del self.open_files[descriptor]

    def _named(self, path: str) -> bytearray:
        if path not in self.files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        return self.files[path]

    def _opened(self, file: bytearray) -> int:
        descriptor = max(self.open_files, default=2) + 1
        self.open_files[descriptor] = file
        return descriptor


#: Does a call, or a part of it, and then raises; or does a part of it and says so. It is told the call's number.
Failure = Callable[[int, Callable[..., Any], tuple[Any, ...]], Any]


def refused(error: BaseException) -> Failure:
    """Return a failure that does nothing of what was asked."""

    def fail(number: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        raise error

    return fail


def short(number: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do the first half of a write and say so. Of anything else there is no half."""
    if len(arguments) == 3 and isinstance(arguments[1], bytes | memoryview):
        descriptor, data, offset = arguments
        return call(descriptor, data[: len(data) // 2], offset)
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def half(number: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do the first half of a write and say that all of it failed."""
    short(number, call, arguments)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def unheard(number: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do all of a write and say that it failed. Anything else does not happen."""
    if len(arguments) == 3 and isinstance(arguments[1], bytes | memoryview):
        call(*arguments)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def uneven(number: int, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do all of one write, of the next one a few bytes, of the one after that some more, and say that they failed."""
    if len(arguments) == 3 and isinstance(arguments[1], bytes | memoryview):
        descriptor, data, offset = arguments
        call(descriptor, data[: (len(data), 5, 13)[number % 3]], offset)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


_CODES: Final = (errno.ENOSPC, errno.EROFS, errno.EMFILE, errno.EIO)

FAILURES: Final[dict[str, Failure]] = {
    **{errno.errorcode[code]: refused(OSError(code, os.strerror(code))) for code in _CODES},
    "memory": refused(MemoryError()),
    "short": short,
    "half": half,
    "unheard": unheard,
    "uneven": uneven,
}


class FailingDisk(Disk):
    """Numbers the calls from 1, lets those fail that it is told to, and shows an observer the disk after each."""

    def __init__(
        self, failing: range = range(0), failure: Failure = short, concerned: frozenset[str] = frozenset({PATH, NEW})
    ) -> None:
        """Begin empty.

        Args:
            failing: The numbers of the calls that fail.
            failure: How they fail.
            concerned: Calls about other files than these have no number.
        """
        super().__init__()
        self._concerned = concerned
        self.calls = 0
        self.has_failed = False
        self.allocate_fails = False
        self.observe: Callable[[Disk], None] | None = None
        self._failing = failing
        self._failure = failure

    def fail_from_now(self, failure: Failure, calls: int = sys.maxsize // 2) -> None:
        """Let the next calls fail."""
        self._failing = range(self.calls + 1, self.calls + 1 + calls)
        self._failure = failure

    def heal(self) -> None:
        """Let calls succeed from now on."""
        self._failing = range(0)

    def _numbered(self, call: Callable[..., Any], *arguments: Any) -> Any:
        is_concerned = self._path(arguments[0]) in self._concerned
        self.calls += is_concerned
        try:
            if is_concerned and self.calls in self._failing:
                self.has_failed = True
                return self._failure(self.calls, call, arguments)
            return call(*arguments)
        finally:
            if self.observe is not None:
                self.observe(self)

    def _path(self, file: str | int) -> str:
        """Return the name of an open file. One without a name is the journal that another has taken the place of."""
        if isinstance(file, str):
            return file
        return next((name for name, other in self.files.items() if other is self.open_files[file]), PATH)

    def read(self, path: str) -> bytes:
        content: bytes = self._numbered(super().read, path)
        return content

    def open(self, path: str) -> int:
        return int(self._numbered(super().open, path))

    def make(self, path: str) -> int:
        return int(self._numbered(super().make, path))

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        if self.allocate_fails:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._numbered(super().allocate, descriptor, offset, size)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        return int(self._numbered(super().write, descriptor, data, offset))

    def rename(self, source: str, target: str) -> None:
        self._numbered(super().rename, source, target)

    def unlink(self, path: str) -> None:
        self._numbered(super().unlink, path)

    def close(self, descriptor: int) -> None:
        try:
            self._numbered(super().close, descriptor)
        finally:
            # As Linux does: whatever close(2) says, the descriptor is free.
            self.open_files.pop(descriptor, None)


State = dict[str, Any]


def replay(records: list[Record]) -> State:
    """Return the state that records lead to: the last one about a thing is all that counts."""
    state: State = {}
    for kind, thing, *value in records:
        if kind == "set":
            state[thing] = value[0]
        else:
            state.pop(thing, None)
    return state


class Keeper:
    """A daemon as the journal sees it: in each turn something goes away, and several other things change."""

    PLACES = 7

    def __init__(self, disk: Disk, journal_class: type[Journal] = Journal) -> None:
        self.disk = disk
        self._class = journal_class
        self.state: State = {}
        #: After each turn.
        self.states: list[State] = [{}]
        #: How many turns somebody was told of.
        self.told = 0
        self.journal: Journal | None = None

    def begin(self) -> None:
        """Start as a daemon does.

        Raises:
            JournalError: The disk does not let it. It may start again.
        """
        found = recover(DIRECTORY, BOOT, self.disk)
        if found.outcome is Outcome.MISSING:
            assert not self.told
            self.journal = self._class.create(DIRECTORY, BOOT, 7, self.disk)
        else:
            self.check(found)
            self.resume(found)

    def resume(self, found: Recovered) -> None:
        """Go on with what was found, as the next daemon, who knows nothing else."""
        self.state = replay(found.records)
        turns = self.state.get("turn", 0)
        del self.states[turns + 1 :]
        self.told = turns
        self.journal = self._class.open(DIRECTORY, found, self.disk)

    def turn(self, padding: str = "") -> None:
        """Let something happen, and tell of it if that is allowed."""
        assert self.journal is not None
        number = len(self.states)
        gone, *changed = (f"place {(number + step) % self.PLACES}" for step in range(4))
        changes: State = {place: [number, padding] for place in changed} | {"turn": number}
        if number <= 3:
            # It will never be spoken of again.
            changes[f"lasting {number}"] = number
        self.state.pop(gone, None)
        self.state |= changes
        self.states.append(dict(self.state))
        self.journal.append([("remove", gone), *(("set", thing, value) for thing, value in changes.items())])
        self.write()

    def write(self) -> bool:
        """Write what waits, and remember who may be told."""
        assert self.journal is not None
        if self.journal.write():
            self.told = len(self.states) - 1
            return True
        assert self.journal.fault is not None
        return False

    def snapshot(self) -> Iterator[Record]:
        """Yield the state, each thing as it is when it is its turn."""
        for thing in list(self.state):
            if thing in self.state:
                yield "set", thing, self.state[thing]

    def check(self, found: Recovered) -> None:
        """Hold what a daemon would find against what happened: whole turns, and all that somebody was told of."""
        assert found.outcome in (Outcome.SOUND, Outcome.TORN), found.detail
        state = replay(found.records)
        turns = state.get("turn", 0)
        assert self.told <= turns < len(self.states), f"{self.told} turns were told, and {turns} are there"
        assert state == self.states[turns]

    def check_disk(self, disk: Disk) -> None:
        """The same for the journal as it lies on the disk now: what a daemon would find that starts after a crash."""
        if PATH in disk.files:
            self.check(recover(DIRECTORY, BOOT, Disk({PATH: bytes(disk.files[PATH])})))
        else:
            assert not self.told
