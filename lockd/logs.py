"""What the daemon tells, on standard error: fit for the journal where that is what reads it, else for people.

A message may quote what a peer says about itself. Whatever that is, one message stays one line, and nothing in it gives
orders to a terminal.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import Final, TextIO

#: Where the whole daemon logs.
log: Final = logging.getLogger("lockd")

#: The priorities of syslog, as journald knows them at the beginning of a line.
_PRIORITIES: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}

#: Marks the lines of a traceback: a text in an exception cannot look like a message of its own.
_TRACEBACK_MARK: Final = "| "


def safe(text: str) -> str:
    """Return ``text`` with everything escaped that does not print as itself.

    Controls, line breaks, what changes the direction of text, what is invisible, surrogates: all become ``\\xNN``,
    ``\\uNNNN`` or ``\\UNNNNNNNN``. Text that is safe is returned as it is, so it does no harm to do this twice.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(ord(char)) for char in text)


def _escaped(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _LineFormatter(logging.Formatter):
    """One line for a message, and one more for each line of the traceback of a bug."""

    def format(self, record: logging.LogRecord) -> str:
        lines = [safe(record.getMessage())]
        if record.exc_info:
            traceback = self.formatException(record.exc_info)
            lines += [_TRACEBACK_MARK + safe(line) for line in traceback.split("\n")]
        prefix = self.prefix(record)
        return "\n".join(prefix + line for line in lines)

    def prefix(self, record: logging.LogRecord) -> str:
        """Return what each line begins with: for people, when it happened and how grave it is."""
        return f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')} {record.levelname.lower():7} "


class _JournalFormatter(_LineFormatter):
    """The same with a priority in front. Time and process are known to the journal."""

    def prefix(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>"


class _Handler(logging.StreamHandler[TextIO]):
    """The handler that `configure` makes, and by whose class it finds the one it made before."""


def configure(level: str, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ) -> None:
    """Send what is logged from now on, anywhere in the process, to ``stream``; a call before this one counts no more.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``: it and graver ones are told.
        stream: None is standard error.
        environ: Where systemd says which stream the journal reads.
    """
    stream = sys.stderr if stream is None else stream
    handler = _Handler(stream)
    handler.setFormatter(_JournalFormatter() if _is_read_by_journal(stream, environ) else _LineFormatter())
    root = logging.getLogger()
    root.handlers = [other for other in root.handlers if not isinstance(other, _Handler)]
    root.addHandler(handler)
    root.setLevel(level.upper())


def _is_read_by_journal(stream: TextIO | None, environ: Mapping[str, str]) -> bool:
    """Whether systemd connected this very stream with the journal; one that was redirected since is another one."""
    if stream is None:
        # So is sys.stderr where descriptor 2 was closed. A StreamHandler says nothing then.
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
