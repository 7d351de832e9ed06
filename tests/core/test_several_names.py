"""Requests for several names, and names as trees (R1, R2, R4, T1, T2)."""

from __future__ import annotations

import pytest

from lockd.core.actions import Failed, Reason
from lockd.core.events import Cancel, Disconnected, Item, ProcessExited, Tick
from lockd.core.modes import Mode
from lockd.core.trees import ancestors, with_ancestors
from support.core import (
    IS,
    IX,
    SIX,
    S,
    U,
    X,
    acquire,
    connect_many,
    give,
    granted,
    make_manager,
    permits,
    release,
    token,
    without_facts,
)


def test_all_are_granted_at_once_by_one_token() -> None:
    """R1, R5."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    assert give(manager, acquire(a, 1, "x", X, ("y", S), ("q", permits(1)))) == [granted(a, 1, 1)]
    assert {name: resource.demand_of(manager.grants[token(1)]) for name, resource in manager.resources.items()} == {
        "x": X,
        "y": S,
        "q": permits(1),
    }
    give(manager, release(a, 2, 1))
    assert not manager.resources


@pytest.mark.parametrize("missing", ["x", "y", "q"])
def test_without_one_it_has_none(missing: str) -> None:
    """R1, R3: it holds nothing while it waits, and a try was never there."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, missing, permits(2) if missing == "q" else X))
    request = acquire(b, 1, "x", X, ("y", S), ("q", permits(1)))
    assert without_facts(give(manager, request._replace(terms=request.terms._replace(timeout_seconds=0)))) == [
        Failed(b, 1, Reason.TIMEOUT)
    ]
    assert set(manager.resources) == {missing}
    assert give(manager, request._replace(id=2)) == []
    assert list(manager.grants) == [token(1)]
    # It keeps its place for all of them meanwhile.
    free = "y" if missing == "x" else "x"
    assert give(manager, acquire(c, 1, free, X)) == []
    assert give(manager, release(a, 2, 1)) == [granted(b, 2, 2)]
    assert give(manager, release(b, 3, 2)) == [granted(c, 1, 3)]


@pytest.mark.parametrize("makes_room", ["cancel", "time-out", "death", "window"])
def test_whoever_goes_leaves_every_line(makes_room: str) -> None:
    """R4: others wait on two names for a request that waits for a third, and go when that goes away."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, "x"))
    give(manager, acquire(b, 1, "x", X, ("y", X), ("z", X), timeout=1.0 if makes_room == "time-out" else None))
    assert give(manager, acquire(c, 1, "y")) == []
    assert give(manager, acquire(d, 1, "z", S)) == []
    if makes_room == "cancel":
        answers = give(manager, Cancel(b, 2, 1))
    elif makes_room == "time-out":
        answers = give(manager, Tick(), at=1.0)
    elif makes_room == "death":
        answers = give(manager, ProcessExited(b))
    else:
        assert give(manager, Disconnected(b)) == []
        answers = give(manager, Tick(), at=2.0)
    assert answers[-2:] == [granted(c, 1, 2), granted(d, 1, 3)]


def test_a_release_of_one_name_grants_a_request_that_stands_in_many_lines() -> None:
    """R4: by the name that was missing, and before whoever came later for another of them."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, "x"))
    give(manager, acquire(a, 2, "y"))
    give(manager, acquire(b, 1, "x", X, ("y", X)))
    give(manager, acquire(c, 1, "y", S))
    assert give(manager, release(a, 3, 2)) == []
    assert give(manager, acquire(d, 1, "y", S)) == []
    assert give(manager, release(a, 4, 1)) == [granted(b, 1, 3)]
    assert give(manager, release(b, 2, 3)) == [granted(c, 1, 4), granted(d, 1, 5)]


