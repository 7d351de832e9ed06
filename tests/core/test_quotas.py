"""How much there may be (B1)."""

from __future__ import annotations

from lockd.core.actions import Failed, Opened, Reason, Refused
from lockd.core.bounds import OWNER_WAITS_MAX, Quotas
from lockd.core.events import Cancel, OpenSession, Peer, ProcessExited
from support.core import S, acquire, connect, give, granted, make_manager, release, without_facts

ALICE, BOB = 1000, 2000


def open_session(uid: int) -> OpenSession:
    return OpenSession(Peer(1, uid, 1), "", False)


def test_sessions_of_one_uid() -> None:
    """B1: refused beyond the bound, welcome again when one has ended; others are not concerned."""
    manager = make_manager(Quotas(sessions_per_uid_max=2))
    first = connect(manager, uid=ALICE)
    connect(manager, uid=ALICE)
    detail = "uid 1000 has all the 2 sessions it may have (sessions_per_uid_max)"
    assert give(manager, open_session(ALICE)) == [Refused(detail)]
    assert manager.statistics().sessions == 2
    connect(manager, uid=BOB)
    give(manager, ProcessExited(first))
    assert isinstance(give(manager, open_session(ALICE))[0], Opened)


def test_sessions_of_all() -> None:
    """B1: a uid that is refused its first session leaves no account behind (I6)."""
    manager = make_manager(Quotas(sessions_max=1))
    connect(manager, uid=ALICE)
    detail = "the daemon has all the 1 sessions it may have (sessions_max)"
    assert give(manager, open_session(BOB)) == [Refused(detail)]
    assert list(manager.accounts) == [ALICE]


def test_a_quota_can_change() -> None:
    """B1, B2: who has more already keeps it, and gets nothing on top."""
    manager = make_manager()
    a, b = connect(manager, uid=ALICE), connect(manager, uid=ALICE)
    give(manager, acquire(a, 1, "one"))
    give(manager, acquire(a, 2, "two"))
    manager.set_quotas(Quotas(sessions_per_uid_max=1, grants_per_uid_max=1))
    assert isinstance(give(manager, open_session(ALICE))[0], Refused)
    [refused] = give(manager, acquire(b, 1, "three"))
    assert isinstance(refused, Failed)
    assert (manager.statistics().sessions, len(manager.grants)) == (2, 2)
    manager.set_quotas(Quotas())
    assert isinstance(give(manager, open_session(ALICE))[0], Opened)
    assert give(manager, acquire(b, 2, "three")) == [granted(b, 2, 3)]


def test_grants_of_one_uid() -> None:
    """B1: over all sessions of the uid, and a waiter counts, as it may be granted at any moment."""
    manager = make_manager(Quotas(grants_per_uid_max=2))
    a, b, c = connect(manager, uid=ALICE), connect(manager, uid=ALICE), connect(manager, uid=BOB)
    give(manager, acquire(a, 1, "one", demand=S))
    give(manager, acquire(c, 1, "two"))
    assert give(manager, acquire(b, 1, "two")) == []
    refused = Failed(b, 2, Reason.QUOTA, detail="uid 1000 has all the 2 grants it may have (grants_per_uid_max)")
    assert give(manager, acquire(b, 2, "one", demand=S)) == [refused]
    assert give(manager, acquire(b, 3, "one", timeout=0)) == [refused._replace(id=3)]
    assert give(manager, acquire(c, 2, "three")) == [granted(c, 2, 3)]
    give(manager, Cancel(b, 4, 1))
    assert give(manager, acquire(b, 5, "one", demand=S)) == [granted(b, 5, 4)]
    assert give(manager, acquire(b, 6, "one", demand=S)) == [refused._replace(id=6)]
    give(manager, release(a, 2, 1))
    assert give(manager, acquire(b, 7, "one", demand=S)) == [granted(b, 7, 5)]


def test_waiters_of_one_uid() -> None:
    """B1: only what would have to wait is refused. A try would not, and neither would what can be granted."""
    manager = make_manager(Quotas(waiters_per_uid_max=1))
    a, b, c = connect(manager, uid=ALICE), connect(manager, uid=ALICE), connect(manager, uid=BOB)
    give(manager, acquire(a, 1))
    assert give(manager, acquire(b, 1)) == []
    detail = "uid 1000 has all the 1 waiting requests it may have (waiters_per_uid_max)"
    assert give(manager, acquire(b, 2)) == [Failed(b, 2, Reason.QUOTA, detail=detail)]
    assert without_facts(give(manager, acquire(b, 3, timeout=0))) == [Failed(b, 3, Reason.TIMEOUT)]
    assert give(manager, acquire(b, 4, "log")) == [granted(b, 4, 2)]
    assert give(manager, acquire(c, 1)) == []
    assert without_facts(give(manager, acquire(a, 2))) == [Failed(a, 2, Reason.DEADLOCK)]
    assert give(manager, release(a, 3, 1)) == [granted(b, 1, 3)]
    assert give(manager, acquire(a, 4)) == []


def test_waits_of_one_owner() -> None:
    """B1: what can be granted is granted, and another owner of the same session may wait."""
    manager = make_manager()
    a, b = connect(manager), connect(manager)
    give(manager, acquire(a, 1))
    for number in range(1, OWNER_WAITS_MAX + 1):
        assert give(manager, acquire(b, number)) == []
    detail = "owner 1 waits for 64 other requests, the most at a time"
    refused = OWNER_WAITS_MAX + 1
    assert give(manager, acquire(b, refused)) == [Failed(b, refused, Reason.QUOTA, detail=detail)]
    assert give(manager, acquire(b, refused + 1, "log")) == [granted(b, refused + 1, 2)]
    assert without_facts(give(manager, Cancel(b, refused + 2, 1))) == [Failed(b, 1, Reason.CANCELLED)]
    assert give(manager, acquire(b, refused + 3)) == []
    assert give(manager, acquire(b, refused + 4, owner=2)) == []
