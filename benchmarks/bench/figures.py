"""What was measured, and the arithmetic on it. Nothing here measures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple


def percentile(ordered: Sequence[float], share: float) -> float:
    """Return the least value that at least ``share`` of all values do not exceed.

    Args:
        ordered: The values in rising order; at least one.
        share: From 0 to 1.
    """
    return ordered[max(0, math.ceil(len(ordered) * share) - 1)]


def exponent(points: Iterable[tuple[float, float]]) -> float:
    """Return the ``k`` for which ``cost = c * size ** k`` fits the points (size, cost) best: least squares on the
    logarithms. 0 is a cost that does not grow, 1 one that grows with the size.

    Raises:
        ValueError: There are not two different sizes.
    """
    logs = [(math.log(size), math.log(cost)) for size, cost in points]
    mean_size = statistics.fmean(size for size, _ in logs)
    mean_cost = statistics.fmean(cost for _, cost in logs)
    spread = sum((size - mean_size) ** 2 for size, _ in logs)
    if not spread:
        raise ValueError("an exponent takes two sizes at least")
    return sum((size - mean_size) * (cost - mean_cost) for size, cost in logs) / spread


class Spread(NamedTuple):
    """Several measurements of one thing."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Sum up values, of which there is at least one."""
        ordered = sorted(values)
        return cls(statistics.median(ordered), ordered[0], ordered[-1])


class Figures:
    """Every figure by its key, and by the round in which it was measured.

    A key says which work, whose figure, and of what: ``a/redis/p50_us``. Figures of one key and several rounds are
    measurements of one thing; figures of one round were taken close to each other, so ratios are formed within it.
    """

    def __init__(self, values: Mapping[str, Mapping[int, float]] | None = None) -> None:
        self._values = {key: dict(rounds) for key, rounds in (values or {}).items()}

    def add(self, key: str, round_number: int, value: float) -> None:
        """Take down a figure."""
        self._values.setdefault(key, {})[round_number] = value

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def spread(self, key: str) -> Spread | None:
        """Return the measurements of one thing, or None if there are none."""
        return Spread.of(self._values[key].values()) if key in self._values else None

    def median(self, key: str) -> float | None:
        """Return the median of all rounds, or None if there are none."""
        spread = self.spread(key)
        return None if spread is None else spread.median

    def ratio(self, key: str, base: str) -> Spread | None:
        """Return how often ``base`` goes into ``key``, formed within each round; None if no round has both."""
        above, below = self._values.get(key, {}), self._values.get(base, {})
        ratios = [above[number] / below[number] for number in above if below.get(number)]
        return Spread.of(ratios) if ratios else None

    def sizes(self, prefix: str, what: str) -> list[tuple[int, float]]:
        """Return the curve whose keys are ``prefix``, a size and ``what``: pairs of size and median, in rising order.

        ``sizes("f/names", "pair_us")`` reads ``f/names/1/pair_us``, ``f/names/10/pair_us`` and so on.
        """
        curve = []
        for key in self._values:
            size = key.removeprefix(prefix + "/").removesuffix("/" + what)
            if size.isdigit() and key == f"{prefix}/{size}/{what}":
                curve.append((int(size), Spread.of(self._values[key].values()).median))
        return sorted(curve)

    def as_json(self) -> dict[str, dict[str, float]]:
        """Return all of it as it is written to a file."""
        return {key: {str(number): value for number, value in rounds.items()} for key, rounds in self._values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Mapping[str, Any]]) -> Figures:
        """Read back what `as_json` has made."""
        return cls(
            {key: {int(number): float(value) for number, value in rounds.items()} for key, rounds in values.items()}
        )
