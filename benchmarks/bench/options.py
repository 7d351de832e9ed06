"""What can be asked for: which work, which peers, how often, how long."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from . import scale
from .scale import Scale

REPOSITORY = Path(__file__).parents[2]

_ROUNDS, _QUICK_ROUNDS = 3, 1


class Options(NamedTuple):
    """What one run does."""

    work: tuple[str, ...]
    #: Contenders by name; the floor and lockd are always among them.
    contenders: tuple[str, ...]
    rounds: int
    scale: Scale
    #: Whether the result becomes the one that later runs are compared with, and goes into docs/performance.md.
    record: bool
    output: Path
    is_quick: bool
    #: Whether nothing is left out or made shorter. Only such a run can be recorded.
    is_whole: bool
    #: Tell of this earlier result, and measure nothing.
    reuse: Path | None = None


def parse(argv: Sequence[str], letters: Collection[str], peers: Collection[str], others: Collection[str]) -> Options:
    """Read a command line. A mistake in it ends the program with a sentence and the exit status 2.

    Args:
        letters: Of the kinds of work there are.
        peers: Contenders that can be chosen.
        others: Contenders that take part in any case.
    """
    parser = argparse.ArgumentParser(prog="bench", description="Measures the floor, lockd and its peers side by side.")
    parser.add_argument("--work", default="", help=f"letters with commas between them, of {','.join(letters)} (all)")
    parser.add_argument("--peers", default="", help=f"of {','.join(peers)}, or none (all that are installed)")
    parser.add_argument("--rounds", default="", help=f"how often each is measured ({_ROUNDS}; quick: {_QUICK_ROUNDS})")
    parser.add_argument("--seconds", default="", help="how long each stretch takes (each kind of work has its own)")
    parser.add_argument("--quick", default="", help="yes: some two minutes, with little to be learned about spread")
    parser.add_argument("--record", default="", help="yes: compare later runs with this one, and rewrite the page")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "build" / "bench.json", help="where the JSON goes")
    parser.add_argument("--reuse", default="", help="a JSON file of an earlier run: tell of it, and measure nothing")
    # Empty stands for what was not said, because make hands on every variable.
    given = parser.parse_args(argv)
    is_quick, record = _yes(parser, "quick", given.quick), _yes(parser, "record", given.record)
    work = _choice(parser, "work", given.work, letters)
    chosen = () if given.peers == "none" else _choice(parser, "peer", given.peers, peers)
    rounds = _number(parser, "rounds", given.rounds or str(_QUICK_ROUNDS if is_quick else _ROUNDS))
    if rounds != int(rounds):
        parser.error(f"{given.rounds} rounds: a whole number is needed")
    size = scale.QUICK if is_quick else scale.FULL
    if given.seconds:
        size = scale.with_seconds(size, _number(parser, "seconds", given.seconds))
    is_whole = not (is_quick or given.work or given.peers or given.seconds)
    if record and not is_whole:
        parser.error("only a whole run can be recorded: leave out work, peers, seconds and quick")
    reuse = Path(given.reuse) if given.reuse else None
    return Options(work, (*others, *chosen), int(rounds), size, record, given.output, is_quick, is_whole, reuse)


def _choice(parser: argparse.ArgumentParser, what: str, given: str, there: Collection[str]) -> tuple[str, ...]:
    if not given:
        return tuple(there)
    chosen = given.replace(",", " ").split()
    for each in chosen:
        if each not in there:
            parser.error(f"there is no {what} {each}: there is {', '.join(there)}")
    return tuple(each for each in there if each in chosen)


def _number(parser: argparse.ArgumentParser, what: str, given: str) -> float:
    try:
        number = float(given)
    except ValueError:
        parser.error(f"{given} is not a number of {what}")
    if not 0 < number < 1e6:
        parser.error(f"{given} {what}: a number above 0 and below 1,000,000 is needed")
    return number


def _yes(parser: argparse.ArgumentParser, what: str, given: str) -> bool:
    if given not in ("", "yes", "no"):
        parser.error(f"{what} is yes or no, not {given}")
    return given == "yes"
