"""The golden vectors of the protocol, tests/wire/vectors.txt: frames as bytes, beside the messages they stand for."""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from lockd_wire import messages as m
from support.sources import REPOSITORY
from support.wire_messages import NAMES, NUMBERS


class Vector(NamedTuple):
    """One frame and what it says."""

    title: str
    message: m.Message
    array: list[Any]
    frame: bytes

    @property
    def body(self) -> bytes:
        return self.frame[4:]


def read_vectors() -> list[Vector]:
    """Read them all."""
    text = (REPOSITORY / "tests" / "wire" / "vectors.txt").read_text("utf-8")
    return [_vector(block) for block in text.split("\n\n")[1:]]


def _vector(block: str) -> Vector:
    title, line, *dump = block.splitlines()
    name, fields = line.split(" ", 1)
    message = NAMES[name]
    named = json.loads(fields)
    if tuple(named) != message._fields:
        raise ValueError(f"{title}: the fields of {name} are {message._fields}")
    values = {field: _as_python(value) for field, value in named.items()}
    if "options" in values:
        values["options"] = dict(values["options"])
    if not all(re.fullmatch(r"[0-9a-f]{2}( [0-9a-f]{2})*", row) for row in dump):
        raise ValueError(f"{title}: these are not bytes")
    return Vector(
        title.removeprefix("# "), message(**values), [NUMBERS[message], *named.values()], bytes.fromhex(" ".join(dump))
    )


def _as_python(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_as_python(element) for element in value)
    if isinstance(value, dict):
        return {key: _as_python(element) for key, element in value.items()}
    return value
