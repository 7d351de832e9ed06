"""How a request ends, and what a token is (R6, R7, W1 to W4, S7)."""

from __future__ import annotations

import pytest

from lockd.core.actions import Action, Done, Failed, Granted, Misbehaved, Reason, SessionEnded
from lockd.core.events import Bye, Cancel, Event, Malformed, Peer, ProcessExited, Query, Release, Request, Tick
from lockd.core.manager import LockManager
from lockd.core.modes import Mode
from support.core import (
    EPOCH,
    S,
    X,
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

COUNTER_MAX = 2**32 - 1


@pytest.mark.parametrize(("holds", "wants"), [(X, X), (X, S), (S, X)])
@pytest.mark.parametrize("timeout", [None, 0, 5.0])
def test_an_owner_does_not_wait_for_itself(holds: Mode, wants: Mode, timeout: float | None) -> None:
    """R6: refused, and what it held is still held."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1, demand=holds))
    [failed] = give(manager, acquire(a, 2, demand=wants, timeout=timeout))
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.DEADLOCK
    [step] = failed.cycle
    assert (step.name, step.waiter, step.blocker) == ("db", Peer(1, 1000, 100), Peer(1, 1000, 100))
    assert (step.demand, step.blocker_demand, step.is_queued, failed.cycle_total) == (wants, holds, False, 1)
    assert list(manager.grants) == [token(1)]
    assert manager.statistics().waiters == 0
    assert manager.statistics().deadlocks_total == 1


def test_an_owner_may_share_a_name_with_itself() -> None:
    """R6 speaks of modes that conflict."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    assert give(manager, acquire(a, 1, demand=S)) == [granted(a, 1, 1)]
    assert give(manager, acquire(a, 2, demand=S)) == [granted(a, 2, 2)]


def test_other_owners_are_waited_for() -> None:
    """R6: another thread of the same process, and the same number in another process, are other owners."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, owner=1))
    assert give(manager, acquire(a, 2, owner=2)) == []
    assert give(manager, acquire(b, 1, owner=1)) == []


@pytest.mark.parametrize("more", ["own names", "other readers"])
def test_an_owner_is_recognised_among_many(more: str) -> None:
    """R6: whichever list is the shorter one, what it holds or who holds the name."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S))
    for number in range(2, 6):
        if more == "own names":
            give(manager, acquire(a, number, f"name {number}"))
        else:
            give(manager, acquire(b, number, demand=S))
    give(manager, acquire(b, 9, demand=S, owner=2))
    assert without_facts(give(manager, acquire(a, 9))) == [Failed(a, 9, Reason.DEADLOCK)]
    assert give(manager, acquire(a, 10, owner=2)) == []


def test_a_token_is_greater_than_every_one_before() -> None:
    """R7, I7: on any name, for anybody, in any mode."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    events: list[Event] = [
        *(acquire(a, 1), acquire(b, 1, "log"), release(a, 2, 1), acquire(b, 2)),
        *(acquire(a, 3, "log", timeout=0), acquire(a, 4, "tmp"), release(b, 3, 2), acquire(a, 5, "log", demand=S)),
    ]
    tokens = [action.token for event in events for action in give(manager, event) if isinstance(action, Granted)]
    assert tokens == [(EPOCH << 32) + number for number in range(1, 6)]
    assert manager.last_token == token(5)


def test_a_used_up_counter_raises_the_epoch() -> None:
    """R7."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    manager._book.last_token += COUNTER_MAX - 1
    assert give(manager, acquire(a, 1, "one")) == [Granted(a, 1, (EPOCH << 32) + COUNTER_MAX)]
    assert manager.epoch == EPOCH
    assert give(manager, acquire(a, 2, "two")) == [Granted(a, 2, (EPOCH + 1) << 32)]
    assert manager.epoch == EPOCH + 1


def test_a_token_has_room_for_every_epoch() -> None:
    """R7: under 2^63, to the last one."""
    manager = LockManager(2**31 - 1)
    manager._book.last_token += COUNTER_MAX - 1
    [told] = give(manager, acquire(connect(manager), 1))
    assert isinstance(told, Granted)
    assert told.token == 2**63 - 1


OUTCOMES: list[tuple[str, Event, float, type[Action], Reason | None]] = [
    ("a grant", Tick(), 0.0, Granted, None),
    ("a time-out", Tick(), 5.0, Failed, Reason.TIMEOUT),
    ("a cancel", Cancel((EPOCH << 32) + 2, 2, 1), 0.0, Failed, Reason.CANCELLED),
    ("the end", ProcessExited((EPOCH << 32) + 2), 0.0, SessionEnded, None),
]


@pytest.mark.parametrize(("outcome", "event", "at", "kind", "reason"), OUTCOMES, ids=lambda value: str(value)[:9])
def test_a_request_has_one_outcome(
    outcome: str, event: Event, at: float, kind: type[Action], reason: Reason | None
) -> None:
    """W1: and after it, whatever else would have been one has no effect."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    assert give(manager, acquire(b, 1, timeout=5.0)) == []
    first = give(manager, release(a, 2, 1) if outcome == "a grant" else event, at)
    assert [type(action) for action in first] == [kind]
    assert [action.reason for action in first if isinstance(action, Failed)] == ([reason] if reason else [])
    if outcome != "a grant":
        assert give(manager, release(a, 3, 1), at) == []
    assert give(manager, Tick(), 10.0) == []
    assert give(manager, Cancel(b, 3, 1), 10.0) == []
    assert list(manager.resources) == []


def test_what_is_due_happens_before_what_arrives() -> None:
    """W2: a release in the instant of a deadline comes too late for that waiter, and in time for the next."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1), at=0.0)
    give(manager, acquire(b, 1, timeout=3.0), at=0.0)
    give(manager, acquire(c, 1, timeout=4.0), at=0.0)
    assert manager.next_deadline() == 3.0
    answers = without_facts(give(manager, release(a, 2, 1), at=3.0))
    assert answers == [Failed(b, 1, Reason.TIMEOUT), granted(c, 1, 2)]
    assert manager.next_deadline() is None


def test_a_grant_an_instant_before_the_deadline_stands() -> None:
    """W2."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1), at=0.0)
    give(manager, acquire(b, 1, timeout=3.0), at=0.0)
    assert give(manager, release(a, 2, 1), at=2.999) == [granted(b, 1, 2)]
    assert give(manager, Tick(), at=3.0) == []
    assert list(manager.grants) == [token(2)]


def test_what_is_due_together_is_answered_in_the_order_of_the_deadlines() -> None:
    """W2: the manager may be asked late, but not in the wrong order."""
    manager = make_manager()
    holder, *waiting = connect_many(manager, 6)
    give(manager, acquire(holder, 1))
    for session, timeout in zip(waiting, (3.0, 1.0, 2.0, 1.0, 9.0), strict=True):
        give(manager, acquire(session, 1, timeout=timeout))
    b, c, d, e, _ = waiting
    timed_out = [Failed(session, 1, Reason.TIMEOUT) for session in (c, e, d, b)]
    assert without_facts(give(manager, Tick(), at=5.0)) == timed_out
    assert manager.statistics().timeouts_total == 4
    assert manager.next_deadline() == 9.0


def test_a_timeout_too_small_to_move_the_clock_is_still_a_wait() -> None:
    """R3, W2: only 0 is a try. Such a request queues, and times out at the next occasion."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1), at=1e9)
    assert give(manager, acquire(b, 1, timeout=1e-12), at=1e9) == []
    assert manager.next_deadline() == 1e9
    assert without_facts(give(manager, Tick(), at=1e9)) == [Failed(b, 1, Reason.TIMEOUT)]


def test_a_cancel_of_a_waiter() -> None:
    """W3."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 4, timeout=5.0))
    assert give(manager, Cancel(b, 5, 4)) == [Failed(b, 4, Reason.CANCELLED)]
    assert give(manager, release(a, 2, 1)) == []
    assert manager.next_deadline() is None
    assert manager.statistics().cancels_total == 1


def test_a_cancel_of_a_grant_releases_it() -> None:
    """W3: the answer was the grant."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(a, 2, "log"))
    give(manager, acquire(b, 1))
    assert give(manager, Cancel(a, 3, 1)) == [granted(b, 1, 3)]
    assert sorted(manager.grants) == [token(2), token(3)]
    assert manager.statistics().cancels_total == 0


@pytest.mark.parametrize("request_id", [0, 1, 2, 3, 4, 2**62])
def test_a_cancel_of_anything_else_does_nothing(request_id: int) -> None:
    """W3: never seen, ended, itself, or somebody else's."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    for number in (1, 3):
        give(manager, acquire(a, number, f"name {number}"))
    give(manager, acquire(b, 1))
    give(manager, release(b, 2, 3))
    assert give(manager, Cancel(b, 4, request_id)) == []
    assert sorted(manager.grants) == [token(1), token(2)]


def test_a_release_of_what_the_session_does_not_hold_does_nothing() -> None:
    """W4: somebody else's token, an old one, one that never was; with an answer if it was asked for."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, release(a, 2, 1))
    give(manager, acquire(a, 3))
    for request_id, number in enumerate((2, 1, 99), start=1):
        assert give(manager, release(b, request_id, number)) == []
    assert give(manager, Release(b, 4, 0, True)) == [Done(b, 4)]
    assert give(manager, release(a, 4, 1)) == []
    assert list(manager.grants) == [token(2)]


def test_a_release_is_answered_on_request_after_those_who_profit() -> None:
    """R4."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1))
    assert give(manager, release(a, 2, 1, confirm=True)) == [granted(b, 1, 2), Done(a, 2)]


REQUESTS: list[Request] = [
    acquire(0, 5),
    release(0, 5, 1),
    Cancel(0, 5, 1),
    Query(0, 5, "db"),
    Malformed(0, 5, "no"),
    Bye(0, 5),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: type(request).__name__)
@pytest.mark.parametrize("last", [5, 6])
def test_a_request_id_that_does_not_rise_has_no_effect(request_: Request, last: int) -> None:
    """S7, I9: whatever the request."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, last))
    detail = f"request id 5 came after {last}: ids only rise"
    assert give(manager, request_._replace(session=a)) == [Misbehaved(a, detail)]
    assert list(manager.grants) == [token(1)]
    assert manager.sessions[a].last_request == last


def test_what_cannot_be_done_is_refused_and_uses_its_id_up() -> None:
    """W1, S7: the shell found the fault."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    failed = Failed(a, 1, Reason.BAD_REQUEST, detail="a name has 1 to 255 bytes")
    assert give(manager, Malformed(a, 1, "a name has 1 to 255 bytes")) == [failed]
    assert manager.sessions[a].last_request == 1
