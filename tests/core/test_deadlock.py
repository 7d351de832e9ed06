"""Who would wait for ever (rules D), beside what the scenarios show."""

from __future__ import annotations

import pytest

from lockd.core import deadlock
from lockd.core.actions import Action, EndReason, Failed, Reason, Reordered, SessionEnded
from lockd.core.bounds import STEPS_NAMED_MAX
from lockd.core.events import Cancel, Disconnected, Event, ProcessExited, Tick
from lockd.core.manager import LockManager
from support.core import (
    IS,
    WINDOW_SECONDS,
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
    token,
    without_facts,
)


def deadlocked(session: int, request: int) -> Failed:
    return Failed(session, request, Reason.DEADLOCK)


def bare(manager: LockManager, event: Event, at: float = 0.0) -> list[Action]:
    """Let ``event`` happen and return the answers without the circles in them."""
    told = without_facts(give(manager, event, at))
    return [action._replace(cycle=()) if isinstance(action, Reordered) else action for action in told]


@pytest.mark.parametrize("held", [1, 3, 100])
def test_an_owner_for_whom_somebody_waits_is_found(held: int) -> None:
    """D2, D6: whether it holds little or much, alone in its session or beside another owner."""
    for others in (0, 2):
        manager = make_manager()
        a, b = connect_many(manager, 2)
        for number in range(1, held + 1):
            give(manager, acquire(a, number, f"name {number}"))
        for number in range(1, others + 1):
            give(manager, acquire(a, held + number, f"other {number}", owner=2))
        give(manager, acquire(b, 1))
        give(manager, acquire(b, 2, f"name {held}"))
        assert bare(manager, acquire(a, 999)) == [deadlocked(a, 999)]
        assert manager.statistics().waiters == 1


def test_an_owner_that_waits_for_two_things_is_in_the_way_by_both() -> None:
    """D2: what it waits for at an earlier place is an edge to it."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(c, 1, "one"))
    give(manager, acquire(b, 1, "two"))
    # a holds nothing. b is behind a for "one", and a waits for "two" of b.
    give(manager, acquire(a, 1, "one"))
    give(manager, acquire(b, 2, "one"))
    told = bare(manager, acquire(a, 2, "two"))
    # b goes before a, which has nothing to lose by that.
    assert told == [Reordered(b, 2, ())]
    assert bare(manager, release(c, 2, 1)) == [granted(b, 2, 3)]
    assert bare(manager, release(b, 3, 3)) == [granted(a, 1, 4)]


def test_a_conversion_closes_a_circle_through_what_else_its_owner_waits_for() -> None:
    """D2, C2: it stands before the queue, and those who stand there wait for its owner now."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=IS))
    give(manager, acquire(b, 1, demand=IS))
    give(manager, acquire(c, 1, "log"))
    give(manager, acquire(a, 2, "log"))
    # c waits for b's conversion alone: nothing of it is held.
    give(manager, convert(b, 2, 2, X))
    assert bare(manager, acquire(c, 2, demand=S)) == [deadlocked(c, 2)]
    give(manager, Cancel(b, 3, 2))
    assert bare(manager, acquire(c, 3, demand=S)) == [granted(c, 3, 4)]


