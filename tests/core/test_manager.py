"""The manager as a whole: what it promises to the shell."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from lockd.core.actions import Action
from lockd.core.events import Cancel, Disconnected, Event, OpenSession, Peer, ProcessExited, Tick
from lockd.core.manager import LockManager, Statistics
from lockd.core.records import Record
from support.campaign import QUOTAS, run
from support.core import EPOCH, WINDOW_SECONDS, S, acquire, connect_many, give, make_manager, release


def test_a_new_manager_has_nothing_and_waits_for_nothing() -> None:
    manager = make_manager()
    assert manager.statistics() == Statistics(*[0] * len(Statistics._fields))
    assert manager.next_deadline() is None
    assert manager.epoch == EPOCH
    assert give(manager, Tick(), at=5.0) == []


def test_statistics_tell_what_is_there_and_what_has_been() -> None:
    """I3."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, acquire(a, 2, "log", demand=S))
    give(manager, acquire(a, 3))
    give(manager, acquire(b, 1, timeout=1.0))
    give(manager, acquire(b, 2, "log", timeout=0))
    give(manager, acquire(c, 1))
    give(manager, acquire(c, 2, "log"))
    give(manager, Cancel(c, 3, 2))
    give(manager, Disconnected(c))
    give(manager, Tick(), at=1.0)
    give(manager, ProcessExited(b), at=1.0)
    assert manager.statistics() == Statistics(
        sessions=2,
        detached=1,
        names=2,
        grants=2,
        waiters=1,
        abandoned=0,
        granted_total=2,
        timeouts_total=2,
        cancels_total=1,
        deadlocks_total=1,
        reorders_total=0,
        leases_taken_total=0,
        breaks_total=0,
        deaths_total=1,
    )


def test_the_same_events_at_the_same_times_give_the_same_actions() -> None:
    class Recording(LockManager):
        def handle(self, event: Event, now: float) -> list[Action]:
            answers = super().handle(event, now)
            history.append((event, now, answers))
            return answers

        def restore(self, records: Iterable[Record], now: float) -> None:
            kept = list(records)
            super().restore(kept, now)
            history.append((kept, now, []))

    history: list[tuple[Event | list[Record], float, list[Action]]] = []
    run(seed=1, steps=300, make=Recording)
    again = LockManager(EPOCH, QUOTAS, WINDOW_SECONDS)
    for what, now, answers in history:
        if isinstance(what, list):
            again = LockManager(0, QUOTAS, WINDOW_SECONDS)
            again.restore(what, now)
        else:
            assert again.handle(what, now) == answers


def test_what_it_answered_is_the_shells_to_keep() -> None:
    manager = make_manager()
    first = give(manager, OpenSession(Peer(1, 1, 1), "", False))
    kept = list(first)
    give(manager, OpenSession(Peer(2, 2, 2), "", False))
    assert first == kept


def test_an_unknown_event_is_a_defect() -> None:
    """The shell ends the daemon then: the state is not to be trusted."""
    with pytest.raises(KeyError):
        # No type allows it, and that is the point.
        make_manager().handle("acquire", 0.0)  # type: ignore[arg-type]  # it is no event at all


def test_next_deadline_is_what_comes_first() -> None:
    """I8: a time-out or a window, and nothing once they have passed or mean nothing any more."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1, timeout=9.0))
    assert manager.next_deadline() == 9.0
    give(manager, acquire(c, 1, timeout=3.0))
    assert manager.next_deadline() == 3.0
    give(manager, Disconnected(c))
    assert manager.next_deadline() == WINDOW_SECONDS
    give(manager, Tick(), at=2.0)
    assert manager.next_deadline() == 3.0
    give(manager, Tick(), at=3.0)
    assert manager.next_deadline() == 9.0
    give(manager, release(a, 2, 1), at=4.0)
    assert manager.next_deadline() is None
