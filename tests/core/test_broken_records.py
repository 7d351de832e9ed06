"""Managers that are broken on purpose: what comes back, and what comes twice. See `test_broken_managers`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lockd.core import manager as manager_module
from lockd.core import records, requests, sessions
from lockd.core.abandoned import Abandoned
from lockd.core.book import Book
from lockd.core.events import Acquire, Adopt, Convert, Release, Request, Resume
from lockd.core.manager import LockManager
from lockd.core.names import Names
from lockd.core.records import Record, RequestRecord, SessionRecord
from lockd.core.restoration import Restoration
from lockd.core.state import Session
from support.broken import SCENARIOS, Break, assert_noticed
from support.scenario import play


def _done_twice(*kinds: type[Request]) -> Break:
    def break_it(patch: pytest.MonkeyPatch) -> None:
        def repeat(book: Book, session: Session, event: Request) -> bool:
            return not isinstance(event, kinds) and original(book, session, event)

        original = requests.repeat
        patch.setattr(requests, "repeat", repeat)

    return break_it


def _forgotten(forget: Callable[[RequestRecord], RequestRecord]) -> Break:
    def break_it(patch: pytest.MonkeyPatch) -> None:
        original = records._request
        patch.setattr(records, "_request", lambda request: forget(original(request)))

    return break_it


def _forgotten_of_a_session(forget: Callable[[SessionRecord], SessionRecord]) -> Break:
    def break_it(patch: pytest.MonkeyPatch) -> None:
        original = records._session
        patch.setattr(records, "_session", lambda session: forget(original(session)))

    return break_it


def _not_recorded(*kinds: str) -> Break:
    def break_it(patch: pytest.MonkeyPatch) -> None:
        def changes(book: Book) -> list[Record]:
            return [record for record in records.changes(book) if type(record).__name__ not in kinds]

        patch.setattr(manager_module, "changes", changes)

    return break_it


def any_process_resumes(patch: pytest.MonkeyPatch) -> None:
    """S8."""

    def resume(self: LockManager, event: Resume) -> None:
        if event.session in self.sessions:
            event = event._replace(peer=self.sessions[event.session].peer)
        LockManager._resume(self, event)

    patch.setitem(manager_module._HANDLERS, Resume, resume)


def any_process_with_the_same_pid_resumes(patch: pytest.MonkeyPatch) -> None:
    """S8: pids are given again."""

    def resume(self: LockManager, event: Resume) -> None:
        if event.session in self.sessions:
            process = self.sessions[event.session].peer.process
            event = event._replace(peer=event.peer._replace(process=process))
        LockManager._resume(self, event)

    patch.setitem(manager_module._HANDLERS, Resume, resume)


def ids_that_rise_from_one_connection_to_the_next(patch: pytest.MonkeyPatch) -> None:
    """S9: what is sent again is taken for a mistake."""

    def resume(self: LockManager, event: Resume) -> None:
        LockManager._resume(self, event)
        for session in self.sessions.values():
            session.last_heard = session.last_request

    patch.setitem(manager_module._HANDLERS, Resume, resume)


def waiters_that_stay_passed(patch: pytest.MonkeyPatch) -> None:
    """S8."""
    patch.setattr(Names, "let_back", lambda self, session: None)


def waiters_that_come_back_to_the_end_of_the_line(patch: pytest.MonkeyPatch) -> None:
    """S5, S8."""

    def let_back(self: Names, session: Session) -> None:
        original(self, session)
        for waiter in session.waiting.values():
            self.move(waiter, (1 << 70) + waiter.place)

    original = Names.let_back
    patch.setattr(Names, "let_back", let_back)


def waiters_that_come_back_unjudged(patch: pytest.MonkeyPatch) -> None:
    """S8, D7."""

    def let_back(book: Book, session: Session) -> None:
        original(book, session)
        book.to_judge.clear()

    original = sessions._let_back
    patch.setattr(sessions, "_let_back", let_back)


def waiters_that_nobody_looks_at(patch: pytest.MonkeyPatch) -> None:
    """S8: what is free when they come back stays free."""
    patch.setattr(Book, "look_at_waiters", lambda self, session: None)


def waiters_that_are_looked_at_as_if_something_was_released(patch: pytest.MonkeyPatch) -> None:
    """S8: of those that can share, none is in the other's way, and none is looked at."""

    def look_at_waiters(self: Book, session: Session) -> None:
        self.look_through([item for waiter in session.waiting.values() for item in waiter.items])

    patch.setattr(Book, "look_at_waiters", look_at_waiters)


def holders_that_do_not_hear_of_those_who_are_back(patch: pytest.MonkeyPatch) -> None:
    """S8, L1."""

    def attach(book: Book, session: Session) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Book, "tell_those_before", lambda self, request: None)
            original(book, session)

    original = sessions.attach
    patch.setattr(sessions, "attach", attach)


def losses_that_are_told_once(patch: pytest.MonkeyPatch) -> None:
    """S8."""
    patch.setattr(sessions, "_remind", lambda book, session: None)


def losses_that_are_told_for_ever(patch: pytest.MonkeyPatch) -> None:
    """S8."""
    patch.setattr(sessions, "acknowledge", lambda book, session, token: None)


