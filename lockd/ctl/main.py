"""The command ``lockctl``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from . import statuses
from .parser import parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status, one of `statuses`.

    ``run`` may end this process by a signal instead, and ``exec`` replaces it.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        if "_ARGCOMPLETE" in os.environ:
            from .completion import answer_shell

            answer_shell(parser(()))
        options = parser(words).parse_args(words)
        status: int = options.carry_out(options)
    except KeyboardInterrupt:
        return statuses.SIGNALLED + signal.SIGINT
    return status
