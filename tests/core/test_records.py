"""What is recorded, and what comes of it. That it is enough is shown by the campaigns, which go on after restarts: see
`test_stateful`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import pytest

from lockd.core.abandoned import Record as Abandoned
from lockd.core.actions import NotResumed, Resumed
from lockd.core.events import Bye, Disconnected, Event, Peer, ProcessExited, Query, Resume, Tick
from lockd.core.invariants import check
from lockd.core.manager import LockManager
from lockd.core.records import AbandonedGone, Record, RequestRecord, SessionGone, SessionRecord
from lockd.core.restoration import Restoration
from support.campaign import QUOTAS, run
from support.core import (
    EPOCH,
    WINDOW_SECONDS,
    S,
    X,
    acquire,
    connect,
    connect_many,
    convert,
    give,
    granted,
    hand_over,
    make_manager,
    release,
    token,
    without_facts,
)
from support.kept import Source

CAMPAIGNS = 10


def restored(records: Iterable[Record], now: float) -> LockManager:
    manager = LockManager(0, QUOTAS, WINDOW_SECONDS)
    manager.restore(records, now)
    check(manager)
    return manager


def described(records: Iterable[Record]) -> dict[str, object]:
    """Return what records come to, without the ids of requests that had no effect."""
    restoration = Restoration()
    for record in records:
        restoration.add(record)
    there = restoration._sessions
    return {
        "sessions": {number: record._replace(last_request=0) for number, record in there.items()},
        "grants": {
            # The place of a grant is one that it had as a waiter, and means nothing any more.
            number: record._replace(last_request=0, place=0)
            for number, record in restoration._grants.items()
            if record.session in there
        },
        "waiters": {
            number: record._replace(last_request=0)
            for number, record in restoration._waiters.items()
            if record.session in there
        },
        "abandoned": dict(restoration._abandoned),
    }


def _as_read(records: Iterable[Record], now: float) -> Iterator[Record]:
    """Return records as whoever reads them takes them: nothing is due before the end of the window (J3). That what was
    read was put off by an earlier restart is therefore no change."""
    for record in records:
        if isinstance(record, RequestRecord) and record.due_at is not None:
            yield record._replace(due_at=max(record.due_at, now + WINDOW_SECONDS))
        else:
            yield record


@pytest.mark.parametrize("seed", range(CAMPAIGNS))
def test_all_sources_come_to_the_same(seed: int) -> None:
    """J1: all changes, a snapshot that was taken in slices with the changes since, and a snapshot of now."""
    witness = run(seed, 150)
    changes, slices, snapshot = (described(_as_read(witness.kept.records(source), witness.now)) for source in Source)
    assert changes == slices == snapshot


@pytest.mark.parametrize("seed", range(CAMPAIGNS))
def test_what_was_there_comes_back(seed: int) -> None:
    """J3: everything but the sessions that have nothing to come back to."""
    witness = run(seed, 150)
    manager, now = witness.manager, witness.now
    kept = [session for session in manager.sessions.values() if not (session.is_idle or session.ends_at_eof)]
    there = {session.id for session in kept}
    expected = [
        record
        for record in _as_read(manager.snapshot(), now)
        if not isinstance(record, SessionRecord) or record.id in there
    ]
    again = restored(manager.snapshot(), now)
    found, wanted = described(again.snapshot()), described(expected)
    del found["abandoned"], wanted["abandoned"]
    assert found == wanted
    assert (again.last_token, again._book.last_session) == (manager.last_token, manager._book.last_session)
    assert not any(session.is_attached for session in again.sessions.values())
    # Nothing is left to be said about it.
    assert {record for record in again.changes() if not isinstance(record, SessionGone)} <= set(again._book.abandoned)


def changes_by(manager: LockManager, *events: Event) -> list[list[str]]:
    """Return the kinds of records that each event makes."""
    kinds = []
    for event in events:
        give(manager, event)
        kinds.append([type(record).__name__ for record in manager.changes()])
    return kinds


def test_what_an_event_changes_is_recorded_and_nothing_else() -> None:
    """J1, J2."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    assert [type(record).__name__ for record in manager.changes()] == ["SessionRecord", "SessionRecord"]
    assert changes_by(
        manager,
        acquire(a, 1, "db"),
        acquire(b, 1, "db", timeout=0),
        acquire(b, 2, "db"),
        Query(b, 3, "db"),
        Disconnected(a),
        Resume(a, Peer(1, 1000, 100)),
        hand_over(a, 2, 1),
        hand_over(a, 3, 1),
        release(a, 4, 1),
        release(a, 5, 1),
        ProcessExited(b),
    ) == [
        ["RequestRecord"],
        [],
        ["RequestRecord"],
        [],
        [],
        [],
        ["RequestRecord"],
        # The same ticket again.
        [],
        ["GrantGone", "RequestRecord"],
        [],
        ["SessionGone", "GrantGone", "Record"],
    ]


