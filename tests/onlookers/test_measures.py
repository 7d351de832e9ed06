"""lockd/onlookers/measures.py, patterns.py and lookout.py: what is counted, under which name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockd.core.events import Bye, Cancel, ProcessExited, Tick
from lockd.histogram import Histogram
from lockd.onlookers.lookout import Lookout
from lockd.onlookers.measures import OTHER, Family
from lockd.onlookers.patterns import Patterns
from lockd.settings import MetricsSettings
from support.core import S, X, acquire, convert, permits, release
from support.onlookers import Scene, fields_of, told


def family(scene: Scene, pattern: str = OTHER) -> Family:
    return scene.lookout.measures.families[pattern]


def counted(histogram: Histogram) -> tuple[int, float]:
    return sum(histogram.counts), histogram.total_seconds


@pytest.mark.parametrize("patterns", [(), ("log/*",)])
def test_waits_and_holds(patterns: tuple[str, ...]) -> None:
    """The same by the short way and by the long one."""
    scene = Scene(metrics=MetricsSettings(patterns))
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1), acquire(b, 1), at=1.0)
    scene.play(release(a, 2, 1), at=4.0)
    scene.play(release(b, 2, 2), at=4.5)
    assert counted(family(scene).all_waits()) == (2, 3.0)
    assert counted(family(scene).holds) == (2, 3.5)
    assert family(scene).granted_at_once == 1
    assert scene.lookout.measures.waits_total == 1


@pytest.mark.parametrize("patterns", [(), ("log/*",)])
def test_waits_that_end_otherwise_are_waits_and_tries_are_none(patterns: tuple[str, ...]) -> None:
    scene = Scene(metrics=MetricsSettings(patterns))
    a, b, c, d = scene.sessions
    scene.play(acquire(a, 1), at=0.0)
    scene.play(acquire(b, 1, timeout=0), acquire(b, 2, timeout=2.0), acquire(c, 1), acquire(d, 1))
    scene.play(Tick(), at=2.0)
    scene.play(Cancel(c, 2, 1), at=3.0)
    scene.play(ProcessExited(d), at=4.0)
    assert counted(family(scene).waits) == (3, 9.0)
    assert counted(family(scene).all_waits())[0] == 4


def test_a_conversion_waits_too() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "db", S), acquire(b, 1, "db", S), at=0.0)
    scene.play(convert(a, 2, 1, X), at=1.0)
    scene.play(release(b, 2, 2), at=3.0)
    assert counted(family(scene).waits) == (1, 2.0)
    # One that goes at once is no wait.
    scene.play(convert(a, 3, 1, S))
    # And one that is given up was one.
    scene.play(acquire(b, 3, "db", S), at=3.0)
    scene.play(convert(a, 4, 1, X), at=4.0)
    scene.play(Cancel(a, 5, 4), at=9.0)
    assert counted(family(scene).waits) == (2, 7.0)
    assert scene.lookout.measures._converting_since == {}


def test_ends_of_all_kinds_end_a_hold() -> None:
    scene = Scene()
    a, b, c, d = scene.sessions
    with told() as records:
        scene.play(acquire(a, 1, "a"), acquire(b, 1, "b"), acquire(c, 1, "c", lease=1.0), acquire(d, 1, "d"), at=0.0)
        scene.play(Cancel(d, 2, 1), Bye(a, 2), ProcessExited(b), acquire(d, 3, "c"), at=1.0)
        scene.play(Tick(), at=1.0)
    assert counted(family(scene).holds) == (4, 4.0)
    assert scene.lookout.measures.abandoned_total == 1
    assert [fields_of(record)["event"] for record in records] == ["abandoned", "lease_taken"]


def test_what_is_refused_is_counted() -> None:
    scene = Scene()
    a, b, *_ = scene.sessions
    scene.play(acquire(a, 1, "db"), acquire(b, 1, "db", permits()))
    assert scene.lookout.measures.refusals_total == 1


def test_a_name_counts_for_the_first_pattern_that_it_fits() -> None:
    scene = Scene(metrics=MetricsSettings(("reports/daily", "reports/*", "?")))
    a, *_ = scene.sessions
    for id, name in enumerate(("reports/daily", "reports/x/y", "x", "xx", "reports"), start=1):
        scene.play(acquire(a, id, name))
    counts = {pattern: family.granted_at_once for pattern, family in scene.lookout.measures.families.items()}
    assert counts == {"reports/daily": 1, "reports/*": 1, "?": 1, "other": 2}


def test_a_request_for_several_names_counts_once_for_each_pattern_and_its_ancestors_for_none() -> None:
    scene = Scene(metrics=MetricsSettings(("reports/*", "reports", "db")))
    a, *_ = scene.sessions
    scene.play(acquire(a, 1, "reports/1", X, ("reports/2", X), ("db", X), tree=True))
    counts = {pattern: family.granted_at_once for pattern, family in scene.lookout.measures.families.items()}
    assert counts == {"reports/*": 1, "reports": 0, "db": 1, "other": 0}


def test_a_million_names_are_not_remembered() -> None:
    patterns = Patterns(("a*",))
    for number in range(10_000):
        patterns.of(f"a{number}")
    assert len(patterns._remembered) <= 4096
    assert patterns.of("a1") == "a*"
    assert patterns.of("b") is None


@given(st.lists(st.floats(0, 1e6)))
def test_a_histogram_counts_what_is_no_longer_than_each_bound(values: list[float]) -> None:
    histogram = Histogram((0.001, 0.1, 10.0))
    for value in values:
        histogram.add(value)
    assert dict(histogram.buckets()) == {
        bound: sum(value <= bound for value in values) for bound in (0.001, 0.1, 10.0, float("inf"))
    }


# What is logged of ends.


def test_what_a_process_leaves_behind_is_one_line() -> None:
    scene = Scene()
    a, *_ = scene.sessions
    with told() as records:
        scene.play(*(acquire(a, number, f"db {number:03}", label="nightly") for number in range(1, 101)))
        scene.play(acquire(a, 101, "read", S), ProcessExited(a))
    [record] = records
    assert record.getMessage() == (
        'pid 1 (program 1, "nightly") ended without releasing "db 001", "db 002", "db 003" and 97 more: whoever is '
        "granted that next is told"
    )
    assert record.levelname == "WARNING"
    assert len(fields_of(record)["name"]) == 16


def test_who_only_read_leaves_nothing_half_done() -> None:
    scene = Scene()
    a, *_ = scene.sessions
    with told() as records:
        scene.play(acquire(a, 1, "db", S), ProcessExited(a))
    assert records == []


@given(st.text(), st.text(), st.text())
def test_no_order_to_a_terminal_reaches_the_log(name: str, label: str, program: str) -> None:
    scene = Scene(convoy_waiters=1, long_hold_seconds=1.0)
    a, b, *_ = scene.sessions
    scene.manager.sessions[a].program = program
    with told() as records:
        scene.play(acquire(a, 1, f"x{name}", label=label, lease=5.0), acquire(b, 1, f"x{name}", label=label), at=0.0)
        scene.wait_until(1.0)
        scene.play(Tick(), at=6.0)
        scene.play(ProcessExited(b))
    assert {fields_of(record)["event"] for record in records} == {
        *("convoy", "convoy_over", "long_hold", "long_hold_over", "lease_taken", "abandoned")
    }
    assert all(record.getMessage().isprintable() for record in records)


def _blind(lookout: Lookout) -> None:
    """A build that does not look at ends."""
    lookout._at_lone_ends = ()
    lookout._together = None
    lookout._at_grants = dict.fromkeys(lookout._at_grants, ())


def test_a_lookout_that_does_not_look_is_found_out() -> None:
    """What the tests above hold it to."""
    scene = Scene()
    _blind(scene.lookout)
    with pytest.raises(AssertionError):
        _holds(scene)


def _holds(scene: Scene) -> Any:
    a, *_ = scene.sessions
    scene.play(acquire(a, 1), release(a, 2, 1))
    assert counted(family(scene).holds)[0] == 1
