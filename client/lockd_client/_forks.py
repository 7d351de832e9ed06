"""Tells what this process has of lockd that a child made by fork must not use.

The child gets copies of everything: of the socket, over which it would speak in its parent's name; of grants that it
does not hold; and of mutexes that some thread held which does not exist in the child.
"""

from __future__ import annotations

import os
from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    class _Inheritable(Protocol):
        def after_fork_in_child(self) -> None:
            """Give up what belongs to the parent."""


# What `weakref.WeakSet` is, as far as it is needed here: that takes longer to import than four modules of this library.
_things: set[ref[_Inheritable]] = set()


def renew_after_fork(thing: _Inheritable) -> None:
    """Have ``thing.after_fork_in_child()`` called in every child, for as long as it exists."""
    _things.add(ref(thing, _things.discard))


def _after_fork_in_child() -> None:
    # All of them are kept until the last one knows. One that was collected before it knows would take leave of the
    # daemon, in the parent's name.
    # Copied in one step: whatever is collected meanwhile leaves the set.
    things = [thing() for thing in _things.copy()]
    for thing in things:
        if thing is not None:
            thing.after_fork_in_child()


os.register_at_fork(after_in_child=_after_fork_in_child)
