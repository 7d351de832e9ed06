"""Answers on standard output: for a terminal as wide as that is, for a pipe as wide as they are."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys

from lockd_client._words import printable

from . import statuses
from .complaints import complain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Any, Literal

#: No answer is as wide as this.
_PIPE_COLUMNS = 100_000

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
    ) -> None:
        """Make a column.

        Args:
            heading: What stands above it.
            cell: Returns what it shows of a row.
            align: To which side.
            gives_way: Whether it is broken into several lines where the terminal is too narrow.
        """
        self.heading = heading
        self.cell = cell
        self.align = align
        self.gives_way = gives_way


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
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        cells = [[printable(str(column.cell(row))) for column in columns] for row in rows]
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        least = 0
        for column, texts in zip(columns, zip(*cells, strict=True), strict=True):
            table.add_column(column.heading, justify=column.align, no_wrap=not column.gives_way, overflow="fold")
            widest = max(cell_len(text) for text in (column.heading, *texts))
            least += _GAP + (min(widest, _GIVEN_COLUMNS_MIN) if column.gives_way else widest)
        for row_of_texts in cells:
            # Not as strings, in which rich would look for markup.
            table.add_row(*map(Text, row_of_texts))
        is_terminal = sys.stdout is not None and sys.stdout.isatty()
        width = max(least, shutil.get_terminal_size().columns) if is_terminal else _PIPE_COLUMNS
        drawn = io.StringIO()
        Console(file=drawn, width=width, force_terminal=is_terminal, highlight=False).print(table)
        self._parts += [f"{line.rstrip()}\n" for line in drawn.getvalue().splitlines()]

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
