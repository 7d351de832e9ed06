"""Functions and methods that run under a lock."""

from __future__ import annotations

import functools

from . import _modes as modes
from ._default import lock
from ._lock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import ParamSpec, TypeVar, Unpack

    from ._ask import Terms

    _P = ParamSpec("_P")
    _R = TypeVar("_R")

# The flags of a code object whose call only makes something that runs later (`inspect` has the names, and takes longer
# to import than this whole library).
_LATER = {
    0x20: "a generator function",
    0x80: "a coroutine function",
    0x100: "a coroutine function",
    0x200: "an asynchronous generator function",
}


def locked(
    name: str | Lock, *, mode: str = modes.EXCLUSIVE, **terms: Unpack[Terms]
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Make a function run under a lock.

    ::

        @locked("reports/daily", timeout=5)
        def publish(report): ...

    A call raises what ``with lock(...)`` raises, and then the function does not run. A function that calls itself, in a
    thread that holds the lock already, is told so by `DeadlockDetected`.

    Args:
        name: The name of the lock, or a handle, which then has a mode and terms of its own.

    The other arguments are those of `lock`.

    Raises:
        TypeError: The function is a coroutine function or a generator function: its body would run after the release.
    """
    handle = name if isinstance(name, Lock) else lock(name, mode=mode, **terms)

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        what = runs_later(function)
        if what is not None:
            shown = getattr(function, "__qualname__", repr(function))
            raise TypeError(f"{shown} is {what}: its body would run after the lock was released")

        @functools.wraps(function)
        def run_locked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            with handle:
                return function(*args, **kwargs)

        return run_locked

    return decorate


def runs_later(function: object) -> str | None:
    """Return what a function is whose body does not run when it is called, or None if it is an ordinary one."""
    while isinstance(function, functools.partial | functools.partialmethod):
        function = function.func
    function = getattr(function, "__func__", function)
    flags = getattr(getattr(function, "__code__", None), "co_flags", 0)
    return next((what for flag, what in _LATER.items() if flags & flag), None)
