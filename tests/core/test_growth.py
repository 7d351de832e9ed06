"""Work does not grow with what it is not about (B2). Steps are counted, never time."""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest

from lockd.core import deadlock, resources
from lockd.core.events import Cancel, Disconnected, ProcessExited, Query, Tick
from lockd.core.state import Request, Session
from support.campaign import run
from support.core import S, U, X, acquire, connect_many, convert, granted, make_manager, permits, release
from support.steps import Counted, Steps, connect_unchecked, roomy_manager, steps_of, with_waiters

FEW, MANY = 10, 5_000


@pytest.fixture(autouse=True)
def counted_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "OrderedDict", Counted)


def a_hand_over(number: int) -> int:
    manager, (a, b, _, _) = with_waiters(number)
    assert manager.handle(release(a, 2, 1), 50.0) == [granted(b, 1, 2)]
    return steps_of(manager, release(b, number + 1, 2))


def a_shared_hand_over_behind_a_writer(number: int) -> int:
    manager = make_manager()
    a, b, c, _ = connect_many(manager, 4)
    for request in range(1, 4):
        manager.handle(acquire(a, request, demand=S), 0.0)
    manager.handle(acquire(b, 1), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(c, request, demand=S, owner=request), 0.0)
    return steps_of(manager, release(a, 4, 1), release(a, 5, 2))


def an_arrival(number: int) -> int:
    manager, (_, _, c, d) = with_waiters(number)
    return steps_of(manager, acquire(c, 1), acquire(d, 1, timeout=0), acquire(d, 2, demand=S), Query(d, 3, "db"))


def a_cancel_of_the_last(number: int) -> int:
    manager, (_, b, _, _) = with_waiters(number)
    return steps_of(manager, Cancel(b, number + 1, number))


def a_cancel_among_many_grants(number: int) -> int:
    """Of a grant, and of something that never was."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    for request in range(1, number + 1):
        manager.handle(acquire(a, request, f"name {request}"), 0.0)
    session = manager.sessions[a]
    session.grants = Counted(session.grants)
    return steps_of(manager, Cancel(a, number + 1, 5), Cancel(a, number + 2, 0), release(a, number + 3, 7))


def a_hand_over_past_a_detached_session(number: int) -> int:
    """S5: those that are passed are not stepped over again and again."""
    manager, (a, b, c, d) = with_waiters(number)
    manager.handle(Disconnected(b), 0.0)
    manager.handle(acquire(c, 1), 50.0)
    manager.handle(acquire(d, 1), 50.0)
    assert manager.handle(release(a, 2, 1), 50.0) == [granted(c, 1, 2)]
    passed = manager.resources["db"].passed
    assert passed is not None
    assert len(passed) == number
    manager.resources["db"].passed = Counted(passed)
    return steps_of(manager, release(c, 2, 2), acquire(c, 3), release(d, 2, 3), Tick())


def a_permit_that_is_passed_on(number: int) -> int:
    """M3: whoever is in line for a semaphore bars all behind it."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    manager.handle(acquire(a, 1, "pool", permits(2)), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(b, request, "pool", permits(2), owner=request), 0.0)
    return steps_of(manager, release(a, 2, 1), release(b, number + 1, 2))


def a_conversion_that_has_its_way(number: int) -> int:
    """C2: however many wait in the queue."""
    manager, (a, _, _, _) = with_waiters(number)
    return steps_of(manager, convert(a, 2, 1, U), convert(a, 3, 1, X))


def the_second_of_two_names(number: int) -> int:
    """R4: with a long queue for the first one, which it leads."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    manager.handle(acquire(a, 1, "log"), 0.0)
    manager.handle(acquire(b, 1, "db", X, ("log", X)), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(c, request, owner=request), 0.0)
    return steps_of(manager, release(a, 2, 1), release(b, 2, 2))


def an_owner_for_whom_nobody_waits(number: int) -> int:
    """D6: it joins a long queue, and nobody looks who is before it there."""
    manager, (_, _, c, _) = with_waiters(number)
    manager.handle(acquire(c, 1, "log"), 0.0)
    return steps_of(manager, acquire(c, 2))


def a_reader_that_wants_to_write(number: int) -> int:
    """R6: its own names are looked through, or the readers, whichever are fewer."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    manager.handle(acquire(a, 1, demand=S), 0.0)
    for request in range(1, number + 1):
        manager.handle(acquire(b, request, demand=S, owner=request), 0.0)
    for subject, holders in [(manager.resources["db"], "_holders"), (manager.sessions[a], "grants")]:
        setattr(subject, holders, Counted(getattr(subject, holders)))
    # The holders that an answer names are the first few.
    return steps_of(manager, acquire(a, 2))


