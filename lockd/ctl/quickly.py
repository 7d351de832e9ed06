"""Reads the usual command lines of ``lockctl run`` and ``exec`` without argparse.

To import that and to make a parser takes Python nearly as long as to start. So what needs none of its subtleties is
read here, by the same table of options and with the same outcome; all else, and whatever is wrong, is left to argparse.
"""

from __future__ import annotations

from .locking import DEFAULTS, OPTIONS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, NoReturn

    from .locking import Option


class Options:
    """What a command line asks for, in the attributes that argparse would have made."""

    def __init__(self, values: Mapping[str, Any], words: Sequence[str]) -> None:
        self.__dict__.update(values)
        self._words = words

    if TYPE_CHECKING:
        # What argparse makes has no declared attributes either.
        def __getattr__(self, name: str) -> Any: ...

    def refuse(self, sentence: str) -> NoReturn:
        """Say that this cannot be, and exit, in the way of all commands."""
        from .parser import parser

        parser(self._words).parse_args(self._words).refuse(sentence)
        raise AssertionError("refuse() does not return")


def quick_options(words: Sequence[str]) -> Options | None:
    """Return what a command line asks for, or None if argparse has to read it."""
    options = OPTIONS.get(words[0]) if words else None
    if options is None:
        return None
    known = {word: option for option in options for word in option[0]}
    values = {_destination(option): _default(option[1]) for option in options} | DEFAULTS[words[0]]
    at = 1
    while at < len(words) and words[at].startswith("-"):
        word, equals, given = words[at], "", ""
        if word.startswith("--"):
            word, equals, given = word.partition("=")
        option = known.get(word)
        if option is None:
            return None
        at += 1
        _, terms = option
        if terms.get("action") in ("store_true", "store_const"):
            if equals:
                return None
            values[_destination(option)] = terms.get("const", True)
            continue
        if not equals:
            if at == len(words) or words[at].startswith("-"):
                return None
            given = words[at]
            at += 1
        if not _store(option, given, values):
            return None
    return Options(values | {"rest": list(words[at:])}, words) if at < len(words) else None


def _store(option: Option, given: str, values: dict[str, Any]) -> bool:
    """Put what an option was given where it belongs, and return whether it can be that."""
    _, terms = option
    destination = _destination(option)
    try:
        value = terms.get("type", str)(given)
    except Exception:
        # Whatever is wrong, argparse finds it too, and knows how to say it.
        return False
    if value not in terms.get("choices", (value,)):
        return False
    values[destination] = [*values[destination], value] if terms.get("action") == "append" else value
    return True


def _destination(option: Option) -> str:
    words, terms = option
    named: str | None = terms.get("dest")
    return named or next(word for word in words if word.startswith("--"))[2:].replace("-", "_")


def _default(terms: dict[str, Any]) -> Any:
    return terms.get("default", False if terms.get("action") == "store_true" else None)
