"""The modes of a lock, by the words that people use and the letters that the protocol does."""

from __future__ import annotations

from .errors import BadRequest

EXCLUSIVE = "exclusive"
UPDATE = "update"
SHARED = "shared"

#: Word to letters of the protocol, the strongest first. The letters are taken for words as well; the modes of trees
#: have no other words.
CODES = {EXCLUSIVE: "X", "SIX": "SIX", UPDATE: "U", SHARED: "S", "IX": "IX", "IS": "IS"}

_WORDS = {**{word: word for word in CODES}, **{code: word for word, code in CODES.items()}}

#: For the letters of each mode, those of the modes that keep out at least whom it keeps out.
AS_GOOD_AS = {
    "X": frozenset({"X"}),
    "SIX": frozenset({"X", "SIX"}),
    "U": frozenset({"X", "SIX", "U"}),
    "S": frozenset({"X", "SIX", "U", "S"}),
    "IX": frozenset({"X", "SIX", "IX"}),
    "IS": frozenset({"X", "SIX", "U", "S", "IX", "IS"}),
}

#: How it is said that somebody holds a lock in this mode.
HELD = {EXCLUSIVE: "held exclusively", UPDATE: "held for update", SHARED: "held in shared mode"}


def mode_of(mode: str) -> str:
    """Return the word for the mode that somebody asks for by its word or its letters.

    Raises:
        BadRequest: There is no such mode.
    """
    try:
        return _WORDS[mode]
    except (KeyError, TypeError):
        *words, last = map(repr, CODES)
        raise BadRequest(f"{mode!r} is no mode of a lock: there is {', '.join(words)} and {last}") from None


def covers(one: str | None, other: str) -> bool:
    """Whether ``one`` keeps out all whom ``other`` does. Both are letters; what is no mode that we know covers nothing
    but itself."""
    return one == other or one in AS_GOOD_AS.get(other, ())


def word_of(code: str) -> str:
    """Return the word for letters that the daemon sent, or the letters: a newer daemon may know more modes."""
    return _WORDS.get(code, code)


def held(mode: str) -> str:
    """Return how it is said that somebody holds a lock in this mode, which is a word."""
    return HELD.get(mode) or f"held in mode {mode}"
