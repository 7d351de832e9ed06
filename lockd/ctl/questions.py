"""Asks whether something is meant that cannot be undone."""

from __future__ import annotations

import sys

from . import statuses
from .complaints import complain

_YES = frozenset({"y", "yes"})


def confirmed(what: str, is_yes: bool) -> int:
    """Ask on the terminal whether that is to be done, and return `statuses.OK` if it is, else the exit status.

    Args:
        what: What would be done, as words that follow "this would".
        is_yes: It is meant, and nobody need be asked.
    """
    if is_yes:
        return statuses.OK
    if sys.stdin is None or not sys.stdin.isatty():
        complain(f"this would {what}. There is no terminal on which to ask whether that is meant: say so with --yes")
        return statuses.USAGE
    complain(what)
    print("Go ahead? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in _YES:
        return statuses.OK
    complain("nothing was done")
    return statuses.DECLINED
