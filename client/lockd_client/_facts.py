"""Reads the facts of an answer.

The codec has seen to it that facts are plain values, but not that each is of the kind that its key calls for: a newer
daemon may leave one out. What is missing is nothing: 0 or an empty text.
"""

from __future__ import annotations

from lockd_wire.limits import TIMEOUT_SECONDS_MAX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def integer(facts: Mapping[str, object], key: str) -> int:
    value = facts.get(key)
    return value if isinstance(value, int) else 0


def seconds(facts: Mapping[str, object], key: str) -> float:
    value = facts.get(key)
    return min(max(0.0, float(value)), TIMEOUT_SECONDS_MAX) if isinstance(value, int | float) else 0.0


def text(facts: Mapping[str, object], key: str) -> str:
    value = facts.get(key)
    return value if isinstance(value, str) else ""


def maps(facts: Mapping[str, object], key: str) -> tuple[Mapping[str, object], ...]:
    value = facts.get(key)
    return tuple([each for each in value if isinstance(each, dict)]) if isinstance(value, tuple) else ()
