"""What lockctl says on standard error, and the exit status that goes with it."""

from __future__ import annotations

import sys

from lockd_client._words import printable
from lockd_client.errors import AccessDenied, BadRequest, KindMismatch, LimitMismatch, LockError

from . import statuses

_STATUSES: dict[type[LockError], int] = {
    AccessDenied: statuses.DENIED,
    BadRequest: statuses.USAGE,
    KindMismatch: statuses.USAGE,
    LimitMismatch: statuses.USAGE,
}


def complain(sentence: object) -> None:
    """Say something in one line. Whoever gave a lock or a program its name, it gives no orders to the terminal."""
    # Without a standard error, print() would take standard output.
    if sys.stderr is not None:
        print(f"lockctl: {printable(str(sentence))}", file=sys.stderr)


def complain_of(error: LockError) -> int:
    """Say what the library says and return the exit status."""
    complain(error)
    return _STATUSES.get(type(error), statuses.UNAVAILABLE)
