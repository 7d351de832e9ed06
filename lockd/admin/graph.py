"""Who waits for whom, as rows."""

from __future__ import annotations

from collections.abc import Iterator

from lockd.core.graph import EDGES_MAX, Wait, waits
from lockd.core.resources import Resource, SemaphoreResource
from lockd.core.state import Request
from lockd.translate import facts_of_demand
from lockd_wire import messages as m

from .desk import Desk
from .filters import is_contended
from .paging import page


def graph(desk: Desk, request: m.Graph) -> m.AdminReply:
    """Give a page of the graph."""
    now = desk.now

    def rows_of(resource: Resource) -> Iterator[m.Row]:
        return (_row(resource, wait, now) for wait in waits(resource))

    return page(request, desk.manager.resource_slots, is_contended, rows_of, EDGES_MAX)


def _row(resource: Resource, wait: Wait, now: float) -> m.Row:
    return {
        "name": resource.name,
        "limit": resource.limit if isinstance(resource, SemaphoreResource) else 0,
        "holders_total": len(resource.holders),
        "waiters_total": resource.waiters_total,
        "held": wait.is_hard,
        "waiter": _request(resource, wait.waiter, now),
        "blocker": None if wait.blocker is None else _request(resource, wait.blocker, now),
    }


def _request(resource: Resource, request: Request, now: float) -> dict[str, m.Scalar]:
    session = request.session
    since = request.queued_at if request.granted_at is None else request.granted_at
    return {
        "session": session.id,
        "owner": request.owner.id,
        "pid": session.peer.pid,
        "uid": session.peer.uid,
        "program": session.program,
        "label": request.terms.label,
        **facts_of_demand(resource.demand_of(request)),
        "seconds": now - since,
        "attached": session.is_attached,
    }