def a_repeated_grant_that_says_nothing_of_abandoned_names(patch: pytest.MonkeyPatch) -> None:
    """S9, A2."""
    patch.setattr(Abandoned, "told_again_to", lambda self, grant: iter(()))


def a_snapshot_of_what_was(patch: pytest.MonkeyPatch) -> None:
    """J1: records that were made before an event are kept behind its changes."""

    def snapshot(book: Book) -> Iterator[Record]:
        return iter(list(records.snapshot(book)))

    patch.setattr(manager_module, "snapshot", snapshot)


def counters_that_follow_from_what_is_there(patch: pytest.MonkeyPatch) -> None:
    """R7, J3: what was given to something that is gone is given again."""

    def fill(self: Restoration, book: Book, now: float, resume_window_seconds: float) -> None:
        self._last_token = self._last_session = self._last_place = 0
        original(self, book, now, resume_window_seconds)

    original = Restoration.fill
    patch.setattr(Restoration, "fill", fill)


def deadlines_that_run_out_before_anybody_can_be_back(patch: pytest.MonkeyPatch) -> None:
    """J3."""

    def fill(self: Restoration, book: Book, now: float, resume_window_seconds: float) -> None:
        original(self, book, now, 0.0)

    original = Restoration.fill
    patch.setattr(Restoration, "fill", fill)


def connections_that_outlive_the_daemon(patch: pytest.MonkeyPatch) -> None:
    """J2."""
    patch.setattr(sessions, "detach", lambda book, session, due_at: None)


BROKEN: dict[str, Break] = {
    "S9: a repeated release": _done_twice(Release),
    "S9: a repeated acquire": _done_twice(Acquire),
    "S9: a repeated adopt": _done_twice(Adopt),
    "S9: a conversion under the id of a grant": _done_twice(Convert),
    "J3: no entries": _forgotten(lambda record: record._replace(entries=())),
    "J3: no ticket": _forgotten(lambda record: record._replace(ticket="")),
    "J3: no order": _forgotten(lambda record: record._replace(place=-record.place)),
    "J3: no deadline": _forgotten(lambda record: record._replace(due_at=None)),
    "J3: no terms": _forgotten(lambda record: record._replace(terms=record.terms._replace(lease_seconds=None))),
    "J3: no conversion": _forgotten(lambda record: record._replace(converts=0)),
    "J3: no date": _forgotten(lambda record: record._replace(granted_at=None)),
    "J3: no owner": _forgotten(lambda record: record._replace(owner=1)),
    "J3: no word of a request to yield": _forgotten(lambda record: record._replace(is_yield_requested=False)),
    "S9: no id": _forgotten(lambda record: record._replace(last_request=record.id)),
    "J3: no process": _forgotten_of_a_session(
        lambda record: record._replace(peer=record.peer._replace(process="another"))
    ),
    "J3: no uid": _forgotten_of_a_session(lambda record: record._replace(peer=record.peer._replace(uid=1))),
    "J3: no end at the end of the connection": _forgotten_of_a_session(
        lambda record: record._replace(ends_at_eof=False)
    ),
    "J3: nobody is passed": _forgotten_of_a_session(lambda record: record._replace(is_passed=False)),
    "S8: no losses": _forgotten_of_a_session(lambda record: record._replace(losses=())),
    "J1: no grant ends": _not_recorded("GrantGone"),
    "J1: no wait ends": _not_recorded("WaiterGone"),
    "J1: no session ends": _not_recorded("SessionGone"),
    "J1: no session changes": _not_recorded("SessionRecord"),
    "J1: no request changes": _not_recorded("RequestRecord"),
    "J1: nothing is abandoned": _not_recorded("Record"),
    "J1: everything stays abandoned": _not_recorded("AbandonedGone"),
    **{
        function.__name__: function
        for function in (
            any_process_resumes,
            any_process_with_the_same_pid_resumes,
            ids_that_rise_from_one_connection_to_the_next,
            waiters_that_stay_passed,
            waiters_that_come_back_to_the_end_of_the_line,
            waiters_that_come_back_unjudged,
            waiters_that_nobody_looks_at,
            waiters_that_are_looked_at_as_if_something_was_released,
            holders_that_do_not_hear_of_those_who_are_back,
            losses_that_are_told_once,
            losses_that_are_told_for_ever,
            a_repeated_grant_that_says_nothing_of_abandoned_names,
            a_snapshot_of_what_was,
            counters_that_follow_from_what_is_there,
            deadlines_that_run_out_before_anybody_can_be_back,
            connections_that_outlive_the_daemon,
        )
    },
}


@pytest.mark.parametrize("break_it", BROKEN.values(), ids=BROKEN)
def test_a_broken_manager_is_noticed(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_noticed()


def test_a_place_that_is_given_twice_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """J3, D4: whoever was moved there before the restart is forgotten. The manager itself trips over it."""
    monkeypatch.setattr("lockd.core.names.PLACE_STEP", 1)
    with pytest.raises(TypeError):
        play(SCENARIOS["restart-after-a-move"])