def test_a_refused_request_leaves_the_queues_as_they_were() -> None:
    """D4, D5: whichever orders were tried."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, "log"))
    give(manager, acquire(b, 1, demand=S))
    give(manager, acquire(c, 1, demand=S))
    give(manager, acquire(d, 1))
    give(manager, acquire(a, 2))
    queue = manager.resources["db"].queue
    assert queue is not None
    before = [(place, waiter.id, waiter.session.id) for place, waiter in queue.items()]
    assert bare(manager, acquire(b, 2, "log", S)) == [deadlocked(b, 2)]
    queue = manager.resources["db"].queue
    assert queue is not None
    assert [(place, waiter.id, waiter.session.id) for place, waiter in queue.items()] == before
    assert manager.statistics().reorders_total == 0


def closed_circle(manager: LockManager, steps: int) -> Failed:
    """Let so many owners of one process close a circle, and return the refusal."""
    [session] = connect_many(manager, 1)
    for owner in range(steps):
        manager.handle(acquire(session, owner + 1, f"name {owner}", owner=owner), 0.0)
    for owner in range(steps - 1):
        assert manager.handle(acquire(session, steps + owner + 1, f"name {owner + 1}", owner=owner), 1.0) == []
    [failed] = manager.handle(acquire(session, 2 * steps, "name 0", owner=steps - 1), 4.0)
    assert isinstance(failed, Failed)
    return failed


@pytest.mark.parametrize("steps", [1, 2, 40, STEPS_NAMED_MAX, STEPS_NAMED_MAX + 1])
def test_a_refusal_has_every_step_of_the_circle(steps: int) -> None:
    """D5: from the request itself on, up to a bound."""
    failed = closed_circle(make_manager(), steps)
    assert failed.cycle_total == steps
    assert [step.name for step in failed.cycle] == [f"name {number}" for number in range(steps)][:STEPS_NAMED_MAX]
    assert {step.blocker_seconds for step in failed.cycle} == {4.0}


def soft_deadlock(manager: LockManager, sessions: list[int]) -> Event:
    """Return what closes a circle that another order resolves."""
    a, b, c, d = sessions
    give(manager, acquire(a, 1, "one", S))
    give(manager, acquire(b, 1, "two", S))
    give(manager, acquire(c, 1, "one"))
    give(manager, acquire(d, 1, "two"))
    give(manager, acquire(a, 2, "two", S))
    return acquire(b, 2, "one", S)


def test_of_a_change_of_the_order_the_first_few_steps_are_told() -> None:
    """D4."""
    manager = make_manager()
    a, b, c, d, *others = connect_many(manager, 14)
    give(manager, acquire(a, 1, "one", S))
    give(manager, acquire(b, 1, "two", S))
    give(manager, acquire(c, 1, "one"))
    give(manager, acquire(d, 1, "two"))
    for number, session in enumerate(others):
        give(manager, acquire(session, 1, f"name {number}"))
    for number, session in enumerate(others[:-1]):
        give(manager, acquire(session, 2, f"name {number + 1}"))
    give(manager, acquire(a, 2, "name 0"))
    give(manager, acquire(others[-1], 2, "two", S))
    [moved, *_] = give(manager, acquire(b, 2, "one", S))
    assert isinstance(moved, Reordered)
    assert [step.name for step in moved.cycle] == ["one", "one", *(f"name {number}" for number in range(6))]


@pytest.mark.parametrize(("bound", "is_resolved"), [(16, True), (1, True), (0, False)])
def test_orders_are_tried_up_to_a_bound(bound: int, is_resolved: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4, D6: and beyond it the request is refused."""
    monkeypatch.setattr(deadlock, "_ORDERS_TRIED_MAX", bound)
    manager = make_manager()
    sessions = connect_many(manager, 4)
    b = sessions[1]
    told = bare(manager, soft_deadlock(manager, sessions))
    assert told == ([Reordered(b, 2, ()), granted(b, 2, 3)] if is_resolved else [deadlocked(b, 2)])
    assert manager.statistics().reorders_total == is_resolved


def test_no_further_order_is_tried_when_too_many_were_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """D6."""
    monkeypatch.setattr(deadlock, "_OWNERS_LOOKED_AT_MAX", 0)
    manager = make_manager()
    sessions = connect_many(manager, 4)
    assert bare(manager, soft_deadlock(manager, sessions)) == [deadlocked(sessions[1], 2)]


def test_two_that_move_do_not_get_the_same_place() -> None:
    """D4, I4: the second goes just before the first, or just behind."""
    manager = make_manager()
    a, b, c, d, e = connect_many(manager, 5)
    give(manager, acquire(a, 1, "one", S))
    give(manager, acquire(b, 1, "two", S))
    give(manager, acquire(e, 1, "three", S))
    give(manager, acquire(c, 1, "one", X, ("three", X)))
    give(manager, acquire(d, 1, "two"))
    # Both stay in line, behind something else that is held.
    keeper = connect_many(manager, 1)[0]
    give(manager, acquire(keeper, 1, "rest"))
    give(manager, acquire(a, 2, "two", S))
    assert Reordered(b, 2, ()) in bare(manager, acquire(b, 2, "one", S, ("rest", S)))
    give(manager, acquire(e, 2, "two", S, ("rest", S)))
    told = bare(manager, acquire(a, 3, "three", S, ("rest", S)))
    assert all(isinstance(action, Reordered) for action in told)
    assert bare(manager, release(keeper, 2, 4))


def test_a_circle_of_permits_in_which_somebody_gets_on() -> None:
    """D3: an owner that waits for several things goes when it can have them all."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, "pool", permits(1, 3)))
    give(manager, acquire(b, 1, "pool", permits(1, 3)))
    give(manager, acquire(c, 1, "pool", permits(1, 3)))
    give(manager, acquire(d, 1, "log"))
    give(manager, acquire(a, 2, "log"))
    give(manager, acquire(b, 2, "log"))
    # c brings one permit back, and two are wanted: a and b wait for the log of d.
    assert bare(manager, acquire(d, 2, "pool", permits(2, 3))) == [deadlocked(d, 2)]
    assert bare(manager, acquire(d, 3, "pool", permits(1, 3))) == []
    assert bare(manager, release(c, 2, 3)) == [granted(d, 3, 5)]


def test_permits_for_which_several_of_one_owner_wait() -> None:
    """D3: it will have used up those for which it waits at earlier places."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(b, 1, "pool", permits(2, 2)))
    give(manager, acquire(a, 1, "log"))
    assert bare(manager, acquire(a, 2, "pool", permits(1, 2))) == []
    assert bare(manager, acquire(a, 3, "pool", permits(2, 2))) == [deadlocked(a, 3)]
    assert bare(manager, acquire(a, 4, "pool", permits(1, 2))) == []
    give(manager, acquire(c, 1, "log"))
    assert bare(manager, release(b, 2, 1)) == [granted(a, 2, 3), granted(a, 4, 4)]


