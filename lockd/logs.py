"""What the daemon tells, on standard error: fit for the journal where that is what reads it, else for people.

A message may quote what a peer says about itself. Whatever that is, one message stays one line, and nothing in it gives
orders to a terminal.

Most messages tell of an event that an administrator may look for, and have `fields`: the journal keeps them beside the
message, where it can be asked for all that concerns one name or one process.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, TextIO

from .journald import JOURNAL_SOCKET, JournalSocket, packed_fields

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

#: What the names of our fields in the journal begin with.
_FIELD_PREFIX: Final = "LOCKD_"

#: The attribute of a record that has the fields.
_FIELDS: Final = "lockd_fields"

#: Marks the lines of a traceback: a text in an exception cannot look like a message of its own.
_TRACEBACK_MARK: Final = "| "


class Event(StrEnum):
    """What a message tells of: the field ``LOCKD_EVENT``. docs/operations.md says what each means."""

    STARTED = "started"
    RECOVERED = "recovered"
    STATE_LOST = "state_lost"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DEGRADED = "degraded"
    HEALED = "healed"
    SESSION_REFUSED = "session_refused"
    QUOTA = "quota"
    CUT_OFF = "cut_off"
    ABANDONED = "abandoned"
    LEASE_TAKEN = "lease_taken"
    BROKEN = "broken"
    KILL = "kill"
    TURNED_AWAY = "turned_away"
    DEADLOCK = "deadlock"
    REORDERED = "reordered"
    CONVOY = "convoy"
    CONVOY_OVER = "convoy_over"
    LONG_HOLD = "long_hold"
    LONG_HOLD_OVER = "long_hold_over"
    LOCK_ORDER = "lock_order"
    REQUEST = "request"


def fields(event: Event, **values: str | int | float | tuple[str, ...]) -> dict[str, Any]:
    """Return what is to be given as ``extra`` with a message: the event, and by their names in lower case what else is
    to be a field: ``name``, ``pid``, ``uid``, ``token``, ``label`` and so on. A tuple is a field with several values;
    an empty text or tuple is none."""
    return {_FIELDS: {"event": event, **values}}


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
        prefix = self.prefix(record)
        return "\n".join(prefix + line for line in self.lines(record))

    def lines(self, record: logging.LogRecord) -> Iterator[str]:
        """Yield the lines without what they begin with."""
        yield safe(record.getMessage())
        if record.exc_info:
            for line in self.formatException(record.exc_info).split("\n"):
                yield _TRACEBACK_MARK + safe(line)

    def prefix(self, record: logging.LogRecord) -> str:
        """Return what each line begins with: for people, when it happened and how grave it is."""
        return f"{self.formatTime(record, '%Y-%m-%d %H:%M:%S')} {record.levelname.lower():7} "


class _JournalFormatter(_LineFormatter):
    """The same with a priority in front. Time and process are known to the journal."""

    def prefix(self, record: logging.LogRecord) -> str:
        return f"<{_PRIORITIES.get(record.levelno, 6)}>"


class _Handler(logging.StreamHandler[TextIO]):
    """The handler that `configure` makes, and by whose class it finds the one it made before."""


class _JournalHandler(_Handler):
    """Gives a message that has fields to the journal with them. All others, and those that the journal does not take at
    the moment, go the usual way: what a process says there just before it exits is told to be its unit's all the
    same.

    A journal that reads nothing at all stops nobody: what would have to wait for it is counted, and not told."""

    formatter: _JournalFormatter

    def __init__(self, stream: TextIO, path: str) -> None:
        super().__init__(stream)
        self.setFormatter(_JournalFormatter())
        self._journal = JournalSocket(path)
        self._room = select.poll()
        self._room.register(stream, select.POLLOUT)
        self._untold = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Tell it."""
        values: Mapping[str, object] | None = getattr(record, _FIELDS, None)
        if values is not None and self._is_taken(record, values):
            return
        if not self._room.poll(0):
            self._untold += 1
            return
        if self._untold:
            told, self._untold = f"{self._untold} messages could not be told: the journal read none", 0
            super().emit(logging.makeLogRecord({"levelno": logging.WARNING, "msg": told}))
        super().emit(record)

    def _is_taken(self, record: logging.LogRecord, values: Mapping[str, object]) -> bool:
        try:
            return self._journal.send(packed_fields(self._fields(record, values)))
        except Exception:
            # No memory, or a bug. What is wrong with the message is found once more on the usual way, which ends
            # nobody's work for it.
            return False

    def close(self) -> None:
        """Tell nothing more."""
        self._journal.close()
        super().close()

    def _fields(self, record: logging.LogRecord, values: Mapping[str, object]) -> Iterator[tuple[str, str]]:
        yield "MESSAGE", "\n".join(self.formatter.lines(record))
        yield "PRIORITY", str(_PRIORITIES.get(record.levelno, 6))
        yield "SYSLOG_IDENTIFIER", "lockd"
        for name, value in values.items():
            for each in value if isinstance(value, tuple) else (value,):
                if each != "":
                    yield _FIELD_PREFIX + name.upper(), safe(str(each))


def configure(
    level: str,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
    journal_socket: str = JOURNAL_SOCKET,
) -> None:
    """Send what is logged from now on, anywhere in the process, to ``stream``; a call before this one counts no more.

    Args:
        level: ``debug``, ``info``, ``warning`` or ``error``: it and graver ones are told.
        stream: None is standard error.
        environ: Where systemd says which stream the journal reads.
        journal_socket: Where the journal takes messages with fields.
    """
    stream = sys.stderr if stream is None else stream
    root = logging.getLogger()
    # The journal's has a descriptor of its own.
    for other in [other for other in root.handlers if isinstance(other, _Handler)]:
        root.removeHandler(other)
        other.close()
    handler = _handler(stream, environ, journal_socket)
    root.addHandler(handler)
    root.setLevel(level.upper())


def _handler(stream: TextIO | None, environ: Mapping[str, str], journal_socket: str) -> _Handler:
    is_read_by_journal = _is_read_by_journal(stream, environ)
    if is_read_by_journal and stream is not None:
        try:
            return _JournalHandler(stream, journal_socket)
        except OSError:
            # Without a descriptor to spare there are no fields.
            pass
    handler = _Handler(stream)
    handler.setFormatter(_JournalFormatter() if is_read_by_journal else _LineFormatter())
    return handler


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
