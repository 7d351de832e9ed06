"""What a machine that is short of something does to the library: the n-th of certain calls fails, or all from there on.

Only the calls count that the library makes on the way to the daemon, so that the test and its daemon, in the same
process, are spared.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Any, Final

import pytest

from lockd_client import _addresses, _watcher

SHORTAGES: Final[dict[str, Callable[[], Exception]]] = {
    "EMFILE": lambda: OSError(errno.EMFILE, os.strerror(errno.EMFILE)),
    "ENFILE": lambda: OSError(errno.ENFILE, os.strerror(errno.ENFILE)),
    "ENOMEM": lambda: OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    "MemoryError": MemoryError,
}


class _Names:
    """A module of which some names are replaced."""

    def __init__(self, module: object, **names: object) -> None:
        self.__dict__.update(vars(module), **names)


class Shortage:
    """Makes calls fail."""

    def __init__(self, error: Callable[[], Exception], patch: pytest.MonkeyPatch) -> None:
        self._error = error
        self._first = self._last = 0
        self._makes_none = False
        #: How many calls there were since `begin`.
        self.calls = 0
        # The files that were opened to be connections, by their inodes.
        self._made: set[int] = set()
        wait_for_end, dup = _watcher._wait_for_end, fcntl.fcntl
        patch.setattr(_addresses, "_socket", _Names(_socket, socket=self._socket_type()))
        patch.setattr(fcntl, "fcntl", lambda *args: self._call(dup, *args))
        patch.setattr(_watcher, "_wait_for_end", lambda number: self._call(wait_for_end, number))

    def begin(self, first: int) -> None:
        """Have one of the calls fail, counted from now on."""
        self.calls = 0
        self._first = self._last = first

    def begin_for_good(self) -> None:
        """Have no socket be made any more."""
        self.calls = 0
        self._makes_none = True

    def end(self) -> bool:
        """Have no more calls fail, and return whether any did."""
        was_met = self._first <= self.calls
        self._first = self._last = 0
        self._makes_none = False
        return was_met

    def open_connections(self) -> int:
        """Return how many descriptors of connections are open."""
        count = 0
        for number in os.listdir("/proc/self/fd"):
            try:
                count += os.stat(f"/proc/self/fd/{number}").st_ino in self._made
            except FileNotFoundError:
                # What listed them, or another thread's.
                continue
        return count

    def _call(self, call: Callable[..., Any], *args: Any) -> Any:
        self.calls += 1
        if self._first <= self.calls <= self._last:
            raise self._error()
        return call(*args)

    def _socket_type(self) -> type[_socket.socket]:
        shortage = self

        class Socket(_socket.socket):
            def __init__(self, *args: Any) -> None:
                if shortage._makes_none:
                    shortage.calls += 1
                    raise shortage._error()
                shortage._call(super().__init__, *args)
                shortage._made.add(os.fstat(self.fileno()).st_ino)

            def connect(self, address: Any, /) -> None:
                shortage._call(super().connect, address)

            def getsockopt(self, *args: Any) -> Any:
                return shortage._call(super().getsockopt, *args)

            def settimeout(self, value: float | None, /) -> None:
                shortage._call(super().settimeout, value)

            def setblocking(self, flag: bool, /) -> None:
                shortage._call(super().setblocking, flag)

        return Socket
