"""Sessions: how they end, and what becomes of what they had (S1 to S7)."""

from __future__ import annotations

from typing import TypeAlias

import pytest

from lockd.core.actions import EndReason, Failed, Reason, SessionEnded
from lockd.core.events import Bye, Cancel, Disconnected, Malformed, ProcessExited, Query, Request, Tick
from lockd.core.manager import LockManager
from support.core import (
    EPOCH,
    S,
    acquire,
    connect,
    connect_many,
    give,
    granted,
    make_manager,
    release,
    token,
    without_facts,
)

SessionEvent: TypeAlias = Request | Disconnected | ProcessExited


def assert_nothing_is_left(manager: LockManager) -> None:
    assert not manager.sessions
    assert not manager.grants
    assert not manager.resources
    assert not manager.accounts
    assert manager.next_deadline() is None
    assert manager.statistics()[:5] == (0, 0, 0, 0, 0)


def test_a_session_id_is_never_given_twice() -> None:
    manager = make_manager()
    first = connect(manager)
    give(manager, ProcessExited(first))
    assert [first, connect(manager)] == [(EPOCH << 32) + 1, (EPOCH << 32) + 2]


ENDS: list[tuple[SessionEvent, EndReason]] = [
    (Bye(0, 5), EndReason.BYE),
    (Disconnected(0), EndReason.EOF),
    (ProcessExited(0), EndReason.PROCESS_EXITED),
]


@pytest.mark.parametrize(("event", "reason"), ENDS)
def test_the_end_of_a_session_frees_all_it_has_in_one_step(event: SessionEvent, reason: EndReason) -> None:
    """S1: it holds, it waits, and it waits behind itself; none of that is granted in between."""
    manager = make_manager()
    a = connect(manager, ends_at_eof=True)
    b, c = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db"))
    give(manager, acquire(a, 2, "db", owner=2))
    give(manager, acquire(b, 1, "db"))
    give(manager, acquire(c, 1, "log"))
    give(manager, acquire(a, 3, "log", timeout=9.0))
    give(manager, acquire(a, 4, "tmp", demand=S))
    assert without_facts(give(manager, event._replace(session=a))) == [SessionEnded(a, reason), granted(b, 1, 4)]
    assert sorted(manager.resources) == ["db", "log"]
    assert manager.next_deadline() is None
    assert manager.statistics().deaths_total == (1 if isinstance(event, ProcessExited) else 0)
    give(manager, ProcessExited(b))
    give(manager, ProcessExited(c))
    assert_nothing_is_left(manager)


def test_a_lost_connection_frees_nothing() -> None:
    """S2: however long."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    assert give(manager, Disconnected(a)) == []
    assert give(manager, acquire(b, 1)) == []
    assert give(manager, Tick(), at=1e9) == []
    assert manager.next_deadline() is None
    assert manager.statistics().detached == 1
    ended = SessionEnded(a, EndReason.PROCESS_EXITED)
    assert without_facts(give(manager, ProcessExited(a), at=1e9)) == [ended, granted(b, 1, 2)]
    assert manager.statistics().detached == 0


def test_a_session_with_nothing_ends_with_its_connection() -> None:
    """S2: nobody could come back for anything."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1))
    give(manager, release(a, 2, 1))
    assert give(manager, Disconnected(a)) == [SessionEnded(a, EndReason.IDLE_DETACHED)]
    assert_nothing_is_left(manager)


def test_a_detached_session_is_granted_nothing_and_keeps_its_place() -> None:
    """S3, S4."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1))
    give(manager, acquire(c, 1, demand=S))
    give(manager, Disconnected(b), at=1.0)
    assert give(manager, release(a, 2, 1), at=2.0) == []
    assert give(manager, acquire(d, 1, demand=S), at=2.5) == []
    assert manager.next_deadline() == 3.0
    assert give(manager, Tick(), at=2.999) == []


def test_others_pass_a_detached_session_when_its_window_is_over() -> None:
    """S5: from then on it is in nobody's way: neither of those who wait nor of those who come."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1))
    give(manager, acquire(c, 1))
    give(manager, Disconnected(b), at=1.0)
    give(manager, release(a, 2, 1), at=1.0)
    assert give(manager, Tick(), at=3.0) == [granted(c, 1, 2)]
    assert give(manager, acquire(a, 3), at=4.0) == []
    assert give(manager, release(c, 2, 2), at=5.0) == [granted(a, 3, 3)]
    assert give(manager, release(a, 4, 3), at=6.0) == []
    assert give(manager, acquire(d, 1), at=7.0) == [granted(d, 1, 4)]
    passed = manager.resources["db"].passed
    assert passed is not None
    assert [waiter.session.id for waiter in passed.values()] == [b]
    assert manager.statistics().waiters == 1
    assert give(manager, ProcessExited(b), at=8.0) == [SessionEnded(b, EndReason.PROCESS_EXITED)]
    assert manager.resources["db"].passed is None


