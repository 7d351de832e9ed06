"""Grants that are entered several times (E1, E2)."""

from __future__ import annotations

import pytest

from lockd.core.actions import Failed, Reason
from lockd.core.bounds import Quotas
from lockd.core.events import Cancel, Demand, ProcessExited
from support.core import (
    IS,
    SIX,
    S,
    U,
    X,
    acquire,
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


@pytest.mark.parametrize(
    ("held", "wanted"),
    [(X, X), (X, S), (U, IS), (SIX, U), (permits(2, 3), permits(2, 3)), (permits(2, 3), permits(1, 3))],
)
def test_an_owner_gets_what_it_has_once_more(held: Demand, wanted: Demand) -> None:
    """E1: by the same token, also as a try, past all who wait."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=held))
    give(manager, acquire(b, 1, demand=held if isinstance(held, tuple) else X))
    for number, timeout in ((2, None), (3, 0.0)):
        assert give(manager, acquire(a, number, demand=wanted, reentrant=True, timeout=timeout)) == [
            granted(a, number, 1)
        ]
    assert manager.statistics().grants == 1


def test_each_release_takes_one_entry_away() -> None:
    """E2: and the last one the grant."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    for number in (1, 2, 3):
        give(manager, acquire(a, number, reentrant=True))
    give(manager, acquire(b, 1))
    assert give(manager, release(a, 4, 1)) == []
    assert give(manager, release(a, 5, 1)) == []
    assert give(manager, release(a, 6, 1)) == [granted(b, 1, 2)]


def test_all_of_it_or_it_is_no_re_entry() -> None:
    """E1: one grant has all the names, or it is another request."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1, "x", S, ("y", S)))
    assert give(manager, acquire(a, 2, "y", S, ("x", IS), reentrant=True)) == [granted(a, 2, 1)]
    assert give(manager, acquire(a, 3, "x", S, ("z", S), reentrant=True)) == [granted(a, 3, 2)]
    assert give(manager, acquire(a, 4, "z", S, ("x", S), reentrant=True)) == [granted(a, 4, 2)]


def test_what_a_tree_holds_above_counts() -> None:
    """E1, T1."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1, "db/1", X, tree=True))
    assert give(manager, acquire(a, 2, "db/1", S, reentrant=True, tree=True)) == [granted(a, 2, 1)]
    assert give(manager, acquire(a, 3, "db", IS, reentrant=True)) == [granted(a, 3, 1)]


@pytest.mark.parametrize("wanted", [X, U])
def test_what_is_more_than_is_held_is_no_re_entry(wanted: Demand) -> None:
    """E1, R6: that is what conversion is there for."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S, reentrant=True))
    give(manager, acquire(b, 1, demand=U))
    answers = without_facts(give(manager, acquire(a, 2, demand=wanted, reentrant=True, timeout=0)))
    assert answers == [Failed(a, 2, Reason.DEADLOCK if wanted is X else Reason.TIMEOUT)]


def test_re_entry_is_asked_for_and_per_owner() -> None:
    """E1, R6."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1, owner=1, reentrant=True))
    assert without_facts(give(manager, acquire(a, 2, owner=1))) == [Failed(a, 2, Reason.DEADLOCK)]
    assert give(manager, acquire(a, 3, owner=2, reentrant=True)) == []


def test_a_grant_that_is_being_handed_over_is_not_entered() -> None:
    """E1, H1: it would have to stay."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1, demand=S))
    give(manager, hand_over(a, 2, 1))
    assert give(manager, acquire(a, 3, demand=S, reentrant=True)) == [granted(a, 3, 2)]


def test_a_grant_is_entered_in_the_mode_that_it_has() -> None:
    """E1, C3."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1))
    give(manager, convert(a, 2, 1, S))
    assert without_facts(give(manager, acquire(a, 3, reentrant=True))) == [Failed(a, 3, Reason.DEADLOCK)]
    assert give(manager, acquire(a, 4, demand=S, reentrant=True)) == [granted(a, 4, 1)]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3), (2, 3, 1), (1, 3, 2), (3, 1, 2)])
def test_a_cancel_takes_the_entry_that_its_request_made(order: tuple[int, ...]) -> None:
    """W3, E2: in whatever order they are taken back. A second cancel of the same does nothing."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    for number in (1, 2, 3):
        give(manager, acquire(a, number, reentrant=True))
    give(manager, acquire(b, 1))
    *first, last = order
    request = 3
    for number in first:
        for _ in range(2):
            request += 1
            assert give(manager, Cancel(a, request, number)) == []
    assert give(manager, Cancel(a, request + 1, last)) == [granted(b, 1, 2)]


def test_a_release_never_takes_the_entry_that_a_cancel_will_ask_for() -> None:
    """W3, E2: whoever releases has read the answers to the oldest requests. The latest may still be taken back."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    for number in (1, 2, 3):
        give(manager, acquire(a, number, reentrant=True))
    give(manager, acquire(b, 1))
    assert give(manager, release(a, 4, 1)) == []
    assert give(manager, Cancel(a, 5, 3)) == []
    assert give(manager, Cancel(a, 6, 1)) == []
    assert give(manager, release(a, 7, 1)) == [granted(b, 1, 2)]


def test_an_entry_counts_as_a_grant() -> None:
    """B1: memory that a peer can use up is counted. When the grant ends all its entries do."""
    manager = make_manager(Quotas(grants_per_uid_max=3))
    a, b = connect_many(manager, 2)
    for number in (1, 2, 3):
        give(manager, acquire(a, number, reentrant=True))
    refused = Failed(a, 4, Reason.QUOTA, detail="uid 1000 has all the 3 grants it may have (grants_per_uid_max)")
    assert give(manager, acquire(a, 4, reentrant=True)) == [refused]
    give(manager, Cancel(a, 5, 2))
    assert give(manager, acquire(a, 6, reentrant=True)) == [granted(a, 6, 1)]
    give(manager, ProcessExited(a))
    assert [without_facts(give(manager, acquire(b, number, f"name {number}"))) for number in (1, 2, 3)] == [
        [granted(b, number, number + 1)] for number in (1, 2, 3)
    ]


def test_many_entries_of_one_grant() -> None:
    """E1, E2."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    for number in range(1, 1001):
        manager.handle(acquire(a, number, reentrant=True), 0.0)
    assert len(manager.sessions[a].entered) == 999
    for number in range(1001, 2000):
        manager.handle(release(a, number, 1), 0.0)
    assert list(manager.grants) == [token(1)]
    give(manager, release(a, 2000, 1))
    assert not manager.grants
