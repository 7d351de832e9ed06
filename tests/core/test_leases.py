"""Leases, and holders that are told that somebody waits (rules L)."""

from __future__ import annotations

import pytest

from lockd.core.actions import Done, EndReason, LossReason, Lost, Resumed, SessionEnded, YieldRequested
from lockd.core.events import Cancel, Disconnected, Resume, Tick
from support.core import (
    IS,
    IX,
    NO_FACTS,
    S,
    X,
    acquire,
    adopt,
    connect_many,
    convert,
    give,
    granted,
    hand_over,
    make_manager,
    permits,
    release,
    token,
    without_facts,
)


def test_while_nobody_waits_nothing_happens() -> None:
    """L2: and nothing is due."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, lease=30.0))
    assert manager.next_deadline() is None
    assert give(manager, Tick(), at=1000.0) == []
    # Somebody comes: what has run out long ago is due at once, though not before the event that made it so (W2).
    assert give(manager, acquire(b, 1), at=1000.0) == []
    assert manager.next_deadline() == 1000.0
    lost = Lost(a, token(1), LossReason.LEASE)
    assert without_facts(give(manager, Tick(), at=1000.0)) == [lost, granted(b, 1, 2)]
    assert give(manager, release(a, 2, 1, confirm=True), at=1000.0) == [Done(a, 2)]
    assert manager.statistics().leases_taken_total == 1


def test_whoever_waited_may_be_gone_when_it_runs_out() -> None:
    """L2: it is due again when the next one comes."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, lease=30.0))
    give(manager, acquire(b, 1), at=10.0)
    assert manager.next_deadline() == 30.0
    give(manager, Cancel(b, 2, 1), at=20.0)
    assert give(manager, Tick(), at=30.0) == []
    assert manager.next_deadline() is None
    give(manager, acquire(b, 3), at=40.0)
    assert without_facts(give(manager, Tick(), at=41.0)) == [Lost(a, token(1), LossReason.LEASE), granted(b, 3, 2)]


def test_a_grant_that_is_released_in_time() -> None:
    """L1, L2: whether anybody has waited or not, nothing is due and nobody is told any more."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S, lease=1.0, yields=True))
    give(manager, acquire(a, 2, demand=S, lease=1.0, yields=True))
    give(manager, release(a, 3, 1))
    give(manager, acquire(b, 1))
    assert manager.next_deadline() == 1.0
    give(manager, release(a, 4, 2))
    assert manager.next_deadline() is None


def test_those_who_can_share_it_do_not_wait_for_it() -> None:
    """L2: a reader's lease is not taken for another reader that waits for a writer."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=IS, lease=1.0))
    give(manager, acquire(b, 1, demand=IX))
    give(manager, acquire(c, 1, demand=S))
    assert manager.next_deadline() is None
    assert give(manager, Tick(), at=5.0) == []


def test_a_detached_holder_outlives_its_lease() -> None:
    """L2, S8, I6: it has nothing left then but to be told so when it comes back."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, lease=1.0))
    give(manager, acquire(b, 1))
    give(manager, Disconnected(a))
    assert without_facts(give(manager, Tick(), at=1.0)) == [
        Lost(a, token(1), LossReason.LEASE),
        granted(b, 1, 2),
    ]
    lost = Lost(a, token(1), LossReason.LEASE)
    assert give(manager, Resume(a, manager.sessions[a].peer), at=2.0) == [Resumed(a, 1), lost]
    give(manager, release(a, 2, 1), at=2.0)
    assert give(manager, Disconnected(a), at=2.0) == [SessionEnded(a, EndReason.IDLE_DETACHED)]


def test_a_lease_counts_from_the_grant() -> None:
    """L2: however long it was waited for, and whoever waited already when it was granted."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1, lease=5.0))
    give(manager, acquire(c, 1))
    give(manager, release(a, 2, 1), at=20.0)
    assert manager.next_deadline() == 25.0


@pytest.mark.parametrize("second", ["db", "log"])
def test_a_holder_is_told_once(second: str) -> None:
    """L1: of a grant of several names, whoever waits for whichever. I11."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "db", X, ("log", X), yields=True))
    told = give(manager, acquire(b, 1, "log", X, ("db", X)))
    assert without_facts(told) == [YieldRequested(a, token(1), NO_FACTS)]
    assert give(manager, acquire(c, 1, second)) == []


def test_permits_are_asked_back() -> None:
    """L1, M3: every holder has some of what is wanted."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "pool", permits(1, 2), yields=True))
    give(manager, acquire(b, 1, "pool", permits(1, 2), yields=True))
    told = without_facts(give(manager, acquire(c, 1, "pool", permits(1, 2))))
    assert told == [YieldRequested(a, token(1), NO_FACTS), YieldRequested(b, token(2), NO_FACTS)]


def test_an_owner_is_not_told_of_itself() -> None:
    """L1: its own conversion waits for others."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S, yields=True))
    give(manager, acquire(b, 1, demand=S, yields=True))
    assert without_facts(give(manager, convert(a, 2, 1, X))) == [YieldRequested(b, token(2), NO_FACTS)]


def test_whoever_adopts_a_grant_is_told_too() -> None:
    """L1, H3: once more."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, yields=True))
    assert without_facts(give(manager, acquire(b, 1))) == [YieldRequested(a, token(1), NO_FACTS)]
    give(manager, hand_over(a, 2, 1))
    assert without_facts(give(manager, adopt(c, 1))) == [
        Lost(a, token(1), LossReason.HANDED_OVER),
        granted(c, 1, 1),
        YieldRequested(c, token(1), NO_FACTS),
    ]
