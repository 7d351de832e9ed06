"""Deadlines: what is due when (I8)."""

from __future__ import annotations

from lockd.core.deadlines import STALE_TOLERATED, Deadlines
from lockd.core.events import Peer
from lockd.core.state import Account, Session


def subject() -> Session:
    return Session(1, Peer(1, 1, 1), "", False, Account(), 0.0)


def heap_size(deadlines: Deadlines) -> int:
    return len(deadlines._heap)


def test_nothing_is_due_at_first() -> None:
    deadlines = Deadlines()
    assert deadlines.next() is None
    assert deadlines.pop_due(1e9) is None
    assert len(deadlines) == 0
    assert list(deadlines) == []


def test_what_is_due_comes_in_the_order_of_the_instants() -> None:
    deadlines, late, early = Deadlines(), subject(), subject()
    deadlines.set(late, 3.0)
    deadlines.set(early, 2.0)
    assert (late.due_at, early.due_at) == (3.0, 2.0)
    assert deadlines.next() == 2.0
    assert deadlines.pop_due(1.999) is None
    assert deadlines.pop_due(2.0) is early
    assert early.due_at is None
    assert deadlines.pop_due(2.0) is None
    assert deadlines.next() == 3.0
    assert deadlines.pop_due(9.0) is late
    assert deadlines.next() is None
    assert len(deadlines) == 0


def test_what_is_due_together_comes_in_the_order_in_which_it_was_set() -> None:
    deadlines, subjects = Deadlines(), [subject() for _ in range(20)]
    for one in subjects:
        deadlines.set(one, 5.0)
    assert [deadlines.pop_due(5.0) for _ in subjects] == subjects


def test_what_is_cleared_never_comes() -> None:
    deadlines, one, other = Deadlines(), subject(), subject()
    deadlines.set(one, 1.0)
    deadlines.set(other, 2.0)
    deadlines.clear(one)
    deadlines.clear(one)
    assert one.due_at is None
    assert (len(deadlines), list(deadlines)) == (1, [other])
    assert deadlines.pop_due(1.0) is None
    assert deadlines.next() == 2.0
    assert deadlines.pop_due(2.0) is other


def test_what_is_cleared_is_passed_over_also_when_it_is_asked_for_first() -> None:
    deadlines, one, other = Deadlines(), subject(), subject()
    deadlines.set(one, 1.0)
    deadlines.set(other, 2.0)
    deadlines.clear(one)
    assert deadlines.pop_due(3.0) is other


def test_a_deadline_can_be_set_again() -> None:
    deadlines, one = Deadlines(), subject()
    deadlines.set(one, 1.0)
    deadlines.clear(one)
    deadlines.set(one, 4.0)
    assert (len(deadlines), list(deadlines)) == (1, [one])
    assert deadlines.pop_due(2.0) is None
    assert deadlines.next() == 4.0


def test_the_heap_stays_as_small_as_what_is_waited_for() -> None:
    """Most deadlines are cleared long before they come, and the heap must not grow with those."""
    deadlines, kept = Deadlines(), [subject() for _ in range(10)]
    for one in kept:
        deadlines.set(one, 1.0)
    for _ in range(10_000):
        one = subject()
        deadlines.set(one, 1000.0)
        deadlines.clear(one)
        assert heap_size(deadlines) <= 2 * (len(kept) + 1) + STALE_TOLERATED
    assert [deadlines.pop_due(1.0) for _ in kept] == kept


def test_an_empty_heap_keeps_nobody_alive() -> None:
    deadlines = Deadlines()
    for number in range(STALE_TOLERATED // 2):
        one = subject()
        deadlines.set(one, float(number))
        deadlines.clear(one)
    assert deadlines.next() is None
    assert heap_size(deadlines) == 0
