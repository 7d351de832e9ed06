"""All that a lock manager knows, written down, to see whether anything has changed."""

from __future__ import annotations

from collections.abc import Mapping

from lockd.core.manager import LockManager
from lockd.core.resources import Resource, SemaphoreResource
from lockd.core.state import Request, Session


def dump(manager: LockManager) -> dict[str, object]:
    """Return everything but what a refused request changes: the last id of its session and the number of refusals."""
    book = manager._book
    return {
        "sessions": {number: _session(session) for number, session in book.sessions.items()},
        "grants": {token: _request(grant) for token, grant in book.grants.items()},
        "tickets": {ticket: grant.token for ticket, grant in book.tickets.items()},
        "resources": {name: _resource(resource) for name, resource in book.names.resources.items()},
        "accounts": {
            uid: (account.sessions, account.grants, account.waiters) for uid, account in book.accounts.items()
        },
        "due": sorted(subject.due[:2] for subject in book.deadlines if subject.due is not None),
        "abandoned": list(book.abandoned._records.values()),
        "counters": (book.last_token, book.last_session, book.detached, book.waiters, book.reorders_total),
        "lost": dict(book.lost_total),
        "to judge": len(book.to_judge),
    }


def _session(session: Session) -> tuple[object, ...]:
    return (
        (session.is_attached, session.is_passed, session.due_at),
        {
            number: (owner.grants_total, [waiter.id for waiter in owner.waiting])
            for number, owner in session.owners.items()
        },
        {number: grant.token for number, grant in session.grants.items()},
        {number: grant.token for number, grant in session.entered.items()},
        {number: _request(waiter) for number, waiter in session.waiting.items()},
    )


def _request(request: Request) -> tuple[object, ...]:
    return (
        (request.session.id, request.owner.id, request.id, request.items, request.terms, request.is_tree),
        (request.place, request.queued_at, request.granted_at, request.token, request.due_at),
        None if request.converts is None else request.converts.token,
        None if request.pending is None else request.pending.id,
        (list(request.entries or ()), request.ticket, request.is_yield_requested),
    )


def _resource(resource: Resource) -> tuple[object, ...]:
    return (
        resource.limit if isinstance(resource, SemaphoreResource) else None,
        (resource.held, resource.wanted, resource.waiters_total),
        list(resource.holders),
        [_line(line) for line in (resource.queue, resource.converting, resource.passed, resource.watchful)],
    )


def _line(line: Mapping[int, Request] | None) -> list[tuple[int, int]] | None:
    return None if line is None else [(place, request.id) for place, request in line.items()]