def test_a_lock_in_a_circle_with_permits() -> None:
    """D3: behind a writer that gets on, readers get on."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1, "pool", permits(1, 2)))
    give(manager, acquire(d, 1, "pool", permits(1, 2)))
    give(manager, acquire(b, 1, "db", S))
    give(manager, acquire(c, 1, "db", U))
    give(manager, convert(c, 2, 4, X))
    give(manager, acquire(a, 2, "db", S))
    assert bare(manager, acquire(b, 2, "pool", permits(1, 2))) == []
    assert bare(manager, release(d, 2, 2)) == [granted(b, 2, 5)]
    assert bare(manager, release(b, 3, 3)) == [granted(c, 2, 4)]
    assert bare(manager, release(c, 3, 4)) == [granted(a, 2, 6)]


def test_permits_for_which_a_process_waits_that_others_may_pass() -> None:
    """D3, S5: it is in nobody's way, and gets on behind those who pass it."""
    manager = make_manager()
    a, b, c, detached = connect_many(manager, 4)
    give(manager, acquire(a, 1, "pool", permits(1, 2)))
    give(manager, acquire(c, 1, "pool", permits(1, 2)))
    give(manager, acquire(b, 1, "tmp"))
    give(manager, acquire(detached, 1, "log"))
    give(manager, acquire(b, 2, "pool", permits(1, 2)))
    give(manager, acquire(detached, 2, "pool", permits(1, 2)))
    give(manager, Disconnected(detached))
    give(manager, Tick(), at=WINDOW_SECONDS)
    assert bare(manager, acquire(a, 2, "log", X, ("tmp", X)), at=3.0) == []
    assert bare(manager, release(c, 2, 2), at=3.0) == [granted(b, 2, 5)]


def test_a_process_that_others_may_pass_is_moved_ahead() -> None:
    """D4, S5: it still waits for those before it, in each of its lines."""
    manager = make_manager()
    a, b, keeper, detached = connect_many(manager, 4)
    give(manager, acquire(keeper, 1, "rest"))
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(detached, 1, "log"))
    give(manager, acquire(b, 1))
    give(manager, acquire(detached, 2, "db", S, ("rest", S)))
    give(manager, Disconnected(detached))
    give(manager, Tick(), at=WINDOW_SECONDS)
    assert bare(manager, acquire(a, 2, "log"), at=3.0) == [Reordered(detached, 2, ())]
    assert bare(manager, ProcessExited(detached), at=3.0) == [
        SessionEnded(detached, EndReason.PROCESS_EXITED),
        granted(a, 2, 4),
    ]


def test_an_owner_is_judged_again_when_it_gets_what_others_wait_for() -> None:
    """D7: a grant that comes while it waits, and closes a circle for which nobody asked."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, hand_over(a, 2, 1))
    give(manager, acquire(c, 1, "log"))
    give(manager, acquire(c, 2))
    give(manager, acquire(b, 1, "log"))
    told = bare(manager, adopt(b, 2))
    assert deadlocked(b, 1) in told
    assert bare(manager, release(b, 3, 1)) == [granted(c, 2, 3)]


def test_an_owner_that_gets_something_may_go_on() -> None:
    """D7, R4: what it holds now is in its own way no more."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db/users", X, tree=True))
    give(manager, hand_over(a, 2, 1))
    # It waits for a's announcement on the whole.
    assert bare(manager, acquire(b, 1, "db", S)) == []
    told = bare(manager, adopt(b, 2))
    assert granted(b, 1, 2) in told
    assert set(manager.grants) == {token(1), token(2)}


def test_whoever_gets_a_whole_gets_its_parts() -> None:
    """D7, T2: it waited for a part, because of somebody who hands it the whole."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, hand_over(a, 2, 1))
    assert bare(manager, acquire(b, 1, "db/users", S, tree=True)) == []
    assert granted(b, 1, 2) in bare(manager, adopt(b, 2))


def test_another_order_helps_an_owner_that_got_something() -> None:
    """D7, D4."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    give(manager, acquire(a, 1))
    give(manager, hand_over(a, 2, 1))
    give(manager, acquire(c, 1, "log", S))
    # d stands before b, waits for c, and c waits for what b adopts.
    give(manager, acquire(d, 1, "log"))
    give(manager, acquire(c, 2))
    give(manager, acquire(b, 1, "log", S))
    told = bare(manager, adopt(b, 2))
    assert Reordered(b, 1, ()) in told
    assert granted(b, 1, 3) in told
