"""Semaphores, and what a name may be (M1 to M3)."""

from __future__ import annotations

import pytest

from lockd.core.actions import Failed, Reason
from lockd.core.events import Cancel, Demand, Disconnected, ProcessExited, Tick
from support.core import (
    S,
    X,
    acquire,
    connect_many,
    give,
    granted,
    make_manager,
    permits,
    release,
    without_facts,
)


def test_as_many_permits_as_there_are() -> None:
    """M1, I1: and no more."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    assert give(manager, acquire(a, 1, "q", permits(2, 5))) == [granted(a, 1, 1)]
    assert give(manager, acquire(b, 1, "q", permits(3, 5))) == [granted(b, 1, 2)]
    assert give(manager, acquire(c, 1, "q", permits(1, 5))) == []
    assert give(manager, release(a, 2, 1)) == [granted(c, 1, 3)]


def test_a_large_request_is_not_starved_by_small_ones() -> None:
    """M3: it stands at the head, and those behind it wait though there is room for them."""
    manager = make_manager()
    a, large, *small = connect_many(manager, 6)
    give(manager, acquire(a, 1, "q", permits(1, 4)))
    assert give(manager, acquire(large, 1, "q", permits(4, 4))) == []
    for session in small:
        assert give(manager, acquire(session, 1, "q", permits(1, 4))) == []
    refused = [Failed(a, 2, Reason.TIMEOUT)]
    assert without_facts(give(manager, acquire(a, 2, "q", permits(1, 4), timeout=0))) == refused
    assert give(manager, release(a, 3, 1)) == [granted(large, 1, 2)]
    answers = give(manager, release(large, 2, 2))
    assert answers == [granted(session, 1, number) for number, session in enumerate(small, start=3)]


@pytest.mark.parametrize("makes_room", ["cancel", "time-out", "death", "window"])
def test_those_behind_a_large_request_go_when_it_goes(makes_room: str) -> None:
    """M3, R4."""
    manager = make_manager()
    a, large, small = connect_many(manager, 3)
    give(manager, acquire(a, 1, "q", permits(1, 2)))
    give(manager, acquire(large, 1, "q", permits(2, 2), timeout=1.0 if makes_room == "time-out" else None))
    assert give(manager, acquire(small, 1, "q", permits(1, 2))) == []
    if makes_room == "cancel":
        answers = give(manager, Cancel(large, 2, 1))
    elif makes_room == "time-out":
        answers = give(manager, Tick(), at=1.0)
    elif makes_room == "death":
        answers = give(manager, ProcessExited(large))
    else:
        assert give(manager, Disconnected(large)) == []
        answers = give(manager, Tick(), at=2.0)
    assert answers[-1] == granted(small, 1, 2)


def test_a_request_that_gets_permits_bars_fewer_than_one_that_waits_for_them() -> None:
    """R4, M3: those behind it in the line of the semaphore go when it is granted because of another name."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "x"))
    assert give(manager, acquire(b, 1, "x", X, ("q", permits(1)))) == []
    assert give(manager, acquire(c, 1, "q", permits(1))) == []
    assert give(manager, release(a, 2, 1)) == [granted(b, 1, 2), granted(c, 1, 3)]


def test_permits_of_one_owner_count_against_itself() -> None:
    """M3: it has one, and one is left."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "q", permits(1)))
    assert give(manager, acquire(a, 2, "q", permits(1))) == [granted(a, 2, 2)]
    assert give(manager, acquire(b, 1, "q", permits(1))) == []
    assert give(manager, release(a, 3, 1)) == [granted(b, 1, 3)]


@pytest.mark.parametrize(
    ("there", "wanted", "reason", "detail"),
    [
        (X, permits(1), Reason.KIND_MISMATCH, '"it" is in use as a lock and was asked for as a semaphore'),
        (permits(1), S, Reason.KIND_MISMATCH, '"it" is in use as a semaphore and was asked for as a lock'),
        (permits(1), permits(1, 3), Reason.LIMIT_MISMATCH, '"it" is in use with a limit of 2 and was asked for with 3'),
    ],
)
@pytest.mark.parametrize("is_held", [True, False])
def test_a_name_stays_what_it_is(there: Demand, wanted: Demand, reason: Reason, detail: str, is_held: bool) -> None:
    """M2: as long as anybody has it or waits for it, whatever else is asked for at the same time."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "other"))
    give(manager, acquire(b, 1, "it", there) if is_held else acquire(b, 1, "other", X, ("it", there)))
    refused = Failed(c, 1, reason, detail=detail)
    assert give(manager, acquire(c, 1, "free", X, ("it", wanted))) == [refused]
    assert give(manager, acquire(c, 2, "it", wanted, timeout=0)) == [refused._replace(id=2)]
    assert "free" not in manager.resources
    give(manager, ProcessExited(b))
    assert without_facts(give(manager, acquire(c, 3, "it", wanted))) == [granted(c, 3, 3 if is_held else 2)]


def test_what_is_above_in_a_tree_cannot_be_a_semaphore() -> None:
    """M2, T1."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "pool", permits(1)))
    [failed] = give(manager, acquire(b, 1, "pool/1", tree=True))
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.KIND_MISMATCH
