"""What administrators break (rules K), in every state that a grant can be in."""

from __future__ import annotations

import pytest

from lockd.core import book
from lockd.core.actions import (
    Broken,
    EndReason,
    Failed,
    Granted,
    LossReason,
    Lost,
    Reason,
    Resumed,
    SessionEnded,
)
from lockd.core.events import Break, Bye, Disconnected, Event, Inherit, OpenSession, Peer, Resume
from lockd.core.happenings import Happening
from lockd.core.manager import LockManager
from support.core import (
    IX,
    S,
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
from support.kept import Kept, Source


def broke(*numbers: int, why: str = "") -> Break:
    return Break(tuple(map(token, numbers)), why)


def lost(session: int, number: int, why: str = "") -> Lost:
    return Lost(session, token(number), LossReason.BROKEN, why)


def leaves_nothing(manager: LockManager) -> bool:
    """Whether nothing is held, waited for or named, once everybody who has something says goodbye."""
    for session in list(manager.sessions.values()):
        give(manager, Bye(session.id, session.last_request + 1), at=100.0)
    return not (manager.grants or manager.resources or manager.tickets or manager.accounts)


def test_the_holder_is_told_before_the_next_one_has_it() -> None:
    """K1, K2, A1, R4: who is told that the name was abandoned."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1))
    told = give(manager, broke(1, why="it hangs"), at=3.0)
    assert without_facts(told)[0] == lost(a, 1, "it hangs")
    assert isinstance(told[1], Granted)
    assert [(report.name, report.peer.pid) for report in told[1].abandoned] == [("db", 1)]
    assert told[2:] == [Broken((token(1),))]
    assert manager.happened == [
        (Happening.BROKEN, manager.happened[0][1]),
        (Happening.GRANTED, manager.grants[token(2)]),
    ]
    assert manager.statistics().breaks_total == 1
    # What it releases then has been released already, and it is told no more.
    assert give(manager, release(a, 2, 1), at=3.0) == []
    assert not manager.sessions[a].losses
    assert leaves_nothing(manager)


def test_what_nobody_holds_is_passed_over() -> None:
    """K1: and what is named twice is broken once."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1))
    assert give(manager, broke(7)) == [Broken(())]
    assert give(manager, broke(1, 7, 1)) == [lost(a, 1), Broken((token(1),))]
    assert give(manager, broke(1)) == [Broken(())]
    assert manager.statistics().breaks_total == 1


def test_several_grants_are_one_step() -> None:
    """K1: whoever waits for all of them goes once, when all are gone."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    give(manager, acquire(c, 1))
    told = give(manager, broke(1, 2))
    assert without_facts(told) == [lost(a, 1), lost(b, 2), granted(c, 1, 3), Broken((token(1), token(2)))]


def test_a_grant_of_several_names_in_a_tree_goes_as_a_whole() -> None:
    """K1, R1, T1, A1: with what it took above, which nobody abandoned."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db/users", X, ("pool", permits(2, 2)), ("log", S), tree=True))
    give(manager, acquire(b, 1, "db"))
    give(manager, acquire(b, 2, "pool", permits(1, 2)))
    give(manager, broke(1))
    assert [grant.id for grant in manager.sessions[b].grants.values()] == [1, 2]
    [one] = [record for record in manager._book.abandoned]
    assert one.name == "db/users"
    assert leaves_nothing(manager)


def test_what_was_entered_again_is_gone_with_all_entries() -> None:
    """K1, E2, B1."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(a, 2, reentrant=True))
    give(manager, acquire(a, 3, reentrant=True))
    give(manager, acquire(b, 1))
    told = give(manager, broke(1))
    assert [type(action) for action in told] == [Lost, Granted, Broken]
    assert list(manager.grants) == [token(2)]
    assert manager.accounts[1000].grants == 1
    # Each of its three holders in the process releases it, which does nothing.
    assert [give(manager, release(a, number, 1)) for number in (4, 5, 6)] == [[], [], []]
    assert leaves_nothing(manager)


@pytest.mark.parametrize("which", [1, 2])
def test_while_it_is_being_converted(which: int) -> None:
    """K1, C4: the conversion of what is broken is cancelled; one that waited for it goes on."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    give(manager, convert(a, 2, 1, X))
    told = without_facts(give(manager, broke(which)))
    if which == 1:
        assert told == [Failed(a, 2, Reason.CANCELLED), lost(a, 1), Broken((token(1),))]
    else:
        assert told == [lost(b, 2), granted(a, 2, 1), Broken((token(2),))]
    assert leaves_nothing(manager)


def test_its_ticket_is_worth_nothing_any_more() -> None:
    """K1, H2."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, hand_over(a, 2, 1))
    assert give(manager, broke(1)) == [lost(a, 1), Broken((token(1),))]
    [failed] = give(manager, adopt(b, 1))
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.NOT_OWNER
    assert leaves_nothing(manager)


def test_whoever_has_adopted_it_loses_it() -> None:
    """K1, H2: and not the one that it was granted to at first."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, hand_over(a, 2, 1))
    give(manager, adopt(b, 1))
    assert give(manager, broke(1)) == [lost(b, 1), Broken((token(1),))]
    assert [session.losses[token(1)].reason for session in manager.sessions.values()] == ["handed_over", "broken"]
    assert leaves_nothing(manager)


