"""Steps that the lock manager takes, counted: how work grows is asked of these, never of a clock."""

from __future__ import annotations

import gc
import sys
from collections import OrderedDict
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from types import FrameType
from typing import Any

from lockd.core.actions import Opened
from lockd.core.bounds import Quotas
from lockd.core.events import Event, OpenSession, Peer
from lockd.core.invariants import check
from lockd.core.manager import LockManager

from .core import acquire, connect_many, make_manager

#: Grants and waiters of which the invariants are checked. They are looked at in the plainest way, not for thousands.
_CHECKED_MAX = 30


class Steps:
    """How many functions have been called, and how many entries of any `Counted` have been looked at."""

    taken = 0


class Counted(OrderedDict[int, Any]):
    """A dict that counts who goes through it. Looking up one entry is free: that costs the same in a small one."""

    def __iter__(self) -> Iterator[int]:
        for key in super().__iter__():
            Steps.taken += 1
            yield key

    def values(self) -> Any:
        return ValuesView(self)

    def items(self) -> Any:
        return ItemsView(self)

    def keys(self) -> Any:
        return KeysView(self)


def steps_of(manager: LockManager, *events: Event) -> int:
    """Return how many steps these events take: calls of functions, and entries that are looked at."""
    _check_few(manager)
    Steps.taken = 0
    before = sys.getprofile()
    # A collection of garbage would be counted, too: others may have given it callbacks, written in Python.
    gc.disable()
    sys.setprofile(_count_call)
    try:
        for event in events:
            manager.handle(event, 100.0)
    finally:
        sys.setprofile(before)
        gc.enable()
    taken = Steps.taken
    _check_few(manager)
    return taken


def _count_call(frame: FrameType | None, event: str, argument: object) -> None:
    # Each entry that a generator hands out is a call too.
    Steps.taken += event in ("call", "c_call")


def _check_few(manager: LockManager) -> None:
    statistics = manager.statistics()
    if statistics.grants + statistics.waiters <= _CHECKED_MAX:
        check(manager)


def roomy_manager() -> LockManager:
    """Make a manager with room for any number of sessions."""
    return make_manager(Quotas(sessions_max=10**6, sessions_per_uid_max=10**6))


def connect_unchecked(manager: LockManager) -> int:
    """Open a session without a look at all invariants."""
    [opened] = manager.handle(OpenSession(Peer(1, 1000, 100), "", False), 0.0)
    assert isinstance(opened, Opened)
    return opened.session


def with_waiters(number: int) -> tuple[LockManager, list[int]]:
    """One exclusive grant, so many exclusive waiters of other owners, and two sessions with nothing."""
    manager = make_manager()
    sessions = connect_many(manager, 4)
    manager.handle(acquire(sessions[0], 1), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(sessions[1], request, owner=request, timeout=1000.0), 0.0)
    return manager, sessions
