"""How those who look on speak of processes and names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from lockd.core.resources import Resource
from lockd.core.state import Request
from lockd.logs import safe
from lockd.sentences import quoted, seconds, shortened

_PROGRAM_BYTES_SHOWN: Final = 64
_LABEL_BYTES_SHOWN: Final = 128
_NAMES_SHOWN_MAX: Final = 3

#: Values of one field.
_NAMES_IN_FIELD_MAX: Final = 16


def who(request: Request) -> str:
    """Return whose request or grant it is, fit to be shown: ``pid 812 (backup, "nightly run")``."""
    label = f', "{shortened(safe(request.terms.label), _LABEL_BYTES_SHOWN)}"' if request.terms.label else ""
    program = shortened(safe(request.session.program), _PROGRAM_BYTES_SHOWN) or "?"
    return f"pid {request.session.peer.pid} ({program}{label})"


def names_of(request: Request) -> tuple[str, ...]:
    """Return what was asked for, at the most so many names as a field of the log has."""
    return tuple(item.name for item in request.items if item.is_asked)[:_NAMES_IN_FIELD_MAX]


def listed(names: Iterable[str], total: int) -> str:
    """Return the first of some names, and how many more there are."""
    shown = [quoted(name) for _, name in zip(range(_NAMES_SHOWN_MAX), names, strict=False)]
    more = total - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def holders_of(resource: Resource, now: float) -> str:
    """Return who holds a name, and since when."""
    first = next(iter(resource.holders.values()), None)
    if first is None:
        return "nobody holds it, and the first in line has to come back"
    assert first.granted_at is not None
    more = len(resource.holders) - 1
    others = f", and {more} more hold it" if more else ""
    return f"held by {who(first)} for {seconds(now - first.granted_at)}{others}"


def facts_of(request: Request) -> dict[str, Any]:
    """Return whose it is and what it is for, as fields of the log."""
    session = request.session
    facts: dict[str, Any] = {
        "name": names_of(request),
        "pid": session.peer.pid,
        "uid": session.peer.uid,
        "program": session.program,
        "label": request.terms.label,
        "session": session.id,
    }
    return facts | {"token": request.token} if request.token else facts
