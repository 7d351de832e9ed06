"""What the kinds of work are to the harness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

from bench.contenders import Contender, Kind
from bench.scale import Scale


class Contest(NamedTuple):
    """Work that every contender does, in each round, after the one before it and before the one behind it."""

    title: str
    #: Returns figures by their keys, without the letter and the contender.
    measure: Callable[[Contender, Scale], Mapping[str, float]]
    #: Whether it means anything to one that excludes nobody.
    has_floor: bool = True

    def concerns(self, kind: Kind) -> bool:
        """Return whether a contender of this kind takes part."""
        return self.has_floor or kind is not Kind.FLOOR


class Study(NamedTuple):
    """Work that is about lockd, or about programs that are started."""

    title: str
    #: Is given an empty directory with a short path. Returns figures by their keys, without the letter.
    measure: Callable[[str, Scale], Mapping[str, float]]
    #: Whether it is done in each round, or once.
    each_round: bool = False


class WorkFailed(Exception):
    """This work cannot be done here; the message says why."""
