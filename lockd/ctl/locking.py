"""The command lines of ``lockctl run`` and ``exec``, which stand in front of other commands."""

from __future__ import annotations

import argparse

from . import statuses, texts
from .grammar import add_command, seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .errand import Errand
    from .grammar import Commands

#: From SIGTERM to SIGKILL: as long as `consul lock` gives a command whose lock is lost.
_KILL_AFTER_SECONDS = 5.0


def add_run(commands: Commands) -> None:
    """Add ``lockctl run``."""
    command = _locking_command(
        commands, "run", "run a command under a lock, as flock(1) does", texts.RUN, texts.RUN_EXAMPLES
    )
    command.add_argument(
        "--lease",
        type=seconds,
        metavar="SECONDS",
        help="after so long the lock is lost as soon as somebody waits for it, and COMMAND is ended",
    )
    command.add_argument("-F", "--no-fork", action="store_true", help='the same as "lockctl exec"')
    command.add_argument(
        "--kill-after",
        type=seconds,
        default=_KILL_AFTER_SECONDS,
        metavar="SECONDS",
        help=f"after the loss of the lock, time from SIGTERM to SIGKILL ({_KILL_AFTER_SECONDS:g})",
    )
    command.set_defaults(carry_out=_run)


def add_exec(commands: Commands) -> None:
    """Add ``lockctl exec``."""
    command = _locking_command(commands, "exec", "take a lock and become the command", texts.EXEC, texts.EXEC_EXAMPLES)
    # Nobody is there who could end the command when the lock is lost.
    command.set_defaults(carry_out=_exec, lease=None)


def _locking_command(commands: Commands, name: str, summary: str, text: str, examples: str) -> argparse.ArgumentParser:
    command = add_command(commands, name, summary, text, examples + texts.LOCKING_STATUSES)
    start = f"{command.prog} [OPTION ...] NAME"
    command.usage = f"{start} [--] COMMAND [ARGUMENT ...]\n       {start} -c LINE"
    add = command.add_argument
    from lockd_client._modes import CODES
    from lockd_client._session import RECONNECT_SECONDS

    mode: dict[str, Any] = {"dest": "mode", "action": "store_const", "default": "exclusive"}
    add("-x", "-e", "--exclusive", const="exclusive", help="hold it alone (the default)", **mode)
    add("-s", "--shared", const="shared", help="hold it together with other shared ones", **mode)
    add("--mode", dest="mode", choices=tuple(CODES), help=f"one of {', '.join(CODES)}", metavar="MODE")
    add("--permits", type=_permits, metavar="N/LIMIT", help="take N permits of a semaphore that has LIMIT")
    add("--tree", action="store_true", help="the slashes in the names make a tree, which is locked as one")
    add("--and", dest="also", action="append", default=[], metavar="NAME[=HOW]", help="take this as well: all or none")
    add("-n", "--nonblock", "--nb", action="store_true", help="do not wait")
    add("-w", "--timeout", "--wait", type=seconds, metavar="SECONDS", help="do not wait longer; 0 is -n")
    add(
        "-E",
        "--conflict-exit-code",
        type=_status,
        default=statuses.CONFLICT,
        metavar="STATUS",
        help=f"exit status if it is not granted in time ({statuses.CONFLICT})",
    )
    add("-c", "--command", metavar="LINE", help="the command, for $SHELL -c; may stand behind NAME as well")
    add("-o", "--close", action="store_true", help="for the sake of flock(1): no descriptor holds the lock anyway")
    add("-q", "--quiet", action="store_true", help="do not say who has the lock if it is not granted in time")
    add("--verbose", action="store_true", help="say for whom it waits, and how long it took")
    add("--label", default="", metavar="TEXT", help="why the lock is wanted: shown to whoever waits for it")
    add("--socket", metavar="PATH", help="socket of the daemon, instead of $LOCKD_SOCKET")
    add(
        "--reconnect-timeout",
        type=seconds,
        default=RECONNECT_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait for a daemon that goes away meanwhile, on top of -w ({RECONNECT_SECONDS:g})",
    )
    add("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    command.set_defaults(refuse=command.error)
    return command


def _permits(text: str) -> tuple[int, int]:
    from .errand import permits_of

    permits = permits_of(text)
    if permits is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not N/LIMIT: 1/4 is")
    return permits


def _status(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 255):
        raise argparse.ArgumentTypeError(f"{text!r} is not an exit status: those are the whole numbers from 0 to 255")
    return int(text)


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
