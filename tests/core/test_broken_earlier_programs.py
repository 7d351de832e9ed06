"""Managers that are broken on purpose: what earlier programs have left behind. See `test_broken_managers`."""

from __future__ import annotations

from typing import cast

import pytest

from lockd.core import earlier, requests, sessions
from lockd.core.actions import NameFacts
from lockd.core.book import Book
from lockd.core.events import Inherit
from lockd.core.records import SessionRecord
from lockd.core.restoration import Restoration
from lockd.core.state import Owner, Request, Session
from support.broken import Break, assert_noticed, forget_to_look, replace_handler


def programs_that_hang(patch: pytest.MonkeyPatch) -> None:
    """P2."""
    patch.setattr(earlier, "in_the_way", lambda book, request: None)


def whoever_shares_with_an_earlier_program_is_refused(patch: pytest.MonkeyPatch) -> None:
    """P2: whatever it holds of a name, in whatever mode."""

    def in_the_way(book: Book, request: Request) -> NameFacts | None:
        for session in earlier.sessions_before(book, request.session):
            for grant in session.grants.values():
                if {item.name for item in grant.items} & {item.name for item in request.items}:
                    return book.facts(request.items[0].name)
        return None

    patch.setattr(earlier, "in_the_way", in_the_way)


def sessions_that_are_there_count_as_gone(patch: pytest.MonkeyPatch) -> None:
    """P1: another program's that has its connection."""

    def sessions_before(book: Book, session: Session) -> list[Session]:
        same = book.processes.get((session.peer.pid, session.peer.process), {})
        return [other for other in same.values() if other.image != session.image]

    patch.setattr(earlier, "sessions_before", sessions_before)


def sessions_of_the_same_program(patch: pytest.MonkeyPatch) -> None:
    """P1: one whose connection is gone for a moment."""

    def sessions_before(book: Book, session: Session) -> list[Session]:
        same = book.processes.get((session.peer.pid, session.peer.process), {})
        return [other for other in same.values() if not other.is_attached]

    patch.setattr(earlier, "sessions_before", sessions_before)


def processes_by_their_pids(patch: pytest.MonkeyPatch) -> None:
    """P1: pids are given again."""

    def sessions_before(book: Book, session: Session) -> list[Session]:
        others = book.sessions.values()
        return [
            other
            for other in others
            if other.peer.pid == session.peer.pid and not other.is_attached and other.image != session.image
        ]

    patch.setattr(earlier, "sessions_before", sessions_before)


def nothing_is_inherited(patch: pytest.MonkeyPatch) -> None:
    """P3."""
    patch.setattr(earlier, "take_over", lambda book, heir: None)


def the_latest_first(patch: pytest.MonkeyPatch) -> None:
    """P3."""

    def inherit(book: Book, session: Session, event: Inherit) -> None:
        earlier.take_over(book, session.owner(event.owner))
        session.unclaimed = dict(reversed(session.unclaimed.items()))
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(earlier, "take_over", lambda book, heir: None)
            requests.inherit(book, session, event)

    replace_handler(patch, Inherit, inherit)


def entries_that_are_inherited(patch: pytest.MonkeyPatch) -> None:
    """P3: the new program does not know how often it would have to release."""

    def change_hands(self: Book, grant: Request, owner: Owner, request_id: int) -> None:
        entries = grant.entries
        original(self, grant, owner, request_id)
        grant.with_extras().entries.update(entries)

    original = Book.change_hands
    patch.setattr(Book, "change_hands", change_hands)


def tickets_that_are_inherited(patch: pytest.MonkeyPatch) -> None:
    """P3."""

    def change_hands(self: Book, grant: Request, owner: Owner, request_id: int) -> None:
        ticket = grant.ticket if request_id < 0 else ""
        original(self, grant, owner, request_id)
        if ticket:
            grant.with_extras().ticket, self.tickets[ticket] = ticket, grant

    original = Book.change_hands
    patch.setattr(Book, "change_hands", change_hands)


def waiters_that_stay(patch: pytest.MonkeyPatch) -> None:
    """P3, I6."""

    def take_over(book: Book, heir: Owner) -> None:
        waiting = {}
        for session in earlier.sessions_before(book, heir.session):
            waiting[session], session.waiting = session.waiting, {}
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(sessions, "end_if_left_alone", lambda book, session: None)
            original(book, heir)
        for session, waiters in waiting.items():
            session.waiting = waiters

    original = earlier.take_over
    patch.setattr(earlier, "take_over", take_over)


def nobody_looks_who_may_go_now(patch: pytest.MonkeyPatch) -> None:
    """P3, R4."""

    def take_over(book: Book, heir: Owner) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Book, "look_through", forget_to_look)
            original(book, heir)

    original = earlier.take_over
    patch.setattr(earlier, "take_over", take_over)


def holders_that_are_not_told_who_waits(patch: pytest.MonkeyPatch) -> None:
    """P4, S8."""
    patch.setattr(Book, "remind", lambda self, grant: None)


def images_that_a_restart_forgets(patch: pytest.MonkeyPatch) -> None:
    """P1, J1."""

    def add(self: Restoration, record: object) -> None:
        if isinstance(record, SessionRecord):
            record = record._replace(image="")
        original(self, cast(SessionRecord, record))

    original = Restoration.add
    patch.setattr(Restoration, "add", add)


BROKEN: list[Break] = [
    programs_that_hang,
    whoever_shares_with_an_earlier_program_is_refused,
    sessions_that_are_there_count_as_gone,
    sessions_of_the_same_program,
    processes_by_their_pids,
    nothing_is_inherited,
    the_latest_first,
    entries_that_are_inherited,
    tickets_that_are_inherited,
    waiters_that_stay,
    nobody_looks_who_may_go_now,
    holders_that_are_not_told_who_waits,
    images_that_a_restart_forgets,
]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_manager_is_noticed(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_noticed()
