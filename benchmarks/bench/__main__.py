"""``python -m bench``, in the folder benchmarks/: measure, and tell."""

from __future__ import annotations

import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from . import goals, machine, page, profile, record
from .contenders import ALL, OTHERS, PEERS
from .figures import Figures, Spread
from .options import Options, parse
from .reports import tables
from .result import Result, ResultFailed
from .run import run
from .servers import find_in_environment, find_program
from .work import LETTERS

#: Without them a part of some work is left out.
_PROGRAMS = {
    "flock": ("e", "`flock FILE true`"),
    "systemd-socket-activate": ("e", "the first lock through socket activation"),
    "strace": ("h", "the system calls of an idle daemon"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and return the exit status: 0 whatever was measured, 1 for a failure that was explained."""
    options = parse(sys.argv[1:] if argv is None else argv, LETTERS, PEERS, OTHERS)
    # Whoever ends this one means the servers as well.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    try:
        result = Result.read(options.reuse) if options.reuse else run(options)
        tell(result, options)
    except (ResultFailed, page.PageFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


def tell(result: Result, options: Options) -> None:
    """Print all there is to say of a result, and record it if that is asked for.

    Raises:
        ResultFailed: It is only a part of a run, and is to be recorded.
        PageFailed: The page has no place for it.
    """
    if options.record and not result.is_whole:
        raise ResultFailed("only a whole run can be recorded, and this one is a part or a quick one")
    notes = remarks(result, options)
    verdicts = [verdict for verdict in goals.judge(result.figures) if verdict.work in options.work]
    ratios = record.tracked(result.figures)
    told = [*tables(result.figures), *profile.tables(result.profiles), goals.table(verdicts)]
    for table in told:
        print(table.text())
    for note in notes:
        print(note)
    print(comparison(record.read(), ratios, options))
    print(goals.summary(verdicts))
    plots = _draw(result.figures, page.PLOTS if options.record else options.output.parent)
    if options.record:
        record.write(result.facts, ratios)
        page.rewrite(page.block(result.facts, notes, [told[-1], *told[:-1]], plots))
        print(f"Recorded in {record.PATH} and {page.PATH}.")
    print(f"All figures are in {options.reuse or options.output}.")


def remarks(result: Result, options: Options) -> list[str]:
    """Return in words what was not found, what went wrong, and what could not be as large as it should."""
    notes = []
    if machine.is_busy(result.facts):
        notes.append(
            f"**The machine had other work to do**: a load of {result.facts['load before']} when this began. Whatever"
            " takes two processes suffers from that more than what takes one: see what the figures do not say."
        )
    notes += [f"Not found, so not measured: {ALL[name].title} ({why})." for name, why in result.missing.items()]
    for program, (letter, what) in _PROGRAMS.items():
        if letter in options.work and find_program(program) is None:
            notes.append(f"Not found, so not measured: {what} ({program} is not installed).")
    if find_in_environment(profile.PROGRAM) is None:
        notes.append(f"A goal that is missed is reported without a profile ({profile.PROGRAM} is not installed).")
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
    changes = record.moved(before, now)
    if not changes:
        return f"Nothing has moved beyond the spread since the recorded run ({len(now.keys() & before)} ratios)."
    caution = "\nA quick run is no measure for that: repeat it without QUICK.\n" if options.is_quick else ""
    return record.table(changes).text() + caution


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
