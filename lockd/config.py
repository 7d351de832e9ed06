"""The configuration: flags before environment variables, before the file, before defaults.

`lockd.settings` has the options, `lockd.readings` reads what is said about them. Here it is decided who is right.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
import textwrap
from collections.abc import Iterator, Mapping
from functools import reduce
from typing import Any, Final

import msgspec

from lockd_wire import endpoints

from .logs import safe
from .peers import OVERFLOW_GID, OVERFLOW_UID
from .readings import OPTIONS, Reading, from_environment, from_file, from_flags
from .settings import SYSTEM_STATE_DIRECTORY, Settings, describe

#: Read for root, if it exists and no other file is named.
SYSTEM_FILE: Final = "/etc/lockd/lockd.toml"

#: The width of the comments in `sample`.
_COLUMNS: Final = 100

_SHOWN_CHARACTERS_MAX: Final = 80
_DEFAULT: Final = "default"


class ConfigError(Exception):
    """The configuration cannot be. Nothing has been changed anywhere.

    Each of the ``problems`` is one sentence that names the source, the option, what is wrong and what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        # Keys and values of a file are no more than text from somewhere.
        self.problems = [safe(problem) for problem in problems]
        super().__init__("\n".join(self.problems))


class Config(Settings, frozen=True, kw_only=True):
    """The value of every option."""

    #: Who gave each value, by the option's key.
    sources: dict[str, str]

    def value(self, key: str) -> Any:
        """Return the value of the option with this key, such as ``quotas.sessions_max``."""
        return reduce(getattr, key.split("."), self)


def load(
    flags: Mapping[str, str | None],
    environ: Mapping[str, str],
    *,
    uid: int,
    system_file: str = SYSTEM_FILE,
    system_runtime_dir: str = endpoints.SYSTEM_RUNTIME_DIRECTORY,
) -> Config:
    """Gather the configuration and check it.

    Args:
        flags: What the command line gives: by the option's key (``runtime_dir``, ``quotas.sessions_max``), and as
            ``config`` the path of the file. None is a flag that was not given.
        environ: The environment.
        uid: Who starts the daemon; the defaults of the directories depend on it.
        system_file: What is read for root if nobody else says where the file is.
        system_runtime_dir: Where the system's daemon is, if there is one.

    Raises:
        ConfigError: With every problem that was found. Whether values contradict each other is looked at when each of
            them can be.
    """
    problems: list[str] = []
    readings = [
        *_from_chosen_file(flags, environ, system_file if uid == 0 else None, problems),
        *from_environment(environ, problems),
        *from_flags({key: value for key, value in flags.items() if key != "config"}),
    ]
    if not problems:
        # A file that is wrong may have meant to say where the directories are.
        named = {reading.option.key for reading in readings}
        readings += _default_directories(named, environ, uid, system_runtime_dir, problems)
    values: dict[str, Any] = {}
    sources = dict.fromkeys(OPTIONS, _DEFAULT)
    for reading in readings:
        key = reading.option.key
        try:
            values[key] = reading.judged()
        except msgspec.ValidationError:
            problems.append(_wrong(reading.source, key, reading.value, f"{reading.option.allowed} is allowed"))
        sources[key] = reading.source
    if problems:
        raise ConfigError(problems)
    config = _assembled(values, sources)
    if problems := [_wrong(sources[key], key, config.value(key), fault) for key, fault in _contradictions(config)]:
        raise ConfigError(problems)
    return config


def sample() -> str:
    """Return a configuration file that changes nothing: every option is explained and commented out."""
    lines = ["# The options of lockd and their defaults. Take away the # in front of those that you change."]
    section = ""
    for option in describe():
        lines.append("")
        if option.section != section:
            section = option.section
            lines += [f"[{section}]"]
        bounds = f"{option.allowed[0].upper()}{option.allowed[1:]}. Environment variable: {option.environment}"
        default = [] if option.default == option.example else [f"Default: {option.default}."]
        for paragraph in (option.reason, *default, bounds):
            lines += textwrap.wrap(paragraph, _COLUMNS, initial_indent="# ", subsequent_indent="# ")
        lines.append(f"#{option.name} = {option.example}")
    return "\n".join([*lines, ""])


def print_options() -> None:
    """Print every option with its default and its reason, as a file to start from."""
    print(sample(), end="")


def _wrong(source: str, key: str, value: object, fault: str) -> str:
    shown = json.dumps(value, default=str, ensure_ascii=False)
    if len(shown) > _SHOWN_CHARACTERS_MAX:
        shown = f"{shown[:_SHOWN_CHARACTERS_MAX]}…"
    return f"{source}: {key} is {shown}: {fault}."


