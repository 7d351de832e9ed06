"""What is said of figures: goals that were reached, ratios that have moved."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import goals, record
from bench.figures import Figures, Spread
from bench.goals import Verdict


def word_of(goal: str, figures: Figures) -> str:
    [verdict] = [verdict for verdict in goals.judge(figures) if verdict.goal == goal]
    return verdict.word


@pytest.mark.parametrize(("lockd", "word"), [(29.0, "reached"), (30.0, "reached"), (31.0, "missed")])
def test_a_pair_is_held_against_the_echo(lockd: float, word: str) -> None:
    figures = Figures({"a/lockd/p50_us": {0: lockd}, "a/echo/p50_us": {0: 20.0}})
    assert word_of("(a) a pair, in echoes", figures) == word


@pytest.mark.parametrize(("lockd", "word"), [(399.0, "missed"), (400.0, "reached")])
def test_hand_overs_are_held_against_the_pairs_of_a_peer(lockd: float, word: str) -> None:
    """Against all its pairs, of which few go from process to process where who waits sleeps for a while."""
    figures = Figures(
        {
            "b/lockd/20/hand_overs_per_second": {0: lockd},
            "b/redis/20/pairs_per_second": {0: 100.0},
            "b/redis/20/hand_overs_per_second": {0: 1.0},
        }
    )
    assert word_of("(b) 20 processes, hand-overs, in pairs of redis", figures) == word


def test_memory_is_what_one_more_takes() -> None:
    """What the daemon has anyway does not count."""
    figures = Figures({"f/names/1/resident_bytes": {0: 30e6}, "f/names/1001/resident_bytes": {0: 30e6 + 650_000}})
    assert goals.bytes_each(figures, "names") == Spread(650.0, 650.0, 650.0)
    assert word_of("(f) resident bytes of each name held", figures) == "reached"


@pytest.mark.parametrize(("power", "word"), [(0.0, "reached"), (0.04, "reached"), (0.06, "missed"), (1.0, "missed")])
def test_a_cost_that_grows_is_seen(power: float, word: str) -> None:
    figures = Figures({f"f/names/{size}/pair_us": {0: 30 * size**power} for size in (1, 10, 100, 1000)})
    assert word_of("(f) a pair beside ever more names held: exponent", figures) == word


def test_an_import_is_held_against_a_bare_python() -> None:
    goal = "(e) import lockd_client, ms above a bare Python"
    assert word_of(goal, Figures({"e/import_ms": {0: 36.0}, "e/python_ms": {0: 12.0}})) == "reached"
    assert word_of(goal, Figures({"e/import_ms": {0: 38.0}, "e/python_ms": {0: 12.0}})) == "missed"


def test_one_wake_up_is_too_many() -> None:
    assert word_of("(h) wake-ups of an idle daemon", Figures({"h/wake_ups": {0: 0.0}})) == "reached"
    assert word_of("(h) wake-ups of an idle daemon", Figures({"h/wake_ups": {0: 1.0}})) == "missed"


def test_without_figures_nothing_is_reached_and_nothing_missed() -> None:
    verdicts = goals.judge(Figures())
    assert {verdict.word for verdict in verdicts} == {"not measured"}
    assert len({verdict.goal for verdict in verdicts}) == len(verdicts)


def test_the_verdicts_are_told_and_counted() -> None:
    verdicts = [
        Verdict("a", "a pair", Spread(1.4, 1.2, 1.6), 1.5),
        Verdict("c", "pairs", Spread(2.0, 2.0, 2.0), 3.0, is_most=False),
    ]
    assert [list(row) for row in goals.table(verdicts).rows] == [
        ["a pair", "≤ 1.50", "1.40 (1.20 to 1.60)", "reached"],
        ["pairs", "≥ 3.00", "2.00", "missed"],
    ]
    assert goals.summary(verdicts) == "Goals: 1 reached, 1 missed."


@pytest.mark.parametrize(
    ("now", "is_moved"),
    [
        (Spread(1.5, 1.4, 1.6), False),
        (Spread(1.9, 1.7, 2.0), False),
        (Spread(2.0, 1.8, 2.2), True),
        (Spread(1.2, 1.1, 1.2), True),
    ],
)
def test_only_what_lies_beyond_the_spread_has_moved(now: Spread, is_moved: bool) -> None:
    """The recorded ratio went from 1.4 to 1.6, and a tenth of its median is nothing."""
    before = {"a: a pair": Spread(1.5, 1.4, 1.6)}
    assert bool(record.moved(before, {"a: a pair": now})) is is_moved


def test_what_was_not_there_before_has_not_moved() -> None:
    spread = Spread(1.0, 1.0, 1.0)
    assert record.moved({"gone": spread}, {"new": spread}) == []


def test_exponents_may_differ_by_little_however_small_they_are() -> None:
    before = {"f: exponent of a pair, names": Spread(0.001, 0.001, 0.001)}
    assert record.moved(before, {"f: exponent of a pair, names": Spread(0.02, 0.02, 0.02)}) == []
    [change] = record.moved(before, {"f: exponent of a pair, names": Spread(0.05, 0.05, 0.05)})
    assert list(record.table([change]).rows[0]) == ["f: exponent of a pair, names", "0.001", "0.050", "up"]


def test_a_record_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    assert record.read(path) == {}
    figures = Figures({"a/lockd/p50_us": {0: 30.0, 1: 36.0}, "a/echo/p50_us": {0: 20.0, 1: 20.0}})
    ratios = record.tracked(figures)
    assert ratios == {"a: a pair, lockd to echo": Spread(1.65, 1.5, 1.8)}
    record.write({"machine": "2 processors"}, ratios, path)
    assert record.read(path) == ratios


def test_the_committed_record_can_be_read() -> None:
    assert all(spread.low <= spread.median <= spread.high for spread in record.read().values())
