"""How what was held and waited for has ended lately, of each of the names that were last in use.

One note for each request tells it all: since when it waited, since when it was held, how it ended. That a request waits
or is granted need not be noted: as long as it does and is, the lock manager knows.

There are two generations of names, each of half the size. Whatever happens to a name brings it into the younger one,
and when that is full the older one is forgotten. So a quiet name outlives a busy one as long as few others are used in
between, and nothing has to be sorted when something happens to the busy one. (One ring for all names would cost a
little less, and tell nothing but of the busiest.)
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from lockd.core.events import Item
from lockd.core.happenings import Happening
from lockd.core.resources import Resource
from lockd.core.state import Request

from .record import Note, Record, note

# Looked up in its class a member of an enumeration takes as long as all that is noted.
_GRANTED: Final = Happening.GRANTED
_QUEUED: Final = Happening.QUEUED

#: Of each name the latest 16 are kept, and up to twice as many: to drop one at a time would be slower.
KEPT: Final = 16
_KEPT_AT_MOST: Final = 2 * KEPT

#: Of those that hold a name, and of those that wait for it, so many are told with what was.
_PRESENT_MAX: Final = 8


class History:
    """The latest notes of a bounded number of names."""

    def __init__(self, names_max: int) -> None:
        """Make one that remembers so many names at the most, and half of them at the least."""
        self.names_max = names_max
        self._generation = (names_max + 1) // 2
        self._young: dict[str, list[Note]] = {}
        self._old: dict[str, list[Note]] = {}

    def look_on(self, happened: list[tuple[Happening, Request]], now: float) -> None:
        """Note how requests have ended, or that they were changed. Of a tree those names count that were asked for."""
        for what, request in happened:
            if what is _GRANTED or what is _QUEUED:
                continue
            items = request.items
            if len(items) > 1:
                # The ancestors would take many times as much memory, and nobody is told them.
                items = tuple([item for item in items if item.is_asked])
            noted = note(what, request, items, now)
            for name, _, _ in items:
                of_name = self._young.get(name)
                if of_name is None:
                    of_name = self._come_to(name)
                of_name.append(noted)
                if len(of_name) > _KEPT_AT_MOST:
                    del of_name[:-KEPT]

    def of(self, name: str, resource: Resource | None) -> list[tuple[Record, Item]]:
        """Return what happened to a name lately, each with what was wanted of it: first what is over, in the order in
        which it ended, then the first that hold it and the first that wait for it, those of a tree below it too."""
        notes = self._young.get(name) or self._old.get(name) or []
        if resource is not None:
            notes = [*notes, *_present(resource)]
        return [(record, item) for record in map(Record._make, notes) for item in record.items if item.name == name]

    def _come_to(self, name: str) -> list[Note]:
        if len(self._young) >= self._generation:
            self._young, self._old = {}, self._young
        of_name = self._young[name] = self._old.pop(name, [])
        return of_name


def _present(resource: Resource) -> list[Note]:
    holders = islice(resource.holders.values(), _PRESENT_MAX)
    waiters = islice(resource.in_line(), _PRESENT_MAX)
    return [
        *(note(_GRANTED, grant, grant.items, grant.granted_at or grant.queued_at) for grant in holders),
        *(note(_QUEUED, waiter, waiter.items, waiter.queued_at) for waiter in waiters),
    ]
