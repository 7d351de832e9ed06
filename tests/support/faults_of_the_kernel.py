"""What a machine that is short of something does to the daemon: the n-th of certain calls fails, or all from there on.

Only the calls count that the daemon's own modules make, so that the test, pytest and trio, in the same process, are
spared."""

from __future__ import annotations

import builtins
import errno
import os
import select
import socket
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import pytest

from lockd import connection, keeper, translate
from lockd.core.manager import LockManager
from lockd.journal import journal
from lockd.reactor import Reactor
from lockd_wire.codec import Dialect
from lockd_wire.framing import FrameDecoder

_SO_PEERPIDFD: Final = 77


class Seam(NamedTuple):
    """A function that the daemon calls, and where it looks that up."""

    where: Any
    name: str
    #: Which of its calls are meant.
    concerns: Callable[[tuple[Any, ...]], bool] = lambda arguments: True


def _makes_or_writes(arguments: tuple[Any, ...]) -> bool:
    return bool(arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


#: `epoll_create` and `epoll_ctl` are not among these: their type is closed, so `_Epoll` takes its place.
SEAMS: Final[dict[str, Seam]] = {
    "open": Seam(builtins, "open"),
    "os.open": Seam(os, "open"),
    "open for writing": Seam(os, "open", _makes_or_writes),
    "pidfd_open": Seam(os, "pidfd_open"),
    "fallocate": Seam(os, "posix_fallocate"),
    "pwrite": Seam(os, "pwrite"),
    "fsync": Seam(os, "fsync"),
    "rename": Seam(os, "rename"),
    "unlink": Seam(os, "unlink"),
    "mkdir": Seam(os, "mkdir"),
    "socket": Seam(socket.socket, "__init__"),
    "accept": Seam(socket.socket, "accept"),
    "peer's pidfd": Seam(socket.socket, "getsockopt", lambda arguments: arguments[2] == _SO_PEERPIDFD),
    "recv": Seam(socket.socket, "recv"),
    "send": Seam(socket.socket, "send"),
    "handle": Seam(LockManager, "handle"),
    "changes": Seam(LockManager, "changes"),
    "packed": Seam(keeper, "packed"),
    "encoded": Seam(journal, "encoded"),
    "peek": Seam(FrameDecoder, "peek"),
    "decode": Seam(Dialect, "decode"),
    "event_of": Seam(translate, "event_of"),
    "message_of": Seam(translate, "message_of"),
    "encode": Seam(connection, "encode"),
    "call_at": Seam(Reactor, "call_at"),
}

#: What becomes of a call: it is told the function and its arguments.
Failure = Callable[[Callable[..., Any], tuple[Any, ...]], Any]


def refused(code: int) -> Failure:
    """Return a failure that does nothing of what was asked, for this reason."""

    def fail(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        raise OSError(code, os.strerror(code))

    return fail


def broken(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Let the connection be gone from here on, as when the peer hangs up just before: the kernel says the rest."""
    arguments[0].shutdown(socket.SHUT_RDWR)
    return call(*arguments)


def reset(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """The same, of a peer that had not read everything."""
    arguments[0].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


def aborted(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Let whoever has connected be gone when it is taken from the listener: it is not there any more."""
    connection, _address = call(*arguments)
    connection.close()
    raise ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))


def out_of_memory(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do nothing of what was asked, for want of memory."""
    raise MemoryError


def out_of_memory_afterwards(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do all of it, and then find no memory to say so."""
    call(*arguments)
    raise MemoryError


class Faults:
    """Counts the calls of some seams from 1, and lets the n-th fail."""

    def __init__(self, seams: Collection[str], failure: Failure, number: int, *, is_lasting: bool) -> None:
        """Let nothing fail before `installed`.

        Args:
            seams: Which calls count, by the keys of `SEAMS`, and `epoll_create` and `epoll_ctl`.
            failure: What becomes of the one that fails.
            number: Which one that is. 0 is none.
            is_lasting: Whether all that come after it fail, too, until `end`.
        """
        self._seams = frozenset(seams)
        self._failure = failure
        self._number = number
        self._is_lasting = is_lasting
        self._is_over = False
        self.calls = 0
        self.failed = 0

    def end(self) -> None:
        """Let nothing fail, or be counted, any more."""
        self._is_over = True

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let nothing fail, or be counted, as long as the block lasts."""
        was_over, self._is_over = self._is_over, True
        try:
            yield
        finally:
            self._is_over = was_over

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Stand between the daemon and what it calls for as long as the block lasts."""
        with pytest.MonkeyPatch.context() as patch:
            for name in sorted(self._seams & SEAMS.keys()):
                self._stand_before(patch, name, SEAMS[name])
            if self._seams & {"epoll_create", "epoll_ctl"}:
                self._stand_before_epoll(patch)
            yield

    def _stand_before(self, patch: pytest.MonkeyPatch, name: str, seam: Seam) -> None:
        original = getattr(seam.where, seam.name)

        def stand_in(*arguments: Any, **keywords: Any) -> Any:
            def call(*again: Any) -> Any:
                return original(*again, **keywords)

            return (
                self.pass_on(name, call, arguments) if _is_daemon() and seam.concerns(arguments) else call(*arguments)
            )

        patch.setattr(seam.where, seam.name, stand_in)

    def _stand_before_epoll(self, patch: pytest.MonkeyPatch) -> None:
        original = select.epoll

        def stand_in() -> Any:
            return _Epoll(self, self.pass_on("epoll_create", original, ())) if _is_daemon() else original()

        patch.setattr(select, "epoll", stand_in)

    def pass_on(self, name: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        """Make a call of the daemon's, or let it fail."""
        if self._is_over or name not in self._seams:
            return call(*arguments)
        self.calls += 1
        if self.calls == self._number or (self._is_lasting and 0 < self._number < self.calls):
            self.failed += 1
            return self._failure(call, arguments)
        return call(*arguments)


class _Epoll:
    """An epoll set whose registrations can fail."""

    def __init__(self, faults: Faults, epoll: select.epoll) -> None:
        self._faults = faults
        self._epoll = epoll

    def register(self, descriptor: int, events: int) -> None:
        self._faults.pass_on("epoll_ctl", self._epoll.register, (descriptor, events))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._epoll, name)

    def __enter__(self) -> select.epoll:
        return self._epoll.__enter__()

    def __exit__(self, *details: object) -> None:
        self._epoll.close()


def _is_daemon() -> bool:
    """Whether a module of the daemon's called the function that calls this one."""
    name = sys._getframe(2).f_globals.get("__name__", "")
    return isinstance(name, str) and name.startswith("lockd.")
