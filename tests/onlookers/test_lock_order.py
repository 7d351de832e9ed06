"""lockd/onlookers/lock_order.py: opposite orders are found, and what shows no order is none."""

from __future__ import annotations

import pytest

from lockd.core.events import Bye, Cancel, ProcessExited
from lockd.core.modes import Mode
from lockd.onlookers import lock_order
from support.core import IS, IX, SIX, S, U, X, acquire, adopt, convert, hand_over, permits, release
from support.onlookers import Scene, fields_of, told


def found(scene: Scene) -> list[set[str]]:
    """Return the pairs that were found."""
    order = scene.lookout.lock_order
    assert order is not None
    assert order.total >= len(order.findings)
    return [set(pair) for pair in order.findings]


def take(
    scene: Scene, session: int, first: str, second: str, one: Mode = X, other: Mode = X, id: int = 1, owner: int = 1
) -> None:
    """Have an owner take two names, the second while it has the first, and release both."""
    outer = scene.play(acquire(session, id, first, one, owner=owner))
    inner = scene.play(acquire(session, id + 1, second, other, owner=owner))
    scene.play(release(session, id + 2, inner), release(session, id + 3, outer))


def test_opposite_orders_are_told_of_with_both_places_though_nothing_happened() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    with told() as records:
        scene.play(acquire(a, 1, "log", label="rotation"), acquire(a, 2, "db", label="nightly"), at=1.0)
        scene.play(Bye(a, 3))
        take(scene, b, "db", "log")
    assert found(scene) == [{"db", "log"}]
    assert scene.lookout.lock_order is not None
    [finding] = scene.lookout.lock_order.findings.values()
    assert finding.first == (1, 1000, "program 1", "log", "db", ("rotation", "nightly"), 1.0)
    assert finding.second == (2, 1000, "program 2", "db", "log", ("", ""), 1.0)
    [record] = records
    assert record.getMessage() == (
        'two names are taken in opposite orders, which can deadlock: pid 1 (program 1) had "log" ("rotation") and'
        ' wanted "db" ("nightly"); pid 2 (program 2) had "db" and wanted "log"'
    )
    assert fields_of(record) == {
        **{"event": "lock_order", "name": ("db", "log"), "pid": ("1", "2")},
        **{"program": ("program 1", "program 2"), "label": ("rotation", "nightly")},
    }


def test_a_pair_is_told_of_once() -> None:
    scene = Scene()
    a, b, c, d = scene.sessions
    with told() as records:
        for session in (a, b, c, d):
            take(scene, session, "db", "log")
            take(scene, session, "log", "db", id=10)
    assert len(records) == 1


def test_a_deadlock_that_does_happen_is_found_as_well() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "db"), acquire(b, 1, "log"), acquire(a, 2, "log"), acquire(b, 2, "db"))
    assert found(scene) == [{"db", "log"}]


def test_a_wait_that_is_given_up_has_shown_an_order() -> None:
    scene = Scene()
    a, b, c, _ = scene.sessions
    kept = scene.play(acquire(c, 1, "log"))
    scene.play(acquire(a, 1, "db"), acquire(a, 2, "log", timeout=1.0), at=0.0)
    scene.play(Bye(a, 3), release(c, 2, kept), at=2.0)
    take(scene, b, "log", "db")
    assert found(scene) == [{"db", "log"}]


def test_one_owner_may_do_as_it_likes_until_there_is_another_like_it() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    take(scene, a, "db", "log")
    take(scene, a, "log", "db", id=10)
    assert found(scene) == []
    # Each order alone was seen before.
    take(scene, b, "db", "log")
    assert found(scene) == [{"db", "log"}]


def test_two_threads_of_a_process_are_two_owners() -> None:
    scene = Scene()
    a, *_ = scene.sessions
    take(scene, a, "db", "log", owner=1)
    take(scene, a, "log", "db", owner=2, id=10)
    assert found(scene) == [{"db", "log"}]