def test_a_window_is_as_long_as_the_manager_was_told() -> None:
    """S5."""
    manager = LockManager(EPOCH, resume_window_seconds=0.25)
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1))
    give(manager, Disconnected(b), at=10.0)
    assert manager.next_deadline() == 10.25


def test_several_detached_sessions_are_passed_one_by_one() -> None:
    """S5, I5: each window makes room by itself, on every name that the session waits for."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    for number, name in enumerate(("db", "log"), start=1):
        give(manager, acquire(a, number, name))
        for session in (b, c, d):
            give(manager, acquire(session, number, name))
    give(manager, Disconnected(c), at=1.0)
    give(manager, Disconnected(b), at=2.0)
    assert give(manager, release(a, 3, 1), at=2.0) == []
    assert give(manager, release(a, 4, 2), at=2.0) == []
    assert give(manager, Tick(), at=3.0) == []
    assert give(manager, Tick(), at=4.0) == [granted(d, 1, 3), granted(d, 2, 4)]


@pytest.mark.parametrize("timeout", [0.5, 1.5, 9.0])
def test_the_deadlines_of_a_detached_session_run_on(timeout: float) -> None:
    """S4: within its window and beyond. With the last of them it ends."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, timeout=timeout))
    give(manager, acquire(c, 1, demand=S))
    give(manager, Disconnected(b))
    due_at = min(timeout, 2.0)
    answers = give(manager, Tick(), at=due_at)
    assert granted(c, 1, 2) in answers
    if timeout > due_at:
        assert answers == [granted(c, 1, 2)]
        answers = give(manager, Tick(), at=timeout)
    assert Failed(b, 1, Reason.TIMEOUT) in without_facts(answers)
    assert answers[-1] == SessionEnded(b, EndReason.IDLE_DETACHED)
    assert list(manager.sessions) == [a, c]


def test_a_detached_session_that_holds_outlives_its_last_wait() -> None:
    """S2, S4: and its window, which is then about nothing."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1, "log"))
    give(manager, acquire(b, 2, timeout=1.0))
    give(manager, Disconnected(b))
    assert without_facts(give(manager, Tick(), at=1.0)) == [Failed(b, 2, Reason.TIMEOUT)]
    assert give(manager, Tick(), at=2.0) == []
    assert list(manager.grants) == [token(1), token(2)]


EVENTS: list[SessionEvent] = [
    acquire(0, 9, "free"),
    acquire(0, 9),
    release(0, 9, 1),
    Cancel(0, 9, 2),
    Query(0, 9, "db"),
    Malformed(0, 9, "no"),
    Bye(0, 9),
    Disconnected(0),
]


@pytest.mark.parametrize("event", [*EVENTS, ProcessExited(0)], ids=repr)
def test_events_of_a_session_that_has_ended_are_dropped(event: SessionEvent) -> None:
    """S6: what was read before the end may be handled after it."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1))
    give(manager, ProcessExited(a))
    before = manager.statistics()
    for session in (a, 0, 12345):
        assert give(manager, event._replace(session=session)) == []
    assert manager.statistics() == before


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_nothing_comes_from_a_connection_that_is_gone(event: SessionEvent) -> None:
    """S6, S3: a request that was read behind the end of its connection is dropped, and its id with it."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(b, 1, "log"))
    give(manager, acquire(a, 1))
    give(manager, acquire(a, 2, "log"))
    give(manager, Disconnected(a), at=1.0)
    before = manager.statistics()
    assert give(manager, event._replace(session=a), at=1.5) == []
    assert manager.sessions[a].last_request == 2
    assert manager.statistics() == before
    assert manager.next_deadline() == 3.0


def test_nothing_is_left_when_all_sessions_have_ended() -> None:
    """I6: of many names, waiters, deadlines and detached sessions."""
    manager = make_manager()
    sessions = connect_many(manager, 10)
    for number, session in enumerate(sessions):
        for request in range(1, 21):
            timeout = None if request % 3 else 50.0
            give(manager, acquire(session, request, f"name {request * number % 7}", timeout=timeout, owner=request))
        if number % 2:
            give(manager, Disconnected(session), at=number / 10)
    give(manager, Tick(), at=5.0)
    for session in sessions:
        give(manager, ProcessExited(session), at=6.0)
    assert_nothing_is_left(manager)
    assert len(manager.deadlines) == 0
