"""Who may go, and in which order (R1 to R5, I1, I4, I5)."""

from __future__ import annotations

import pytest

from lockd.core.actions import Action, Failed, Granted, Reason, SessionEnded
from lockd.core.events import Cancel, Disconnected, ProcessExited, Tick
from lockd.core.modes import Mode
from support.core import (
    S,
    X,
    acquire,
    connect_many,
    give,
    granted,
    make_manager,
    release,
    token,
    without_facts,
)


def test_a_free_name_is_granted_at_once() -> None:
    """R3."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    assert give(manager, acquire(a, 1)) == [granted(a, 1, 1)]
    assert give(manager, acquire(b, 1, "log")) == [granted(b, 1, 2)]


@pytest.mark.parametrize(("held", "wanted", "goes"), [(X, X, False), (X, S, False), (S, X, False), (S, S, True)])
def test_what_goes_beside_what(held: Mode, wanted: Mode, goes: bool) -> None:
    """R2 (a), I1."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=held))
    assert give(manager, acquire(b, 1, demand=wanted)) == ([granted(b, 1, 2)] if goes else [])


@pytest.mark.parametrize("comes", Mode)
@pytest.mark.parametrize("timeout", [None, 0])
def test_nobody_overtakes_a_waiter_that_it_conflicts_with(comes: Mode, timeout: float | None) -> None:
    """R2 (b): not even a request that is compatible with all that is held, and not even a try."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    assert give(manager, acquire(b, 1, demand=X)) == []
    refused = [Failed(c, 1, Reason.TIMEOUT)] if timeout == 0 else []
    assert without_facts(give(manager, acquire(c, 1, demand=comes, timeout=timeout))) == refused
    assert give(manager, release(a, 2, 1)) == [granted(b, 1, 2)]


def test_a_request_overtakes_waiters_that_it_is_compatible_with() -> None:
    """R2 (b): such as one that shares the name and is not granted only because nobody could be told (S3)."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, demand=X))
    give(manager, acquire(b, 1, demand=S))
    give(manager, Disconnected(b))
    assert give(manager, release(a, 2, 1)) == []
    assert give(manager, acquire(c, 1, demand=S)) == [granted(c, 1, 2)]
    assert give(manager, acquire(d, 1, demand=X)) == []


def test_readers_behind_a_writer_go_together_when_it_has_gone() -> None:
    """R4: in the order of the queue, up to the next writer and not beyond."""
    manager = make_manager()
    a, b, c, d, e = connect_many(manager, 5)
    give(manager, acquire(a, 1))
    for session, mode in [(b, S), (c, S), (d, X), (e, S)]:
        assert give(manager, acquire(session, 1, demand=mode)) == []
    assert give(manager, release(a, 2, 1)) == [granted(b, 1, 2), granted(c, 1, 3)]
    assert give(manager, release(c, 2, 3)) == []
    assert give(manager, release(b, 2, 2)) == [granted(d, 1, 4)]
    assert give(manager, release(d, 2, 4)) == [granted(e, 1, 5)]


def test_places_outlive_whoever_leaves_in_front_and_behind() -> None:
    """I4: the queue keeps its order, whoever leaves it."""
    manager = make_manager()
    sessions = connect_many(manager, 8)
    for session in sessions:
        give(manager, acquire(session, 1))
    holder, *waiting = sessions
    for gone in (waiting.pop(0), waiting.pop(2), waiting.pop()):
        assert give(manager, Cancel(gone, 2, 1)) == [Failed(gone, 1, Reason.CANCELLED)]
    for number, session in enumerate(waiting, start=2):
        assert give(manager, release(holder, 9, number - 1)) == [granted(session, 1, number)]
        holder = session


def test_a_try_was_never_in_a_queue() -> None:
    """R3: a refused try is in nobody's way, and gets nothing later."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    assert without_facts(give(manager, acquire(b, 1, timeout=0))) == [Failed(b, 1, Reason.TIMEOUT)]
    assert give(manager, acquire(c, 1, demand=S)) == [granted(c, 1, 2)]
    assert give(manager, release(a, 2, 1)) == []
    assert give(manager, release(c, 2, 2)) == []
    assert manager.statistics().waiters == 0


def test_a_try_that_may_go_is_granted() -> None:
    """R3."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    assert give(manager, acquire(a, 1, timeout=0)) == [granted(a, 1, 1)]
    assert manager.next_deadline() is None


@pytest.mark.parametrize("makes_room", ["release", "cancel", "time-out", "end", "window"])
def test_whatever_makes_room_looks_through_the_queue(makes_room: str) -> None:
    """R4, I5: an exclusive request stands between those that share, and goes away in every way there is."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=X, timeout=1.0 if makes_room == "time-out" else None))
    give(manager, acquire(c, 1, demand=S))
    answers: list[Action]
    if makes_room == "release":
        assert give(manager, release(a, 2, 1)) == [granted(b, 1, 2)]
        answers = give(manager, release(b, 2, 2))
    elif makes_room == "cancel":
        answers = give(manager, Cancel(b, 2, 1))
    elif makes_room == "time-out":
        answers = give(manager, Tick(), at=1.0)
    elif makes_room == "end":
        answers = give(manager, ProcessExited(b))
    else:
        assert give(manager, Disconnected(b)) == []
        answers = give(manager, Tick(), at=2.0)
    assert Granted(c, 1, manager.last_token) in without_facts(answers)


def test_those_who_can_share_pass_any_number_that_stay() -> None:
    """R2, R4, S3: a detached session's readers keep their places, and bar nobody with whom they could share."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1, demand=S))
    give(manager, acquire(b, 2, demand=S, owner=2))
    give(manager, acquire(c, 1, demand=S))
    give(manager, acquire(d, 1))
    give(manager, Disconnected(b))
    assert give(manager, release(a, 2, 1)) == [granted(c, 1, 2)]


def test_the_end_of_a_session_looks_through_all_its_queues_once() -> None:
    """R4, S1: in the order in which the names came up, so that it is the same every time."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    for number, name in enumerate("wxyz", start=1):
        give(manager, acquire(a, number, name))
        give(manager, acquire(b, number, name, demand=S))
        give(manager, acquire(c, number, name, demand=S))
    ended, *grants = without_facts(give(manager, ProcessExited(a)))
    assert isinstance(ended, SessionEnded)
    expected = [(session, number) for number in range(1, 5) for session in (b, c)]
    assert grants == [granted(session, number, 4 + n) for n, (session, number) in enumerate(expected, start=1)]


def test_a_grant_is_complete_before_anybody_is_told() -> None:
    """R5: what is told can be looked up in the same instant."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1), at=1.0)
    give(manager, acquire(b, 1, label="why"), at=2.0)
    [told] = give(manager, release(a, 2, 1), at=5.0)
    assert told == granted(b, 1, 2)
    grant = manager.grants[token(2)]
    assert (grant.session.id, grant.id, grant.terms.label, grant.granted_at) == (b, 1, "why", 5.0)
    assert manager.resources["db"].holders == {token(2): grant}
    assert manager.sessions[b].grants == {1: grant}
