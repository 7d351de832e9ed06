"""What is told about a name."""

from __future__ import annotations

import pytest

from lockd.core.actions import Failed, Holder, NameFacts, Reason, State, Waiting
from lockd.core.bounds import PLACES_COUNTED_MAX
from lockd.core.events import Disconnected, Peer, Query, Tick
from lockd.core.invariants import check
from lockd.core.resources import LockResource
from support.core import (
    IS,
    IX,
    SIX,
    S,
    U,
    X,
    acquire,
    connect_many,
    convert,
    give,
    granted,
    make_manager,
    release,
    token,
)


def test_a_name_that_nobody_holds() -> None:
    manager = make_manager()
    [a] = connect_many(manager, 1)
    assert give(manager, Query(a, 1, "db")) == [State(a, 1, NameFacts("db", (), 0, 0))]
    assert not manager.resources


def test_a_name_that_is_held_and_waited_for() -> None:
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, label="nightly run"), at=1.0)
    give(manager, acquire(b, 1), at=2.0)
    holder = Holder(Peer(1, 1000, 100), "program 1", "nightly run", X, 2.5, token(1), True)
    assert give(manager, Query(c, 1, "db"), at=3.5) == [State(c, 1, NameFacts("db", (holder,), 1, 1))]
    give(manager, Disconnected(a), at=4.0)
    holder = holder._replace(is_attached=False, held_seconds=3.0)
    assert give(manager, Query(c, 2, "db"), at=4.0) == [State(c, 2, NameFacts("db", (holder,), 1, 1))]


def test_the_first_four_holders_are_named() -> None:
    manager = make_manager()
    sessions = connect_many(manager, 6)
    for session in sessions:
        give(manager, acquire(session, 1, demand=S))
    [told] = give(manager, Query(sessions[0], 2, "db"))
    assert isinstance(told, State)
    assert [(holder.peer.pid, holder.demand) for holder in told.facts.holders] == [(1, S), (2, S), (3, S), (4, S)]
    assert told.facts.holders_total == 6


def test_a_time_out_tells_who_is_in_the_way() -> None:
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1), at=1.0)
    give(manager, acquire(b, 1), at=2.0)
    give(manager, acquire(c, 1, timeout=3.0), at=3.0)
    [failed] = give(manager, Tick(), at=6.5)
    holder = Holder(Peer(1, 1000, 100), "program 1", "", X, 5.5, token(1), True)
    # It counts itself: it was still there when it was looked at.
    facts = NameFacts("db", (holder,), 1, waiters_total=2, position=2, waited_seconds=3.5)
    assert failed == Failed(c, 1, Reason.TIMEOUT, facts)


def test_a_refused_try_tells_the_place_it_would_have_had() -> None:
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1), at=1.0)
    give(manager, acquire(b, 1), at=2.0)
    [failed] = give(manager, acquire(c, 1, timeout=0), at=3.0)
    assert isinstance(failed, Failed)
    assert failed.facts is not None
    assert (failed.facts.waiters_total, failed.facts.position, failed.facts.waited_seconds) == (1, 2, 0.0)


