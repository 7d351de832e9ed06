"""The command line of lockctl.

``lockctl run`` stands in loops of shell scripts where flock(1) stood, so what carries a command out is imported when
that command is given.
"""

from __future__ import annotations

import argparse
import math
import os

from lockd import __version__

from . import statuses, texts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, NoReturn, TypeAlias

    from .errand import Errand

    # A private name, but the only one there is for what add_subparsers() returns.
    _Commands: TypeAlias = "argparse._SubParsersAction[_Parser]"

#: From SIGTERM to SIGKILL: as long as `consul lock` gives a command whose lock is lost.
_KILL_AFTER_SECONDS = 5.0

#: For a daemon to be started again. A client library gives up sooner; the units of ours allow it so long to start.
_RESTART_SECONDS = 60.0

_ROUNDS_MAX = 1000

#: For a process that was sent SIGKILL to be gone. One that dumps core, or waits for a disk, takes its time.
_EXIT_SECONDS = 10.0


def parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser for a command line that has these words behind the ``lockctl``.

    What it makes of them has ``carry_out``, which does what is wanted, given all of it, and returns the exit status.
    """
    top = _Parser(
        prog="lockctl",
        description=texts.DESCRIPTION,
        epilog=texts.EPILOG,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"lockctl {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", prog="lockctl", required=True)
    # The parser of a command takes a millisecond to make, and whoever begins with the name of one needs no other.
    for name in [name for name in words[:1] if name in _ADDERS] or _ADDERS:
        _ADDERS[name](commands)
    return top


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line, and ends with the status that flock(1) has for it."""

    def error(self, message: str) -> NoReturn:
        from .complaints import complain

        complain(message)
        complain(f'try "{self.prog} --help"')
        self.exit(statuses.USAGE)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Makes help as wide as the terminal.

    So does argparse, but it asks for the width whenever an option is added, and asks a module that is slow to import.
    """

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size(1).columns
        except OSError:
            columns = 80
        super().__init__(prog, width=columns - 2)


def _add_run(commands: _Commands) -> None:
    command = _locking_command(
        commands, "run", "run a command under a lock, as flock(1) does", texts.RUN, texts.RUN_EXAMPLES
    )
    command.add_argument(
        "--lease",
        type=_seconds,
        metavar="SECONDS",
        help="after so long the lock is lost as soon as somebody waits for it, and COMMAND is ended",
    )
    command.add_argument("-F", "--no-fork", action="store_true", help='the same as "lockctl exec"')
    command.add_argument(
        "--kill-after",
        type=_seconds,
        default=_KILL_AFTER_SECONDS,
        metavar="SECONDS",
        help=f"after the loss of the lock, time from SIGTERM to SIGKILL ({_KILL_AFTER_SECONDS:g})",
    )
    command.set_defaults(carry_out=_run)


def _add_exec(commands: _Commands) -> None:
    command = _locking_command(commands, "exec", "take a lock and become the command", texts.EXEC, texts.EXEC_EXAMPLES)
    # Nobody is there who could end the command when the lock is lost.
    command.set_defaults(carry_out=_exec, lease=None)


def _locking_command(commands: _Commands, name: str, summary: str, text: str, examples: str) -> argparse.ArgumentParser:
    command = _command(commands, name, summary, text, examples + texts.LOCKING_STATUSES)
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
    add("-w", "--timeout", "--wait", type=_seconds, metavar="SECONDS", help="do not wait longer; 0 is -n")
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
        type=_seconds,
        default=RECONNECT_SECONDS,
        metavar="SECONDS",
        help=f"how long to wait for a daemon that goes away meanwhile, on top of -w ({RECONNECT_SECONDS:g})",
    )
    add("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    command.set_defaults(refuse=command.error)
    return command


def _add_list(commands: _Commands) -> None:
    command = _report_command(
        commands, "list", "list the names that are held or waited for", texts.LIST, texts.LIST_EXAMPLES
    )
    command.add_argument("subject", nargs="?", default="", metavar="PREFIX", help="only names that begin with this")
    command.add_argument("--held", action="store_true", help="only names that somebody holds")
    command.add_argument("--contended", action="store_true", help="only names for which somebody waits")
    command.add_argument(
        "--older-than", type=_seconds, metavar="SECONDS", help="only names that somebody has held for longer"
    )


def _add_show(commands: _Commands) -> None:
    command = _report_command(
        commands, "show", "show who holds a name and who waits for it", texts.SHOW, texts.SHOW_EXAMPLES
    )
    command.add_argument("subject", metavar="NAME", help="name of the lock")


def _add_sessions(commands: _Commands) -> None:
    command = _report_command(
        commands, "sessions", "list the processes that use the daemon", texts.SESSIONS, texts.SESSIONS_EXAMPLES
    )
    command.add_argument("--held", action="store_true", help="only those that hold something")
    command.add_argument("--waiting", action="store_true", help="only those that wait for something")
    command.add_argument(
        "--older-than", type=_seconds, default=-1.0, metavar="SECONDS", help="only those that are open for longer"
    )
    command.set_defaults(subject="")


def _add_status(commands: _Commands) -> None:
    command = _report_command(commands, "status", "show how the daemon is", texts.STATUS, texts.STATUS_EXAMPLES)
    command.set_defaults(subject="")


def _add_graph(commands: _Commands) -> None:
    command = _report_command(commands, "graph", "show who waits for whom", texts.GRAPH, texts.GRAPH_EXAMPLES)
    command.add_argument("subject", nargs="?", metavar="NAME", help="only what hangs together with this name")
    drawing: dict[str, Any] = {"dest": "drawing", "action": "store_const"}
    command.add_argument("--dot", const="dot", help="in the language of Graphviz", **drawing)
    command.add_argument("--mermaid", const="mermaid", help="in the language of Mermaid", **drawing)
    command.set_defaults(carry_out=_graph)


def _add_completion(commands: _Commands) -> None:
    command = _command(
        commands, "completion", "print what makes a shell complete", texts.COMPLETION, texts.COMPLETION_EXAMPLES
    )
    command.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")
    command.set_defaults(carry_out=_completion)


def _add_watch(commands: _Commands) -> None:
    command = _command(
        commands, "watch", "tell what happens, as it happens", texts.WATCH, texts.WATCH_EXAMPLES + texts.REPORT_STATUSES
    )
    command.add_argument("subject", nargs="?", default="", metavar="PREFIX", help="only names that begin with this")
    command.add_argument("--json", action="store_true", help="for programs: one object a line")
    _add_sockets(command)
    command.set_defaults(carry_out=_watch)


def _add_top(commands: _Commands) -> None:
    command = _command(
        commands,
        "top",
        "show where most wait, live",
        texts.TOP,
        texts.TOP_EXAMPLES + texts.REPORT_STATUSES,
    )
    add = command.add_argument
    add("subject", nargs="?", default="", metavar="PREFIX", help="only names that begin with this")
    add("-d", "--delay", type=_seconds, default=1.0, metavar="SECONDS", help="between two looks (1)")
    add("-s", "--sort", choices=("contention", "waits", "holds"), default="contention", help="what comes first")
    add("--once", action="store_true", help="one screen, and no keys; so it is where there is no terminal")
    _add_sockets(command)
    command.set_defaults(carry_out=_top)


def _add_history(commands: _Commands) -> None:
    command = _report_command(
        commands, "history", "show what happened to a name lately", texts.HISTORY, texts.HISTORY_EXAMPLES
    )
    command.add_argument("subject", metavar="NAME", help="name of the lock")


def _add_metrics(commands: _Commands) -> None:
    command = _command(commands, "metrics", "print the metrics", texts.METRICS, texts.METRICS_EPILOG)
    command.add_argument("--textfile", metavar="PATH", help="write them to this file, at once or not at all")
    _add_sockets(command)
    command.set_defaults(carry_out=_metrics)


def _add_lock_order(commands: _Commands) -> None:
    summary = "list the names that are taken in opposite orders"
    command = _report_command(commands, "lock-order", summary, texts.LOCK_ORDER, texts.LOCK_ORDER_EXAMPLES)
    command.set_defaults(subject="")


def _report_command(commands: _Commands, name: str, summary: str, text: str, examples: str) -> argparse.ArgumentParser:
    command = _command(commands, name, summary, text, examples + texts.REPORT_STATUSES)
    command.add_argument("--json", action="store_true", help="for programs: the facts of docs/protocol.md, section 6")
    _add_sockets(command)
    command.set_defaults(carry_out=_report, report=name)
    return command


def _add_chaos(commands: _Commands) -> None:
    command = _command(
        commands, "chaos", "exercise the daemon: end it, and see that nothing is lost", texts.CHAOS, texts.CHAOS_EPILOG
    )
    add = command.add_argument
    add("exercise", choices=("restart",), metavar="restart", help="end the daemon and look at the next one")
    add("--stop-signal", choices=("kill", "term"), default="kill", help="kill, as a crash would (the default), or term")
    add("--rounds", type=_rounds, default=1, metavar="N", help="end it so many times (1)")
    add(
        "--timeout",
        type=_seconds,
        default=_RESTART_SECONDS,
        metavar="SECONDS",
        help=f"the longest time until the next daemon answers ({_RESTART_SECONDS:g})",
    )
    add("--will-be-restarted", action="store_true", help="somebody other than systemd starts the daemon again")
    add("--yes", action="store_true", help="do not ask")
    add("--json", action="store_true", help="for programs: one object, and no word before it")
    _add_sockets(command)
    command.set_defaults(carry_out=_chaos)


def _add_break(commands: _Commands) -> None:
    command = _command(commands, "break", "take a lock away from its holder", texts.BREAK, texts.BREAK_EPILOG)
    add = command.add_argument
    add("target", metavar="NAME|TOKEN", help="what is held: a name, or the token of one grant")
    add("--reason", required=True, metavar="TEXT", help="why: it is logged, and the holder is told")
    add("--kill", action="store_true", help="end the process that holds it, first and instead (recommended)")
    add("--all", action="store_true", help="all grants of NAME, where there are several")
    add("--name", action="store_true", help="what looks like a token is a name")
    add(
        "--timeout",
        type=_seconds,
        default=_EXIT_SECONDS,
        metavar="SECONDS",
        help=f"with --kill, the longest time until the process is gone ({_EXIT_SECONDS:g})",
    )
    add("--yes", action="store_true", help="do not ask")
    add("--json", action="store_true", help="for programs: one object")
    _add_sockets(command)
    command.set_defaults(carry_out=_break)


def _add_sockets(command: argparse.ArgumentParser) -> None:
    command.add_argument("--admin-socket", metavar="PATH", help="the admin socket, instead of $LOCKD_ADMIN_SOCKET")
    command.add_argument("--socket", metavar="PATH", help="the client socket; the admin socket is beside it")


def _command(commands: _Commands, name: str, summary: str, text: str, epilog: str) -> argparse.ArgumentParser:
    return commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=epilog,
        formatter_class=_Formatter,
        allow_abbrev=False,
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds: 0, 2.5 and 60 are")
    return seconds


def _rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _ROUNDS_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of rounds: those are from 1 to {_ROUNDS_MAX}")
    return int(text)


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


def _report(options: Any) -> int:
    from .reports import report

    return report(options)


def _graph(options: Any) -> int:
    from .reports import graph

    return graph(options)


def _completion(options: Any) -> int:
    from .completion import print_script

    return print_script(options)


def _watch(options: Any) -> int:
    from .events import watch

    return watch(options)


def _top(options: Any) -> int:
    from .top import top

    return top(options)


def _break(options: Any) -> int:
    from .breaks import break_

    return break_(options)


def _metrics(options: Any) -> int:
    from .metrics import metrics

    return metrics(options)


def _chaos(options: Any) -> int:
    from .chaos import chaos

    return chaos(options)


_ADDERS: Mapping[str, Callable[[_Commands], None]] = {
    "run": _add_run,
    "exec": _add_exec,
    "list": _add_list,
    "show": _add_show,
    "sessions": _add_sessions,
    "status": _add_status,
    "graph": _add_graph,
    "history": _add_history,
    "watch": _add_watch,
    "top": _add_top,
    "metrics": _add_metrics,
    "lock-order": _add_lock_order,
    "break": _add_break,
    "chaos": _add_chaos,
    "completion": _add_completion,
}
