"""Counting how long something takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate


class Histogram:
    """How often something was how long."""

    __slots__ = ("bounds", "counts", "total_seconds")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        #: How many are in each bucket and in no lower one; the last has no bound.
        self.counts = [0] * (len(bounds) + 1)
        self.total_seconds = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_seconds += seconds

    def buckets(self) -> Iterator[tuple[float, int]]:
        """Yield each bound, and how many are no longer than that."""
        yield from zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True)
