"""What happens elsewhere costs no walk for each who waits (B2, D6). Steps are counted, never time."""

from __future__ import annotations

import pytest

from lockd.core import names, progress
from lockd.core.actions import Failed, Reason
from lockd.core.manager import LockManager
from support.core import IX, S, U, X, acquire, connect_many, give, granted, make_manager, permits, release
from support.steps import steps_of


def a_release_for_those_who_are_behind_somebody_elsewhere(number: int) -> int:
    """Readers of two names; in the queue of the other there are as many before them, and the last of these bars."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    manager.handle(acquire(a, 1, "elsewhere", U), 0.0)
    manager.handle(acquire(a, 2, "here", IX, owner=2), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(b, request, "elsewhere", U, owner=request), 0.0)
    manager.handle(acquire(b, number + 1, "elsewhere", X, owner=number + 1), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(c, request, "here", S, ("elsewhere", S), owner=request), 0.0)
    return steps_of(manager, release(a, 3, 2))


def test_a_release_looks_once_at_those_who_wait_elsewhere() -> None:
    """B2."""
    few, many = (a_release_for_those_who_are_behind_somebody_elsewhere(number) for number in (50, 200))
    assert many < 5 * few


def test_a_walk_for_each_of_them_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(self: names.Names, request: object, here: object, elsewhere: dict[object, object]) -> bool:
        elsewhere.clear()
        return original(self, request, here, elsewhere)  # type: ignore[arg-type]  # as they came

    original = names.Names._has_no_obstacle
    monkeypatch.setattr(names.Names, "_has_no_obstacle", forget)
    few, many = (a_release_for_those_who_are_behind_somebody_elsewhere(number) for number in (50, 200))
    assert many > 5 * few


def one_by_one(number: int) -> tuple[LockManager, int]:
    """Owners each of whom can go when the one before has gone, and a circle in which a semaphore has a part.

    Returns the one whose next request closes the circle.
    """
    manager = make_manager()
    sessions = connect_many(manager, number + 4)
    *chain, first, closing, last = sessions
    give(manager, acquire(first, 1, "pool", permits(1, 1)))
    give(manager, acquire(closing, 1, "closed"))
    give(manager, acquire(last, 1, "step 0"))
    for position, session in enumerate(chain, start=1):
        give(manager, acquire(session, 1, f"step {position}"))
    for position, session in reversed([*enumerate(chain)]):
        others = [("closed", S)] if position == len(chain) - 1 else []
        give(manager, acquire(session, 2, "queue", S, (f"step {position}", S), *others))
    give(manager, acquire(first, 2, f"step {len(chain)}"))
    return manager, closing


def test_to_find_out_who_gets_on_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """D6: whoever has not gone by then is taken for stuck."""
    monkeypatch.setattr(progress, "_WAITERS_LOOKED_AT_MAX", 30)
    few, many = (
        steps_of(manager, acquire(closing, 2, "pool", permits(1, 1)))
        for manager, closing in (one_by_one(20), one_by_one(80))
    )
    assert many < 8 * few
    manager, closing = one_by_one(20)
    [refused] = manager.handle(acquire(closing, 2, "pool", permits(1, 1)), 0.0)
    assert isinstance(refused, Failed)
    assert refused.reason is Reason.DEADLOCK


def test_the_first_in_the_way_may_leave_while_others_are_looked_at() -> None:
    """R4, M: whoever waits behind somebody elsewhere goes when that one has gone, in the same look."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, "here", X, ("elsewhere", X)))
    give(manager, acquire(b, 1, "here", S, ("elsewhere", U)))
    give(manager, acquire(c, 1, "here", S, ("elsewhere", U)))
    give(manager, acquire(d, 1, "here", S, ("elsewhere", S)))
    assert give(manager, release(a, 2, 1)) == [granted(b, 1, 2), granted(d, 1, 3)]
    assert give(manager, release(b, 2, 2)) == [granted(c, 1, 4)]


def test_the_first_in_the_way_goes_itself() -> None:
    """R4: requests of one owner, which are not in each other's way once they are granted. The second is in the way of
    the third while it waits, and no more when it has gone; the fourth is behind it."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "here"))
    for request, demand in enumerate((S, X, S, X), start=1):
        assert give(manager, acquire(b, request, "here", S, ("elsewhere", demand))) == []
    assert give(manager, release(a, 2, 1)) == [granted(b, number, number + 1) for number in range(1, 5)]