def test_whoever_may_be_passed_is_counted_but_is_not_ahead() -> None:
    """S5: position 1 is the next to be served."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1, timeout=20.0))
    give(manager, acquire(c, 1, timeout=10.0))
    give(manager, Disconnected(b))
    [failed] = give(manager, Tick(), at=10.0)
    assert isinstance(failed, Failed)
    assert failed.facts is not None
    assert (failed.facts.waiters_total, failed.facts.position) == (2, 1)
    failed, _ended = give(manager, Tick(), at=20.0)
    assert isinstance(failed, Failed)
    assert failed.facts is not None
    assert (failed.facts.waiters_total, failed.facts.position) == (1, 1)


@pytest.mark.parametrize(("ahead", "position"), [(0, 1), (PLACES_COUNTED_MAX - 1, PLACES_COUNTED_MAX)])
@pytest.mark.parametrize("behind", [0, 7])
def test_a_place_is_counted_out(ahead: int, position: int, behind: int) -> None:
    """B2: up to the bound."""
    assert position_behind(ahead, behind) == position


@pytest.mark.parametrize("ahead", [PLACES_COUNTED_MAX, PLACES_COUNTED_MAX + 1, 3 * PLACES_COUNTED_MAX])
def test_a_place_beyond_the_bound_is_not_counted_out(ahead: int) -> None:
    """B2: it is beyond, and that is all that is said."""
    assert position_behind(ahead, 0) == PLACES_COUNTED_MAX + 1


def position_behind(ahead: int, behind: int) -> int | None:
    """Let somebody time out who has that many waiters before and behind it."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    manager.handle(acquire(a, 1), 0.0)
    for number in range(1, ahead + behind + 1):
        if number == ahead + 1:
            manager.handle(acquire(c, 1, timeout=1.0), 0.0)
        manager.handle(acquire(b, number, owner=number), 0.0)
    if not behind:
        manager.handle(acquire(c, 1, timeout=1.0), 0.0)
    check(manager)
    [failed] = give(manager, Tick(), at=1.0)
    assert isinstance(failed, Failed)
    assert failed.facts is not None
    return failed.facts.position


def test_what_is_told_does_not_change_later() -> None:
    """R5: an answer that is sent late still says what was so."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    [told] = give(manager, Query(b, 1, "db"))
    before = repr(told)
    give(manager, release(a, 2, 1))
    assert repr(told) == before


def test_whoever_has_to_wait_is_told_if_it_asked_for_it() -> None:
    """R3: of a conversion as well, and not when there is no wait."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    assert give(manager, acquire(a, 1, demand=S, notice=True)) == [granted(a, 1, 1)]
    [told] = give(manager, acquire(b, 1, notice=True), at=2.0)
    assert isinstance(told, Waiting)
    assert (told.session, told.id, told.facts.name, told.facts.position) == (b, 1, "db", 1)
    assert [holder.peer.pid for holder in told.facts.holders] == [1]
    give(manager, acquire(b, 2, "log", demand=S, owner=2), at=2.0)
    give(manager, acquire(a, 2, "log", demand=S), at=2.0)
    [told] = give(manager, convert(a, 3, 3, X, notice=True), at=2.0)
    assert isinstance(told, Waiting)
    assert (told.id, told.facts.name, told.facts.position) == (3, "log", 1)


@pytest.mark.parametrize("timeout", [0, 5.0])
def test_those_who_may_be_passed_are_not_before_anybody(timeout: float) -> None:
    """S5: a try is told the same place as a wait, of a conversion too."""
    manager = make_manager()
    a, b, detached = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=U))
    give(manager, acquire(detached, 1, demand=IS))
    give(manager, convert(detached, 2, 3, IX))
    give(manager, acquire(detached, 3, owner=2))
    give(manager, Disconnected(detached))
    give(manager, Tick(), at=2.0)
    now = 2.0
    for event in (acquire(b, 2, timeout=timeout, owner=2), convert(a, 2, 1, U, timeout=timeout)):
        told = [*give(manager, event, at=now), *give(manager, Tick(), at=now + timeout)]
        [failed] = [action for action in told if isinstance(action, Failed)]
        assert failed.reason is Reason.TIMEOUT
        assert failed.facts is not None
        assert failed.facts.position == 1
        now += timeout


def test_the_strongest_mode_in_which_a_name_is_held() -> None:
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=IS))
    resource = manager.resources["db"]
    assert isinstance(resource, LockResource)
    assert resource.strongest_held() is IS
    give(manager, acquire(b, 1, demand=SIX))
    assert resource.strongest_held() is SIX
    give(manager, release(b, 2, 2))
    assert resource.strongest_held() is IS
