"""What options are given, as text on a command line.

Each function returns what the text stands for, or raises what argparse shows as it is.
"""

from __future__ import annotations

import math

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import ArgumentTypeError


def seconds(text: str) -> float:
    """Return a duration."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise _misfit(f"{text!r} is not a number of seconds: 0, 2.5 and 60 are")
    return seconds


def permits(text: str) -> tuple[int, int]:
    """Return how many permits, and of how many."""
    from .errand import permits_of

    permits = permits_of(text)
    if permits is None:
        raise _misfit(f"{text!r} is not N/LIMIT: 1/4 is")
    return permits


def status(text: str) -> int:
    """Return an exit status."""
    if not (text.isascii() and text.isdigit() and int(text) <= 255):
        raise _misfit(f"{text!r} is not an exit status: those are the whole numbers from 0 to 255")
    return int(text)


def _misfit(sentence: str) -> ArgumentTypeError:
    from argparse import ArgumentTypeError

    return ArgumentTypeError(sentence)
