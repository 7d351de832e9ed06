"""Who waits for whom on one name, for people to look at (D8)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final, NamedTuple

from .bounds import HOLDERS_DRAWN_MAX, HOLDERS_SEARCHED_MAX, WAITERS_DRAWN_MAX
from .events import Demand, Permits
from .resources import Resource
from .state import Request

#: Edges that one name has at the most.
EDGES_MAX: Final = WAITERS_DRAWN_MAX * (HOLDERS_DRAWN_MAX + 1)


class Wait(NamedTuple):
    """One edge of the graph: somebody waits, and this one is in the way."""

    waiter: Request
    #: None: it is one of the holders, and there are too many of those to look at them all.
    blocker: Request | None
    #: Whether the blocker holds the name. Otherwise it waits itself, and comes first.
    is_hard: bool


def waits(resource: Resource) -> Iterator[Wait]:
    """Yield the edges of the first waiters for one name, waiter by waiter."""
    in_the_way: dict[Demand, _InTheWay] = {}
    line: list[Request] = []
    for waiter in islice(chain(resource.in_line(), (resource.passed or {}).values()), WAITERS_DRAWN_MAX):
        demand = resource.demand_of(waiter)
        if not resource.has_room(resource.held, demand):
            if demand not in in_the_way:
                in_the_way[demand] = _InTheWay(resource, demand)
            for blocker in in_the_way[demand].of(waiter):
                yield Wait(waiter, blocker, True)
        if waiter.converts is None:
            for earlier in reversed(line):
                if _is_before(earlier, waiter) and resource.clash(demand, resource.demand_of(earlier)):
                    yield Wait(waiter, earlier, False)
                    break
        # Whoever may be passed is in nobody's way (S5).
        if not waiter.session.is_passed:
            line.append(waiter)


class _InTheWay:
    """The holders in the way of one demand."""

    def __init__(self, resource: Resource, demand: Demand) -> None:
        self._spares_own = not isinstance(demand, Permits)
        looked_at = islice(resource.holders.values(), HOLDERS_SEARCHED_MAX)
        self._found = [grant for grant in looked_at if resource.opposes(grant, demand)]
        self._is_all = len(resource.holders) <= HOLDERS_SEARCHED_MAX

    def of(self, waiter: Request) -> Iterator[Request | None]:
        """Yield the first of them that are in the way of ``waiter``, or None if they were not found."""
        # What an owner holds of a lock is not in its own way.
        others = (grant for grant in self._found if not (self._spares_own and grant.owner is waiter.owner))
        drawn = list(islice(others, HOLDERS_DRAWN_MAX))
        yield from drawn
        if not drawn and not self._is_all:
            yield None


def _is_before(earlier: Request, waiter: Request) -> bool:
    return earlier.converts is not None or earlier.place < waiter.place
