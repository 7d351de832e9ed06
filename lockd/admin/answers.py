"""What an administrator can ask, each question with the function that answers it.

Where there can be much to tell it comes in pages, so that no question holds the daemon up or fills an outbox."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge, nsmallest
from itertools import chain, islice
from operator import attrgetter
from typing import Any, Final, TypeVar

from lockd import __version__, sentences
from lockd.core.resources import LockResource, Resource, SemaphoreResource
from lockd.core.state import Request, Session
from lockd.core.views import abandonment, holder
from lockd.onlookers.stream import EVENTS_MAX, PERIOD_SECONDS
from lockd.systemd import is_supervised
from lockd.translate import facts_of_abandonment, facts_of_demand, facts_of_holder
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode
from lockd_wire.names import fault_of_name

from . import measured
from .breaks import break_grants
from .desk import Desk
from .filters import UnknownFilter, wanted_names
from .graph import graph
from .paging import page

#: Holders, and waiters, that SHOW describes. With the longest labels this many of both fill most of a frame.
_DESCRIBED_MAX: Final = limits.ROWS_MAX

#: A path may be long, and a text of the protocol is not.
_TROUBLE_BYTES_MAX: Final = limits.TEXT_BYTES_MAX // 2

_QUEUED_AT: Final = attrgetter("queued_at")

_T = TypeVar("_T")


def status(desk: Desk, request: m.Status) -> m.AdminReply:
    """Say how the daemon is."""
    facts: m.Facts = {
        "release": __version__,
        "version": limits.VERSION,
        "pid": os.getpid(),
        "epoch": desk.manager.epoch,
        "uptime_seconds": desk.now - desk.started_at,
        "supervised": is_supervised(),
        "trouble": sentences.shortened(desk.driver.trouble(), _TROUBLE_BYTES_MAX),
        **desk.manager.statistics()._asdict(),
        "kills_total": desk.driver.kills_total,
    }
    return m.Report(request.id, facts)


def list_names(desk: Desk, request: m.List) -> m.AdminReply:
    """Give a page of the names that are held or waited for."""
    try:
        is_wanted = wanted_names(request.prefix, request.options, desk.now)
    except UnknownFilter as error:
        return m.AdminFailed(request.id, ErrorCode.BAD_REQUEST, str(error))

    now = desk.now
    return page(request, desk.manager.resource_slots, is_wanted, lambda resource: (_row_of_name(resource, now),))


def list_sessions(desk: Desk, request: m.Sessions) -> m.AdminReply:
    """Give a page of the sessions."""
    now = desk.now
    return page(request, desk.manager.session_slots, lambda _: True, lambda session: (_row_of_session(session, now),))


def show(desk: Desk, request: m.Show) -> m.AdminReply:
    """Tell all about one name."""
    fault = _fault_of(request)
    if fault is not None:
        return fault
    resource = desk.manager.resources.get(request.name) or LockResource(request.name)
    now = desk.now
    abandoned = desk.manager.abandoned.get(request.name)
    facts: m.Facts = {
        "name": request.name,
        **_permits(resource),
        "holders": tuple(facts_of_holder(holder(resource, grant, now)) for grant in _first(resource.holders.values())),
        "holders_total": len(resource.holders),
        "waiters": tuple(_waiter(resource, request, position, now) for position, request in _waiters(resource)),
        "waiters_total": resource.waiters_total,
        "abandoned": None if abandoned is None else facts_of_abandonment(abandonment(abandoned, now)),
    }
    return m.Report(request.id, facts)


def history(desk: Desk, request: m.History) -> m.AdminReply:
    """Give a page of what happened to a name lately."""
    fault = _fault_of(request)
    if fault is not None:
        return fault
    memory, now = desk.vitals.history, desk.now
    if not memory.names_max:
        sentence = "the daemon was told to remember nothing (diagnostics.history_names_max)"
        return m.AdminFailed(request.id, ErrorCode.UNAVAILABLE, sentence)
    if request.cursor == 0:
        desk.lay_out(m.History, memory.of(request.name, desk.manager.resources.get(request.name)))
    page, cursor = desk.page(m.History, request.cursor)
    return m.Rows(request.id, tuple(record.facts(item, now) for record, item in page), cursor)


def watch(desk: Desk, request: m.Watch) -> m.AdminReply:
    """Begin to tell what happens, and say how much of it is told."""
    if not desk.begin_to_watch(request):
        return m.AdminFailed(request.id, ErrorCode.BAD_REQUEST, "this connection watches already")
    return m.Report(request.id, {"events_max": EVENTS_MAX, "period_seconds": PERIOD_SECONDS})


#: What answers what.
ANSWERS: Final[Mapping[type[m.AdminRequest], Callable[[Desk, Any], m.AdminReply | None]]] = {
    m.Status: status,
    m.List: list_names,
    m.Sessions: list_sessions,
    m.Show: show,
    m.Graph: graph,
    m.History: history,
    m.Watch: watch,
    m.Break: break_grants,
    m.Metrics: measured.metrics,
    m.Orders: measured.orders,
}

#: Those by which something changes. Whoever may only read is refused them.
CHANGES: Final[frozenset[type[m.AdminRequest]]] = frozenset({m.Break})


def _fault_of(request: m.Show | m.History) -> m.AdminFailed | None:
    """Return the refusal of a question about a name that cannot be, or None."""
    fault = fault_of_name(request.name)
    if fault is None:
        return None
    return m.AdminFailed(request.id, ErrorCode.BAD_REQUEST, f"the name {sentences.quoted(request.name)} {fault}")


def _row_of_name(resource: Resource, now: float) -> m.Row:
    mode = resource.strongest_held() if isinstance(resource, LockResource) else None
    first = next(iter(resource.holders.values()), None)
    return {
        "name": resource.name,
        "mode": "" if mode is None else mode.value,
        **_permits(resource),
        "holders_total": len(resource.holders),
        "waiters_total": resource.waiters_total,
        "holder": None if first is None else facts_of_holder(holder(resource, first, now)),
        "longest_wait_seconds": _longest_wait(resource, now) if resource.waiters_total else 0.0,
    }


def _longest_wait(resource: Resource, now: float) -> float:
    converting, queue, passed = (
        (line or {}).values() for line in (resource.converting, resource.queue, resource.passed)
    )
    return now - min(chain(_first(converting), _first(queue), passed), key=_QUEUED_AT).queued_at


def _row_of_session(session: Session, now: float) -> m.Row:
    return {
        "session": session.id,
        "pid": session.peer.pid,
        "uid": session.peer.uid,
        "gid": session.peer.gid,
        "program": session.program,
        "attached": session.is_attached,
        "grants": len(session.grants),
        "waiting": len(session.waiting),
        "age_seconds": now - session.opened_at,
    }


def _first(requests: Iterable[_T]) -> Iterator[_T]:
    return islice(requests, _DESCRIBED_MAX)


def _permits(resource: Resource) -> dict[str, m.Scalar]:
    """Return how many permits are taken, and of how many: of a lock, 0 of 0."""
    if isinstance(resource, SemaphoreResource):
        return {"permits": resource.held, "limit": resource.limit}
    return {"permits": 0, "limit": 0}


def _in_line(request: Request) -> tuple[bool, int]:
    """Return what sorts waiters as they are served: those that convert come first (C2)."""
    return request.converts is None, request.place


def _waiters(resource: Resource) -> Iterator[tuple[int, Request]]:
    """Yield the first waiters, each behind its position: those that may be passed keep their places and count for
    nobody else's."""
    passed = nsmallest(_DESCRIBED_MAX, (resource.passed or {}).values(), key=_in_line)
    position = 1
    for request in _first(merge(resource.in_line(), passed, key=_in_line)):
        yield position, request
        position += not request.session.is_passed


def _waiter(resource: Resource, request: Request, position: int, now: float) -> dict[str, m.Scalar]:
    session = request.session
    converts_from = "" if request.converts is None else facts_of_demand(resource.demand_of(request.converts))["mode"]
    return {
        "pid": session.peer.pid,
        "uid": session.peer.uid,
        "program": session.program,
        "label": request.terms.label,
        **facts_of_demand(resource.demand_of(request)),
        "converts_from": converts_from,
        "position": position,
        "waited_seconds": now - request.queued_at,
        "deadline_seconds": None if request.due_at is None else max(request.due_at - now, 0.0),
        "attached": session.is_attached,
    }
