"""The state again from its records (rule J3)."""

from __future__ import annotations

from collections import OrderedDict

from . import sessions
from .abandoned import Record as AbandonedRecord
from .actions import Loss
from .book import Book
from .records import (
    AbandonedGone,
    GrantGone,
    Record,
    RequestRecord,
    SessionGone,
    SessionRecord,
    WaiterGone,
)
from .state import Conversion, Request, Session


class Restoration:
    """Records, as they are read, and in the end the state that they describe."""

    def __init__(self) -> None:
        self._last_token = self._last_session = self._last_place = 0
        self._sessions: dict[int, SessionRecord] = {}
        self._waiters: dict[tuple[int, int], RequestRecord] = {}
        self._grants: dict[int, RequestRecord] = {}
        self._abandoned: OrderedDict[str, AbandonedRecord] = OrderedDict()
        self._last_requests: dict[int, int] = {}

    def add(self, record: Record) -> None:
        """Take note of the next record."""
        match record:
            case RequestRecord():
                self._add_request(record)
            case GrantGone():
                # It may have come and gone by one event.
                self._last_token = max(self._last_token, record.token)
                self._grants.pop(record.token, None)
                self._waiters.pop((record.session, record.id), None)
                self._note_request(record.session, record.last_request)
            case WaiterGone():
                self._waiters.pop((record.session, record.id), None)
                self._note_request(record.session, record.last_request)
            case SessionRecord():
                self._sessions[record.id] = record
                self._note_request(record.id, record.last_request)
                self._last_session = max(self._last_session, record.id)
            case SessionGone():
                self._last_session = max(self._last_session, record.id)
                self._sessions.pop(record.id, None)
            case AbandonedRecord():
                self._abandoned[record.name] = record
                self._abandoned.move_to_end(record.name)
            case AbandonedGone():
                self._abandoned.pop(record.name, None)
            case _:
                self._last_token = max(self._last_token, record.last_token)
                self._last_session = max(self._last_session, record.last_session)
                self._last_place = max(self._last_place, record.last_place)

    def fill(self, book: Book, now: float, resume_window_seconds: float) -> None:
        """Enter everything into ``book``, in which there is nothing yet.

        All sessions are detached from ``now`` on. What was due meanwhile is due when their window ends. What differs
        from the records afterwards counts as changed (J3).
        """
        book.now = now
        book.last_token = max(book.last_token, self._last_token)
        book.first_token = book.last_token
        book.last_session = max(book.last_session, self._last_session)
        book.last_place = self._last_place
        for abandoned in self._abandoned.values():
            book.abandoned.restore(abandoned)
        due_at_least = now + resume_window_seconds
        have_something = {record.session for record in (*self._grants.values(), *self._waiters.values())}
        gone: dict[int, Session] = {}
        for record in self._sessions.values():
            session = _restored_session(record, book, self._last_requests[record.id])
            # Its connection ended with the daemon, and without anything to keep or to be told so has the session.
            if record.ends_at_eof or not (record.losses or record.id in have_something):
                gone[record.id] = session
            else:
                sessions.enter(book, session)
        for grant in sorted(self._grants.values(), key=lambda grant: grant.token):
            if grant.session in book.sessions:
                _restore_grant(book, grant, due_at_least)
        for waiter in sorted(self._waiters.values(), key=lambda waiter: waiter.place):
            if waiter.session in book.sessions:
                _restore_waiter(book, waiter, due_at_least)
        for session in book.sessions.values():
            if session.is_passed:
                book.names.let_pass(session)
            sessions.detach(book, session, due_at_least)
        for request in book.grants.values():
            book.watch(request)
        book.forget_changes()
        book.changed_sessions.update(dict.fromkeys(gone.values()))
        for grant in self._grants.values():
            if grant.session in gone:
                book.abandoned.remember(_restored(grant, gone[grant.session]), now)

    def _add_request(self, record: RequestRecord) -> None:
        self._note_request(record.session, record.last_request)
        if record.token:
            self._last_token = max(self._last_token, record.token)
            self._waiters.pop((record.session, record.id), None)
            self._grants[record.token] = record
        else:
            self._last_place = max(self._last_place, record.place)
            self._waiters[record.session, record.id] = record

    def _note_request(self, session: int, last_request: int) -> None:
        if last_request > self._last_requests.get(session, -1):
            self._last_requests[session] = last_request


def _restored_session(record: SessionRecord, book: Book, last_request: int) -> Session:
    account = sessions.account_of(book, record.peer.uid)
    session = Session(
        record.id, record.peer, record.program, record.ends_at_eof, account, record.opened_at, record.image
    )
    session.is_passed = record.is_passed
    session.last_request = last_request
    session.losses = {token: Loss(*loss) for token, *loss in record.losses}
    return session


def _restore_grant(book: Book, record: RequestRecord, due_at_least: float) -> None:
    session = book.sessions[record.session]
    grant = _restored(record, session)
    grant.token, grant.granted_at = record.token, record.granted_at
    if record.entries or record.ticket or record.is_yield_requested:
        extras = grant.with_extras()
        extras.entries.update(dict.fromkeys(record.entries))
        extras.ticket, extras.is_yield_requested = record.ticket, record.is_yield_requested
    book.names.hold(grant)
    book.grants[grant.token] = grant
    book.take_over(grant)
    if grant.ticket:
        book.tickets[grant.ticket] = grant
    if record.entries:
        session.entered.update(dict.fromkeys(record.entries, grant))
        session.account.grants += len(record.entries)
    if record.due_at is not None:
        book.deadlines.set(grant, max(record.due_at, due_at_least))


def _restore_waiter(book: Book, record: RequestRecord, due_at_least: float) -> None:
    converts = book.grants.get(record.converts)
    if converts is None:
        waiter = _restored(record, book.sessions[record.session])
    else:
        waiter = Conversion(converts, record.id, record.items, record.terms, record.queued_at)
    waiter.place = record.place
    book.stand(waiter, None if record.due_at is None else max(record.due_at, due_at_least))


def _restored(record: RequestRecord, session: Session) -> Request:
    return Request(session.owner(record.owner), record.id, record.items, record.terms, record.is_tree, record.queued_at)
