"""The tables of docs/protocol.md as data: what somebody knows who has read nothing but that page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from support.sources import REPOSITORY


class MessageRow(NamedTuple):
    """One line of the tables of messages."""

    number: int
    name: str
    fields: tuple[str, ...]


def read_page() -> str:
    """Read the page."""
    return (REPOSITORY / "docs" / "protocol.md").read_text("utf-8")


def message_rows(page: str) -> list[MessageRow]:
    """Find all messages, those of the admin socket included."""
    return [
        MessageRow(int(number), name.strip("`"), tuple(re.sub(r"\([^)]*\)", "", fields).replace(" ", "").split(",")))
        for number, name, fields, *_ in _tables(page, ("type", "message"))
    ]


def error_codes(page: str) -> list[str]:
    """Find the codes of refusals."""
    return [code.strip("`") for code, *_ in _tables(page, ("code", "what happened"))]


def bounds(page: str) -> dict[str, int]:
    """Find the bounds and their values."""
    return {bound.strip("`"): int(value) for bound, value, _ in _tables(page, ("bound", "value"))}


def _tables(page: str, heads: tuple[str, ...]) -> Iterator[list[str]]:
    """Yield the cells of each line of every table whose first columns are headed so."""
    is_inside = False
    for line in page.splitlines():
        if not line.startswith("|"):
            is_inside = False
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if tuple(cells[: len(heads)]) == heads:
            is_inside = True
        elif is_inside and not set(line) <= set("|-"):
            yield cells
