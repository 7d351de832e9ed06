"""Who would wait for ever (rules D).

A request that is about to wait is judged over two kinds of edges: to the owners that hold what it needs, and to the
waiters before it in its queues, which have to be served first. As long as nobody waits in vain, every new circle goes
through the request that closes it, so one search from that request finds it.

With locks alone a circle is a deadlock. With semaphores it need not be: somebody outside of the circle may bring a
permit back. So where a circle is found and a semaphore has been met, `progress` says who really cannot go on.

That a queue is put into another order before anybody is refused comes from PostgreSQL
(src/backend/storage/lmgr/README), and so do the names of the edges: hard ones are held, soft ones are the order of a
queue.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from .events import Demand
from .modes import CONFLICTS, COVERED, Mode
from .names import Names
from .progress import stuck_owners
from .resources import Resource, SemaphoreResource
from .state import Owner, Request

#: Orders that are tried before a request is refused, and owners that are looked at for all of them together before no
#: further one is tried. Two or three orders resolve what programs do by accident.
_ORDERS_TRIED_MAX: Final = 16
_OWNERS_LOOKED_AT_MAX: Final = 20_000

#: Grants that are looked at to see whether anybody waits for an owner at all.
_GRANTS_LOOKED_AT_MAX: Final = 64


#: Who waits, because of which name, and who is in the way: a grant, or a request that waits itself and has no token.
Edge: TypeAlias = tuple[Request, Resource, Request]


class Verdict(NamedTuple):
    """What is to become of somebody who waits.

    ``circle`` is empty if it may wait on. Otherwise it would have waited for ever, and if ``moved`` is empty as well it
    still would: no order of the queues helps. ``moved`` have other places now, with which everybody gets on.
    """

    circle: list[Edge]
    moved: list[Request]


_GETS_ON: Final = Verdict([], [])


def judge(request: Request, names: Names) -> Verdict:
    """Judge a request that has just been put in line, and change the order of waiters where that resolves a
    deadlock."""
    if not _is_waited_for(request.owner, names.resources):
        return _GETS_ON
    # A conversion is in the way of those in the queue, so what else its owner waits for may close the circle.
    return _judge([request] if request.converts is None else request.owner.waiting, names)


def judge_owner_of(request: Request, names: Names) -> Verdict:
    """Judge an owner that waits, and for which others wait now because it has got ``request``, or because that waiter
    of its own may be passed no more.

    The circle starts with what it should not wait for.
    """
    owner, resources = request.owner, names.resources
    if not owner.waiting:
        return _GETS_ON
    if request.token and not any(resources[item.name].waiters_total for item in request.items):
        return _GETS_ON
    return _judge(owner.waiting, names)


class Finding(NamedTuple):
    """A circle, if there is one, and how many owners were looked at for it."""

    circle: list[Edge] | None
    owners_total: int


def find_circle(starts: Collection[Request], resources: Mapping[str, Resource]) -> Finding:
    """Find a circle of edges from one of ``starts`` back to its owner, if that would wait for ever.

    All of ``starts`` wait, and for one owner.
    """
    search = _Search(starts, resources)
    circle = search.circle()
    if circle is not None and search.has_met_semaphores:
        stuck = stuck_owners(search.reached, resources)
        # The circle may lead through somebody who gets on. If the target does not, there is one that does not either.
        circle = _Search(starts, resources, within=stuck).circle() if search.target in stuck else None
    return Finding(circle, len(search.reached))


def _judge(starts: Collection[Request], names: Names) -> Verdict:
    circle, _ = find_circle(starts, names.resources)
    return _GETS_ON if circle is None else Verdict(circle, _Reordering(names).moves_against(circle))


def _is_waited_for(owner: Owner, resources: Mapping[str, Resource]) -> bool:
    """Whether anybody may wait for this owner: without that, it can be in no circle. May err on that side."""
    if len(owner.waiting) > 1:
        return True
    if owner.grants_total > _GRANTS_LOOKED_AT_MAX or owner.grants_total < len(owner.session.grants):
        return owner.grants_total > 0
    return any(resources[item.name].waiters_total for grant in owner.session.grants.values() for item in grant.items)


class _Line:
    """What stands in the way of one demand on one name, given out once and for all.

    All requests with the same demand wait for the same holders, and for the same waiters as far as they are behind
    them. So each search goes along each line once, however many requests lead to it.
    """

    def __init__(
        self, resource: Resource, demand: Demand, target: Owner, *, is_conversion: bool, has_room: bool
    ) -> None:
        self._is_semaphore = isinstance(resource, SemaphoreResource)
        self._target = target
        # Where there is room for it, it is only the order of the queue that is in the way.
        holders = () if has_room else resource.holders.values()
        self._ahead: Iterator[Request] = (grant for grant in holders if resource.opposes(grant, demand))
        self._queue = iter(()) if is_conversion else self._waiters(resource, demand)
        self._next = next(self._queue, None)
        #: The first that is in the way of others and not of the target, whose own it is.
        self._kept: Request | None = None

    def blockers(self, request: Request) -> Iterator[Request]:
        """Return those in the way of ``request`` whose owners have not been returned before."""
        for blocker in self._in_the_way_of(request):
            # Neither what an owner holds of a lock nor what it waits for is in its own way.
            if blocker.owner is not request.owner or self._is_semaphore:
                yield blocker
            elif blocker.owner is self._target and self._kept is None:
                self._kept = blocker

    def _waiters(self, resource: Resource, demand: Demand) -> Iterator[Request]:
        """Return those in line that are in the way, but for those through whom nobody is found who is not in the way.

        That is whoever waits for nothing else, and for no more than ``demand``: a long queue mostly consists of such.
        """
        if not isinstance(demand, Mode):
            yield from resource.in_line()
            return
        target, conflicts, covered = self._target, CONFLICTS[demand], COVERED[demand]
        if len(target.waiting) > 1 or any(resource.held_by(target)):
            # Others may wait for what else the target has here, while that is not in its own way.
            covered = frozenset()
        for waiter in resource.in_line():
            wanted = resource.demand_of(waiter)
            if wanted in conflicts:
                owner = waiter.owner
                if wanted in covered and len(owner.waiting) == 1 and len(waiter.items) == 1 and owner is not target:
                    continue
                yield waiter

    def _in_the_way_of(self, request: Request) -> Iterator[Request]:
        if self._kept is not None and _is_ahead_of(request, self._kept):
            yield self._kept
        yield from self._ahead
        while self._next is not None and _is_ahead_of(request, self._next):
            waiter, self._next = self._next, next(self._queue, None)
            yield waiter


def _is_ahead_of(request: Request, blocker: Request) -> bool:
    return bool(blocker.token) or blocker.converts is not None or blocker.place < request.place


class _Search:
    """One search, depth first."""

    def __init__(
        self, starts: Iterable[Request], resources: Mapping[str, Resource], within: Container[Owner] | None = None
    ) -> None:
        self._starts = list(starts)
        self._resources = resources
        self._within = within
        self._lines: dict[tuple[str, Demand | bool, bool], _Line] = {}
        self.target = self._starts[0].owner
        #: The owners in the way of the target, directly or not, each with the edge by which it was found.
        self.reached: dict[Owner, Edge] = {}
        self.has_met_semaphores = False

    def circle(self) -> list[Edge] | None:
        """Return the first path back to where it started, or None.

        Goes on once it has met a semaphore, so that everybody who matters then is reached.
        """
        resources, reached, within, target = self._resources, self.reached, self._within, self.target
        stack = list(self._starts)
        while stack:
            request = self._end_of_chain(stack.pop())
            for name, demand, _ in request.items:
                resource = resources[name]
                for blocker in self._blockers(request, resource, demand):
                    owner = blocker.owner
                    if owner in reached or (within is not None and owner not in within):
                        continue
                    reached[owner] = (request, resource, blocker)
                    if owner is target and (not self.has_met_semaphores or within is not None):
                        return self._path()
                    # Of the target those that are no start. Whoever does not wait leads no further.
                    stack.extend(owner.waiting)
        return self._path() if target in reached else None

    def _end_of_chain(self, request: Request) -> Request:
        """Go from a request along those that wait for one name each, which concerns nobody else, and return the first
        that is not such a link. A long chain consists of them, and they are what its search costs."""
        resources, reached, target = self._resources, self.reached, self.target
        # Where only some owners count, each is looked at by itself.
        while self._within is None:
            items = request.items
            if len(items) > 1:
                return request
            name, demand, _ = items[0]
            resource = resources[name]
            blocker = resource.sole_opponent(demand)
            if blocker is None:
                return request
            owner = blocker.owner
            waiting = owner.waiting
            if len(waiting) != 1 or owner in reached or owner is target:
                return request
            reached[owner] = (request, resource, blocker)
            [request] = waiting
        return request

    def _path(self) -> list[Edge]:
        path = [self.reached[self.target]]
        while (owner := path[-1][0].owner) is not self.target:
            path.append(self.reached[owner])
        path.reverse()
        return path

    def _blockers(self, request: Request, resource: Resource, demand: Demand) -> Iterable[Request]:
        has_room = resource.has_room(resource.held, demand)
        key: tuple[str, Demand | bool, bool]
        if isinstance(resource, SemaphoreResource):
            self.has_met_semaphores = True
            # An owner that waits for more of it than this may not have room for all of that.
            has_room = has_room and len(request.owner.waiting) == 1
            # However many permits are wanted, those in the way are the same, but for whether the holders are.
            key = (resource.name, has_room, False)
        else:
            key = (resource.name, demand, request.converts is not None)
        line = self._lines.get(key)
        if line is None:
            is_conversion = request.converts is not None
            line = _Line(resource, demand, self.target, is_conversion=is_conversion, has_room=has_room)
            self._lines[key] = line
        return line.blockers(request)


class _Reordering:
    """The search for an order of the waiters in which nobody waits for ever."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self._orders_left = _ORDERS_TRIED_MAX
        self._owners_left = _OWNERS_LOOKED_AT_MAX
        self._moved: list[Request] = []

    def moves_against(self, circle: list[Edge]) -> list[Request]:
        """Return the requests that were moved to break ``circle`` without closing another, or nothing."""
        judged, _, _ = circle[0]
        self._break(circle, judged.owner)
        return list(dict.fromkeys(self._moved))

    def _break(self, circle: list[Edge], judged: Owner) -> bool:
        for waiter, _, blocker in circle:
            # Another order helps only where nothing but the order is in the way.
            if blocker.token or blocker.converts is not None:
                continue
            if self._orders_left <= 0 or self._owners_left <= 0:
                return False
            self._orders_left -= 1
            place = waiter.place
            self._names.move_ahead(waiter, blocker)
            self._moved.append(waiter)
            left = self._any_circle(judged)
            if left is None or self._break(left, judged):
                return True
            self._moved.pop()
            self._names.move(waiter, place)
        return False

    def _any_circle(self, judged: Owner) -> list[Edge] | None:
        # A move makes nobody wait for anybody new but for the owner of what was moved. So every circle that there is
        # now goes through one of these.
        for owner in dict.fromkeys((judged, *(request.owner for request in self._moved))):
            circle, owners_total = find_circle(owner.waiting, self._names.resources)
            self._owners_left -= owners_total
            if circle is not None:
                return circle
        return None
