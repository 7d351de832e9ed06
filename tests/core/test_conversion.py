"""How the mode of a grant changes (C1 to C4)."""

from __future__ import annotations

from itertools import product

import pytest

from lockd.core.actions import Action, Failed, Reason, SessionEnded
from lockd.core.events import Cancel, Disconnected, Event, ProcessExited, Tick
from lockd.core.modes import Mode, conflict, covers
from support.core import (
    IS,
    IX,
    SIX,
    S,
    U,
    X,
    acquire,
    connect_many,
    convert,
    give,
    granted,
    make_manager,
    permits,
    release,
    token,
    without_facts,
)

PAIRS = list(product(Mode, Mode))


@pytest.mark.parametrize(("held", "wanted"), PAIRS)
def test_a_holder_alone_gets_any_mode(held: Mode, wanted: Mode) -> None:
    """C1, C2: at once, by the same token, whoever waits."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=held))
    give(manager, acquire(b, 1, demand=X))
    assert give(manager, convert(a, 2, 1, wanted)) == [granted(a, 2, 1)]
    assert manager.resources["db"].demand_of(manager.grants[token(1)]) is wanted
    assert without_facts(give(manager, release(a, 3, 1))) == [granted(b, 1, 2)]


@pytest.mark.parametrize(("held", "wanted"), PAIRS)
@pytest.mark.parametrize("other", Mode)
def test_what_a_conversion_waits_for(held: Mode, wanted: Mode, other: Mode) -> None:
    """C2, C3: for other holders that the new mode conflicts with, never for the queue."""
    if conflict(held, other):
        return
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=held))
    give(manager, acquire(b, 1, demand=other))
    give(manager, acquire(c, 1, demand=X))
    answers = give(manager, convert(a, 2, 1, wanted))
    assert answers == ([] if conflict(wanted, other) else [granted(a, 2, 1)])
    # To a mode that keeps out no more than the old one nothing is in the way.
    assert answers or not covers(held, wanted)
    if not answers:
        assert give(manager, release(b, 2, 2)) == [granted(a, 2, 1)]


def test_down_wakes_those_who_can_share_now() -> None:
    """C3, R4: up to the next that cannot."""
    manager = make_manager()
    a, b, c, d, e = connect_many(manager, 5)
    give(manager, acquire(a, 1))
    for session, mode in ((b, S), (c, IS), (d, X), (e, S)):
        assert give(manager, acquire(session, 1, demand=mode)) == []
    assert give(manager, convert(a, 2, 1, S)) == [granted(a, 2, 1), granted(b, 1, 2), granted(c, 1, 3)]


def test_neither_up_nor_down_lets_others_in_too() -> None:
    """C2, R4."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S))
    assert give(manager, acquire(b, 1, demand=IX)) == []
    assert give(manager, convert(a, 2, 1, IX)) == [granted(a, 2, 1), granted(b, 1, 2)]


def test_a_granted_conversion_lets_others_in_too() -> None:
    """C2, R4: whoever reads below waits for the reader of the whole, who wants to write below as well."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    assert give(manager, convert(a, 2, 1, IX)) == []
    assert give(manager, acquire(c, 1, demand=IX)) == []
    assert give(manager, release(b, 2, 2)) == [granted(a, 2, 1), granted(c, 1, 3)]


def test_others_wait_for_what_is_wanted() -> None:
    """C2: a conversion counts as an earlier waiter, whoever was there before it."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    assert give(manager, convert(a, 2, 1, X)) == []
    assert give(manager, acquire(c, 1, demand=S)) == []
    refused = [Failed(d, 1, Reason.TIMEOUT)]
    assert without_facts(give(manager, acquire(d, 1, demand=S, timeout=0))) == refused
    assert give(manager, release(b, 2, 2)) == [granted(a, 2, 1)]
    assert give(manager, convert(a, 3, 1, IS)) == [granted(a, 3, 1), granted(c, 1, 3)]


def test_conversions_go_in_the_order_in_which_they_came() -> None:
    """C2: of those that cannot go together."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    for session in (a, b):
        give(manager, acquire(session, 1, demand=S))
    give(manager, acquire(c, 1, demand=U))
    assert give(manager, convert(b, 2, 2, U)) == []
    assert give(manager, convert(a, 2, 1, U)) == []
    assert give(manager, release(c, 2, 3)) == [granted(b, 2, 2)]
    assert give(manager, release(b, 3, 2)) == [granted(a, 2, 1)]


ENDS: list[tuple[str, Event, float, Reason]] = [
    ("a cancel", Cancel(0, 3, 2), 0.0, Reason.CANCELLED),
    ("a time-out", Tick(), 5.0, Reason.TIMEOUT),
    ("a deadlock", Tick(), 0.0, Reason.DEADLOCK),
]


@pytest.mark.parametrize(("end", "event", "at", "reason"), ENDS, ids=lambda value: str(value)[:10])
def test_a_conversion_that_fails_leaves_what_was_held(end: str, event: Event, at: float, reason: Reason) -> None:
    """C4: and lets those go that it was in the way of."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    answers: list[Action]
    if end == "a deadlock":
        assert give(manager, convert(b, 2, 2, X)) == []
        answers = give(manager, convert(a, 2, 1, X))
        give(manager, Cancel(b, 3, 2))
    else:
        assert give(manager, convert(a, 2, 1, X, timeout=5.0)) == []
        assert give(manager, acquire(c, 1, demand=S)) == []
        answers = give(manager, event._replace(session=a) if isinstance(event, Cancel) else event, at)
        assert answers.pop() == granted(c, 1, 3)
    assert without_facts(answers) == [Failed(a, 2, reason)]
    assert manager.resources["db"].demand_of(manager.grants[token(1)]) is S
    # It may be tried again.
    assert give(manager, convert(a, 4, 1, U), at) == [granted(a, 4, 1)]


