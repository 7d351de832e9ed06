"""Modes and what they do to each other.

`CONFLICTS` is the definition; everything else in this file is derived from it. It is the classical table of
multi-granularity locking (Gray and others, 1975) with the update mode of databases added.

Many decisions ask "does this mode conflict with any of those?", where "those" may be thousands of grants. So grants and
waiters are counted by mode in one packed integer, a *tally*: a field of `_FIELD_BITS` bits for each mode. One addition
counts, one bitwise "and" answers the question.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final


# A StrEnum, because then the hash is the string's own: these are keys on the hottest path, and the hash of other enums
# is a Python function. The strongest comes first.
class Mode(StrEnum):
    """In what way a name is held. The values are what the protocol and the tables for people call them."""

    EXCLUSIVE = "X"
    SHARED_INTENT_EXCLUSIVE = "SIX"
    UPDATE = "U"
    SHARED = "S"
    INTENT_EXCLUSIVE = "IX"
    INTENT_SHARED = "IS"


_X, _SIX, _U, _S, _IX, _IS = Mode

#: For each mode, the modes that another owner may not hold at the same time. The relation is symmetric.
CONFLICTS: Final[Mapping[Mode, frozenset[Mode]]] = {
    _IS: frozenset({_X}),
    _IX: frozenset({_S, _U, _SIX, _X}),
    _S: frozenset({_IX, _SIX, _X}),
    _U: frozenset({_IX, _U, _SIX, _X}),
    _SIX: frozenset({_IX, _S, _U, _SIX, _X}),
    _X: frozenset({_IS, _IX, _S, _U, _SIX, _X}),
}

#: For each mode, those that keep out no more than it does.
COVERED: Final[Mapping[Mode, frozenset[Mode]]] = {
    mode: frozenset(other for other in Mode if CONFLICTS[mode] >= CONFLICTS[other]) for mode in Mode
}

#: For each mode, what its holder takes on the ancestors of the name in a tree: a promise of what is done below.
INTENTION: Final[Mapping[Mode, Mode]] = {mode: _IX if mode in (_X, _SIX, _IX) else _IS for mode in Mode}

#: The modes whose holder may have left something half done when it dies.
WRITING: Final = frozenset({_U, _SIX, _X})

# The strongest mode has the lowest field: a tally of exclusive grants alone, the usual one, is then a small number.
_FIELD_BITS: Final = 32

#: What one grant or waiter of the mode adds to a tally.
UNIT: Final[Mapping[Mode, int]] = {mode: 1 << (position * _FIELD_BITS) for position, mode in enumerate(Mode)}

#: For each mode, all bits of its field in a tally.
FIELD: Final[Mapping[Mode, int]] = {mode: unit * ((1 << _FIELD_BITS) - 1) for mode, unit in UNIT.items()}

#: For each mode, the fields of a tally that must be empty for it to be compatible with all that is counted there.
CONFLICTING_FIELDS: Final[Mapping[Mode, int]] = {
    mode: sum(FIELD[other] for other in conflicts) for mode, conflicts in CONFLICTS.items()
}

#: The fields of the modes that conflict with every mode. Where one of them is not empty, nobody else can go.
BARRING_FIELDS: Final = sum(FIELD[mode] for mode, conflicts in CONFLICTS.items() if len(conflicts) == len(Mode))


def conflict(one: Mode, other: Mode) -> bool:
    """Whether two owners cannot hold the same name in these two modes."""
    return other in CONFLICTS[one]


def covers(one: Mode, other: Mode) -> bool:
    """Whether ``one`` keeps out all that ``other`` does, so that its holder needs no ``other``."""
    return other in COVERED[one]


def _upper_bound(one: Mode, other: Mode) -> Mode:
    both = CONFLICTS[one] | CONFLICTS[other]
    return min((mode for mode in Mode if CONFLICTS[mode] >= both), key=lambda mode: len(CONFLICTS[mode]))


#: For each two modes, the weakest that does what both do: what a holder of the one has who needs the other as well.
UPPER_BOUND: Final[Mapping[tuple[Mode, Mode], Mode]] = {
    (one, other): _upper_bound(one, other) for one in Mode for other in Mode
}


def strongest(tally: int) -> Mode | None:
    """Return the strongest mode that is counted in ``tally``, or None."""
    return next((mode for mode in Mode if tally & FIELD[mode]), None)