def a_release_among_many_readers(number: int) -> int:
    """Behind whom a writer waits, and a reader that has come later."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    for request in range(1, number + 1):
        manager.handle(acquire(a, request, demand=S, owner=request), 0.0)
    manager.handle(acquire(b, 1), 0.0)
    resource = manager.resources["db"]
    resource._holders = Counted(resource.holders)
    return steps_of(manager, release(a, number + 1, 5), acquire(c, 1, demand=S), Cancel(c, 2, 1), Cancel(b, 2, 1))


def a_wait_for_a_name_of_its_own(number: int) -> int:
    """Beside many who wait for names of their own. Somebody waits for this owner, so it is searched for circles."""
    manager = make_manager()
    a, b, c, d = connect_many(manager, 4)
    for request in range(1, number + 1):
        manager.handle(acquire(a, request, f"name {request}", owner=request), 0.0)
        manager.handle(acquire(b, request, f"name {request}", owner=request), 0.0)
    manager.handle(acquire(a, number + 1, "its own", owner=number + 1), 0.0)
    manager.handle(acquire(c, 1, "waited for"), 0.0)
    manager.handle(acquire(d, 1, "waited for"), 0.0)
    return steps_of(manager, acquire(c, 2, "its own"), Cancel(c, 3, 2))


def a_death_among_many(number: int) -> int:
    """S1: of one that has a name for which one waits."""
    manager = roomy_manager()
    sessions = [connect_unchecked(manager) for _ in range(number)]
    for session in sessions:
        manager.handle(acquire(session, 1, f"name {session}"), 0.0)
    manager.handle(acquire(sessions[1], 2, f"name {sessions[0]}"), 0.0)
    return steps_of(manager, ProcessExited(sessions[0]))


@pytest.mark.parametrize(
    "case",
    [
        a_hand_over,
        a_shared_hand_over_behind_a_writer,
        an_arrival,
        a_cancel_of_the_last,
        a_cancel_among_many_grants,
        a_hand_over_past_a_detached_session,
        a_reader_that_wants_to_write,
        a_release_among_many_readers,
        a_wait_for_a_name_of_its_own,
        an_owner_for_whom_nobody_waits,
        a_permit_that_is_passed_on,
        a_conversion_that_has_its_way,
        the_second_of_two_names,
        a_death_among_many,
    ],
    ids=lambda case: case.__name__,
)
def test_work_does_not_grow(case: Callable[[int], int]) -> None:
    """B2, D6: the same steps with ten waiters, grants or readers and with thousands."""
    assert case(FEW) == case(MANY)


def test_steps_are_counted() -> None:
    """What would grow is seen to grow."""
    queue = Counted((number, None) for number in range(FEW))
    Steps.taken = 0
    assert [len(list(view)) for view in (queue, queue.keys(), queue.values(), queue.items())] == [FEW] * 4
    assert Steps.taken == 4 * FEW


def test_a_search_for_whoever_waits_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """D6."""
    monkeypatch.setattr(deadlock, "_is_waited_for", lambda owner, resources: True)
    assert an_owner_for_whom_nobody_waits(FEW) < an_owner_for_whom_nobody_waits(10 * FEW)


def test_nobody_is_remembered() -> None:
    """I6: when all sessions have ended, no session and no request is in memory any more, in whatever corner."""
    gc.collect()
    before = remembered()
    manager = run(seed=3, steps=500).manager
    for session in list(manager.sessions):
        manager.handle(ProcessExited(session), 1e6)
    manager.handle(Tick(), 1e6)
    assert manager.next_deadline() is None
    # What has changed is kept until somebody has asked for it.
    manager.changes()
    gc.collect()
    assert remembered() == before


def remembered() -> int:
    return sum(isinstance(thing, Session | Request) for thing in gc.get_objects())
