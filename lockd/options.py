"""What an option is, as far as its field in `lockd.settings` tells: which values it takes, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, get_args, get_type_hints

from msgspec import Meta, Struct, inspect
from msgspec.structs import FieldInfo, fields

ENVIRONMENT_PREFIX: Final = "LOCKD_"


def option(reason: str, unit: str, **constraints: Any) -> Meta:
    """Describe an option whose bounds are numbers or literals, from which msgspec can tell what is allowed."""
    return Meta(description=reason, extra={"unit": unit}, **constraints)


def text(reason: str, unit: str, *, allowed: str, **constraints: Any) -> Meta:
    """Describe an option whose bounds have to be put into words."""
    return Meta(description=reason, extra={"unit": unit, "allowed": allowed}, **constraints)


def directory(reason: str, *, default: str, example: str) -> Meta:
    """Describe an option that is a directory, whose default depends on who starts the daemon, and how."""
    words = {"unit": "directory", "allowed": "an absolute path without control characters"}
    extra = words | {"default": default, "example": json.dumps(example)}
    return Meta(description=reason, extra=extra, pattern=r"\A/[^\x00-\x1f\x7f]*\Z")


class Option(NamedTuple):
    """One option, as its field defines it."""

    #: Its path in the file: ``quotas.sessions_max``.
    key: str
    #: What its value counts or is.
    unit: str
    #: As it would be written in the file; in words where it depends on who starts the daemon.
    default: str
    #: A value as it would be written in the file: the default, where that is not in words.
    example: str
    #: Which values there are, in words that come before "is allowed".
    allowed: str
    reason: str
    #: The environment variable that sets it.
    environment: str
    #: What msgspec holds a value against.
    type: Any

    @property
    def section(self) -> str:
        """The part of the key before the dot, "" for an option that stands above all sections."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The part of the key behind the dot."""
        return self.key.rpartition(".")[2]

    @property
    def flag(self) -> str:
        """How the option is written on a command line."""
        return "--" + self.key.replace(".", "-").replace("_", "-")


def options_of(struct: type[Struct], section: str = "") -> Iterator[Option]:
    """Yield the options of a section, and those of the sections in it."""
    types = get_type_hints(struct, include_extras=True)
    for info in fields(struct):
        if isinstance(types[info.name], type) and issubclass(types[info.name], Struct):
            yield from options_of(types[info.name], f"{info.name}.")
        else:
            yield _option_of(info, types[info.name], section + info.name)


def _option_of(info: FieldInfo, annotated: Any, key: str) -> Option:
    (meta,) = annotated.__metadata__
    assert isinstance(meta, Meta)
    assert meta.description is not None
    assert meta.extra is not None
    return Option(
        key=key,
        unit=meta.extra["unit"],
        default=meta.extra.get("default") or json.dumps(info.default),
        example=meta.extra.get("example") or json.dumps(info.default),
        allowed=meta.extra.get("allowed") or _allowed_by(annotated),
        reason=meta.description,
        environment=ENVIRONMENT_PREFIX + key.replace(".", "_").upper(),
        type=annotated,
    )


def _allowed_by(annotated: Any) -> str:
    match inspect.type_info(annotated):
        case inspect.Metadata(type=inspect.IntType(ge=least, le=most)):
            return f"a whole number from {least} to {most}"
        case inspect.Metadata(type=inspect.FloatType(ge=least, le=most)):
            return f"a number from {least:g} to {most:g}"
        case inspect.Metadata(type=inspect.BoolType()):
            return "true or false"
        case inspect.Metadata(type=inspect.LiteralType()):
            # msgspec would tell them in alphabetical order.
            *words, last = (json.dumps(value) for value in get_args(get_args(annotated)[0]))
            return f"{', '.join(words)} or {last}"
        case other:
            raise TypeError(f"what {other} allows has to be put into words with the option")
