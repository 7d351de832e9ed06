"""Who waits for whom, as it is shown."""

from __future__ import annotations

from typing import Any

from lockd.core.bounds import HOLDERS_DRAWN_MAX, HOLDERS_SEARCHED_MAX, WAITERS_DRAWN_MAX
from lockd.core.events import Disconnected, Tick
from lockd.core.graph import EDGES_MAX, waits
from lockd.core.manager import LockManager
from support.core import IS, IX, WINDOW_SECONDS, S, X, acquire, connect_many, convert, give, make_manager, permits


def edges(manager: LockManager, name: str = "db") -> list[tuple[Any, ...]]:
    """Return the graph of a name, everybody by the pid of the process."""
    return [
        (
            wait.waiter.session.peer.pid,
            None if wait.blocker is None else wait.blocker.session.peer.pid,
            "holds" if wait.is_hard else "comes first",
        )
        for wait in waits(manager.resources[name])
    ]


def test_a_name_for_which_nobody_waits_has_no_edges() -> None:
    """D8"""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1))
    assert edges(manager) == []


def test_a_waiter_waits_for_the_holders_in_its_way_and_for_the_nearest_before_it() -> None:
    """D8: 3 wants to read, and so is in nobody's way who reads."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=X))
    give(manager, acquire(c, 1, demand=S))
    give(manager, acquire(d, 1, demand=S))
    assert edges(manager) == [(2, 1, "holds"), (3, 2, "comes first"), (4, 2, "comes first")]


def test_the_nearest_of_several() -> None:
    """D8"""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    for session in (a, b, c, d):
        give(manager, acquire(session, 1))
    assert edges(manager) == [
        *((2, 1, "holds"), (3, 1, "holds"), (3, 2, "comes first")),
        *((4, 1, "holds"), (4, 3, "comes first")),
    ]


def test_a_conversion_waits_for_the_other_holders_alone() -> None:
    """C2, D8: and those behind wait for its new mode."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    give(manager, acquire(c, 1, demand=IX))
    give(manager, convert(a, 2, 1, X))
    assert edges(manager) == [(1, 2, "holds"), (3, 1, "holds"), (3, 2, "holds"), (3, 1, "comes first")]


def test_permits_that_a_process_has_itself_are_in_its_way() -> None:
    """M3, D8"""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=permits(1, 3)))
    give(manager, acquire(b, 1, demand=permits(1, 3)))
    give(manager, acquire(a, 2, demand=permits(2, 3)))
    # There is room for it, but it has to stay behind.
    give(manager, acquire(c, 1, demand=permits(1, 3)))
    assert edges(manager) == [(1, 1, "holds"), (1, 2, "holds"), (3, 1, "comes first")]


def test_whoever_may_be_passed_waits_and_is_in_nobodys_way() -> None:
    """S5, D8"""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    for session in (a, b, c, d):
        give(manager, acquire(session, 1))
    give(manager, Disconnected(c))
    give(manager, Tick(), at=WINDOW_SECONDS)
    assert edges(manager) == [
        *((2, 1, "holds"), (4, 1, "holds"), (4, 2, "comes first")),
        *((3, 1, "holds"), (3, 2, "comes first")),
    ]


def test_of_many_waiters_and_many_holders_the_first_are_shown() -> None:
    """D8, B2"""
    manager = make_manager()
    sessions = connect_many(manager, 2)
    for number in range(1, HOLDERS_DRAWN_MAX + 6):
        manager.handle(acquire(sessions[0], number, demand=S, owner=number), 0.0)
    for number in range(1, WAITERS_DRAWN_MAX + 6):
        manager.handle(acquire(sessions[1], number, owner=number), 0.0)
    found = list(waits(manager.resources["db"]))
    assert len({wait.waiter for wait in found}) == WAITERS_DRAWN_MAX
    assert len(found) == EDGES_MAX - 1
    assert [wait.blocker.token & 0xFF for wait in found[:HOLDERS_DRAWN_MAX] if wait.blocker] == [1, 2, 3, 4]


def test_a_holder_that_is_not_among_the_first_is_not_looked_for_and_that_is_said() -> None:
    """D8: who waits is never shown as waiting for nobody."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    for number in range(1, HOLDERS_SEARCHED_MAX + 1):
        manager.handle(acquire(a, number, demand=IS, owner=number), 0.0)
    manager.handle(acquire(b, 1, demand=IX), 0.0)
    manager.handle(acquire(c, 1, demand=S), 0.0)
    assert edges(manager) == [(3, None, "holds")]


def test_a_request_for_several_names_has_edges_where_somebody_is_in_its_way() -> None:
    """R1, D8"""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "log"))
    give(manager, acquire(b, 1, "db", X, ("log", X)))
    assert edges(manager, "db") == []
    assert edges(manager, "log") == [(2, 1, "holds")]
