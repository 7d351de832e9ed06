"""What is always true of those who wait (README section 2, I5, I10 and I11). A part of `invariants`."""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

from .events import Demand, Item, Permits
from .manager import LockManager
from .modes import CONFLICTS
from .resources import Resource
from .state import Owner, Request


def check_waiting(manager: LockManager) -> None:
    """Raise AssertionError, naming the invariant, if one does not hold."""
    names = {name: _facts_of(resource) for name, resource in manager.resources.items()}
    waiters = waiters_of(manager)
    for waiter in waiters:
        may_go = all(_is_held_by_nobody(names[item.name], waiter, item) for item in waiter.items) and not any(
            _is_behind(names[item.name], waiter, item) for item in waiter.items
        )
        assert not may_go or not waiter.session.is_attached, f"I5: {_called(waiter)} could be granted and waits"
    _check_progress(names, waiters)
    for grant in manager.grants.values():
        for item in grant.items:
            for waiter, demand in names[item.name].line:
                is_told = not grant.is_watchful or waiter.owner is grant.owner or not clash(item.demand, demand)
                assert is_told, f"I11: the holder of {grant.token} does not know that {_called(waiter)} waits"


def waiters_of(manager: LockManager) -> list[Request]:
    """Return every request in a line, once, the earliest first, whatever the sessions say."""
    found: dict[int, Request] = {}
    for resource in manager.resources.values():
        for waiters in (resource.queue, resource.converting, resource.passed):
            found.update((id(waiter), waiter) for waiter in (waiters or {}).values())
    return sorted(found.values(), key=lambda waiter: waiter.place)


def clash(one: Demand, other: Demand) -> bool:
    """Whether two owners cannot have these at the same time; of a semaphore: whether the later one stays behind."""
    return isinstance(one, Permits) or isinstance(other, Permits) or other in CONFLICTS[one]


class _Name(NamedTuple):
    """Who has a name and who stands in line for it."""

    holders: list[tuple[Owner, Demand]]
    #: Those that convert, and then the others by their places.
    line: list[tuple[Request, Demand]]


def _facts_of(resource: Resource) -> _Name:
    line = [*(resource.converting or {}).values(), *(resource.queue or {}).values()]
    return _Name(
        [(grant.owner, resource.demand_of(grant)) for grant in resource.holders.values()],
        [(waiter, resource.demand_of(waiter)) for waiter in line],
    )


def _is_held_by_nobody(name: _Name, waiter: Request, item: Item, busy: Container[Owner] | None = None) -> bool:
    """Whether ``waiter`` could have ``item``, if nobody stood before it and only the ``busy`` held what they hold."""
    held = [(owner, demand) for owner, demand in name.holders if busy is None or owner in busy]
    if not isinstance(item.demand, Permits):
        return not any(owner is not waiter.owner and clash(demand, item.demand) for owner, demand in held)
    if busy is not None:
        # What its owner waits for there at an earlier place will be used up too.
        own = [other for other in waiter.owner.waiting if other.place < waiter.place]
        held += [(theirs.owner, more.demand) for theirs in own for more in theirs.items if more.name == item.name]
    taken = sum(demand.permits for _, demand in held if isinstance(demand, Permits))
    return taken + item.demand.permits <= item.demand.limit


def _is_behind(name: _Name, waiter: Request, item: Item, busy: Container[Owner] | None = None) -> bool:
    """Whether ``waiter`` has to wait for somebody in line; with ``busy``, for one of those, itself aside."""
    if waiter.converts is not None:
        return False
    for other, demand in name.line:
        if other.converts is None and other.place >= waiter.place:
            return False
        counts = busy is None or (other.owner in busy and other.owner is not waiter.owner)
        if counts and clash(demand, item.demand):
            return True
    return False


def _check_progress(names: dict[str, _Name], waiters: list[Request]) -> None:
    """Let every owner that can have all it waits for have it, and release all it has; nobody may be left."""
    busy = {waiter.owner: None for waiter in waiters}
    before = None
    while busy != before:
        before = dict(busy)
        for owner in before:
            wanted = [(names[item.name], waiter, item) for waiter in owner.waiting for item in waiter.items]
            if all(_is_held_by_nobody(*one, busy) and not _is_behind(*one, busy) for one in wanted):
                del busy[owner]
    assert not busy, f"I10: {[(owner.session.id, owner.id) for owner in busy]} wait for ever"


def _called(waiter: Request) -> str:
    return f"request {waiter.id} of session {waiter.session.id}"