def test_what_others_of_the_process_hold_shows_no_order() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "db", owner=1), acquire(a, 2, "log", owner=2))
    scene.play(Bye(a, 3))
    take(scene, b, "log", "db")
    assert found(scene) == []


def test_names_of_one_request_are_taken_at_once() -> None:
    scene = Scene()
    a, b, c, _ = scene.sessions
    scene.play(acquire(a, 1, "db", X, ("log", X)))
    scene.play(Bye(a, 2))
    scene.play(acquire(b, 1, "log", X, ("db", X)))
    scene.play(Bye(b, 2))
    take(scene, c, "db", "log")
    assert found(scene) == []


def test_names_of_one_request_are_behind_what_is_held() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "db"), acquire(a, 2, "log", X, ("mail", X)))
    scene.play(Bye(a, 3))
    take(scene, b, "mail", "db")
    assert found(scene) == [{"db", "mail"}]


def test_ancestors_in_a_tree_were_not_asked_for() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "x/one", tree=True), acquire(a, 2, "y/one", tree=True))
    scene.play(Bye(a, 3))
    scene.play(acquire(b, 1, "y/two", tree=True), acquire(b, 2, "x/two", tree=True))
    assert found(scene) == []


def test_the_leaves_of_a_tree_were() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "x/one", tree=True), acquire(a, 2, "y/one", tree=True))
    scene.play(Bye(a, 3))
    scene.play(acquire(b, 1, "y/one", tree=True), acquire(b, 2, "x/one", tree=True))
    assert found(scene) == [{"x/one", "y/one"}]


@pytest.mark.parametrize("is_reentrant", [True, False])
def test_a_name_that_is_held_already_is_not_waited_for(is_reentrant: bool) -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "db", S), acquire(a, 2, "log", X), acquire(a, 3, "db", S, reentrant=is_reentrant))
    scene.play(Bye(a, 4))
    take(scene, b, "db", "log")
    assert found(scene) == []


def test_a_try_waits_for_nobody_but_what_it_got_is_held() -> None:
    scene = Scene()
    a, b, c, _ = scene.sessions
    scene.play(acquire(a, 1, "db"), acquire(a, 2, "log", timeout=0))
    scene.play(Bye(a, 3))
    take(scene, b, "log", "db")
    assert found(scene) == []
    scene.play(acquire(c, 1, "db", timeout=0), acquire(c, 2, "log"))
    assert found(scene) == [{"db", "log"}]


@pytest.mark.parametrize(
    ("first", "second", "is_found"),
    [
        # Each: the modes of the one that takes db and then log, then those of the one that takes log and then db.
        ((S, S), (S, S), False),
        ((S, X), (S, S), False),
        ((S, X), (X, S), False),
        ((X, S), (S, X), False),
        ((S, X), (S, X), True),
        ((X, S), (X, S), True),
        ((X, X), (S, S), True),
        ((IS, IX), (IX, IX), False),
        ((U, U), (U, U), True),
        ((IX, SIX), (S, SIX), True),
        ((IX, SIX), (IS, IX), False),
        ((SIX, IX), (S, S), True),
        ((IX, IX), (IX, IX), False),
    ],
)
def test_it_takes_a_conflict_on_both_names(first: tuple[Mode, Mode], second: tuple[Mode, Mode], is_found: bool) -> None:
    """The one stops the other if what it has of a name conflicts with what that one wants of it, and so both ways."""
    scene = Scene()
    a, b, *_ = scene.sessions
    take(scene, a, "db", "log", *first)
    take(scene, b, "log", "db", *second)
    assert found(scene) == ([{"db", "log"}] if is_found else [])


