"""What came of a run, and the file in which it is kept."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from .figures import Figures
from .profile import Shares

_FORMAT = 1


class ResultFailed(Exception):
    """A file holds no result, or not what it is needed for; the message says why."""


class Result:
    """What came of a run."""

    def __init__(self, facts: Mapping[str, str], figures: Figures | None = None) -> None:
        #: Where and when.
        self.facts = dict(facts)
        self.figures = Figures() if figures is None else figures
        #: Contenders that did not take part, and why.
        self.missing: dict[str, str] = {}
        #: What went wrong in between: the work and the contender, and why.
        self.failed: dict[str, str] = {}
        #: Where the daemon's time goes, by who asked: lines with their percents of the samples.
        self.profiles: dict[str, Shares] = {}
        #: Whether nothing was left out on purpose or made shorter.
        self.is_whole = False

    def write(self, path: Path) -> None:
        """Keep it in a file, for programs and for `read`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        everything = {
            "format": _FORMAT,
            "machine": self.facts,
            "whole": self.is_whole,
            "missing": self.missing,
            "failed": self.failed,
            "profiles": self.profiles,
            "figures": self.figures.as_json(),
        }
        path.write_text(json.dumps(everything, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Result:
        """Return what `write` has kept.

        Raises:
            ResultFailed: There is no such file, or it holds something else.
        """
        try:
            everything = json.loads(path.read_text(encoding="utf-8"))
            if everything["format"] != _FORMAT:
                raise ResultFailed(f"{path} has the format {everything['format']}, and this program knows {_FORMAT}")
            result = cls(everything["machine"], Figures.from_json(everything["figures"]))
            result.missing, result.failed = everything["missing"], everything["failed"]
            result.profiles = {
                title: [(str(line), float(share)) for line, share in shares]
                for title, shares in everything["profiles"].items()
            }
            result.is_whole = bool(everything["whole"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ResultFailed(f"{path} holds no result of make bench: {error}") from error
        return result