def test_a_detached_holder_is_told_when_it_comes_back() -> None:
    """K2, S8, I6: its session is there for that, and ends when it has been heard of."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1))
    give(manager, Disconnected(a))
    told = without_facts(give(manager, broke(1, why="gone fishing")))
    assert [type(action).__name__ for action in told] == ["Lost", "Granted", "Broken"]
    assert give(manager, Resume(a, Peer(1, 1000, 100))) == [Resumed(a, 1), lost(a, 1, "gone fishing")]
    give(manager, Disconnected(a))
    assert give(manager, Resume(a, Peer(1, 1000, 100))) == [Resumed(a, 1), lost(a, 1, "gone fishing")]
    give(manager, release(a, 2, 1))
    assert give(manager, Disconnected(a)) == [SessionEnded(a, EndReason.IDLE_DETACHED)]


@pytest.mark.parametrize("source", Source)
def test_another_daemon_tells_it_as_well(source: Source) -> None:
    """K2, J3, S8: with what was said."""
    manager = make_manager()
    kept = Kept(manager)

    def happen(event: Event) -> None:
        give(manager, event)
        kept.note()

    happen(OpenSession(Peer(1, 1000, 100), "", False))
    [a] = manager.sessions
    happen(acquire(a, 1))
    happen(acquire(a, 2, "log", IX))
    happen(broke(1, why="why"))
    happen(broke(2))
    again = kept.restarted(source, 1.0)
    assert not again.grants
    assert give(again, Resume(a, Peer(1, 1000, 100)), at=1.0) == [Resumed(a, 2), lost(a, 1, "why"), lost(a, 2)]
    give(again, release(a, 3, 1), at=1.0)
    give(again, Disconnected(a), at=1.0)
    assert give(again, Resume(a, Peer(1, 1000, 100)), at=1.0) == [Resumed(a, 3), lost(a, 2)]


def test_what_was_inherited_and_not_asked_for_yet() -> None:
    """K1, P4."""
    manager = make_manager()
    give(manager, OpenSession(Peer(1, 1000, 100, "one"), "", False, "first"))
    [first] = manager.sessions
    give(manager, acquire(first, 1))
    give(manager, acquire(first, 2, "log"))
    give(manager, Disconnected(first))
    give(manager, OpenSession(Peer(1, 1000, 100, "one"), "", False, "second"))
    [second] = set(manager.sessions) - {first}
    assert isinstance(give(manager, Inherit(second, 1, 1))[-1], Granted)
    assert give(manager, broke(2)) == [lost(second, 2), Broken((token(2),))]
    [failed] = give(manager, Inherit(second, 2, 1))
    assert isinstance(failed, Failed)
    assert failed.reason is Reason.NOTHING_INHERITED
    assert leaves_nothing(manager)


def test_what_an_earlier_program_lost_is_told_to_nobody() -> None:
    """P3, K2: its session ends as any other does that has nothing left."""
    manager = make_manager()
    give(manager, OpenSession(Peer(1, 1000, 100, "one"), "", False, "first"))
    [first] = manager.sessions
    give(manager, acquire(first, 1))
    give(manager, Disconnected(first))
    give(manager, broke(1))
    give(manager, OpenSession(Peer(1, 1000, 100, "one"), "", False, "second"))
    [second] = set(manager.sessions) - {first}
    ended, failed = give(manager, Inherit(second, 1, 1))
    assert ended == SessionEnded(first, EndReason.IDLE_DETACHED)
    assert isinstance(failed, Failed)


def test_a_lease_that_was_running() -> None:
    """K1, L2, I8: nothing is due any more."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, lease=5.0, yields=True))
    give(manager, acquire(b, 1))
    assert manager.next_deadline() == 5.0
    give(manager, broke(1))
    assert manager.next_deadline() is None
    # One that is taken in the same instant was taken before (W2).
    give(manager, release(b, 2, 2))
    give(manager, acquire(b, 3, lease=5.0))
    give(manager, acquire(a, 2))
    told = give(manager, broke(3), at=5.0)
    assert told[-1] == Broken(())
    assert manager.statistics().leases_taken_total == 1


def test_what_was_said_is_remembered_of_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """K2: it is told at once in any case."""
    monkeypatch.setattr(book, "LOSS_DETAILS_MAX", 2)
    manager = make_manager()
    [a] = connect_many(manager, 1)
    for number, name in enumerate(("one", "two", "three"), start=1):
        give(manager, acquire(a, number, name))
    told = give(manager, broke(1, 2, 3, why="why"))
    assert told[:3] == [lost(a, 1, "why"), lost(a, 2, "why"), lost(a, 3, "why")]
    again = give(manager, Resume(a, Peer(1, 1000, 100)))
    assert again[1:] == [lost(a, 1, "why"), lost(a, 2, "why"), lost(a, 3)]
