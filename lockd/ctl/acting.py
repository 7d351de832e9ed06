"""The command lines of the commands that do something to locks of others, or to the daemon."""

from __future__ import annotations

import argparse

from . import texts
from .grammar import add_command, add_sockets
from .values import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .grammar import Commands

#: For a daemon to be started again. A client library gives up sooner; the units of ours allow it so long to start.
_RESTART_SECONDS = 60.0

_ROUNDS_MAX = 1000

#: For a process that was sent SIGKILL to be gone. One that dumps core, or waits for a disk, takes its time.
_EXIT_SECONDS = 10.0


def add_chaos(commands: Commands) -> None:
    """Add ``lockctl chaos``."""
    command = add_command(
        commands, "chaos", "exercise the daemon: end it, and see that nothing is lost", texts.CHAOS, texts.CHAOS_EPILOG
    )
    add = command.add_argument
    add("exercise", choices=("restart",), metavar="restart", help="end the daemon and look at the next one")
    add("--stop-signal", choices=("kill", "term"), default="kill", help="kill, as a crash would (the default), or term")
    add("--rounds", type=_rounds, default=1, metavar="N", help="end it so many times (1)")
    add(
        "--timeout",
        type=seconds,
        default=_RESTART_SECONDS,
        metavar="SECONDS",
        help=f"the longest time until the next daemon answers ({_RESTART_SECONDS:g})",
    )
    add("--will-be-restarted", action="store_true", help="somebody other than systemd starts the daemon again")
    add("--yes", action="store_true", help="do not ask")
    add("--json", action="store_true", help="for programs: one object, and no word before it")
    add_sockets(command)
    command.set_defaults(carry_out=_chaos)


def add_break(commands: Commands) -> None:
    """Add ``lockctl break``."""
    command = add_command(commands, "break", "take a lock away from its holder", texts.BREAK, texts.BREAK_EPILOG)
    add = command.add_argument
    add("target", metavar="NAME|TOKEN", help="what is held: a name, or the token of one grant")
    add("--reason", required=True, metavar="TEXT", help="why: it is logged, and the holder is told")
    add("--kill", action="store_true", help="end the process that holds it, first and instead (recommended)")
    add("--all", action="store_true", help="all grants of NAME, where there are several")
    add("--name", action="store_true", help="what looks like a token is a name")
    add(
        "--timeout",
        type=seconds,
        default=_EXIT_SECONDS,
        metavar="SECONDS",
        help=f"with --kill, the longest time until the process is gone ({_EXIT_SECONDS:g})",
    )
    add("--yes", action="store_true", help="do not ask")
    add("--json", action="store_true", help="for programs: one object")
    add_sockets(command)
    command.set_defaults(carry_out=_break)


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _ROUNDS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds: those are from 1 to {_ROUNDS_MAX}")
    return int(text)


def _break(options: Any) -> int:
    from .breaks import break_

    return break_(options)


def _chaos(options: Any) -> int:
    from .chaos import chaos

    return chaos(options)
