"""lockd/onlookers/long_holds.py: a grant that is held for long is told of, and nobody is woken for nothing."""

from __future__ import annotations

import gc

from lockd.core.events import ProcessExited
from lockd.core.state import Request
from support.core import acquire, adopt, hand_over, make_manager, release
from support.onlookers import Scene, fields_of, told


def test_a_long_hold_is_told_of_once_and_that_it_is_over() -> None:
    scene = Scene(long_hold_seconds=60.0)
    a, b, *_ = scene.sessions
    with told() as records:
        grant = scene.play(acquire(a, 1, "db", label="nightly"), acquire(b, 1, "db"))
        scene.wait_until(59.9)
        assert records == []
        scene.wait_until(500.0)
        scene.play(release(a, 2, grant))
    assert [record.getMessage() for record in records] == [
        '"db" has been held for 1 min by pid 1 (program 1, "nightly"); 1 waits for it',
        '"db" was held for 8 min 20 s by pid 1 (program 1, "nightly"), and is no longer',
    ]
    assert [fields_of(record)["event"] for record in records] == ["long_hold", "long_hold_over"]
    assert fields_of(records[0]) == {
        **{"event": "long_hold", "name": ("db",), "pid": 1, "uid": 1000, "program": "program 1", "label": "nightly"},
        **{"session": a, "token": scene.manager.last_token - 1, "waiters": 1},
    }


def test_each_grant_is_told_of_when_it_is_due() -> None:
    scene = Scene(long_hold_seconds=10.0)
    a, *_ = scene.sessions
    scene.play(acquire(a, 1, "one"), at=0.0)
    scene.play(acquire(a, 2, "two"), at=4.0)
    short = scene.play(acquire(a, 3, "three"), at=5.0)
    scene.play(release(a, 4, short), at=6.0)
    with told() as records:
        scene.wait_until(13.0)
        assert [fields_of(record)["name"] for record in records] == [("one",)]
        scene.wait_until(100.0)
    assert [fields_of(record)["name"] for record in records] == [("one",), ("two",)]
    holds = scene.lookout.long_holds
    assert holds is not None
    assert (len(holds), holds.total) == (2, 2)


def test_nobody_is_woken_while_nothing_is_held_or_all_that_is_was_told_of() -> None:
    scene = Scene(long_hold_seconds=10.0)
    a, *_ = scene.sessions
    assert scene.timers.due == []
    scene.play(acquire(a, 1, "db"))
    assert len(scene.timers.due) == 1
    with told():
        scene.wait_until(10.0)
    assert scene.timers.due == []


def test_many_pairs_take_one_timer() -> None:
    scene = Scene(long_hold_seconds=10.0)
    a, *_ = scene.sessions
    for number in range(1, 200, 2):
        grant = scene.play(acquire(a, number, "db"), at=number / 100)
        scene.play(release(a, number + 1, grant))
    assert len(scene.timers.due) == 1
    with told() as records:
        scene.wait_until(100.0)
    assert (records, scene.timers.due) == ([], [])


def test_a_hundred_long_holds_are_not_a_hundred_lines() -> None:
    scene = Scene(long_hold_seconds=10.0)
    a, *_ = scene.sessions
    scene.play(*(acquire(a, number, f"db {number}") for number in range(1, 101)))
    with told() as records:
        scene.wait_until(10.0)
    assert len(records) == 11
    assert records[-1].getMessage() == "90 more grants have been held for 10 s or longer"
    assert scene.lookout.long_holds is not None
    assert scene.lookout.long_holds.total == 100


def test_what_is_held_when_the_daemon_starts_counts_from_when_it_was_granted() -> None:
    before = Scene(long_hold_seconds=0)
    a, *_ = before.sessions
    before.play(acquire(a, 1, "db"), at=5.0)
    manager = make_manager()
    manager.restore(before.manager.snapshot(), 20.0)
    scene = Scene(manager=manager, long_hold_seconds=60.0)
    with told() as records:
        scene.wait_until(64.9)
        assert records == []
        scene.wait_until(65.0)
        scene.play(ProcessExited(a))
    assert [fields_of(record)["event"] for record in records] == ["long_hold", "long_hold_over", "abandoned"]


def test_a_grant_that_is_handed_over_is_held_on() -> None:
    scene = Scene(long_hold_seconds=10.0)
    a, b, *_ = scene.sessions
    grant = scene.play(acquire(a, 1, "db"))
    scene.play(hand_over(a, 2, grant), adopt(b, 1), at=5.0)
    with told() as records:
        scene.wait_until(10.0)
    assert [fields_of(record)["pid"] for record in records] == [2]


def test_grants_that_have_ended_are_not_kept_until_they_would_be_due() -> None:
    scene = Scene(long_hold_seconds=10.0)
    a, *_ = scene.sessions
    scene.play(acquire(a, 1, "kept"), at=0.0)
    for number in range(2, 2000, 2):
        grant = scene.play(acquire(a, number, "db"), at=1.0)
        scene.play(release(a, number + 1, grant), at=1.0)
    there_are = [each for each in gc.get_objects() if isinstance(each, Request) and each.session.id == a]
    assert len(there_are) < 200
    with told() as records:
        scene.wait_until(100.0)
    assert [fields_of(record)["name"] for record in records] == [("kept",)]
