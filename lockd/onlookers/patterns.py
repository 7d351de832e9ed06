"""Names by pattern: a million names are a few series, or a few classes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import translate
from typing import Final

#: Names whose pattern is remembered. Beyond that all are forgotten: what is in use is looked up again.
_REMEMBERED_MAX: Final = 4096


class Patterns:
    """Which of some patterns a name fits: in the manner of a shell, but that a ``*`` stands for slashes too."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Know these patterns. The first one that fits a name is the one that counts."""
        self._patterns = [(pattern, re.compile(translate(pattern))) for pattern in patterns]
        self._remembered: dict[str, str | None] = {}

    def of(self, name: str) -> str | None:
        """Return the pattern that ``name`` fits, or None."""
        try:
            return self._remembered[name]
        except KeyError:
            pass
        if len(self._remembered) >= _REMEMBERED_MAX:
            self._remembered.clear()
        found = next((pattern for pattern, compiled in self._patterns if compiled.match(name)), None)
        self._remembered[name] = found
        return found
