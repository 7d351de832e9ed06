"""Things in numbered slots, by which they can be gone through piece by piece while they come and go (B3).

A dict cannot serve for that: an iteration over one ends when it changes, and a copy of a hundred thousand keys takes
longer than anybody else should have to wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Slots(Generic[_T]):
    """Each thing has a slot for as long as it is there, and a free one is used again.

    So there are as many as there ever were things at a time.
    """

    __slots__ = ("_free", "_things")

    def __init__(self) -> None:
        self._things: list[_T | None] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many slots there are, the free ones included."""
        return len(self._things)

    def add(self, thing: _T) -> int:
        """Put a thing into a slot and return its number."""
        if not self._free:
            self._things.append(thing)
            return len(self._things) - 1
        slot = self._free.pop()
        self._things[slot] = thing
        return slot

    def remove(self, slot: int) -> None:
        """Free a slot, in which there is something."""
        self._things[slot] = None
        self._free.append(slot)

    def look(self, first: int, slots_max: int) -> Iterator[tuple[int, _T]]:
        """Yield what is in so many slots from the slot ``first`` on, each thing behind the number of its slot.

        Nothing may come or go meanwhile.
        """
        for slot, thing in enumerate(self._things[first : first + slots_max], first):
            if thing is not None:
                yield slot, thing
