"""The command ``lockctl``."""

from __future__ import annotations

import os
import sys

from . import statuses
from .quickly import quick_options
from .signals import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status, one of `statuses`.

    ``run`` may end this process by a signal instead, and ``exec`` replaces it.
    """
    words = sys.argv[1:] if argv is None else argv
    try:
        if "_ARGCOMPLETE" in os.environ:
            from .completion import answer_shell
            from .parser import parser

            answer_shell(parser(()))
        options = quick_options(words) or _read(words)
        status: int = options.carry_out(options)
    except KeyboardInterrupt:
        return statuses.SIGNALLED + signal.SIGINT
    return status


def _read(words: Sequence[str]) -> Any:
    from .parser import parser

    return parser(words).parse_args(words)