def test_of_a_semaphore_there_have_to_be_too_few_permits_for_both() -> None:
    for count, is_found in ((1, False), (3, True)):
        scene = Scene()
        a, b, *_ = scene.sessions
        scene.play(acquire(a, 1, "pool", permits(count, 5)), acquire(a, 2, "db"))
        scene.play(Bye(a, 3))
        scene.play(acquire(b, 1, "db"), acquire(b, 2, "pool", permits(count, 5)))
        assert found(scene) == ([{"pool", "db"}] if is_found else [])


def test_a_name_that_was_a_semaphore_in_between_is_another_thing() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "pool", permits(5, 5)), acquire(a, 2, "db"))
    scene.play(Bye(a, 3))
    take(scene, b, "db", "pool")
    assert found(scene) == []


def test_a_conversion_shows_no_order() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    grant = scene.play(acquire(a, 1, "db", S))
    scene.play(acquire(a, 2, "log"), convert(a, 3, grant, X))
    scene.play(Bye(a, 4))
    take(scene, b, "db", "log")
    assert found(scene) == []


def test_after_a_conversion_the_new_mode_is_held() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    grant = scene.play(acquire(a, 1, "db", S))
    scene.play(convert(a, 2, grant, X), acquire(a, 3, "log", S))
    scene.play(Bye(a, 4))
    take(scene, b, "log", "db", X, S)
    assert found(scene) == [{"db", "log"}]


def test_a_third_name_that_both_hold_keeps_them_apart_as_long_as_all_hold_it() -> None:
    scene = Scene()
    a, b, c, _ = scene.sessions
    scene.play(acquire(a, 1, "gate"))
    take(scene, a, "db", "log", id=2)
    scene.play(Bye(a, 9), acquire(b, 1, "gate"))
    take(scene, b, "log", "db", id=2)
    scene.play(Bye(b, 9))
    assert found(scene) == []
    take(scene, c, "log", "db")
    assert found(scene) == [{"db", "log"}]


def test_a_gate_that_lets_several_in_is_none() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    for session in (a, b):
        scene.play(acquire(session, 1, "gate", S))
    take(scene, a, "db", "log", id=2)
    take(scene, b, "log", "db", id=2)
    assert found(scene) == [{"db", "log"}]


def test_a_grant_that_was_handed_over_was_not_waited_for_and_is_held_by_its_new_owner() -> None:
    scene = Scene()
    a, b, c, _ = scene.sessions
    grant = scene.play(acquire(a, 1, "db"))
    scene.play(hand_over(a, 2, grant, "t"), acquire(b, 1, "log"), adopt(b, 2, "t"))
    # It is not held any more by whoever made the ticket.
    scene.play(acquire(a, 3, "mail"), Bye(a, 4))
    scene.play(acquire(b, 3, "mail"), Bye(b, 4))
    take(scene, c, "db", "log")
    assert found(scene) == []
    take(scene, c, "mail", "db", id=10)
    assert found(scene) == [{"db", "mail"}]


def test_nothing_is_kept_of_owners_that_hold_nothing() -> None:
    scene = Scene(sessions=40)
    order = scene.lookout.lock_order
    assert order is not None
    *many, last = scene.sessions
    for session in many:
        grant = scene.play(acquire(session, 1, "db"))
        scene.play(acquire(session, 2, f"log {session}"), hand_over(session, 3, grant, f"t{session}"))
        scene.play(adopt(last, session, f"t{session}"), Bye(session, 5))
        scene.play(release(last, session + 1, grant))
    scene.play(ProcessExited(last))
    # What was handed over is looked through when there has been as much of that as there are owners.
    assert len(order.held) <= 2
    assert not scene.manager.grants


def test_an_owner_that_holds_many_shows_the_order_behind_the_latest() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(*(acquire(a, number, f"name {number}") for number in range(1, 101)))
    assert scene.lookout.lock_order is not None
    assert scene.lookout.lock_order.pairs <= 100 * 16
    scene.play(Bye(a, 101))
    take(scene, b, "name 100", "name 99")
    assert found(scene) == [{"name 99", "name 100"}]
    take(scene, b, "name 100", "name 1", id=10)
    assert len(found(scene)) == 1


