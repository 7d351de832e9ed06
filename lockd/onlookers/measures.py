"""How long requests wait, and how long grants are held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from lockd.core.state import BEHIND_ALL, Request
from lockd.histogram import Histogram

from .patterns import Patterns

#: Where the names are counted that fit no pattern, and without patterns all.
OTHER: Final = "other"

#: Seconds. From what a machine does in between to what people have to see to. Each is a line of every scrape.
_BOUNDS: Final = (0.001, 0.005, 0.025, 0.1, 0.5, 2.0, 10.0, 60.0, 300.0, 1800.0, 10800.0)


class Family:
    """What is measured of the names that fit one pattern."""

    __slots__ = ("granted_at_once", "holds", "waits")

    def __init__(self) -> None:
        self.waits = Histogram(_BOUNDS)
        self.holds = Histogram(_BOUNDS)
        #: Most requests do not wait, and counting them is all that is done for them.
        self.granted_at_once = 0

    def all_waits(self) -> Histogram:
        """Return the waits with those of no length among them."""
        whole = Histogram(self.waits.bounds)
        whole.counts = [self.waits.counts[0] + self.granted_at_once, *self.waits.counts[1:]]
        whole.total_seconds = self.waits.total_seconds
        return whole


class Measures:
    """Counts what has become of requests. One for several names counts once for each pattern that these fit."""

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        """Measure by these patterns."""
        self.families = {pattern: Family() for pattern in (*patterns, OTHER)}
        self.abandoned_total = 0
        self.refusals_total = 0
        self.waits_total = 0
        self._patterns = Patterns(patterns) if patterns else None
        self._all = (self.families[OTHER],)
        # When each conversion that waits began to, by the token of its grant: of one that is over nothing else is told.
        self._converting_since: dict[int, float] = {}

    def granted_at_once(self, request: Request, now: float) -> None:
        """A request got through that did not have to wait."""
        for family in self._all if self._patterns is None else self._families_of(request):
            family.granted_at_once += 1

    def queued(self, request: Request, now: float) -> None:
        """A request begins to wait."""
        self.waits_total += 1
        if request.converts is not None:
            self._converting_since[request.converts.token] = now

    def waited(self, request: Request, now: float) -> None:
        """The wait of a request is over, whatever has become of it. One that never waited is none."""
        if request.place == BEHIND_ALL:
            return
        if request.converts is not None:
            self._converting_since.pop(request.converts.token, None)
        self._add_wait(request, now - request.queued_at)

    def converted(self, grant: Request, now: float) -> None:
        """A grant has another mode, perhaps after a wait."""
        began_at = self._converting_since.pop(grant.token, None)
        if began_at is not None:
            self._add_wait(grant, now - began_at)

    def held(self, grant: Request, now: float) -> None:
        """A grant has ended."""
        began_at = grant.granted_at
        assert began_at is not None
        for family in self._all if self._patterns is None else self._families_of(grant):
            family.holds.add(now - began_at)

    def abandoned(self, grant: Request, now: float) -> None:
        """A grant has ended because its session did."""
        self.abandoned_total += 1

    def refused(self, request: Request, now: float) -> None:
        """A request could not be, or would have been too much."""
        self.refusals_total += 1

    def _add_wait(self, request: Request, seconds: float) -> None:
        for family in self._all if self._patterns is None else self._families_of(request):
            family.waits.add(seconds)

    def _families_of(self, request: Request) -> Sequence[Family]:
        assert self._patterns is not None
        if len(request.items) == 1:
            return (self.families[self._patterns.of(request.items[0].name) or OTHER],)
        fitting = {self._patterns.of(item.name) or OTHER for item in request.items if item.is_asked}
        return [self.families[pattern] for pattern in fitting]
