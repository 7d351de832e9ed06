"""The command lines of ``lockctl run`` and ``exec``, which stand in front of other commands."""

from __future__ import annotations

from lockd_client._modes import CODES
from lockd_client._session import RECONNECT_SECONDS

from . import statuses, texts
from .values import permits, seconds, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any, TypeAlias

    from .errand import Errand
    from .grammar import Commands

    #: As `argparse.ArgumentParser.add_argument` wants it: its words, and what it means.
    Option: TypeAlias = tuple[tuple[str, ...], dict[str, Any]]

#: From SIGTERM to SIGKILL: as long as `consul lock` gives a command whose lock is lost.
_KILL_AFTER_SECONDS = 5.0


def add_run(commands: Commands) -> None:
    """Add ``lockctl run``."""
    _add(commands, "run", "run a command under a lock, as flock(1) does", texts.RUN, texts.RUN_EXAMPLES)


def add_exec(commands: Commands) -> None:
    """Add ``lockctl exec``."""
    _add(commands, "exec", "take a lock and become the command", texts.EXEC, texts.EXEC_EXAMPLES)


def _add(commands: Commands, name: str, summary: str, text: str, examples: str) -> None:
    from argparse import REMAINDER, SUPPRESS

    from .grammar import add_command

    command: argparse.ArgumentParser = add_command(commands, name, summary, text, examples + texts.LOCKING_STATUSES)
    start = f"{command.prog} [OPTION ...] NAME"
    command.usage = f"{start} [--] COMMAND [ARGUMENT ...]\n       {start} -c LINE"
    for words, terms in OPTIONS[name]:
        command.add_argument(*words, **terms)
    command.add_argument("rest", nargs=REMAINDER, help=SUPPRESS)
    command.set_defaults(refuse=command.error, **DEFAULTS[name])


def _run(options: Any) -> int:
    errand = _errand(options)
    if options.no_fork:
        if options.lease is not None:
            options.refuse("with -F nobody is there to end COMMAND when its lease is taken")
        return _become(errand)
    from .run import run

    return run(errand, options.kill_after)


def _exec(options: Any) -> int:
    return _become(_errand(options))


def _errand(options: Any) -> Errand:
    from .errand import UsageError, errand_of

    try:
        return errand_of(options)
    except UsageError as error:
        options.refuse(str(error))
        raise AssertionError("refuse() does not return") from error


def _become(errand: Errand) -> int:
    from .signals import die_of_interrupts
    from .take import become

    die_of_interrupts()
    return become(errand)


_MODE: dict[str, Any] = {"dest": "mode", "action": "store_const", "default": "exclusive"}

_OF_BOTH: tuple[Option, ...] = (
    (("-x", "-e", "--exclusive"), {"const": "exclusive", "help": "hold it alone (the default)", **_MODE}),
    (("-s", "--shared"), {"const": "shared", "help": "hold it together with other shared ones", **_MODE}),
    (
        ("--mode",),
        {
            "dest": "mode",
            "default": "exclusive",
            "choices": tuple(CODES),
            "help": f"one of {', '.join(CODES)}",
            "metavar": "MODE",
        },
    ),
    (
        ("--permits",),
        {"type": permits, "metavar": "N/LIMIT", "help": "take N permits of a semaphore that has LIMIT"},
    ),
    (("--tree",), {"action": "store_true", "help": "the slashes in the names make a tree, which is locked as one"}),
    (
        ("--and",),
        {
            "dest": "also",
            "action": "append",
            "default": [],
            "metavar": "NAME[=HOW]",
            "help": "take this as well: all or none",
        },
    ),
    (("-n", "--nonblock", "--nb"), {"action": "store_true", "help": "do not wait"}),
    (
        ("-w", "--timeout", "--wait"),
        {"type": seconds, "metavar": "SECONDS", "help": "do not wait longer; 0 is -n"},
    ),
    (
        ("-E", "--conflict-exit-code"),
        {
            "type": status,
            "default": statuses.CONFLICT,
            "metavar": "STATUS",
            "help": f"exit status if it is not granted in time ({statuses.CONFLICT})",
        },
    ),
    (
        ("-c", "--command"),
        {"metavar": "LINE", "help": "the command, for $SHELL -c; may stand behind NAME as well"},
    ),
    (
        ("-o", "--close"),
        {"action": "store_true", "help": "for the sake of flock(1): no descriptor holds the lock anyway"},
    ),
    (
        ("-q", "--quiet"),
        {"action": "store_true", "help": "do not say who has the lock if it is not granted in time"},
    ),
    (("--verbose",), {"action": "store_true", "help": "say for whom it waits, and how long it took"}),
    (
        ("--label",),
        {"default": "", "metavar": "TEXT", "help": "why the lock is wanted: shown to whoever waits for it"},
    ),
    (("--socket",), {"metavar": "PATH", "help": "socket of the daemon, instead of $LOCKD_SOCKET"}),
    (
        ("--reconnect-timeout",),
        {
            "type": seconds,
            "default": RECONNECT_SECONDS,
            "metavar": "SECONDS",
            "help": f"how long to wait for a daemon that goes away meanwhile, on top of -w ({RECONNECT_SECONDS:g})",
        },
    ),
)

_OF_RUN: tuple[Option, ...] = (
    (
        ("--lease",),
        {
            "type": seconds,
            "metavar": "SECONDS",
            "help": "after so long the lock is lost as soon as somebody waits for it, and COMMAND is ended",
        },
    ),
    (("-F", "--no-fork"), {"action": "store_true", "help": 'the same as "lockctl exec"'}),
    (
        ("--kill-after",),
        {
            "type": seconds,
            "default": _KILL_AFTER_SECONDS,
            "metavar": "SECONDS",
            "help": f"after the loss of the lock, time from SIGTERM to SIGKILL ({_KILL_AFTER_SECONDS:g})",
        },
    ),
)

#: The options of each command, for argparse and for `quickly`.
OPTIONS: Mapping[str, tuple[Option, ...]] = {"run": (*_OF_BOTH, *_OF_RUN), "exec": _OF_BOTH}

#: What stands beside what they say. Under ``exec`` nobody is there who could end the command when the lock is lost.
DEFAULTS: Mapping[str, dict[str, Any]] = {"run": {"carry_out": _run}, "exec": {"carry_out": _exec, "lease": None}}