def test_memory_is_bounded_and_the_oldest_pair_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_order, "PAIRS_MAX", 10)
    scene = Scene()
    a, b, *_ = scene.sessions
    order = scene.lookout.lock_order
    assert order is not None
    for number in range(20):
        take(scene, a, f"x {number}", "y", id=10 * number + 1)
    assert order.pairs == 10
    take(scene, b, "y", "x 0")
    assert found(scene) == []
    take(scene, b, "y", "x 19", id=10)
    assert found(scene) == [{"y", "x 19"}]


def test_so_is_that_of_pairs_that_are_taken_in_many_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_order, "SIGHTINGS_MAX", 10)
    scene = Scene()
    a, b, *_ = scene.sessions
    order = scene.lookout.lock_order
    assert order is not None
    for number in range(5):
        take(scene, a, f"x {number}", "y", id=20 * number + 1)
        take(scene, a, f"x {number}", "y", SIX, id=20 * number + 5)
        take(scene, a, f"x {number}", "y", U, id=20 * number + 9)
        assert order.sightings <= 10
    assert (order.pairs, order.sightings) == (3, 9)
    take(scene, b, "y", "x 0")
    assert found(scene) == []
    take(scene, b, "y", "x 4", id=10)
    assert found(scene) == [{"y", "x 4"}]


def test_findings_are_bounded_and_that_there_are_more_is_told_once() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    with told() as records:
        for number in range(lock_order.FINDINGS_MAX + 5):
            take(scene, a, f"x {number}", f"y {number}", id=10 * number + 1)
            take(scene, b, f"y {number}", f"x {number}", id=10 * number + 1)
    order = scene.lookout.lock_order
    assert order is not None
    assert len(order.findings) == lock_order.FINDINGS_MAX
    assert order.total == lock_order.FINDINGS_MAX + 5
    assert len(records) == lock_order.FINDINGS_MAX + 1
    assert "lock_order_classes" in records[-1].getMessage()


def test_names_of_a_class_are_one_name_and_have_no_order_among_each_other() -> None:
    scene = Scene(lock_order_classes=("reports/*",))
    a, b, c, _ = scene.sessions
    take(scene, a, "reports/1", "reports/2")
    take(scene, b, "reports/2", "reports/1")
    take(scene, a, "reports/1", "db", id=10)
    assert found(scene) == []
    take(scene, c, "db", "reports/7")
    assert found(scene) == [{"db", "reports/*"}]
    assert scene.lookout.lock_order is not None
    assert scene.lookout.lock_order.pairs == 2


def test_it_can_be_turned_off() -> None:
    scene = Scene(lock_order=False)
    a, b, *_ = scene.sessions
    take(scene, a, "db", "log")
    take(scene, b, "log", "db")
    assert scene.lookout.lock_order is None


def test_escapes_reach_no_log() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    with told() as records:
        scene.play(acquire(a, 1, "d\x1b[2Jb", label="\x9b\u202e"), acquire(a, 2, "log"))
        scene.play(Bye(a, 3))
        take(scene, b, "log", "d\x1b[2Jb")
    [record] = records
    assert record.getMessage().isprintable()


def test_an_owner_that_has_released_all_is_forgotten_whatever_others_of_its_session_have() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    order = scene.lookout.lock_order
    assert order is not None
    grant = scene.play(acquire(a, 1, "db", owner=1))
    others = [scene.play(acquire(a, number, f"other {number}", owner=2)) for number in range(2, 100)]
    scene.play(acquire(b, 1, "log"), acquire(a, 100, "log", owner=1), Cancel(a, 101, 100))
    scene.play(release(a, 102, grant))
    scene.play(*(release(a, number, other) for number, other in enumerate(others, start=103)))
    assert order.held == {}
