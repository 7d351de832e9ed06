"""Numbers in the words of people, as both sides say them."""

from __future__ import annotations

_UNITS = (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1))


def whole_seconds(total: int) -> str:
    """Return a duration in its two greatest units: ``42 s``, ``3 min 5 s``, ``2 h 7 min``."""
    for unit, size, next_unit, next_size in _UNITS:
        if total >= size:
            rest = total % size // next_size
            return f"{total // size} {unit} {rest} {next_unit}" if rest else f"{total // size} {unit}"
    return f"{total} s"


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``3rd``, ``4th``, …"""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th') }"
