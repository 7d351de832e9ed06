"""Managers that are broken on purpose: re-entry, leases, hand-over, abandoned names. See `test_broken_managers`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from lockd.core import manager, requests, sessions
from lockd.core.abandoned import Abandoned, Record
from lockd.core.actions import Action, EndReason, Loss, LossReason, Lost
from lockd.core.book import Book
from lockd.core.events import Adopt, Event, HandOver, Item, Release
from lockd.core.events import Break as BreakEvent
from lockd.core.happenings import Happening
from lockd.core.manager import LockManager
from lockd.core.names import Names
from lockd.core.state import Owner, Request, Session
from support.broken import Break, assert_noticed, forget_to_look, replace_handler


def any_grant_can_be_entered(patch: pytest.MonkeyPatch) -> None:
    """E1: whoever reads may write."""
    patch.setattr(requests, "covers", lambda held, wanted: True)


def a_release_of_all_entries(patch: pytest.MonkeyPatch) -> None:
    """E2."""

    def release(book: Book, session: Session, event: Release) -> None:
        grant = requests._grant_of(book, session, event.token)
        while grant is not None and grant.entries:
            book.leave(grant, grant.id)
        requests.release(book, session, event)

    replace_handler(patch, Release, release)


def a_lease_that_is_taken_from_whom_nobody_waits_for(patch: pytest.MonkeyPatch) -> None:
    """L2."""

    def expire(self: LockManager, subject: Session | Request) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Names, "contended_name", lambda self, grant: grant.items[0].name)
            original(self, subject)

    original = LockManager._expire
    patch.setattr(LockManager, "_expire", expire)


def a_lease_that_is_never_taken(patch: pytest.MonkeyPatch) -> None:
    """L2."""

    def expire(self: LockManager, subject: Session | Request) -> None:
        if isinstance(subject, Session) or not subject.token:
            original(self, subject)

    original = LockManager._expire
    patch.setattr(LockManager, "_expire", expire)


def a_holder_that_is_not_told(patch: pytest.MonkeyPatch) -> None:
    """L1, I11."""
    patch.setattr(Book, "tell_those_before", lambda self, request: None)


def a_holder_that_is_told_again_and_again(patch: pytest.MonkeyPatch) -> None:
    """L1."""

    def tell_those_before(self: Book, request: Request) -> None:
        for grant in self.grants.values():
            if grant.terms.wants_yield_request and grant.is_yield_requested:
                grant.with_extras().is_yield_requested = False
                self.names.watch(grant)
        original(self, request)

    original = Book.tell_those_before
    patch.setattr(Book, "tell_those_before", tell_those_before)


def a_ticket_that_works_twice(patch: pytest.MonkeyPatch) -> None:
    """H2."""

    def hand_to(self: Book, heir: Request, grant: Request) -> None:
        ticket = grant.ticket
        original(self, heir, grant)
        grant.with_extras().ticket = ticket
        self.tickets[ticket] = grant

    original = Book.hand_to
    patch.setattr(Book, "hand_to", hand_to)


def a_ticket_that_outlives_its_grant(patch: pytest.MonkeyPatch) -> None:
    """H2."""

    def drop(self: Book, grant: Request, how: Happening) -> list[Item]:
        left = original(self, grant, how)
        if grant.ticket:
            self.tickets[grant.ticket] = grant
        return left

    original = Book.drop
    patch.setattr(Book, "drop", drop)


def a_ticket_for_everybody(patch: pytest.MonkeyPatch) -> None:
    """H2: whatever the uid."""

    def adopt(book: Book, session: Session, event: Adopt) -> None:
        peer, grant = session.peer, book.tickets.get(event.ticket)
        if grant is not None:
            session.peer = peer._replace(uid=grant.session.peer.uid)
        requests.adopt(book, session, event)
        session.peer = peer

    replace_handler(patch, Adopt, adopt)


def a_ticket_for_what_was_entered_again(patch: pytest.MonkeyPatch) -> None:
    """H1, H4."""
    patch.setattr(requests, "fault_of_hand_over", lambda book, grant: None)


def another_ticket_each_time(patch: pytest.MonkeyPatch) -> None:
    """H1."""

    def hand_over(book: Book, session: Session, event: HandOver) -> None:
        grant = requests._grant_of(book, session, event.token)
        if grant is not None and grant.ticket:
            del book.tickets[grant.ticket]
            grant.with_extras().ticket = ""
        requests.hand_over(book, session, event)

    replace_handler(patch, HandOver, hand_over)


def a_maker_that_is_not_told(patch: pytest.MonkeyPatch) -> None:
    """H3."""

    def handle(self: LockManager, event: Event, now: float) -> list[Action]:
        told = original(self, event, now)
        return [one for one in told if not isinstance(one, Lost) or one.reason is not LossReason.HANDED_OVER]

    original = LockManager.handle
    patch.setattr(LockManager, "handle", handle)


def a_new_token_for_the_heir(patch: pytest.MonkeyPatch) -> None:
    """H2: the maker's grant ends, and its heir has another one."""

    def hand_to(self: Book, heir: Request, grant: Request) -> None:
        maker = grant.session
        self.drop(grant, Happening.HANDED_OVER)
        if maker is not heir.session:
            self.actions.append(Lost(maker.id, grant.token, LossReason.HANDED_OVER))
        self.grant(heir)
        grant.items = ()

    patch.setattr(Book, "hand_to", hand_to)


