"""Who asks: every thread is an owner of its own."""

from __future__ import annotations

from _thread import _local
from itertools import count

_numbers = count(1)


class _Owner(_local):
    """The number of the thread that looks.

    A counter, because the system gives the ids of threads that have ended to new ones, and a new thread is not the
    owner of what an old one left.
    """

    def __init__(self) -> None:
        self.id = next(_numbers)


_owner = _Owner()


def this_owner() -> int:
    """Return the owner id of this thread."""
    return _owner.id
