"""What a process held before it became another program (rules P). Most of it is in the scenario of that name."""

from __future__ import annotations

from lockd.core.actions import EndReason, Failed, Granted, NameFacts, Opened, Reason, SessionEnded
from lockd.core.bounds import Quotas
from lockd.core.events import Disconnected, Inherit, Item, OpenSession, Peer
from lockd.core.manager import LockManager
from support.core import (
    IX,
    S,
    X,
    acquire,
    adopt,
    connect_many,
    give,
    granted,
    hand_over,
    make_manager,
    permits,
    release,
    token,
    without_facts,
)


def run_program(manager: LockManager, image: str, pid: int = 100, uid: int = 1000) -> int:
    """Open a session of a program that runs in the process with this pid."""
    peer = Peer(pid, uid, 100, f"process {pid}")
    [opened] = give(manager, OpenSession(peer, f"program {image}", False, image))
    assert isinstance(opened, Opened)
    return opened.session


def test_a_refusal_says_who_holds_it() -> None:
    """P2: what the earlier program holds of the name, and nothing of what others do."""
    manager = make_manager()
    earlier = run_program(manager, "first")
    [other] = connect_many(manager, 1)
    give(manager, acquire(other, 1, "db", S))
    give(manager, acquire(earlier, 1, "db", S, label="nightly run"))
    give(manager, Disconnected(earlier))
    [failed] = give(manager, acquire(run_program(manager, "second"), 1, "db"), at=9.0)
    assert isinstance(failed, Failed)
    assert isinstance(failed.facts, NameFacts)
    assert (failed.reason, failed.facts.name) == (Reason.HELD_BY_EARLIER_PROGRAM, "db")
    assert (failed.facts.holders_total, failed.facts.waiters_total) == (1, 0)
    [holder] = failed.facts.holders
    assert (holder.peer.pid, holder.program, holder.label) == (100, "program first", "nightly run")
    assert (holder.held_seconds, holder.is_attached) == (9.0, False)


def test_permits_of_its_own_count_against_itself() -> None:
    """P2, M3: with what the earlier program has there are never enough."""
    manager = make_manager()
    earlier = run_program(manager, "first")
    give(manager, acquire(earlier, 1, "pool", permits(1, 2)))
    give(manager, Disconnected(earlier))
    session = run_program(manager, "second")
    assert give(manager, acquire(session, 1, "pool", permits(1, 2))) == [granted(session, 1, 2)]
    assert without_facts(give(manager, acquire(session, 2, "pool", permits(1, 2)))) == [
        Failed(session, 2, Reason.HELD_BY_EARLIER_PROGRAM)
    ]


def test_whoever_inherits_a_grant_is_told_what_it_is_for() -> None:
    """P3: and whether it is of a tree. Nothing of it is abandoned."""
    manager = make_manager()
    earlier = run_program(manager, "first")
    give(manager, acquire(earlier, 1, "db/users", X, tree=True, label="nightly run"))
    give(manager, Disconnected(earlier))
    session = run_program(manager, "second", uid=1001)
    assert manager.earlier_sessions(session) == 1
    assert give(manager, Inherit(session, 1, 7)) == [
        SessionEnded(earlier, EndReason.IDLE_DETACHED),
        Granted(session, 1, token(1), (), (Item("db/users", X),), "nightly run", is_tree=True),
    ]
    assert manager.earlier_sessions(session) == 0
    assert (manager.accounts[1001].grants, 1000 in manager.accounts) == (1, False)
    assert give(manager, release(session, 2, 1)) == []
    assert manager.statistics().abandoned == 0


def test_two_grants_that_go_together_in_one_hand_only() -> None:
    """P3, P4, H4: they are the new owner's both, from the first moment on."""
    manager = make_manager()
    earlier = run_program(manager, "first")
    [other] = connect_many(manager, 1)
    give(manager, acquire(earlier, 1, "db/users", X, tree=True))
    give(manager, acquire(earlier, 2, "db", X))
    give(manager, acquire(other, 1, "db", IX))
    give(manager, Disconnected(earlier))
    session = run_program(manager, "second")
    assert granted(session, 1, 1) in without_facts(give(manager, Inherit(session, 1, 1)))
    assert {grant.session.id for grant in manager.grants.values()} == {session}
    # The other one is there and has not been asked for.
    assert manager.earlier_sessions(session) == 1
    assert without_facts(give(manager, Inherit(session, 2, 1))) == [granted(session, 2, 2)]
    assert manager.earlier_sessions(session) == 0
    assert give(manager, release(session, 3, 1)) == []
    assert give(manager, release(session, 4, 2)) == [granted(other, 1, 3)]


def test_what_is_taken_over_later_and_is_older_comes_first() -> None:
    """P3: by the tokens, whoever held it."""
    manager = make_manager()
    first, second = run_program(manager, "first"), run_program(manager, "second")
    for number, session in enumerate((first, second, second), start=1):
        give(manager, acquire(session, number, f"name {number}"))
    give(manager, Disconnected(second))
    session = run_program(manager, "third")
    assert granted(session, 1, 2) in without_facts(give(manager, Inherit(session, 1, 1)))
    give(manager, Disconnected(first))
    told = [give(manager, Inherit(session, number, 1)) for number in (2, 3)]
    assert [without_facts(actions)[-1] for actions in told] == [granted(session, 2, 1), granted(session, 3, 3)]


def test_what_is_entered_again_before_it_is_asked_for() -> None:
    """P4, E1, E2: the entries count as they do elsewhere, by whichever request."""
    manager = make_manager()
    earlier = run_program(manager, "first")
    give(manager, acquire(earlier, 1, "one"))
    give(manager, acquire(earlier, 2, "two"))
    give(manager, acquire(earlier, 3, "three"))
    give(manager, Disconnected(earlier))
    session = run_program(manager, "second")
    give(manager, Inherit(session, 1, 1))
    assert give(manager, acquire(session, 2, "two", reentrant=True)) == [granted(session, 2, 2)]
    assert give(manager, release(session, 3, 2)) == []
    # It goes by the request that entered it from now on, and has been told of.
    assert without_facts(give(manager, Inherit(session, 4, 1))) == [granted(session, 4, 3)]
    assert without_facts(give(manager, Inherit(session, 5, 1))) == [Failed(session, 5, Reason.NOTHING_INHERITED)]
    assert list(manager.grants) == [token(1), token(2), token(3)]


def test_no_quota_is_in_its_way() -> None:
    """P3: whatever uid the process has by now."""
    manager = make_manager(Quotas(grants_per_uid_max=1))
    earlier = run_program(manager, "first")
    give(manager, acquire(earlier, 1, "one"))
    give(manager, Disconnected(earlier))
    session = run_program(manager, "second", uid=1001)
    give(manager, acquire(session, 1, "two"))
    assert granted(session, 2, 1) in without_facts(give(manager, Inherit(session, 2, 1)))


def test_a_loss_that_was_not_heard_of_is_none_any_more() -> None:
    """P3, S8: what a process gave away and inherits again, it has."""
    manager = make_manager()
    giver, taker = run_program(manager, "first"), run_program(manager, "second")
    give(manager, acquire(giver, 1))
    give(manager, hand_over(giver, 2, 1))
    give(manager, acquire(taker, 1, "log"))
    give(manager, adopt(taker, 2))
    assert list(manager.sessions[giver].losses) == [token(1)]
    give(manager, Disconnected(taker))
    give(manager, Inherit(giver, 3, 1))
    assert not manager.sessions[giver].losses
    assert set(manager.grants) == {token(1), token(2)}
