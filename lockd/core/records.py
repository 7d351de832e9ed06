"""The state as records, one for each thing that there is (rules J). `restoration` makes the state of them again.

A record says how a thing is, and not what happened to it. So of all records about a thing the last one counts, whatever
came before, and a recovery decides nothing: what was granted stays granted, by whatever rules it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from .abandoned import Record as AbandonedRecord
from .actions import Loss, LossReason
from .book import Book
from .events import Item, Peer, Terms
from .state import Request, Session


class SessionRecord(NamedTuple):
    """A session. ``losses`` are the tokens of what it lost and has not been heard of since, with the reasons, and with
    what an administrator said, if anything."""

    id: int
    peer: Peer
    program: str
    ends_at_eof: bool
    opened_at: float
    is_passed: bool
    last_request: int
    losses: tuple[tuple[int, LossReason] | tuple[int, LossReason, str], ...]
    image: str = ""


class RequestRecord(NamedTuple):
    """A waiter or a grant. A grant takes the place of the waiter with the same session and id.

    ``converts`` is the token of the grant that a conversion is for, and 0 for anything else; ``entries`` are the ids of
    the requests by which a grant was entered again.
    """

    session: int
    id: int
    owner: int
    items: tuple[Item, ...]
    terms: Terms
    is_tree: bool
    queued_at: float
    place: int
    due_at: float | None
    converts: int
    token: int
    granted_at: float | None
    entries: tuple[int, ...]
    ticket: str
    is_yield_requested: bool
    last_request: int


class SessionGone(NamedTuple):
    """There is no such session any more, and nothing that it had."""

    id: int


class WaiterGone(NamedTuple):
    """This waiter waits no more."""

    session: int
    id: int
    last_request: int


class GrantGone(NamedTuple):
    """This grant has ended, and so it waits no more either."""

    token: int
    session: int
    id: int
    last_request: int


class AbandonedGone(NamedTuple):
    """The name counts no longer as abandoned."""

    name: str


class Counters(NamedTuple):
    """What was given last: the first record of every journal, since what had it may be gone."""

    last_token: int
    last_session: int
    last_place: int


Record: TypeAlias = (
    Counters | SessionRecord | RequestRecord | AbandonedRecord | SessionGone | WaiterGone | GrantGone | AbandonedGone
)


def changes(book: Book) -> list[Record]:
    """Return the records of everything that has changed since this was asked for last."""
    found: list[Record] = []
    if book.changed_sessions:
        for session in book.changed_sessions:
            found.append(_session(session) if session.id in book.sessions else SessionGone(session.id))
    for request in book.changed_requests:
        session, token = request.owner.session, request.token
        if book.grants.get(token) is request if token else session.waiting.get(request.id) is request:
            found.append(_request(request))
        elif token:
            found.append(GrantGone(token, session.id, request.id, session.last_request))
        else:
            found.append(WaiterGone(session.id, request.id, session.last_request))
    for name in book.abandoned.changed:
        found.append(book.abandoned.get(name) or AbandonedGone(name))
    if found:
        book.forget_changes()
    return found


def snapshot(book: Book) -> Iterator[Record]:
    """Return records of everything there is. What changes while they are being asked for has to be recorded as well."""
    yield Counters(book.last_token, book.last_session, book.last_place)
    for session in tuple(book.sessions.values()):
        if session.id in book.sessions:
            yield _session(session)
        # They may have gone while others were asked for. What has come has been recorded as a change.
        for grant in tuple(session.grants.values()):
            if book.grants.get(grant.token) is grant:
                yield _request(grant)
        for waiter in tuple(session.waiting.values()):
            if session.waiting.get(waiter.id) is waiter:
                yield _request(waiter)
    for abandoned in book.abandoned:
        if book.abandoned.get(abandoned.name) is abandoned:
            yield abandoned


def _session(session: Session) -> SessionRecord:
    return SessionRecord(
        session.id,
        session.peer,
        session.program,
        session.ends_at_eof,
        session.opened_at,
        session.is_passed,
        session.last_request,
        tuple(_loss(token, loss) for token, loss in session.losses.items()),
        session.image,
    )


def _loss(token: int, loss: Loss) -> tuple[int, LossReason] | tuple[int, LossReason, str]:
    return (token, *loss) if loss.detail else (token, loss.reason)


def _request(request: Request) -> RequestRecord:
    owner, extras, due = request.owner, request.extras, request.due
    session = owner.session
    return RequestRecord(
        session.id,
        request.id,
        owner.id,
        request.items,
        request.terms,
        request.is_tree,
        request.queued_at,
        request.place,
        None if due is None else due[0],
        request.converts.token if request.converts is not None else 0,
        request.token,
        request.granted_at,
        () if extras is None else tuple(extras.entries),
        "" if extras is None else extras.ticket,
        extras is not None and extras.is_yield_requested,
        session.last_request,
    )
