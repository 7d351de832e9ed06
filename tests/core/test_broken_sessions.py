"""Managers that are broken on purpose: deadlines, sessions, bounds. See `test_broken_managers`."""

from __future__ import annotations

import pytest

from lockd.core import manager as manager_module
from lockd.core import requests, sessions
from lockd.core.actions import Action, EndReason
from lockd.core.book import Book
from lockd.core.deadlines import Deadlines
from lockd.core.events import Acquire, Cancel, Disconnected, Event, Tick
from lockd.core.happenings import Happening
from lockd.core.manager import LockManager
from lockd.core.names import Names
from lockd.core.state import Account, Owner, Request, Session
from support.broken import (
    Break,
    assert_noticed,
    replace_handler,
)


def an_event_before_what_is_due(patch: pytest.MonkeyPatch) -> None:
    """W2: a release in the instant of a deadline, or after it, is still in time."""

    def handle(self: LockManager, event: Event, now: float) -> list[Action]:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Deadlines, "pop_due", lambda self, now: None)
            actions = original(self, event, now)
        return [*actions, *original(self, Tick(), now)]

    original = LockManager.handle
    patch.setattr(LockManager, "handle", handle)


def a_deadline_that_outlives_its_wait(patch: pytest.MonkeyPatch) -> None:
    """I8, W1: granted, and timed out later."""
    patch.setattr(Deadlines, "clear", lambda self, subject: None)


def a_time_out_that_goes_on_to_wait(patch: pytest.MonkeyPatch) -> None:
    """W2: it is answered and stays in line."""

    def expire(self: LockManager, subject: Session | Request) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Names, "dequeue", lambda self, request: None)
            original(self, subject)

    original = LockManager._expire
    patch.setattr(LockManager, "_expire", expire)


def a_connection_that_takes_all_along(patch: pytest.MonkeyPatch) -> None:
    """S2."""

    def disconnected(self: LockManager, event: Disconnected) -> None:
        if event.session in self.sessions:
            sessions.end(self._book, self._book.sessions[event.session], EndReason.EOF)

    patch.setitem(manager_module._HANDLERS, Disconnected, disconnected)


def a_connection_that_takes_its_deadlines_along(patch: pytest.MonkeyPatch) -> None:
    """S4."""

    def disconnected(self: LockManager, event: Disconnected) -> None:
        if event.session in self.sessions:
            for waiter in self.sessions[event.session].waiting.values():
                self.deadlines.clear(waiter)
        LockManager._disconnected(self, event)

    patch.setitem(manager_module._HANDLERS, Disconnected, disconnected)


def requests_from_a_connection_that_is_gone(patch: pytest.MonkeyPatch) -> None:
    """S6."""

    def request(self: LockManager, event: Acquire) -> None:
        session = self.sessions.get(event.session)
        if session is None or session.is_attached:
            LockManager._request(self, event)
        else:
            requests.acquire(self._book, session, event)

    patch.setitem(manager_module._HANDLERS, Acquire, request)


def an_end_in_many_steps(patch: pytest.MonkeyPatch) -> None:
    """S1: what a session holds is free before it has stopped to wait."""

    def end(book: Book, session: Session, reason: EndReason) -> None:
        for grant in list(session.grants.values()):
            book.look_through(book.drop(grant, Happening.ABANDONED))
        original(book, session, reason)

    original = sessions.end
    patch.setattr(sessions, "end", end)


def a_death_that_leaves_waiters(patch: pytest.MonkeyPatch) -> None:
    """S1: the waiters of a session outlive it in their queues."""

    def end(book: Book, session: Session, reason: EndReason) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Names, "dequeue", lambda self, request: None)
            inner.setattr(Book, "look_through", lambda self, left: None)
            original(book, session, reason)

    original = sessions.end
    patch.setattr(sessions, "end", end)


def a_window_that_never_ends(patch: pytest.MonkeyPatch) -> None:
    """S5."""
    patch.setattr(Names, "let_pass", lambda self, session: None)


def a_thread_that_is_taken_for_another(patch: pytest.MonkeyPatch) -> None:
    """R6: every thread of a process is the same owner."""
    patch.setattr(Session, "owner", lambda self, owner_id: self.owners.get(1) or Owner(self, 1))


def waits_that_are_not_counted(patch: pytest.MonkeyPatch) -> None:
    """B1, I3."""
    patch.setattr(Account, "waiters", property(lambda self: 0, lambda self, value: None))


def grants_without_a_bound(patch: pytest.MonkeyPatch) -> None:
    """B1."""
    patch.setattr(requests, "_is_at_its_quota", lambda book, session: False)


def a_cancel_that_comes_too_late(patch: pytest.MonkeyPatch) -> None:
    """W3: what was granted meanwhile stays held."""

    def cancel(book: Book, session: Session, event: Cancel) -> None:
        if event.request in session.waiting:
            requests.cancel(book, session, event)

    replace_handler(patch, Cancel, cancel)


def a_release_of_what_others_hold(patch: pytest.MonkeyPatch) -> None:
    """W4."""
    patch.setattr(requests, "_grant_of", lambda book, session, token: book.grants.get(token))


BROKEN: list[Break] = [
    an_event_before_what_is_due,
    a_deadline_that_outlives_its_wait,
    a_time_out_that_goes_on_to_wait,
    a_connection_that_takes_all_along,
    a_connection_that_takes_its_deadlines_along,
    requests_from_a_connection_that_is_gone,
    an_end_in_many_steps,
    a_death_that_leaves_waiters,
    a_window_that_never_ends,
    a_thread_that_is_taken_for_another,
    waits_that_are_not_counted,
    grants_without_a_bound,
    a_cancel_that_comes_too_late,
    a_release_of_what_others_hold,
]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_manager_is_noticed(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_noticed()
