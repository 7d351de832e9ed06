"""The command lines of the commands that ask and change nothing."""

from __future__ import annotations

import argparse

from . import texts
from .grammar import add_command, add_sockets
from .values import seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .grammar import Commands


def add_list(commands: Commands) -> None:
    """Add ``lockctl list``."""
    command = _report_command(
        commands, "list", "list the names that are held or waited for", texts.LIST, texts.LIST_EXAMPLES
    )
    command.add_argument("subject", nargs="?", default="", metavar="PREFIX", help="only names that begin with this")
    command.add_argument("--held", action="store_true", help="only names that somebody holds")
    command.add_argument("--contended", action="store_true", help="only names for which somebody waits")
    command.add_argument(
        "--older-than", type=seconds, metavar="SECONDS", help="only names that somebody has held for longer"
    )


def add_show(commands: Commands) -> None:
    """Add ``lockctl show``."""
    command = _report_command(
        commands, "show", "show who holds a name and who waits for it", texts.SHOW, texts.SHOW_EXAMPLES
    )
    command.add_argument("subject", metavar="NAME", help="name of the lock")


def add_sessions(commands: Commands) -> None:
    """Add ``lockctl sessions``."""
    command = _report_command(
        commands, "sessions", "list the processes that use the daemon", texts.SESSIONS, texts.SESSIONS_EXAMPLES
    )
    command.add_argument("--held", action="store_true", help="only those that hold something")
    command.add_argument("--waiting", action="store_true", help="only those that wait for something")
    command.add_argument(
        "--older-than", type=seconds, default=-1.0, metavar="SECONDS", help="only those that are open for longer"
    )
    command.set_defaults(subject="")


def add_status(commands: Commands) -> None:
    """Add ``lockctl status``."""
    command = _report_command(commands, "status", "show how the daemon is", texts.STATUS, texts.STATUS_EXAMPLES)
    command.set_defaults(subject="")


def add_graph(commands: Commands) -> None:
    """Add ``lockctl graph``."""
    command = _report_command(commands, "graph", "show who waits for whom", texts.GRAPH, texts.GRAPH_EXAMPLES)
    command.add_argument("subject", nargs="?", metavar="NAME", help="only what hangs together with this name")
    drawing: dict[str, Any] = {"dest": "drawing", "action": "store_const"}
    command.add_argument("--dot", const="dot", help="in the language of Graphviz", **drawing)
    command.add_argument("--mermaid", const="mermaid", help="in the language of Mermaid", **drawing)
    command.set_defaults(carry_out=_graph)


def add_history(commands: Commands) -> None:
    """Add ``lockctl history``."""
    command = _report_command(
        commands, "history", "show what happened to a name lately", texts.HISTORY, texts.HISTORY_EXAMPLES
    )
    command.add_argument("subject", metavar="NAME", help="name of the lock")


def add_watch(commands: Commands) -> None:
    """Add ``lockctl watch``."""
    command = add_command(
        commands, "watch", "tell what happens, as it happens", texts.WATCH, texts.WATCH_EXAMPLES + texts.REPORT_STATUSES
    )
    command.add_argument("subject", nargs="?", default="", metavar="PREFIX", help="only names that begin with this")
    command.add_argument("--json", action="store_true", help="for programs: one object a line")
    add_sockets(command)
    command.set_defaults(carry_out=_watch)


def add_top(commands: Commands) -> None:
    """Add ``lockctl top``."""
    command = add_command(
        commands,
        "top",
        "show where most wait, live",
        texts.TOP,
        texts.TOP_EXAMPLES + texts.REPORT_STATUSES,
    )
    add = command.add_argument
    add("subject", nargs="?", default="", metavar="PREFIX", help="only names that begin with this")
    add("-d", "--delay", type=seconds, default=1.0, metavar="SECONDS", help="between two looks (1)")
    add("-s", "--sort", choices=("contention", "waits", "holds"), default="contention", help="what comes first")
    add("--once", action="store_true", help="one screen, and no keys; so it is where there is no terminal")
    add_sockets(command)
    command.set_defaults(carry_out=_top)


def add_metrics(commands: Commands) -> None:
    """Add ``lockctl metrics``."""
    command = add_command(commands, "metrics", "print the metrics", texts.METRICS, texts.METRICS_EPILOG)
    command.add_argument("--textfile", metavar="PATH", help="write them to this file, at once or not at all")
    add_sockets(command)
    command.set_defaults(carry_out=_metrics)


def add_lock_order(commands: Commands) -> None:
    """Add ``lockctl lock-order``."""
    summary = "list the names that are taken in opposite orders"
    command = _report_command(commands, "lock-order", summary, texts.LOCK_ORDER, texts.LOCK_ORDER_EXAMPLES)
    command.set_defaults(subject="")


def add_completion(commands: Commands) -> None:
    """Add ``lockctl completion``."""
    command = add_command(
        commands, "completion", "print what makes a shell complete", texts.COMPLETION, texts.COMPLETION_EXAMPLES
    )
    command.add_argument("shell", choices=("bash", "zsh", "fish"), help="for which shell")
    command.set_defaults(carry_out=_completion)


def _report_command(commands: Commands, name: str, summary: str, text: str, examples: str) -> argparse.ArgumentParser:
    command = add_command(commands, name, summary, text, examples + texts.REPORT_STATUSES)
    command.add_argument("--json", action="store_true", help="for programs: the facts of docs/protocol.md, section 6")
    add_sockets(command)
    command.set_defaults(carry_out=_report, report=name)
    return command


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


def _metrics(options: Any) -> int:
    from .metrics import metrics

    return metrics(options)
