"""The plots of a run, as SVG files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .contenders import ALL, Kind
from .figures import Figures
from .tables import number

# The same figures make the same file; and text stays text, which is small and can be searched.
mpl.rcParams |= {"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 9}

_COLOURS = {Kind.FLOOR: "#b0b0b0", Kind.LOCKD: "#c03030", Kind.SERVICE: "#4878a8", Kind.KERNEL: "#88a868"}
_SIZE_INCHES = (7.2, 3.6)

#: Percentiles by how many of ten thousand are above them.
_ABOVE = {"p50_us": 0.5, "p90_us": 0.1, "p99_us": 0.01, "p99_9_us": 0.001, "p99_99_us": 0.0001}


def draw(figures: Figures, directory: Path) -> dict[str, str]:
    """Draw what there are figures for, and return the titles by the names of the files."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = {}
    for name, (title, onto) in _PLOTS.items():
        figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
        if onto(figures, figure):
            figure.suptitle(title)
            figure.savefig(directory / name, metadata={"Date": None})
            drawn[name] = title
    return drawn


def _bars(letter: str, key: str, label: str) -> Callable[[Figures, Any], bool]:
    def draw_bars(figures: Figures, figure: Any) -> bool:
        spreads = {name: figures.spread(f"{letter}/{name}/{key}") for name in ALL}
        there = {name: values for name, values in spreads.items() if values is not None and values.median > 0}
        axes = figure.subplots()
        names = list(reversed(there))
        medians = [there[name].median for name in names]
        errors = [
            [there[name].median - there[name].low for name in names],
            [there[name].high - there[name].median for name in names],
        ]
        colours = [_COLOURS[ALL[name].kind] for name in names]
        bars = axes.barh(names, medians, xerr=errors, color=colours, error_kw={"linewidth": 0.8})
        axes.bar_label(bars, [number(value) for value in medians], padding=6)
        axes.set_xscale("log")
        axes.margins(x=0.15)
        axes.set_xlabel(f"{label} (logarithmic; median, least and most of the rounds)")
        return bool(there)

    return draw_bars


def _growth(figures: Figures, figure: Any) -> bool:
    costs, memory = figure.subplots(1, 2)
    is_empty = True
    for curve, said in (("connections", "sessions"), ("names", "names held"), ("waiters", "waiters on one name")):
        for what, style in (("pair_us", "-o"), ("hand_over_us", "--s")):
            points = figures.sizes(f"f/{curve}", what)
            if points:
                label = f"a pair beside {said}" if what == "pair_us" else f"a hand-over among {said}"
                costs.plot(*zip(*points, strict=True), style, markersize=3, label=label)
                is_empty = False
        points = [(size, resident / 1e6) for size, resident in figures.sizes(f"f/{curve}", "resident_bytes")]
        if points:
            memory.plot(*zip(*points, strict=True), "-o", markersize=3, label=said)
    for axes, label in ((costs, "µs, p50"), (memory, "resident MB")):
        axes.set(xscale="log", yscale="log", xlabel="how many", ylabel=label)
        if not is_empty:
            axes.legend(fontsize=7)
    costs.set_ylim(1, 10_000)
    return not is_empty


def _tail(figures: Figures, figure: Any) -> bool:
    points = [(1 / above, figures.median(f"g/{key}")) for key, above in _ABOVE.items() if f"g/{key}" in figures]
    axes = figure.subplots()
    if points:
        axes.plot(*zip(*points, strict=True), "-o", markersize=3, color=_COLOURS[Kind.LOCKD])
    axes.set(xscale="log", yscale="log", xlabel="one grant in so many takes longer", ylabel="µs")
    axes.grid(visible=True, which="both", linewidth=0.3)
    return bool(points)


_PLOTS: dict[str, tuple[str, Callable[[Figures, Any], bool]]] = {
    "pairs.svg": ("(a) Acquire and release, one process", _bars("a", "p50_us", "µs, p50")),
    "hand-overs.svg": (
        "(b) 20 processes on one name: the lock goes to another process",
        _bars("b", "20/hand_overs_per_second", "hand-overs a second"),
    ),
    "own-names.svg": ("(c) 20 processes on 20 names", _bars("c", "pairs_per_second", "pairs a second")),
    "database.svg": ("(d) 50 processes, one TinyDB file", _bars("d", "changes_per_second", "changes a second")),
    "growth.svg": ("(f) Growth", _growth),
    "tail.svg": ("(g) A grant, 20 processes on 20 names, the journal compacting", _tail),
}
