"""The command line of lockctl.

``lockctl run`` stands in loops of shell scripts where flock(1) stood, so what carries a command out is imported when
that command is given.
"""

from __future__ import annotations

from lockd import __version__

from . import texts
from .grammar import Formatter, Parser
from .locking import add_exec, add_run

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping, Sequence

    from .grammar import Commands


def parser(words: Sequence[str]) -> argparse.ArgumentParser:
    """Return a parser for a command line that has these words behind the ``lockctl``.

    What it makes of them has ``carry_out``, which does what is wanted, given all of it, and returns the exit status.
    """
    top = Parser(
        prog="lockctl",
        description=texts.DESCRIPTION,
        epilog=texts.EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    top.add_argument("-V", "--version", action="version", version=f"lockctl {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", prog="lockctl", required=True)
    # The parser of a command takes a millisecond to make, and whoever begins with the name of one needs no other.
    adders = _adders(words)
    for name in [name for name in words[:1] if name in adders] or adders:
        adders[name](commands)
    return top


def _adders(words: Sequence[str]) -> Mapping[str, Callable[[Commands], None]]:
    """Return what adds each command, in the order of the help; of a command that is in a hurry no others."""
    locking = {"run": add_run, "exec": add_exec}
    if words[:1] and words[0] in locking:
        return locking
    from . import acting, asking

    return {
        **locking,
        "list": asking.add_list,
        "show": asking.add_show,
        "sessions": asking.add_sessions,
        "status": asking.add_status,
        "graph": asking.add_graph,
        "history": asking.add_history,
        "watch": asking.add_watch,
        "top": asking.add_top,
        "metrics": asking.add_metrics,
        "lock-order": asking.add_lock_order,
        "break": acting.add_break,
        "chaos": acting.add_chaos,
        "completion": asking.add_completion,
    }
