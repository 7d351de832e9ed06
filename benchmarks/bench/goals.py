"""What lockd wants to reach, and whether it did. Nothing depends on it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .figures import Figures, Spread, exponent
from .tables import NOTHING, Table, number, spread

#: What is slower to be passed on than this is not passed on at the same cost: over six decades it makes 2.
_EXPONENT_MAX = 0.05

#: Peers that are named in goals.
_MAIN_PEERS = ("redis", "psycopg", "filelock")


class Verdict(NamedTuple):
    """One goal, and what was measured."""

    work: str
    goal: str
    measured: Spread | None
    bound: float
    #: Whether the bound is the most that there may be, and not the least.
    is_most: bool = True

    @property
    def word(self) -> str:
        """ "reached", "missed" or "not measured". The median counts."""
        if self.measured is None:
            return "not measured"
        is_reached = self.measured.median <= self.bound if self.is_most else self.measured.median >= self.bound
        return "reached" if is_reached else "missed"


def judge(figures: Figures) -> list[Verdict]:
    """Return a verdict on each goal."""
    return [*_pairs(figures), *_one_name(figures), *_many_names(figures), *_start_up(figures), *_growth(figures)]


def table(verdicts: list[Verdict]) -> Table:
    """Return the verdicts for people."""
    rows = [
        [
            verdict.goal,
            f"{'≤' if verdict.is_most else '≥'} {number(verdict.bound)}",
            spread(verdict.measured),
            verdict.word,
        ]
        for verdict in verdicts
    ]
    return Table("Goals", ["goal", "bound", "measured", ""], rows)


def _pairs(figures: Figures) -> Iterator[Verdict]:
    pair = "a/lockd/p50_us"
    yield Verdict("a", "(a) a pair, in echoes", figures.ratio(pair, "a/echo/p50_us"), 1.5)
    for peer in _MAIN_PEERS:
        yield Verdict("a", f"(a) a pair, in pairs of {peer}", figures.ratio(pair, f"a/{peer}/p50_us"), 0.5)


def _one_name(figures: Figures) -> Iterator[Verdict]:
    hand_over = figures.ratio("b/lockd/20/hand_over_us", "a/echo/p50_us")
    yield Verdict("b", "(b) 20 processes, a hand-over, in echoes", hand_over, 2.0)
    for processes in (20, 50):
        prefix, said = f"b/lockd/{processes}", f"(b) {processes} processes,"
        yield Verdict("b", f"{said} most and least served apart", figures.spread(f"{prefix}/unevenness"), 0.05)
        worst = figures.spread(f"{prefix}/worst_wait_rounds")
        yield Verdict("b", f"{said} the worst wait, in rounds of all processes", worst, 3.0)
        for peer in _MAIN_PEERS:
            times = figures.ratio(f"{prefix}/hand_overs_per_second", f"b/{peer}/{processes}/pairs_per_second")
            yield Verdict("b", f"{said} hand-overs, in pairs of {peer}", times, 4.0, False)


def _many_names(figures: Figures) -> Iterator[Verdict]:
    pairs = "c/lockd/pairs_per_second"
    for base, bound in (("redis", 5.0), ("psycopg", 3.0)):
        times = figures.ratio(pairs, f"c/{base}/pairs_per_second")
        yield Verdict("c", f"(c) 20 names, pairs a second, in those of {base}", times, bound, False)
    times = figures.ratio(pairs, "c/echo-c/pairs_per_second")
    yield Verdict("c", "(c) 20 names, pairs a second, in echoes of the C server", times, 0.5, False)


def _start_up(figures: Figures) -> Iterator[Verdict]:
    imported, bare = figures.spread("e/import_ms"), figures.median("e/python_ms")
    above = None if imported is None or bare is None else Spread(*(value - bare for value in imported))
    yield Verdict("e", "(e) import lockd_client, ms above a bare Python", above, 25.0)
    yield Verdict("e", "(e) lockctl run, in bare Pythons", figures.ratio("e/lockctl_run_ms", "e/python_ms"), 3.0)


def _growth(figures: Figures) -> Iterator[Verdict]:
    for curve, what, said in (
        ("connections", "pair_us", "a pair beside ever more sessions"),
        ("names", "pair_us", "a pair beside ever more names held"),
        ("waiters", "pair_us", "a pair beside ever more waiters"),
        ("waiters", "hand_over_us", "a hand-over with ever more waiters"),
    ):
        yield Verdict("f", f"(f) {said}: exponent", growth_of(figures, curve, what), _EXPONENT_MAX)
    for curve, said, bound in (
        ("connections", "idle session", 10_000.0),
        ("names", "name held", 700.0),
        ("waiters", "waiter", 1_000.0),
    ):
        yield Verdict("f", f"(f) resident bytes of each {said}", bytes_each(figures, curve), bound)
    yield Verdict("h", "(h) wake-ups of an idle daemon", figures.spread("h/wake_ups"), 0.0)


def growth_of(figures: Figures, curve: str, what: str) -> Spread | None:
    """Return the exponent with which a cost grows, or None if it was not measured at two sizes."""
    points = figures.sizes(f"f/{curve}", what)
    return Spread.of([exponent(points)]) if len(points) > 1 else None


def bytes_each(figures: Figures, curve: str) -> Spread | None:
    """Return how much memory each of many takes: between the least and the greatest size that were measured."""
    points = figures.sizes(f"f/{curve}", "resident_bytes")
    if len(points) < 2:
        return None
    (few, least), (many, most) = points[0], points[-1]
    return Spread.of([(most - least) / (many - few)])


def summary(verdicts: list[Verdict]) -> str:
    """Return one sentence on all of them."""
    words = [verdict.word for verdict in verdicts]
    counted = [f"{words.count(word)} {word}" for word in ("reached", "missed", "not measured") if word in words]
    return f"Goals: {', '.join(counted) or NOTHING}."