def nobody_is_told_what_was_abandoned(patch: pytest.MonkeyPatch) -> None:
    """A2, A3."""
    patch.setattr(Abandoned, "told_to", lambda self, grant: iter(()))


def abandoned_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A2."""
    patch.setattr(Abandoned, "settle", lambda self, grant: None)


def permits_that_are_abandoned_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A3."""

    def told_to(self: Abandoned, grant: Request) -> Iterator[Record]:
        before = self._records.copy()
        yield from original(self, grant)
        self._records = before

    original = Abandoned.told_to
    patch.setattr(Abandoned, "told_to", told_to)


def abandoned_by_a_reader(patch: pytest.MonkeyPatch) -> None:
    """A1."""
    patch.setattr("lockd.core.abandoned._writes", lambda demand: True)


def abandoned_by_whoever_says_bye(patch: pytest.MonkeyPatch) -> None:
    """A1."""

    def end(book: Book, session: Session, reason: EndReason) -> None:
        for grant in session.grants.values():
            book.abandoned.remember(grant, book.now)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Abandoned, "settle", lambda self, grant: None)
            original(book, session, reason)

    original = sessions.end
    patch.setattr(sessions, "end", end)


def a_break_that_nobody_is_told_of(patch: pytest.MonkeyPatch) -> None:
    """K2."""

    def note_loss(self: Book, session: Session, token: int, loss: Loss) -> None:
        if loss.reason is not LossReason.BROKEN:
            original(self, session, token, loss)

    original = Book._note_loss
    patch.setattr(Book, "_note_loss", note_loss)


def a_break_after_which_nobody_goes(patch: pytest.MonkeyPatch) -> None:
    """K1, R4."""

    def break_it(self: LockManager, event: Event) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Book, "look_through", forget_to_look)
            original(self, event)

    original = manager._HANDLERS[BreakEvent]
    patch.setitem(cast("dict[type[Event], object]", manager._HANDLERS), BreakEvent, break_it)


def a_break_that_leaves_no_trace(patch: pytest.MonkeyPatch) -> None:
    """A1: the next holder is not told."""

    def take_away(self: Book, grant: Request, loss: Loss) -> list[Item]:
        with pytest.MonkeyPatch.context() as inner:
            if loss.reason is LossReason.BROKEN:
                inner.setattr(Abandoned, "remember", lambda self, grant, now: None)
            return original(self, grant, loss)

    original = Book.take_away
    patch.setattr(Book, "take_away", take_away)


def a_session_that_ends_before_it_has_heard(patch: pytest.MonkeyPatch) -> None:
    """S8, I6."""
    patch.setattr(Session, "is_idle", property(lambda self: not self.grants and not self.waiting))


def an_owner_that_is_never_idle(patch: pytest.MonkeyPatch) -> None:
    """I2: it stays with its session for good."""
    patch.setattr(Owner, "is_idle", False)


BROKEN: list[Break] = [
    any_grant_can_be_entered,
    a_release_of_all_entries,
    a_lease_that_is_taken_from_whom_nobody_waits_for,
    a_lease_that_is_never_taken,
    a_holder_that_is_not_told,
    a_holder_that_is_told_again_and_again,
    a_ticket_that_works_twice,
    a_ticket_that_outlives_its_grant,
    a_ticket_for_everybody,
    a_ticket_for_what_was_entered_again,
    another_ticket_each_time,
    a_maker_that_is_not_told,
    a_new_token_for_the_heir,
    nobody_is_told_what_was_abandoned,
    abandoned_for_ever,
    permits_that_are_abandoned_for_ever,
    abandoned_by_a_reader,
    abandoned_by_whoever_says_bye,
    a_break_that_nobody_is_told_of,
    a_break_after_which_nobody_goes,
    a_break_that_leaves_no_trace,
    a_session_that_ends_before_it_has_heard,
    an_owner_that_is_never_idle,
]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_manager_is_noticed(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_noticed()
