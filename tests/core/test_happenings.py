"""What onlookers are told (rules O)."""

from __future__ import annotations

from lockd.core.events import Bye, Cancel, Disconnected, Event, Malformed, Peer, ProcessExited, Resume, Tick
from lockd.core.happenings import Happening
from lockd.core.manager import LockManager
from support.core import (
    S,
    X,
    acquire,
    adopt,
    connect_many,
    convert,
    give,
    hand_over,
    make_manager,
    permits,
    release,
)

H = Happening


def told(manager: LockManager, event: Event, at: float = 0.0) -> list[tuple[Happening, int, int]]:
    """Return the happenings of an event, each with the pid and the id of the request."""
    give(manager, event, at)
    return [(happening, request.session.peer.pid, request.id) for happening, request in manager.happened]


def test_a_wait_and_its_grant() -> None:
    """O1: whoever does not wait begins with the grant; a release tells first of the end, then of who goes."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    assert told(manager, acquire(a, 1)) == [(H.GRANTED, 1, 1)]
    assert told(manager, acquire(b, 1)) == [(H.QUEUED, 2, 1)]
    assert told(manager, release(a, 2, 1)) == [(H.RELEASED, 1, 1), (H.GRANTED, 2, 1)]
    assert told(manager, Tick()) == []


def test_how_waits_end_without_a_grant() -> None:
    """O1."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    assert told(manager, acquire(b, 1, timeout=0)) == [(H.TIMED_OUT, 2, 1)]
    assert told(manager, acquire(b, 2, timeout=1.0)) == [(H.QUEUED, 2, 2)]
    assert told(manager, Tick(), at=1.0) == [(H.TIMED_OUT, 2, 2)]
    assert told(manager, acquire(b, 3), at=1.0) == [(H.QUEUED, 2, 3)]
    assert told(manager, Cancel(b, 4, 3), at=1.0) == [(H.CANCELLED, 2, 3)]
    assert told(manager, acquire(a, 2), at=1.0) == [(H.DEADLOCKED, 1, 2)]
    assert told(manager, acquire(b, 5, demand=permits()), at=1.0) == [(H.REFUSED, 2, 5)]
    assert told(manager, Malformed(b, 6, "no request"), at=1.0) == []
    assert told(manager, acquire(b, 7), at=1.0) == [(H.QUEUED, 2, 7)]
    assert told(manager, ProcessExited(b), at=1.0) == [(H.LEFT, 2, 7)]


def test_how_grants_end() -> None:
    """O1: a Bye is a release, any other end of a session is none, and a cancel takes back what was granted."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, lease=5.0))
    give(manager, acquire(b, 1), at=1.0)
    assert told(manager, Tick(), at=6.0) == [(H.LEASE_TAKEN, 1, 1), (H.GRANTED, 2, 1)]
    give(manager, acquire(c, 1), at=6.0)
    assert told(manager, ProcessExited(b), at=6.0) == [(H.ABANDONED, 2, 1), (H.GRANTED, 3, 1)]
    assert told(manager, Cancel(c, 2, 1), at=6.0) == [(H.CANCELLED, 3, 1)]
    give(manager, acquire(c, 3), at=6.0)
    assert told(manager, Bye(c, 4), at=6.0) == [(H.RELEASED, 3, 3)]


def test_a_grant_that_changes() -> None:
    """O1: another mode and another owner; a conversion that waits ends as a conversion."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    assert told(manager, convert(a, 2, 1, X)) == [(H.QUEUED, 1, 2)]
    assert told(manager, release(b, 2, 2)) == [(H.RELEASED, 2, 1), (H.CONVERTED, 1, 1)]
    give(manager, hand_over(a, 3, 1))
    give(manager, Resume(b, Peer(2, 1000, 100)))
    assert told(manager, adopt(b, 3)) == [(H.HANDED_OVER, 2, 3)]


def test_a_release_takes_back_the_conversion_that_waits() -> None:
    """O1, C4."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    give(manager, convert(a, 2, 1, X))
    assert told(manager, release(a, 3, 1)) == [(H.CANCELLED, 1, 2), (H.RELEASED, 1, 1)]


def test_a_waiter_that_is_moved_ahead() -> None:
    """O1, D4: c would wait for b, which waits behind a for what c holds."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1, "one", S))
    give(manager, acquire(c, 1, "two", X))
    give(manager, acquire(b, 1, "one", X, ("two", X)))
    happened = told(manager, acquire(c, 2, "one", S))
    assert happened == [(H.REORDERED, 3, 2), (H.GRANTED, 3, 2)]


def test_a_detached_session_that_ends_leaves() -> None:
    """O1, S1."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, acquire(b, 1, timeout=1.0))
    give(manager, Disconnected(b))
    assert told(manager, Tick(), at=1.0) == [(H.TIMED_OUT, 2, 1)]
