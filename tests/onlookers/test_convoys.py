"""lockd/onlookers/convoys.py: a queue that grows is told of, and that it is over."""

from __future__ import annotations

from lockd.core.events import Bye, Cancel, Tick
from support.core import S, X, acquire, release
from support.onlookers import Scene, fields_of, told


def test_a_convoy_is_told_of_when_it_has_so_many_again_when_it_has_doubled_and_when_it_is_over() -> None:
    scene = Scene(sessions=12, convoy_waiters=3)
    holder, *waiters = scene.sessions
    with told() as records:
        grant = scene.play(acquire(holder, 1, "db", label="nightly"))
        for number, waiter in enumerate(waiters, start=1):
            scene.play(acquire(waiter, 1, "db", S), at=float(number))
        assert len(scene.lookout.convoys or ()) == 1
        scene.play(release(holder, 2, grant), at=60.0)
    assert [record.getMessage() for record in records] == [
        '3 requests wait for "db", held by pid 1 (program 1, "nightly") for 3.0 s',
        '6 requests wait for "db", held by pid 1 (program 1, "nightly") for 6.0 s',
        'the queue for "db" is short again, after 57 s with up to 11 requests',
    ]
    assert [record.levelname for record in records] == ["WARNING", "WARNING", "INFO"]
    began, _, over = map(fields_of, records)
    assert began == {
        **{"event": "convoy", "name": "db", "waiters": 3, "pid": 1, "uid": 1000},
        "token": scene.manager.last_token - 11,
    }
    assert over == {"event": "convoy_over", "name": "db", "waiters": 11}
    convoys = scene.lookout.convoys
    assert convoys is not None
    assert (len(convoys), convoys.total) == (0, 1)


def test_it_is_over_when_half_of_it_is_left_however_that_came_about() -> None:
    scene = Scene(sessions=8, convoy_waiters=4)
    holder, *waiters = scene.sessions
    scene.play(acquire(holder, 1))
    one, two, three, four, *_ = waiters
    scene.play(acquire(one, 1), acquire(two, 1), acquire(three, 1), acquire(four, 1, timeout=5.0))
    convoys = scene.lookout.convoys
    assert convoys is not None
    assert len(convoys) == 1
    scene.play(Tick(), at=5.0)
    assert len(convoys) == 1
    scene.play(Cancel(one, 2, 1))
    assert len(convoys) == 0


def test_a_queue_that_comes_and_goes_is_told_of_once_a_minute() -> None:
    scene = Scene(convoy_waiters=2)
    a, b, c, _ = scene.sessions
    with told() as records:
        for number in range(1, 21):
            at, id = 10.0 * number, 10 * number
            grant = scene.play(acquire(a, id), acquire(b, id), acquire(c, id), at=at)
            scene.play(Cancel(b, id + 1, id), Cancel(c, id + 1, id), release(a, id + 1, grant))
    assert scene.lookout.convoys is not None
    assert scene.lookout.convoys.total == 20
    # Of 200 seconds: at the first, and then each time a minute has gone since the end of the last one that was told.
    assert [record.getMessage()[:5] for record in records] == ["2 req", "the q"] * 4


def test_what_is_remembered_of_names_is_bounded() -> None:
    scene = Scene(convoy_waiters=1)
    a, b, *_ = scene.sessions
    with told():
        for number in range(1, 3001):
            grant = scene.play(acquire(a, 3 * number, f"db {number}"), acquire(b, 3 * number, f"db {number}"))
            scene.play(Cancel(b, 3 * number + 1, 3 * number), release(a, 3 * number + 1, grant))
    convoys = scene.lookout.convoys
    assert convoys is not None
    assert len(convoys) == 0
    assert len(convoys._ended_at) <= 1024


def test_a_request_for_several_names_is_in_several_queues() -> None:
    scene = Scene(convoy_waiters=1)
    a, b, *_ = scene.sessions
    with told() as records:
        scene.play(acquire(a, 1, "db"), acquire(b, 1, "db", X, ("log", X)), Bye(b, 2))
    assert [fields_of(record)["name"] for record in records] == ["db", "log", "db", "log"]
    assert "nobody holds it" in records[1].getMessage()


def test_it_can_be_turned_off() -> None:
    scene = Scene(convoy_waiters=0)
    a, b, *_ = scene.sessions
    with told() as records:
        scene.play(acquire(a, 1), acquire(b, 1), Bye(b, 2))
    assert scene.lookout.convoys is None
    assert records == []
