"""Answers on standard output: for a terminal as wide as that is, for a pipe as wide as they are."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from typing import NamedTuple

from lockd_client._words import printable

from . import statuses
from .complaints import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Any, Literal

#: Columns of the terminal between two of the table.
_GAP = 2

#: What is left to a column that gives way, at the least. On a terminal too narrow even for that, lines run over.
_GIVEN_COLUMNS_MIN = 12


class Column:
    """A column of a table."""

    def __init__(
        self,
        heading: str,
        cell: Callable[[Mapping[str, Any]], object],
        *,
        align: Literal["left", "right"] = "left",
        gives_way: bool = False,
        may_go: bool = False,
    ) -> None:
        """Make a column.

        Args:
            heading: What stands above it.
            cell: Returns what it shows of a row.
            align: To which side.
            gives_way: Whether it is broken into several lines where the terminal is too narrow.
            may_go: Whether it is left out there, before any other is broken.
        """
        self.heading = heading
        self.cell = cell
        self.align = align
        self.gives_way = gives_way
        self.may_go = may_go


class _Drawn(NamedTuple):
    """A column with what is in it."""

    column: Column
    cells: list[str]
    #: Columns of the terminal that the widest cell, or the heading, takes.
    width: int


class Output:
    """Collects what is to be said, and says it at once. Nothing in it gives orders to a terminal."""

    def __init__(self) -> None:
        self._parts: list[str] = []

    def line(self, text: str) -> None:
        """Add a line."""
        self._parts.append(f"{printable(text)}\n")

    def table(self, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> None:
        """Add a table."""
        from rich.cells import cell_len

        rows = list(rows)
        drawn = [
            _Drawn(column, cells, max(map(cell_len, (column.heading, *cells))))
            for column in columns
            for cells in [[printable(str(column.cell(row))) for row in rows]]
        ]
        if sys.stdout is not None and sys.stdout.isatty():
            self._parts += _fitted(drawn, shutil.get_terminal_size().columns)
        else:
            self._parts += _in_full(drawn)

    def document(self, text: str) -> None:
        """Add a text that is fit to be printed as it is."""
        self._parts.append(f"{text}\n")

    def finish(self) -> int:
        """Write everything and return the exit status."""
        if sys.stdout is None:
            complain("there is no standard output to write to")
            return statuses.NOT_WRITTEN
        # What the locale has no character for is escaped: an answer in ASCII is better than none.
        encoding = sys.stdout.encoding or "ascii"
        text = "".join(self._parts).encode(encoding, "backslashreplace").decode(encoding)
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            # Python tries once more when it exits, and would complain then.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            if isinstance(error, BrokenPipeError):
                # Whoever reads has had enough of it.
                return statuses.SIGNALLED + signal.SIGPIPE
            complain(f"the answer cannot be written: {error.strerror}")
            return statuses.NOT_WRITTEN
        return statuses.OK


def _in_full(drawn: Sequence[_Drawn]) -> Iterator[str]:
    """Return the lines of a table for a pipe: as wide as they are, and made at once, for there may be many."""
    from rich.cells import cell_len

    for texts in zip(*([each.column.heading, *each.cells] for each in drawn), strict=True):
        line = []
        for text, each in zip(texts, drawn, strict=True):
            blanks = " " * (each.width - cell_len(text))
            line.append(blanks + text if each.column.align == "right" else text + blanks)
        yield f"{(' ' * _GAP).join(line).rstrip()}\n"


def _fitted(drawn: Sequence[_Drawn], width: int) -> Iterator[str]:
    """Return the lines of a table for a terminal of this width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    if sum(each.width + _GAP for each in drawn) > width:
        drawn = [each for each in drawn if not each.column.may_go]
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    least = 0
    for column, _, widest in drawn:
        table.add_column(column.heading, justify=column.align, no_wrap=not column.gives_way, overflow="fold")
        least += _GAP + (min(widest, _GIVEN_COLUMNS_MIN) if column.gives_way else widest)
    for texts in zip(*(each.cells for each in drawn), strict=True):
        # Not as strings, in which rich would look for markup.
        table.add_row(*map(Text, texts))
    shown = io.StringIO()
    Console(file=shown, width=max(least, width), force_terminal=True, highlight=False).print(table)
    return (f"{line.rstrip()}\n" for line in shown.getvalue().splitlines())
