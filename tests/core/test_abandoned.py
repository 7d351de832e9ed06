"""What was held by somebody who did not release it (rules A)."""

from __future__ import annotations

import pytest

from lockd.core import abandoned
from lockd.core.actions import Abandonment, Granted
from lockd.core.events import Bye, Cancel, Demand, Event, Peer, ProcessExited, Tick
from lockd.core.manager import LockManager
from lockd.core.modes import Mode
from support.core import (
    IS,
    IX,
    SIX,
    S,
    U,
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
)


def told_about(manager: LockManager, event: Event, at: float = 0.0) -> list[tuple[str, int]]:
    """Return the names that a grant, which ``event`` brings about, reports as abandoned, and the pids of who did it."""
    grants = [action for action in give(manager, event, at) if isinstance(action, Granted)]
    return [(report.name, report.peer.pid) for grant in grants for report in grant.abandoned]


@pytest.mark.parametrize(
    ("demand", "is_abandoned"),
    [(X, True), (SIX, True), (U, True), (S, False), (IX, False), (IS, False), (permits(1, 2), True)],
)
def test_what_is_abandoned_by_a_death(demand: Demand, is_abandoned: bool) -> None:
    """A1, A2, A3."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db", demand, label="nightly run"), at=1.0)
    give(manager, ProcessExited(a), at=2.0)
    assert manager.statistics().abandoned == is_abandoned
    report = Abandonment("db", Peer(1, 1000, 100), "program 1", "nightly run", 3.0)
    [told] = give(manager, acquire(b, 1, "db", demand), at=5.0)
    assert told == granted(b, 1, 2)._replace(abandoned=(report,) * is_abandoned)


def test_until_somebody_has_seen_to_it() -> None:
    """A2: neither a reader nor a cancel nor another death does, but a release in X, or a Bye."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1))
    give(manager, ProcessExited(a))
    assert told_about(manager, acquire(b, 1, demand=S)) == [("db", 1)]
    give(manager, release(b, 2, 2))
    assert told_about(manager, acquire(b, 3)) == [("db", 1)]
    give(manager, Cancel(b, 4, 3))
    assert told_about(manager, acquire(c, 1)) == [("db", 1)]
    give(manager, ProcessExited(c))
    assert told_about(manager, acquire(d, 1)) == [("db", 3)]
    give(manager, Bye(d, 2))
    assert told_about(manager, acquire(b, 5)) == []


def test_several_names_of_one_grant() -> None:
    """A1, A2, A3, R1: each for itself, and who waited is told too."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db", X, ("log", S), ("pool", permits(2, 2))))
    give(manager, acquire(b, 1, "pool", permits(1, 2), ("db", X)))
    assert told_about(manager, ProcessExited(a)) == [("pool", 1), ("db", 1)]
    give(manager, release(b, 2, 2))
    assert told_about(manager, acquire(b, 3, "pool", permits(1, 2), ("db", X), ("log", X))) == []


def test_a_lease_that_is_taken() -> None:
    """A1, L2."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, lease=1.0))
    give(manager, acquire(b, 1), at=0.5)
    assert told_about(manager, Tick(), at=1.0) == [("db", 1)]


def test_the_oldest_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A4: what was abandoned again is no longer the oldest."""
    monkeypatch.setattr(abandoned, "ABANDONED_MAX", 3)
    manager = make_manager()
    *dying, last = connect_many(manager, 6)
    for number, name in enumerate(["one", "two", "three", "one", "four"]):
        give(manager, acquire(dying[number], 1, name))
        give(manager, ProcessExited(dying[number]))
    assert manager.statistics().abandoned == 3
    names = ["one", "two", "three", "four"]
    told = [told_about(manager, acquire(last, number, name)) for number, name in enumerate(names, start=1)]
    assert told == [[("one", 4)], [], [("three", 3)], [("four", 5)]]


@pytest.mark.parametrize(("mode", "is_settled"), [(S, True), (U, True), (X, False)])
def test_who_leaves_x_by_a_conversion_has_seen_to_it(mode: Mode, is_settled: bool) -> None:
    """A2."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, ProcessExited(a))
    give(manager, acquire(b, 1))
    give(manager, convert(b, 2, 2, mode))
    assert manager.statistics().abandoned == (not is_settled)
    give(manager, convert(b, 3, 2, S))
    assert told_about(manager, acquire(c, 1, demand=S)) == []


def test_whoever_adopts_is_told_as_well() -> None:
    """A2."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, ProcessExited(a))
    assert told_about(manager, acquire(b, 1)) == [("db", 1)]
    give(manager, hand_over(b, 2, 2))
    assert told_about(manager, adopt(c, 1)) == [("db", 1)]


def test_whose_exit_is_an_orderly_end() -> None:
    """A1, A2: it settles what was abandoned before, as a release would."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, ProcessExited(a))
    event = acquire(b, 1)
    assert told_about(manager, event._replace(terms=event.terms._replace(exit_releases=True))) == [("db", 1)]
    give(manager, ProcessExited(b))
    assert told_about(manager, acquire(c, 1)) == []


def test_what_was_abandoned_can_be_looked_at() -> None:
    """A1."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1, label="half way"))
    give(manager, ProcessExited(a), at=3.0)
    record = manager.abandoned.get("db")
    assert record is not None
    assert (record.peer.pid, record.label, record.at) == (1, "half way", 3.0)
    assert manager.abandoned.get("log") is None
