"""Names as trees (rule T1): whoever takes a name announces it on every ancestor.

An intention mode on an ancestor keeps out who would take that whole, and nobody who is busy elsewhere below it. The
rule is Gray's: whoever locks a node holds the matching intention on all above it.
"""

from __future__ import annotations

from collections.abc import Iterator

from .events import Item
from .modes import INTENTION, UPPER_BOUND, Mode


def ancestors(name: str) -> Iterator[str]:
    """Return the names above ``name``, from the top: each part of it that ends before a slash."""
    for position, char in enumerate(name):
        if char == "/" and position:
            yield name[:position]


def with_ancestors(items: tuple[Item, ...]) -> tuple[Item, ...]:
    """Return ``items`` and what they mean for the ancestors of their names, each name once, parents before children.

    A name that is needed in two modes is taken in the weakest that does for both. Semaphores are no part of a tree.
    """
    modes: dict[str, Mode] = {}
    for item in items:
        if isinstance(item.demand, Mode):
            for ancestor in ancestors(item.name):
                _need(modes, ancestor, INTENTION[item.demand])
            _need(modes, item.name, item.demand)
    asked = {item.name for item in items}
    semaphores = tuple(item for item in items if not isinstance(item.demand, Mode))
    return (*(Item(name, modes[name], name in asked) for name in sorted(modes)), *semaphores)


def _need(modes: dict[str, Mode], name: str, mode: Mode) -> None:
    modes[name] = UPPER_BOUND[modes.get(name, mode), mode]
