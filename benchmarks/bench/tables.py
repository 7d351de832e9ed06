"""Tables in Markdown that people can read in a terminal as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .figures import Spread

#: What stands where there is no figure.
NOTHING = "-"


class Table(NamedTuple):
    """A title, a head, and rows of as many cells. The first column is text, the others are figures."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """Return it in Markdown, with columns that line up. A table without rows is an empty text."""
        if not self.rows:
            return ""
        widths = [max(map(len, column)) for column in zip(self.head, *self.rows, strict=True)]
        rule = [
            "-" * width if index == 0 else "-" * (width - 1) + ":" for index, width in enumerate([*map(_wide, widths)])
        ]
        lines = [_line(self.head, widths), "| " + " | ".join(rule) + " |"]
        lines += [_line(row, widths) for row in self.rows]
        return f"### {self.title}\n\n" + "\n".join(lines) + "\n"


def _wide(width: int) -> int:
    return max(width, 3)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [
        cell.ljust(_wide(width)) if index == 0 else cell.rjust(_wide(width))
        for index, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return "| " + " | ".join(padded) + " |"


def number(value: float | None) -> str:
    """Return a figure with three significant digits: 0.123, 1.23, 12.3, 123, 1,230."""
    if value is None:
        return NOTHING
    if value == 0:
        return "0"
    digits = 0 if abs(value) >= 99.5 else 1 if abs(value) >= 9.95 else 2 if abs(value) >= 0.995 else 3
    return f"{_rounded(value):,.{digits}f}"


def _rounded(value: float) -> float:
    return float(f"{value:.3g}") if abs(value) >= 1000 else value


def spread(values: Spread | None) -> str:
    """Return a median, and behind it from where to where the measurements go if there is more than one."""
    if values is None:
        return NOTHING
    if values.low == values.high:
        return number(values.median)
    return f"{number(values.median)} ({number(values.low)} to {number(values.high)})"
