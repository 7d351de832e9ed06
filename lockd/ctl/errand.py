"""What ``lockctl run`` and ``lockctl exec`` are to do."""

from __future__ import annotations

import os

from lockd_client._modes import CODES, EXCLUSIVE
from lockd_wire._typing import TYPE_CHECKING, NamedTuple
from lockd_wire.limits import TIMEOUT_SECONDS_MAX
from lockd_wire.names import fault_of_label, fault_of_name

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class UsageError(Exception):
    """The command line cannot be. Nothing has happened."""


class Errand(NamedTuple):
    """A command to run, and the lock to run it under."""

    #: What the lock is called; of several, the first.
    name: str
    #: What to take, as `Client.lock_all` wants it.
    items: tuple[tuple[str, str] | tuple[str, int, int], ...]
    is_tree: bool
    #: After how many seconds the lock may be taken away if somebody waits; None is never.
    lease: float | None
    #: How many seconds to wait for the lock: None is for ever, 0 is a try.
    timeout: float | None
    label: str
    command: tuple[str, ...]
    #: Exit status if the lock is not granted in time.
    conflict_status: int
    #: Whether to keep silent then.
    is_quiet: bool
    is_verbose: bool
    #: Path of the daemon's socket; None leaves it to the environment.
    socket: str | None
    #: How many seconds to wait for a daemon that is away, on top of the timeout.
    reconnect_timeout: float


def errand_of(options: argparse.Namespace) -> Errand:
    """Return what the command line asks for.

    Raises:
        UsageError: It asks for something that cannot be.
    """
    words = options.rest[1:] if options.rest[:1] == ["--"] else options.rest
    if not words:
        raise UsageError("the name of the lock is missing, and the command to run under it")
    name, *command = words
    items = (_item(name, options.permits or options.mode), *(_also(each) for each in options.also))
    faults = [(f'name "{item[0]:.80}"', fault_of_name(item[0])) for item in items]
    for what, fault in (*faults, ("label", fault_of_label(options.label))):
        if fault is not None:
            raise UsageError(f"the {what} {fault}")
    return Errand(
        name,
        items,
        options.tree,
        options.lease,
        _timeout(options),
        options.label,
        _command(options.command, command),
        options.conflict_exit_code,
        options.quiet,
        options.verbose,
        options.socket,
        options.reconnect_timeout,
    )


def _timeout(options: argparse.Namespace) -> float | None:
    if options.nonblock:
        return 0.0
    seconds: float | None = options.timeout
    return None if seconds is None or seconds > TIMEOUT_SECONDS_MAX else seconds


def _item(name: str, demand: str | tuple[int, int]) -> tuple[str, str] | tuple[str, int, int]:
    return (name, demand) if isinstance(demand, str) else (name, *demand)


def _also(text: str) -> tuple[str, str] | tuple[str, int, int]:
    """Return what ``NAME``, ``NAME=MODE`` or ``NAME=PERMITS/LIMIT`` asks for. What is no such ending belongs to the
    name."""
    name, equals, ending = text.rpartition("=")
    demand = (ending if ending in CODES else permits_of(ending)) if equals else None
    return _item(text, EXCLUSIVE) if demand is None else _item(name, demand)


def permits_of(text: str) -> tuple[int, int] | None:
    """Return the numbers in ``PERMITS/LIMIT``, or None if that is something else."""
    numbers = text.split("/")
    if len(numbers) != 2 or not all(number.isascii() and number.isdigit() and len(number) < 10 for number in numbers):
        return None
    permits, limit = map(int, numbers)
    return permits, limit


def _command(line: str | None, words: Sequence[str]) -> tuple[str, ...]:
    """Return the command: a line for the shell, given before the name or behind it, or words."""
    if line is not None:
        if words:
            raise UsageError("the command is given with -c, so nothing may follow the name of the lock")
        return _through_shell(line)
    if not words or words == ["--"]:
        raise UsageError("the command to run is missing")
    if words[0] == "--":
        return tuple(words[1:])
    if words[0] in ("-c", "--command"):
        if len(words) != 2:
            raise UsageError(f"{words[0]} takes exactly one argument: put the command in quotes")
        return _through_shell(words[1])
    if words[0].startswith("-"):
        raise UsageError(
            f'"{words[0]:.80}" comes behind the name of the lock: options go before it, and a command that begins with'
            " a dash goes behind --"
        )
    return tuple(words)


def _through_shell(line: str) -> tuple[str, ...]:
    return (os.environ.get("SHELL") or "/bin/sh", "-c", line)