def _from_chosen_file(
    flags: Mapping[str, str | None], environ: Mapping[str, str], system_file: str | None, problems: list[str]
) -> Iterator[Reading]:
    if (path := flags.get("config")) is not None:
        yield from from_file(path, "flag --config", problems)
        return
    if path := environ.get("LOCKD_CONFIG"):
        yield from from_file(path, "environment variable LOCKD_CONFIG", problems)
        return
    if directory := _from_systemd(environ, "CONFIGURATION_DIRECTORY", "--config", problems):
        system_file = os.path.join(directory, os.path.basename(SYSTEM_FILE))
    if system_file is not None and os.path.lexists(system_file):
        yield from from_file(system_file, "", problems)


def _default_directories(
    named: set[str], environ: Mapping[str, str], uid: int, system_runtime_dir: str, problems: list[str]
) -> Iterator[Reading]:
    for key, variable in {"runtime_dir": "RUNTIME_DIRECTORY", "state_dir": "STATE_DIRECTORY"}.items():
        option = OPTIONS[key]
        if key in named:
            continue
        if environ.get(variable):
            if path := _from_systemd(environ, variable, option.flag, problems):
                yield Reading(option, path, f"environment variable {variable}")
        elif key == "state_dir":
            yield Reading(option, _state_directory(environ, uid), _DEFAULT)
        elif uid != 0 and os.path.isdir(system_runtime_dir):
            problems.append(
                f"{_DEFAULT}: programs on this machine look for the system's daemon, in {system_runtime_dir}, and two"
                " daemons would grant one lock twice: use the system's or, if its programs are given LOCKD_SOCKET, name"
                f" a directory for another one with {option.flag}."
            )
        else:
            path = endpoints.runtime_directory(environ, system=system_runtime_dir, uid=uid)
            yield Reading(option, path, _DEFAULT)


def _from_systemd(environ: Mapping[str, str], variable: str, flag: str, problems: list[str]) -> str:
    """Return the directory that the unit has set up, or "" if it has not, or has several: that is a problem."""
    path = environ.get(variable, "")
    # For a unit with several of them systemd puts colons in between.
    if ":" not in path:
        return path
    problems.append(
        f"environment variable {variable}: it names several directories, {path}: say with {flag} which of them is"
        " meant."
    )
    return ""


def _state_directory(environ: Mapping[str, str], uid: int) -> str:
    if uid == 0:
        return SYSTEM_STATE_DIRECTORY
    state_home = environ.get("XDG_STATE_HOME", "")
    # The XDG specification wants relative paths ignored.
    return os.path.join(state_home if state_home.startswith("/") else f"{_home(environ, uid)}/.local/state", "lockd")


def _home(environ: Mapping[str, str], uid: int) -> str:
    if home := environ.get("HOME"):
        return home
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return "~"


def _assembled(values: dict[str, Any], sources: dict[str, str]) -> Config:
    tree: dict[str, Any] = {"sources": sources}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        (tree.setdefault(section, {}) if section else tree)[name] = value
    return msgspec.convert(tree, Config)


def _contradictions(config: Config) -> Iterator[tuple[str, str]]:
    """Yield the key of each option that cannot be beside the others, or on this machine, and why."""
    quotas, client_socket = config.quotas, config.client_socket
    if quotas.sessions_per_uid_max > quotas.sessions_max:
        most = f"{quotas.sessions_max} ({config.sources['quotas.sessions_max']})"
        yield "quotas.sessions_per_uid_max", f"at most quotas.sessions_max is allowed, which is {most}"
    if OVERFLOW_UID in config.admin_socket.uids:
        yield "admin_socket.uids", f"{OVERFLOW_UID} is not allowed: every uid of another user namespace appears as it"
    for key, settings in (("client_socket.group", client_socket), ("admin_socket.group", config.admin_socket)):
        try:
            gid = settings.gid()
        except KeyError:
            yield key, "this machine has no such group"
            continue
        if settings is config.admin_socket and gid == OVERFLOW_GID:
            yield key, f"gid {gid} is not allowed: every gid of another user namespace appears as it"
    if client_socket.group and not client_socket.permissions & stat.S_IWGRP:
        yield "client_socket.group", f"client_socket.mode has to let it in, but is {client_socket.mode}"
    if os.path.realpath(config.runtime_dir) == os.path.realpath(config.state_dir):
        yield "state_dir", "it has to be another directory than runtime_dir, which does not outlive a reboot"