def test_readers_of_several_names_go_together() -> None:
    """R4, R5: each is out of all its lines before the next is looked at."""
    manager = make_manager()
    a, *readers = connect_many(manager, 6)
    give(manager, acquire(a, 1, "x"))
    for reader in readers:
        give(manager, acquire(reader, 1, "y", S, ("x", S), ("z", IS)))
    answers = give(manager, release(a, 2, 1))
    assert answers == [granted(reader, 1, number) for number, reader in enumerate(readers, start=2)]
    assert all(not resource.waiters_total for resource in manager.resources.values())


def test_the_names_above_a_name() -> None:
    """T1: whatever ends before a slash, but not the empty name."""
    assert list(ancestors("db/users/42")) == ["db", "db/users"]
    assert list(ancestors("db")) == []
    assert list(ancestors("/etc/passwd")) == ["/etc"]


@pytest.mark.parametrize(("mode", "intention"), [(IS, IS), (S, IS), (U, IS), (IX, IX), (SIX, IX), (X, IX)])
def test_a_name_in_a_tree_is_announced_above(mode: Mode, intention: Mode) -> None:
    """T1."""
    assert with_ancestors((Item("a/b/c", mode),)) == (
        Item("a", intention, is_asked=False),
        Item("a/b", intention, is_asked=False),
        Item("a/b/c", mode),
    )


def test_several_names_in_a_tree_need_each_ancestor_once() -> None:
    """T1: in the upper bound of what is needed, also where an ancestor was asked for itself. Semaphores have none."""
    asked = (Item("a/b/c", X), Item("a", S), Item("a/d", U), Item("q/r", permits(1)))
    assert with_ancestors(asked) == (
        Item("a", SIX),
        Item("a/b", IX, is_asked=False),
        Item("a/b/c", X),
        Item("a/d", U),
        Item("q/r", permits(1)),
    )


def test_the_whole_excludes_every_part_and_the_other_way_round() -> None:
    """T1."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "db/users/42", tree=True))
    assert give(manager, acquire(b, 1, "db/users/7", tree=True)) == [granted(b, 1, 2)]
    for number, mode in enumerate((X, SIX, U, S), start=1):
        refused = without_facts(give(manager, acquire(c, number, "db", mode, tree=True, timeout=0)))
        assert refused == [Failed(c, number, Reason.TIMEOUT)]
    assert give(manager, acquire(c, 5, "db", X, tree=True)) == []
    assert give(manager, release(a, 2, 1)) == []
    assert give(manager, release(b, 2, 2)) == [granted(c, 5, 3)]
    assert give(manager, acquire(a, 3, "db/new", S, tree=True)) == []
    assert give(manager, release(c, 6, 3)) == [granted(a, 3, 4)]


def test_without_a_tree_a_slash_means_nothing() -> None:
    """T1."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db"))
    assert give(manager, acquire(b, 1, "db/users")) == [granted(b, 1, 2)]


def test_what_nobody_asked_for_is_not_in_its_owners_way() -> None:
    """T2, R6: an owner may take the whole when it has a part, and a part when it has the whole. Others wait."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db/users", X, tree=True))
    assert give(manager, acquire(a, 2, "db", S, tree=True)) == [granted(a, 2, 2)]
    assert give(manager, acquire(a, 3, "db/groups", X, tree=True)) == [granted(a, 3, 3)]
    assert give(manager, acquire(b, 1, "db", IS)) == [granted(b, 1, 4)]
    assert give(manager, acquire(b, 2, "db", IX, owner=2)) == []
    [failed] = give(manager, acquire(a, 4, "db", IX))
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.DEADLOCK


def test_an_owner_goes_by_its_own_grants_when_the_others_have_gone() -> None:
    """T2, R4: it waits behind another reader of the whole, because of grants of which one is its own."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "db/1", X, tree=True))
    give(manager, acquire(b, 1, "db/2", X, tree=True))
    give(manager, acquire(c, 1, "db", S))
    give(manager, acquire(a, 2, "db", S, owner=1))
    assert give(manager, release(b, 2, 2)) == [granted(a, 2, 3)]
    assert give(manager, release(a, 3, 1)) == [granted(c, 1, 4)]