def test_a_try_does_not_wait() -> None:
    """C4, R3."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    [failed] = give(manager, convert(a, 2, 1, X, timeout=0))
    assert isinstance(failed, Failed)
    assert failed.facts is not None
    assert (failed.reason, failed.facts.position, failed.facts.holders_total) == (Reason.TIMEOUT, 1, 2)
    assert give(manager, acquire(b, 2, demand=S, owner=2)) == [granted(b, 2, 3)]


@pytest.mark.parametrize("end", ["release", "cancel", "exit"])
def test_the_end_of_a_grant_is_the_end_of_its_conversion(end: str) -> None:
    """C4, S1: and those go that only the conversion was in the way of."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    give(manager, convert(a, 2, 1, X, timeout=9.0))
    assert give(manager, acquire(c, 1, demand=U)) == []
    if end == "exit":
        answers = give(manager, ProcessExited(a))
        assert isinstance(answers.pop(0), SessionEnded)
    else:
        answers = give(manager, release(a, 3, 1) if end == "release" else Cancel(a, 3, 1))
        assert answers.pop(0) == Failed(a, 2, Reason.CANCELLED)
    assert answers == [granted(c, 1, 3)]
    assert manager.next_deadline() is None


def test_a_detached_conversion_is_passed() -> None:
    """C2, S3, S5: it is not granted, and after its window it is in nobody's way."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=IS))
    give(manager, acquire(b, 1, demand=S))
    give(manager, convert(a, 2, 1, X))
    give(manager, acquire(c, 1, demand=S))
    give(manager, Disconnected(a))
    assert give(manager, release(b, 2, 2)) == []
    assert give(manager, Tick(), at=2.0) == [granted(c, 1, 3)]
    assert manager.resources["db"].passed is not None
    assert without_facts(give(manager, ProcessExited(a), at=3.0))[1:] == []
    assert manager.resources["db"].passed is None


def test_all_locks_of_a_grant_or_none() -> None:
    """C1: what it has of semaphores stays."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "q", permits(2), ("x", S), ("y", IS)))
    give(manager, acquire(b, 1, "y", S))
    assert give(manager, convert(a, 2, 1, X)) == []
    assert give(manager, acquire(c, 1, "x", S)) == []
    assert give(manager, release(b, 2, 2)) == [granted(a, 2, 1)]
    grant = manager.grants[token(1)]
    assert [manager.resources[name].demand_of(grant) for name in "qxy"] == [permits(2), X, X]
    assert give(manager, convert(a, 3, 1, IS)) == [granted(a, 3, 1), granted(c, 1, 3)]


def test_the_ancestors_follow() -> None:
    """C1, T1: up and down."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db/1", S, ("db/2", S), ("q", permits(1)), tree=True))
    grant = manager.grants[token(1)]

    def modes() -> list[object]:
        return [manager.resources[name].demand_of(grant) for name in ("db", "db/1", "db/2", "q")]

    assert modes() == [IS, S, S, permits(1)]
    give(manager, acquire(b, 1, "db", S))
    assert give(manager, convert(a, 2, 1, X)) == []
    assert give(manager, release(b, 2, 2)) == [granted(a, 2, 1)]
    assert modes() == [IX, X, X, permits(1)]
    assert give(manager, convert(a, 3, 1, U)) == [granted(a, 3, 1)]
    assert modes() == [IS, U, U, permits(1)]


def test_of_what_was_asked_for_above_a_name_too() -> None:
    """C1, T1: what was asked for gets the mode, and at least what is needed above."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1, "db", S, ("db/1", X), tree=True))
    grant = manager.grants[token(1)]
    assert manager.resources["db"].demand_of(grant) is SIX
    give(manager, convert(a, 2, 1, S))
    assert manager.resources["db"].demand_of(grant) is S
    give(manager, convert(a, 3, 1, IX))
    assert manager.resources["db"].demand_of(grant) is IX
    assert manager.resources["db/1"].demand_of(grant) is IX
