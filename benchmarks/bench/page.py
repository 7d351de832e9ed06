"""The part of docs/performance.md that a run writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .options import REPOSITORY
from .tables import Table

PATH = REPOSITORY / "docs" / "performance.md"
PLOTS = REPOSITORY / "docs" / "performance"

_BEGIN, _END = "<!-- bench: from here on written by make bench RECORD=yes -->", "<!-- bench: up to here -->"


class PageFailed(Exception):
    """The page has no place for the figures; the message says so."""


def block(facts: Mapping[str, str], notes: list[str], tables: list[Table], plots: Mapping[str, str]) -> str:
    """Return all that is written: where and when, what was not there, tables, plots.

    Args:
        plots: Titles by the names of the files.
    """
    said = "; ".join(f"{what} {value}" for what, value in facts.items() if what not in ("when", "machine"))
    parts = [f"Measured on {facts['when']}, on {facts['machine']}: {said}.\n"]
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes) + "\n")
    parts += [f"![{title}](performance/{name})\n" for name, title in plots.items()]
    parts += [table.text() for table in tables]
    return "\n".join(parts)


def rewritten(text: str, written: str) -> str:
    """Return the text of a page with another block in it.

    Raises:
        PageFailed: The marks are not there.
    """
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise PageFailed(f"the page lacks the lines {_BEGIN} and {_END}, between which the figures go")
    return f"{before}{begin}\n\n{written}\n{end}{after}"


def rewrite(written: str, path: Path = PATH) -> None:
    """Put another block into the page.

    Raises:
        PageFailed: It has no place for it.
    """
    path.write_text(rewritten(path.read_text(encoding="utf-8"), written), encoding="utf-8")
