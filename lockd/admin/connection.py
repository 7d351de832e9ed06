"""A connection on the admin socket: questions about the state. Its table of what can be asked is its own.

Answers come in pages of bounded size, so that no question, however much there is, holds the daemon up or fills an
outbox."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge, nsmallest
from itertools import chain, islice
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeVar

from lockd.core.resources import LockResource, Resource, SemaphoreResource
from lockd.core.state import Request, Session
from lockd.core.views import holder
from lockd_wire import codec, limits
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode
from lockd_wire.names import fault_of_name

from . import __version__, sentences
from .connection import Connection, Patience
from .driver import Driver
from .reactor import Reactor
from .systemd import is_supervised
from .translate import facts_of_demand, facts_of_holder

_ROWS_PER_PAGE: Final = limits.ROWS_MAX

#: Holders, and waiters, that SHOW describes. With the longest labels this many of both fill most of a frame.
_DESCRIBED_MAX: Final = limits.ROWS_MAX

#: A path may be long, and a text of the protocol is not.
_TROUBLE_BYTES_MAX: Final = limits.TEXT_BYTES_MAX // 2

_QUEUED_AT: Final = attrgetter("queued_at")

_T = TypeVar("_T")


class AdminConnection(Connection):
    """One administrator's socket."""

    __slots__ = ("_driver", "_manager", "_pages", "_started_at")

    HEARD: ClassVar = codec.TO_ADMIN
    TOLD_FRAME_BYTES_MAX: ClassVar = limits.FRAME_BYTES_MAX

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        patience: Patience,
        driver: Driver,
        started_at: float,
    ) -> None:
        self._driver = driver
        self._manager = driver.manager
        self._started_at = started_at
        #: What LIST and SESSIONS go through, as it was when their first page was asked for.
        self._pages: dict[type[m.AdminRequest], list[Any]] = {}
        super().__init__(sock, reactor, patience, driver.connections)

    def received(self, message: m.AdminRequest) -> None:
        """Answer a question."""
        if isinstance(message, m.AdminHello) == self.is_introduced:
            self.fail("the first message, and no other, has to be ADMIN_HELLO")
            return
        _ANSWERS[type(message)](self, message)

    def ended(self) -> None:
        """Nothing depends on this connection."""

    def send(self, message: m.Message) -> None:
        """Send a message now: what is wrong is to be seen also while the journal cannot be written."""
        self.send_ahead(message)

    def farewell(self, sentence: str) -> m.AdminFailed:
        """Return the notice of a protocol error."""
        return m.AdminFailed(0, ErrorCode.PROTOCOL, sentence)

    def turn_away(self, sentence: str) -> None:
        """Refuse a peer that has no business here. Nothing that it has sent is looked at."""
        self.send(m.AdminFailed(0, ErrorCode.ACCESS_DENIED, sentence))
        self.end()

    def _hello(self, hello: m.AdminHello) -> None:
        if hello.magic != limits.ADMIN_MAGIC:
            self.fail(f'ADMIN_HELLO does not begin with "{limits.ADMIN_MAGIC}"')
        elif hello.version != limits.VERSION:
            sentence = f"the daemon speaks version {limits.VERSION} of the protocol and not {hello.version}"
            self.send(m.AdminFailed(hello.id, ErrorCode.VERSION, sentence))
            self.end()
        else:
            self.introduced()
            self.send(m.AdminWelcome(hello.id, limits.VERSION, __version__))

    def _status(self, request: m.Status) -> None:
        facts: m.Facts = {
            "release": __version__,
            "version": limits.VERSION,
            "pid": os.getpid(),
            "epoch": self._manager.epoch,
            "uptime_seconds": self._reactor.clock() - self._started_at,
            "supervised": is_supervised(),
            "trouble": sentences.shortened(self._driver.trouble(), _TROUBLE_BYTES_MAX),
            **self._manager.statistics()._asdict(),
        }
        self.send(m.Report(request.id, facts))

    def _list(self, request: m.List) -> None:
        if request.cursor == 0:
            self._pages[m.List] = [name for name in self._manager.resources if name.startswith(request.prefix)]
        names, cursor = self._page(m.List, request.cursor)
        resources = self._manager.resources
        rows = tuple(self._row_of_name(resources[name]) for name in names if name in resources)
        self.send(m.Rows(request.id, rows, cursor))

    def _sessions(self, request: m.Sessions) -> None:
        if request.cursor == 0:
            self._pages[m.Sessions] = list(self._manager.sessions)
        ids, cursor = self._page(m.Sessions, request.cursor)
        sessions = self._manager.sessions
        rows = tuple(self._row_of_session(sessions[session]) for session in ids if session in sessions)
        self.send(m.Rows(request.id, rows, cursor))

    def _show(self, request: m.Show) -> None:
        fault = fault_of_name(request.name)
        if fault is not None:
            sentence = f"the name {sentences.quoted(request.name)} {fault}"
            self.send(m.AdminFailed(request.id, ErrorCode.BAD_REQUEST, sentence))
            return
        resource = self._manager.resources.get(request.name) or LockResource(request.name)
        now = self._reactor.clock()
        facts: m.Facts = {
            "name": request.name,
            **_permits(resource),
            "holders": tuple(
                facts_of_holder(holder(resource, grant, now)) for grant in _first(resource.holders.values())
            ),
            "holders_total": len(resource.holders),
            "waiters": tuple(_waiter(resource, request, position, now) for position, request in _waiters(resource)),
            "waiters_total": resource.waiters_total,
        }
        self.send(m.Report(request.id, facts))

    def _page(self, kind: type[m.AdminRequest], cursor: int) -> tuple[list[Any], int | None]:
        """Return what is on a page and the cursor of the next one."""
        everything = self._pages.get(kind, [])
        behind = cursor + _ROWS_PER_PAGE
        if behind < len(everything):
            return everything[cursor:behind], behind
        self._pages.pop(kind, None)
        return everything[cursor:], None

    def _row_of_name(self, resource: Resource) -> dict[str, m.Scalar | dict[str, m.Scalar]]:
        now = self._reactor.clock()
        mode = resource.strongest_held() if isinstance(resource, LockResource) else None
        converting, queue, passed = (
            (line or {}).values() for line in (resource.converting, resource.queue, resource.passed)
        )
        longest = min(chain(_first(converting), _first(queue), passed), key=_QUEUED_AT, default=None)
        first = next(iter(resource.holders.values()), None)
        return {
            "name": resource.name,
            "mode": "" if mode is None else mode.value,
            **_permits(resource),
            "holders_total": len(resource.holders),
            "waiters_total": resource.waiters_total,
            "holder": None if first is None else facts_of_holder(holder(resource, first, now)),
            "longest_wait_seconds": 0.0 if longest is None else now - longest.queued_at,
        }

    def _row_of_session(self, session: Session) -> dict[str, m.Scalar | dict[str, m.Scalar]]:
        return {
            "session": session.id,
            "pid": session.peer.pid,
            "uid": session.peer.uid,
            "gid": session.peer.gid,
            "program": session.program,
            "attached": session.is_attached,
            "grants": len(session.grants),
            "waiting": len(session.waiting),
            "age_seconds": self._reactor.clock() - session.opened_at,
        }


_ANSWERS: Final[Mapping[type[m.AdminRequest], Callable[[AdminConnection, Any], None]]] = {
    m.AdminHello: AdminConnection._hello,
    m.Status: AdminConnection._status,
    m.List: AdminConnection._list,
    m.Sessions: AdminConnection._sessions,
    m.Show: AdminConnection._show,
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