def test_what_several_events_change_is_recorded_once() -> None:
    """J1: of what became of a thing in between nobody need know, but that its token was given."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    manager.changes()
    for event in (acquire(a, 1, "db"), acquire(b, 1, "db"), acquire(a, 2, "log"), release(a, 3, 1)):
        give(manager, event)
    assert [(type(record).__name__, getattr(record, "token", None)) for record in manager.changes()] == [
        ("GrantGone", token(1)),
        ("RequestRecord", token(3)),
        ("RequestRecord", token(2)),
    ]
    assert manager.changes() == []


def test_a_wait_and_its_end_are_recorded() -> None:
    """J1."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    assert changes_by(
        manager,
        acquire(a, 1, "db", S),
        acquire(b, 1, "db", S),
        convert(a, 2, 1, X),
        release(b, 2, 2),
        acquire(b, 3, "db"),
        acquire(b, 4, "log"),
        ProcessExited(a),
    )[2:] == [
        ["RequestRecord"],
        # The conversion has ended with the grant that it was for, which has another mode now.
        ["GrantGone", "WaiterGone", "RequestRecord"],
        ["RequestRecord"],
        ["RequestRecord"],
        ["SessionGone", "GrantGone", "RequestRecord", "Record"],
    ]


def test_an_abandoned_name_that_is_seen_to_is_recorded() -> None:
    """J1, A2."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db"))
    give(manager, ProcessExited(a))
    give(manager, acquire(b, 1, "db"))
    give(manager, release(b, 2, 2))
    assert AbandonedGone("db") in manager.changes()


def test_a_session_that_ends_with_its_connection_has_abandoned_what_it_held() -> None:
    """J3, A1: its connection ended with the daemon. That counts as a change, or the next restart would tell it anew."""
    manager = make_manager()
    a, b = connect(manager, pid=1, ends_at_eof=True), connect(manager, pid=2)
    give(manager, acquire(a, 1, "db"))
    give(manager, acquire(a, 2, "log", S))
    give(manager, acquire(b, 1, "db"))
    records = list(manager.snapshot())
    again = restored(records, 5.0)
    peer = manager.sessions[a].peer
    assert again.changes() == [SessionGone(a), Abandoned("db", peer, "program 1", "", 5.0)]
    assert without_facts(give(again, Resume(b, Peer(2, 1000, 100)), 5.0)) == [Resumed(b, 1), granted(b, 1, 3)]
    assert list(again.grants) == [token(3)]


def test_what_ended_since_does_not_come_back() -> None:
    """J1: a thing that has gone is gone, whether it was recorded before or not."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    records: list[Record] = list(manager.snapshot())
    for event in (acquire(a, 1, "db"), acquire(b, 1, "db"), release(a, 2, 1), ProcessExited(b)):
        give(manager, event)
        records += manager.changes()
    again = restored(records, 0.0)
    assert (again.sessions, again.grants, again.resources) == ({}, {}, {})
    assert again.last_token == token(2)
    assert give(again, Resume(b, Peer(2, 1000, 100))) == [NotResumed(b)]
    assert connect(again) > b


def test_a_snapshot_knows_nothing_that_is_gone_when_it_is_asked() -> None:
    """J1: whatever goes while it is being taken, and was not asked for yet."""
    manager = make_manager()
    a, b, gone, dead = connect_many(manager, 4)
    give(manager, acquire(a, 1, "db"))
    give(manager, acquire(a, 2, "log"))
    give(manager, acquire(a, 3, "tmp"))
    give(manager, acquire(b, 1, "db"))
    give(manager, acquire(b, 2, "log", owner=2))
    give(manager, acquire(gone, 1, "gift"))
    give(manager, acquire(dead, 1, "cache"))
    give(manager, acquire(dead, 2, "attic"))
    give(manager, ProcessExited(dead))
    snapshot = manager.snapshot()
    records = list(islice(snapshot, 3))
    give(manager, release(a, 4, 3))
    records += islice(snapshot, 3)
    give(manager, release(a, 5, 2))
    give(manager, Bye(gone, 2))
    records += islice(snapshot, 1)
    give(manager, acquire(a, 6, "attic"))
    give(manager, release(a, 7, 8))
    records += snapshot
    assert [getattr(record, "id", None) for record in records] == [None, a, 1, 2, b, 1, None]
    assert records[-1] == manager._book.abandoned.get("cache")


def test_what_is_counted_begins_anew() -> None:
    """A total says what there has been since the manager was made."""
    manager = make_manager()
    a = connect(manager, pid=1)
    give(manager, acquire(a, 1, "db"))
    again = restored(manager.snapshot(), 0.0)
    assert again.statistics().granted_total == 0
    assert again.epoch == EPOCH
    give(again, acquire(connect(again, pid=2), 1, "log"))
    assert again.statistics().granted_total == 1


def test_losses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """S8: it is the oldest that is told no more."""
    monkeypatch.setattr("lockd.core.book.LOSSES_MAX", 2)
    manager = make_manager()
    a, b = connect_many(manager, 2)
    for number in (2, 3, 4):
        give(manager, acquire(a, 8 + number, f"name {number}", lease=0))
        give(manager, acquire(b, number, f"name {number}"))
        give(manager, Tick())
    assert list(manager.sessions[a].losses) == [token(3), token(5)]
