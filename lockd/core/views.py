"""Questions about the state, answered without changing it."""

from __future__ import annotations

from itertools import islice, takewhile
from typing import TYPE_CHECKING

from .actions import Abandonment, Holder, NameFacts, Step
from .bounds import HOLDERS_NAMED_MAX, PLACES_COUNTED_MAX
from .resources import Resource
from .state import Request

if TYPE_CHECKING:
    from .abandoned import Record
    from .deadlock import Edge


def name_facts(name: str, resource: Resource | None, now: float, waiter: Request | None = None) -> NameFacts:
    """Say who has ``name`` and who wants it, and where in line ``waiter`` is."""
    if resource is None:
        return NameFacts(name, (), 0, 0)
    return NameFacts(
        name=name,
        holders=tuple(holder(resource, grant, now) for grant in islice(resource.holders.values(), HOLDERS_NAMED_MAX)),
        holders_total=len(resource.holders),
        waiters_total=resource.waiters_total,
        position=None if waiter is None else _position(resource, waiter),
        waited_seconds=None if waiter is None else now - waiter.queued_at,
    )


def holder(resource: Resource, grant: Request, now: float) -> Holder:
    """Describe one grant on ``resource``."""
    assert grant.granted_at is not None
    return Holder(
        peer=grant.session.peer,
        program=grant.session.program,
        label=grant.terms.label,
        demand=resource.demand_of(grant),
        held_seconds=now - grant.granted_at,
        token=grant.token,
        is_attached=grant.session.is_attached,
    )


def step(edge: Edge, now: float) -> Step:
    """Describe one step of a deadlock."""
    waiter, resource, blocker = edge
    waits, blocks = waiter.owner.session, blocker.owner.session
    # By position: there may be thousands, while everybody else waits.
    return Step(
        resource.name,
        waits.peer,
        waits.program,
        waiter.terms.label,
        resource.demand_of(waiter),
        blocks.peer,
        blocks.program,
        blocker.terms.label,
        resource.demand_of(blocker),
        now - (blocker.queued_at if blocker.granted_at is None else blocker.granted_at),
        not blocker.token,
    )


def abandonment(record: Record, now: float) -> Abandonment:
    """Describe who did not release a name."""
    return Abandonment(record.name, record.peer, record.program, record.label, now - record.at)


def _position(resource: Resource, waiter: Request) -> int:
    """Return which one in line ``waiter`` is, from 1, or one more than is counted out (B2)."""
    line = (resource.converting or {}) if waiter.converts is not None else (resource.queue or {})
    before = 0 if waiter.converts is not None else len(resource.converting or ())
    counted = islice(line, PLACES_COUNTED_MAX)
    return 1 + before + sum(1 for _ in takewhile(lambda other: other < waiter.place, counted))
