"""The arithmetic of the benchmarks."""

from __future__ import annotations

import pytest

from bench.figures import Figures, Spread, exponent, percentile


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 50), (0.99, 99), (0.999, 100), (1.0, 100)])
def test_a_percentile_is_a_value_that_was_measured(share: float, value: int) -> None:
    assert percentile(range(1, 101), share) == value


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7], 0.001) == percentile([7], 0.999) == 7


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0, -1.0])
def test_the_exponent_of_a_power_is_found(power: float) -> None:
    assert exponent((size, 3.0 * size**power) for size in (1, 10, 100, 1000)) == pytest.approx(power)


def test_one_size_has_no_exponent() -> None:
    with pytest.raises(ValueError, match="two sizes"):
        exponent([(10, 1.0), (10, 2.0)])


def test_a_ratio_is_formed_within_each_round() -> None:
    """The second round was twice as slow for both, which says nothing about how they compare."""
    figures = Figures({"a/lockd/p50_us": {0: 30.0, 1: 60.0}, "a/echo/p50_us": {0: 20.0, 1: 40.0}})
    assert figures.ratio("a/lockd/p50_us", "a/echo/p50_us") == Spread(1.5, 1.5, 1.5)


def test_rounds_that_only_one_of_both_has_do_not_count() -> None:
    figures = Figures({"x": {0: 4.0, 1: 9.0}, "y": {1: 3.0, 2: 1.0}, "zero": {0: 0.0}})
    assert figures.ratio("x", "y") == Spread(3.0, 3.0, 3.0)
    assert figures.ratio("x", "zero") is None
    assert figures.ratio("x", "nothing") is None


def test_a_spread_is_the_median_and_both_ends() -> None:
    figures = Figures()
    for number, value in enumerate([3.0, 1.0, 2.0]):
        figures.add("a", number, value)
    assert figures.spread("a") == Spread(2.0, 1.0, 3.0)
    assert figures.median("a") == 2.0
    assert figures.spread("b") is None
    assert figures.median("b") is None
    assert "a" in figures
    assert "b" not in figures


def test_a_curve_is_read_from_the_keys() -> None:
    figures = Figures(
        {
            "f/names/1000/pair_us": {0: 5.0},
            "f/names/10/pair_us": {0: 4.0},
            "f/names/10/resident_bytes": {0: 1.0},
            "f/others/10/pair_us": {0: 9.0},
        }
    )
    assert figures.sizes("f/names", "pair_us") == [(10, 4.0), (1000, 5.0)]
    assert figures.sizes("f/nothing", "pair_us") == []


def test_figures_come_back_from_json() -> None:
    values = {"a": {0: 1.0, 1: 2.0}, "b": {2: 0.5}}
    assert Figures.from_json(Figures(values).as_json()).as_json() == {"a": {"0": 1.0, "1": 2.0}, "b": {"2": 0.5}}
