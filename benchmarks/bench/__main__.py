"""``python -m bench``, in the folder benchmarks/: measure, and tell."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import goals, machine, page, record
from .contenders import ALL, OTHERS, PEERS
from .figures import Figures, Spread
from .options import Options, parse
from .reports import tables
from .run import Run, run
from .servers import find_program
from .work import LETTERS

_FORMAT = 1

#: Without them a part of some work is left out.
_PROGRAMS = {
    "flock": ("e", "`flock FILE true`"),
    "systemd-socket-activate": ("e", "the first lock through socket activation"),
    "strace": ("h", "the system calls of an idle daemon"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and return the exit status: 0 whatever was measured."""
    options = parse(sys.argv[1:] if argv is None else argv, LETTERS, PEERS, OTHERS)
    facts = machine.describe()
    load_before = machine.load()
    result = run(options)
    facts["load before and after"] = f"{load_before} and {machine.load()}"
    facts["rounds"] = str(options.rounds)
    _write_json(options.output, facts, result)
    notes = remarks(result, options)
    verdicts = [verdict for verdict in goals.judge(result.figures) if verdict.work in options.work]
    ratios = record.tracked(result.figures)
    told = [*tables(result.figures), goals.table(verdicts)]
    for table in told:
        print(table.text())
    for note in notes:
        print(note)
    print(comparison(record.read(), ratios, options))
    print(goals.summary(verdicts))
    plots = _draw(result.figures, page.PLOTS if options.record else options.output.parent)
    if options.record:
        record.write(facts, ratios)
        page.rewrite(page.block(facts, notes, told, plots))
        print(f"Recorded in {record.PATH} and {page.PATH}.")
    print(f"All figures are in {options.output}.")
    return 0


def remarks(result: Run, options: Options) -> list[str]:
    """Return in words what was not found, what went wrong, and what could not be as large as it should."""
    notes = [f"Not found, so not measured: {ALL[name].title} ({why})." for name, why in result.missing.items()]
    for program, (letter, what) in _PROGRAMS.items():
        if letter in options.work and find_program(program) is None:
            notes.append(f"Not found, so not measured: {what} ({program} is not installed).")
    notes += [f"Failed: {what} ({why})." for what, why in result.failed.items()]
    curve = result.figures.sizes("f/connections", "pair_us")
    if curve and curve[-1][0] < options.scale.connections_max:
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        notes.append(
            f"{curve[-1][0]:,} sessions and not {options.scale.connections_max:,}: a process may have {most:,}"
            " descriptors here, and a session takes the daemon two."
        )
    return notes


def comparison(before: Mapping[str, Spread], now: Mapping[str, Spread], options: Options) -> str:
    """Return what has moved since the recorded run, in words."""
    if not before:
        return "No run was recorded yet: make bench RECORD=yes."
    caution = "\nA quick run is no measure for that: repeat it without QUICK.\n" if options.is_quick else ""
    changes = record.moved(before, now)
    if not changes:
        return f"Nothing has moved beyond the spread since the recorded run ({len(now.keys() & before)} ratios)."
    return record.table(changes).text() + caution


def _write_json(path: Path, facts: Mapping[str, str], result: Run) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    everything = {
        "format": _FORMAT,
        "machine": dict(facts),
        "missing": result.missing,
        "failed": result.failed,
        "figures": result.figures.as_json(),
    }
    path.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _draw(figures: Figures, directory: Path) -> dict[str, str]:
    try:
        from .plots import draw
    except ImportError:
        print("There are no plots: matplotlib is not installed.")
        return {}
    drawn = draw(figures, directory)
    print(f"Plots: {', '.join(str(directory / name) for name in drawn)}.")
    return drawn


if __name__ == "__main__":
    sys.exit(main())
