"""What the audience sees: text, progress, and one table; as well without colours, and where nobody watches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from .half import Half, Sight

#: Between two lines of progress where no line can be written over.
_LINE_SECONDS = 1.0


class Mark(Enum):
    """How a step of act 2 ended: the word that says it, its sign, its sign where there is only ASCII, its colour."""

    GOOD = ("ok", "✓", "+", "green")
    BAD = ("LOST", "✗", "x", "red")
    NONE = ("", " ", " ", "default")


class Stage:
    """Standard output."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._is_ascii = not self._console.encoding.startswith("utf")

    def title(self, text: str) -> None:
        """Begin an act."""
        self._console.print(f"\n[bold]{escape(text)}[/bold]")

    def say(self, text: str) -> None:
        """Print a paragraph."""
        self._console.print(escape(text), soft_wrap=True)

    def step(self, mark: Mark, text: str) -> None:
        """Print one step of a story and how it ended."""
        word, sign, ascii_sign, colour = mark.value
        start = f"{ascii_sign if self._is_ascii else sign} {word:<4}"
        self._console.print(f"  [{colour}]{start}[/{colour}]  {escape(text)}", soft_wrap=True)

    @contextmanager
    def progress(self, title: str, seconds: float) -> Iterator[Callable[[Sight], None]]:
        """Show for as long as the block lasts what the function that it gives is told."""
        if not self._console.is_terminal:
            yield self._lines_of_progress(title)
            return
        columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[seen]}"))
        # No thread refreshes it: a process with threads should not fork.
        with Progress(*columns, console=self._console, auto_refresh=False) as bar:
            task = bar.add_task(title, total=seconds, seen="")

            def show(sight: Sight) -> None:
                bar.update(task, completed=min(sight.passed_seconds, seconds), seen=_seen(sight))
                bar.refresh()

            yield show

    def _lines_of_progress(self, title: str) -> Callable[[Sight], None]:
        next_line_at = 0.0

        def show(sight: Sight) -> None:
            nonlocal next_line_at
            if sight.passed_seconds >= next_line_at:
                next_line_at = sight.passed_seconds + _LINE_SECONDS
                self._console.print(f"  {title}  {sight.passed_seconds:4.1f} s  {_seen(sight)}")
                self._console.file.flush()

        return show

    def table(self, without: Half, under_lockd: Half) -> None:
        """Print what came of both halves, side by side."""
        table = Table(box=box.ROUNDED)
        table.add_column("", no_wrap=True)
        table.add_column("without locks", justify="right", style="red" if not without.is_flawless else "")
        table.add_column("under lockd", justify="right", style="green" if under_lockd.is_flawless else "red")
        for row in zip(_LABELS, _facts(without, "none"), _facts(under_lockd, _waits(under_lockd)), strict=True):
            table.add_row(*row)
        self._console.print(table)


def _seen(sight: Sight) -> str:
    return f"{sight.finished:,} operations, {sight.failed:,} failed"


_LABELS = (
    "operations",
    "lost: acknowledged, then gone",
    "lost: deleted, then there again",
    "corrupt: operations that failed",
    "the file at the end",
    "time",
    "operations per second",
    "wait: median / p99 / longest",
    "least / most served process",
)


def _facts(half: Half, waits: str) -> tuple[str, ...]:
    """Return what stands beside the labels."""
    findings = half.findings
    operations = sum(findings.finished)
    equal = "equals the ledgers" if findings.is_flawless else "differs from them"
    return (
        f"{operations:,}",
        f"{findings.lost:,}",
        f"{findings.returned:,}",
        f"{findings.corrupt:,}",
        "unreadable" if findings.unreadable else equal,
        f"{half.took_seconds:.1f} s",
        f"{operations / half.took_seconds:,.0f}",
        waits,
        f"{min(findings.finished):,} / {max(findings.finished):,}",
    )


def _waits(half: Half) -> str:
    values = half.findings.waits_seconds
    if not values:
        return "none"
    last = len(values) - 1
    median, p99, longest = (values[index] * 1000 for index in (last // 2, last * 99 // 100, last))
    return f"{median:,.0f} / {p99:,.0f} / {longest:,.0f} ms"
