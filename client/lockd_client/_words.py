"""Values in the words of people, for messages and reprs."""

from __future__ import annotations

import os

from lockd_wire.words import whole_seconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


def printable(text: str) -> str:
    """Return ``text`` with everything escaped that a terminal could obey or that is shown as nothing."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def quoted(text: str) -> str:
    """Return ``text``, printable, in double quotes."""
    return f'"{printable(text)}"'


def duration(seconds: float) -> str:
    """Return a duration as precisely as people care for: ``0.25 s``, ``42 s``, ``3 min 5 s``, ``2 h 7 min``."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    return whole_seconds(round(seconds))


def count(number: int, noun: str) -> str:
    """Return ``1 waiter``, ``2 waiters``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def listed(parts: Sequence[str]) -> str:
    """Return ``a``, ``a and b``, ``a, b and c``."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def who(pid: int, uid: int, program: str, label: str, *more: str) -> str:
    """Return who a process is: ``pid 42 (import.py, "nightly run")``, with its uid if that is not our own."""
    known = ["this process" if pid == os.getpid() else printable(program), quoted(label) if label else ""]
    if uid != os.getuid():
        known.append(f"uid {uid}")
    described = ", ".join(filter(None, [*known, *more]))
    return f"pid {pid} ({described})" if described else f"pid {pid}"


def instant(at: datetime) -> str:
    """Return ``14:02:33``, with the date if that was not today."""
    is_today = at.date() == at.now().date()
    return at.strftime("%H:%M:%S" if is_today else "%Y-%m-%d %H:%M:%S")


def since(at: datetime, seconds: float) -> str:
    """Return ``14:02:33, 42 s ago``."""
    return f"{instant(at)}, {f'{duration(seconds)} ago' if seconds >= 0.1 else 'just now'}"
