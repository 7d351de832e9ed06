"""A search for a deadlock grows with what it meets, and no faster (D6). Steps are counted, never time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lockd.core import deadlock
from lockd.core.manager import LockManager
from support.core import S, X, acquire, connect_many, make_manager, permits
from support.steps import connect_unchecked, roomy_manager, steps_of, with_waiters


def chain(number: int) -> tuple[LockManager, list[int]]:
    """So many processes of which each holds a name and waits for that of the next, and one more, at the end of them.

    Somebody waits for the first of them.
    """
    manager = roomy_manager()
    sessions = [connect_unchecked(manager) for _ in range(number + 1)]
    for position, session in enumerate(sessions):
        manager.handle(acquire(session, 1, f"name {position}"), 0.0)
    for position, session in enumerate(sessions[:-1]):
        assert manager.handle(acquire(session, 2, f"name {position + 1}"), 0.0) == []
    return manager, sessions


def a_search_along_a_chain(number: int) -> int:
    manager, _ = chain(number)
    a, b = connect_unchecked(manager), connect_unchecked(manager)
    for session in (a, b):
        manager.handle(acquire(session, 1, "waited for"), 0.0)
    return steps_of(manager, acquire(a, 2, "name 0"))


def a_chain_that_is_closed(number: int) -> int:
    manager, sessions = chain(number)
    taken = steps_of(manager, acquire(sessions[-1], 2, "name 0"))
    assert manager.statistics().deadlocks_total == 1
    return taken


def a_search_along_one_queue(number: int) -> int:
    manager, sessions = with_waiters(number)
    for session in sessions[2:]:
        manager.handle(acquire(session, 1, "waited for"), 0.0)
    return steps_of(manager, acquire(sessions[2], 2))


def a_search_along_a_queue_of_readers_and_writers(number: int) -> int:
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    manager.handle(acquire(a, 1), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(b, request, demand=S if request % 2 else X, owner=request), 0.0)
    for session in (c, d):
        manager.handle(acquire(session, 1, "waited for"), 0.0)
    return steps_of(manager, acquire(c, 2, demand=S))


def a_search_among_requests_for_several_names(number: int) -> int:
    """Each of those in the one line stands in another one as well."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    manager.handle(acquire(a, 1), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(b, request, "db", X, (f"name {request}", X), owner=request), 0.0)
    for session in (c, d):
        manager.handle(acquire(session, 1, "waited for"), 0.0)
    return steps_of(manager, acquire(c, 2))


def a_search_behind_many_readers(number: int) -> int:
    """Of whom each waits for a writer elsewhere."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    manager.handle(acquire(a, 1, "log"), 0.0)
    for owner in range(1, number + 1):
        manager.handle(acquire(b, 2 * owner, "db", S, owner=owner), 0.0)
        manager.handle(acquire(b, 2 * owner + 1, "log", S, owner=owner), 0.0)
    for session in (c, d):
        manager.handle(acquire(session, 1, "waited for"), 0.0)
    return steps_of(manager, acquire(c, 2))


def a_chain_of_semaphores_that_is_closed(number: int) -> int:
    """D3."""
    manager = roomy_manager()
    sessions = [connect_unchecked(manager) for _ in range(number + 1)]
    one = permits(1, limit=1)
    for position, session in enumerate(sessions):
        manager.handle(acquire(session, 1, f"name {position}", one), 0.0)
    for position, session in enumerate(sessions[:-1]):
        assert manager.handle(acquire(session, 2, f"name {position + 1}", one), 0.0) == []
    taken = steps_of(manager, acquire(sessions[-1], 2, "name 0", one))
    assert manager.statistics().deadlocks_total == 1
    return taken


LINEAR = [
    a_search_along_a_chain,
    a_chain_that_is_closed,
    a_search_along_one_queue,
    a_search_along_a_queue_of_readers_and_writers,
    a_search_among_requests_for_several_names,
    a_search_behind_many_readers,
    a_chain_of_semaphores_that_is_closed,
]


def growth(case: Callable[[int], int]) -> float:
    """Return how much more the second doubling adds than the first: 2 if work is linear, 4 if it is quadratic."""
    small, middle, large = case(50), case(100), case(200)
    return (large - middle) / (middle - small)


@pytest.mark.parametrize("case", LINEAR, ids=lambda case: case.__name__)
def test_a_search_for_a_deadlock_grows_with_those_that_it_meets(case: Callable[[int], int]) -> None:
    """D6: no faster than they become more."""
    assert growth(case) < 2.1


def test_a_line_that_is_gone_along_again_and_again_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(dict[object, object]):
        def get(self, key: object, default: object = None) -> None:
            """Nothing is known."""

    original = deadlock._Search.__init__

    def init(self: deadlock._Search, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        monkeypatch.setattr(self, "_lines", Forgetful())

    monkeypatch.setattr(deadlock._Search, "__init__", init)
    assert growth(a_search_among_requests_for_several_names) > 3
    assert growth(a_search_behind_many_readers) > 3
