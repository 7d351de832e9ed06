"""What flags, environment and file say about the options, before anybody has decided who is right."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple, get_args, get_origin

import msgspec

from .options import ENVIRONMENT_PREFIX, Option
from .settings import OTHER_VARIABLES, describe, sections

OPTIONS: Final = {option.key: option for option in describe()}
_SECTIONS: Final = sections()

#: More than this is no configuration but a wrong path.
_FILE_BYTES_MAX: Final = 1024 * 1024

#: What `tomllib` has at the end of its messages.
_TOML_POSITION: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)\Z")


class Reading(NamedTuple):
    """One value for one option, and who gives it."""

    option: Option
    value: Any
    source: str
    #: Whether the value is text because its source knows no other kind.
    is_text: bool = False

    def judged(self) -> Any:
        """Return the value in the type of its option.

        Raises:
            msgspec.ValidationError: It cannot be the value of that option.
        """
        value = self.value
        if self.is_text and get_origin(get_args(self.option.type)[0]) is tuple:
            value = re.split(r"[,\s]+", value)
        return msgspec.convert(value, self.option.type, strict=not self.is_text)


def from_file(path: str, named_by: str, problems: list[str]) -> Iterator[Reading]:
    """Yield what a TOML file says. What is wrong with the file is added to ``problems``.

    Args:
        path: The file.
        named_by: Who says that this is the file; "" for nobody.
        problems: Gets one sentence for each.
    """
    try:
        table = _table_in(path)
    except OSError as error:
        problems.append(f"{path}{named_by and f' ({named_by})'} cannot be read: {error.strerror}.")
    except (ValueError, RecursionError) as error:
        problems.append(_not_toml(path, error))
    else:
        yield from _from_table(table, path, problems)


def from_environment(environ: Mapping[str, str], problems: list[str]) -> Iterator[Reading]:
    """Yield what the environment says; a variable that is set to nothing says nothing.

    A variable that looks like an option and is none is added to ``problems``: an option that is silently not there is
    found out when it is needed.
    """
    options = {option.environment: option for option in OPTIONS.values()}
    for name, value in environ.items():
        if not name.startswith(ENVIRONMENT_PREFIX) or name in OTHER_VARIABLES or not value:
            continue
        source = f"environment variable {name}"
        if name in options:
            yield Reading(options[name], value, source, is_text=True)
        else:
            problems.append(f"{source}: there is no such option; {_nearest(name, list(options))}")


def from_flags(flags: Mapping[str, str | None]) -> Iterator[Reading]:
    """Yield what the command line says, by the keys of options. A relative path is meant from the working directory."""
    for key, value in flags.items():
        if value is None:
            continue
        option = OPTIONS[key]
        text = os.path.abspath(value) if option.unit == "directory" and value else value
        yield Reading(option, text, f"flag {option.flag}", is_text=True)


def _table_in(path: str) -> dict[str, Any]:
    with open(path, "rb") as file:
        content = file.read(_FILE_BYTES_MAX + 1)
    if len(content) > _FILE_BYTES_MAX:
        raise ValueError(f"it is longer than {_FILE_BYTES_MAX} bytes")
    return tomllib.loads(content.decode())


def _not_toml(path: str, error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"{path}, line {line}: this is not TOML: it is not UTF-8."
    message = str(error)
    position = _TOML_POSITION.search(message)
    if position is None:
        return f"{path}: this is not TOML: {message}."
    where = f"line {position[1]}" if position[1] else "at its end"
    return f"{path}, {where}: this is not TOML: {message[: position.start()]}."


def _from_table(table: dict[str, Any], source: str, problems: list[str]) -> Iterator[Reading]:
    for name, value in table.items():
        if name in OPTIONS:
            yield Reading(OPTIONS[name], value, source)
        elif name in _SECTIONS and isinstance(value, dict):
            yield from _from_section(name, value, source, problems)
        elif name in _SECTIONS:
            problems.append(f"{source}: {name} is a section: its options are written below a line [{name}].")
        elif isinstance(value, dict):
            nearest = _nearest(f"[{name}]", [f"[{section}]" for section in _SECTIONS])
            problems.append(f"{source}: there is no section [{name}]; {nearest}")
        else:
            problems.append(f"{source}: there is no option {name}; {_nearest(name, list(OPTIONS))}")


def _from_section(section: str, table: dict[str, Any], source: str, problems: list[str]) -> Iterator[Reading]:
    here = [key for key, option in OPTIONS.items() if option.section == section]
    for name, value in table.items():
        key = f"{section}.{name}"
        if key in OPTIONS:
            yield Reading(OPTIONS[key], value, source)
        else:
            problems.append(f"{source}: there is no option {key}; {_nearest(key, list(OPTIONS), here)}")


def _nearest(unknown: str, known: list[str], here: list[str] | None = None) -> str:
    """Say which of the ``known`` was meant or, if it is like none of them, which there are, or are ``here``."""
    name = unknown.rpartition(".")[2]
    near = [key for key in known if key.rpartition(".")[2] == name] or difflib.get_close_matches(unknown, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(here or known)}."
