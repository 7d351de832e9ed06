"""The last run that was kept, and what has moved since. Only what means the same on another machine is kept: ratios
within one run, exponents, memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .contenders import ALL, PEERS
from .figures import Figures, Spread
from .goals import bytes_each, growth_of
from .tables import Table, spread

PATH = Path(__file__).parents[1] / "record.json"

#: Runs on one machine are that far apart though nothing has changed.
_TOLERANCE = 0.1

#: Exponents are near 0, where a tenth of them is nothing.
_EXPONENT_TOLERANCE = 0.03


class Moved(NamedTuple):
    """Something that is not what it was."""

    what: str
    before: Spread
    now: Spread


def tracked(figures: Figures) -> dict[str, Spread]:
    """Return all that is kept, by its name."""
    found: dict[str, Spread | None] = {}
    for name in ALL:
        if name != "lockd":
            found[f"a: a pair, lockd to {name}"] = figures.ratio("a/lockd/p50_us", f"a/{name}/p50_us")
            key = "pairs_per_second"
            found[f"c: pairs a second, lockd to {name}"] = figures.ratio(f"c/lockd/{key}", f"c/{name}/{key}")
    for name in PEERS:
        for processes in (20, 50):
            key = f"{processes}/pairs_per_second"
            what = f"b: pairs a second of {processes} processes, lockd to {name}"
            found[what] = figures.ratio(f"b/lockd/{key}", f"b/{name}/{key}")
        key = "changes_per_second"
        found[f"d: changes a second, lockd to {name}"] = figures.ratio(f"d/lockd/{key}", f"d/{name}/{key}")
    found["b: a hand-over of 20 processes, to an echo"] = figures.ratio("b/lockd/20/hand_over_us", "a/echo/p50_us")
    for key in ("import_ms", "lockctl_run_ms", "lockctl_exec_ms", "daemon_ready_ms", "first_lock_ms"):
        found[f"e: {key.removesuffix('_ms')}, to a bare Python"] = figures.ratio(f"e/{key}", "e/python_ms")
    for curve in ("connections", "names", "waiters"):
        found[f"f: exponent of a pair, {curve}"] = growth_of(figures, curve, "pair_us")
        found[f"f: bytes each, {curve}"] = bytes_each(figures, curve)
    found["f: exponent of a hand-over, waiters"] = growth_of(figures, "waiters", "hand_over_us")
    found["h: wake-ups"] = figures.spread("h/wake_ups")
    return {what: values for what, values in found.items() if values is not None}


def moved(before: Mapping[str, Spread], now: Mapping[str, Spread]) -> list[Moved]:
    """Return what lies outside of what was measured before, by more than the usual."""
    return [Moved(what, before[what], now[what]) for what in now if what in before and _apart(what, before, now)]


def _apart(what: str, before: Mapping[str, Spread], now: Mapping[str, Spread]) -> bool:
    old, new = before[what], now[what]
    room = _EXPONENT_TOLERANCE if "exponent" in what else _TOLERANCE * abs(old.median)
    return new.low > old.high + room or new.high < old.low - room


def table(changes: list[Moved]) -> Table:
    """Return what has moved, for people."""
    rows = [
        [each.what, spread(each.before), spread(each.now), "up" if each.now.median > each.before.median else "down"]
        for each in changes
    ]
    return Table("Moved since the recorded run, beyond the spread", ["ratio", "recorded", "now", ""], rows)


def read(path: Path = PATH) -> dict[str, Spread]:
    """Return what was kept last; nothing if nothing was."""
    if not path.exists():
        return {}
    return {what: Spread(*values) for what, values in json.loads(path.read_text())["ratios"].items()}


def write(facts: Mapping[str, str], ratios: Mapping[str, Spread], path: Path = PATH) -> None:
    """Keep this run."""
    kept = {what: [float(f"{value:.4g}") for value in values] for what, values in ratios.items()}
    # One line each, so that a change of it is seen as such.
    lines = ",\n".join(f"    {json.dumps(what)}: {json.dumps(values)}" for what, values in kept.items())
    machine = json.dumps(facts, indent=4, ensure_ascii=False).replace("\n}", "\n  }")
    path.write_text(f'{{\n  "machine": {machine},\n  "ratios": {{\n{lines}\n  }}\n}}\n', encoding="utf-8")
