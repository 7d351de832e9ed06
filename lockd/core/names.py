"""The table of names, and who may go (rules R and C)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice

from .actions import Reason
from .bounds import PLACE_STEP, PLACES_COUNTED_MAX
from .events import Demand, Item, Permits
from .resources import LockResource, Resource, SemaphoreResource
from .slots import Slots
from .state import Request, Session


class Names:
    """Every name that somebody holds or waits for."""

    def __init__(self) -> None:
        self._resources: dict[str, Resource] = {}
        #: The same, to be gone through piece by piece (B3).
        self.slots: Slots[Resource] = Slots()
        #: Places that were given by a move. Those given on arrival are far enough apart for any number of these.
        self._places_between: set[int] = set()

    @property
    def resources(self) -> Mapping[str, Resource]:
        """All resources, by name."""
        return self._resources

    def are_free(self, items: Iterable[Item]) -> bool:
        """Whether nobody has or wants any of the names."""
        for item in items:  # noqa: SIM110  # For a single name, the usual thing, a generator takes twice as long.
            if item.name in self._resources:
                return False
        return True

    def mismatch(self, items: Iterable[Item]) -> tuple[Reason, str] | None:
        """Say which of the items is at odds with what its name is at present, or return None (M2)."""
        for name, demand, _ in items:
            resource = self._resources.get(name)
            if resource is not None and (found := resource.mismatch(demand)) is not None:
                return found
        return None

    def may_go_on_arrival(self, request: Request) -> bool:
        """Whether a request that is in no line yet is compatible with all that is held and all who wait (R2)."""
        for name, demand, _ in request.items:
            resource = self._resources.get(name)
            if resource is not None and not resource.fits(request.owner, demand, resource.wanted):
                return False
        return True

    def may_go(self, request: Request) -> bool:
        """Whether a request that stands in line may go now, by everything that counts (R2, C2, S3)."""
        return request.session.is_attached and self._has_no_obstacle(request, None, {})

    def obstacle(self, request: Request) -> str | None:
        """Return the first name because of which ``request`` cannot go, or None.

        Of those before it in a queue it looks at `PLACES_COUNTED_MAX`.
        """
        for name, demand, _ in request.items:
            resource = self._resources.get(name)
            if resource is None:
                continue
            if not resource.fits(request.owner, demand, 0):
                return name
            if _is_behind_somebody(resource, request, demand):
                return name
        return None

    def own_obstacle(self, request: Request) -> tuple[Resource, Request] | None:
        """Return what the owner itself has asked for and got in a way that conflicts, or None (R6)."""
        for name, demand, is_asked in request.items:
            resource = self._resources.get(name)
            # Of a semaphore it may be enough if others release (D3).
            if not is_asked or not isinstance(resource, LockResource):
                continue
            for grant in resource.held_by(request.owner):
                if resource.item_of(grant).is_asked and resource.opposes(grant, demand):
                    return resource, grant
        return None

    def contended_name(self, grant: Request) -> str | None:
        """Return the first name for which another owner waits behind ``grant``, or None."""
        for name, demand, _ in grant.items:
            resource = self._resources[name]
            if resource.clashes(resource.wanted, demand) and any(
                waiter.owner is not grant.owner and resource.opposes(grant, resource.demand_of(waiter))
                for waiter in resource.in_line()
            ):
                return name
        return None

    def watchful_before(self, request: Request) -> Iterator[tuple[Request, str]]:
        """Return the watchful grants that ``request`` waits for, each with the name (L1)."""
        for name, demand, _ in request.items:
            resource = self._resources[name]
            for grant in list((resource.watchful or {}).values()):
                if grant.owner is not request.owner and resource.opposes(grant, demand):
                    yield grant, name

    def watch(self, grant: Request) -> None:
        """Take note that ``grant`` is concerned as soon as somebody waits behind it (L)."""
        for item in grant.items:
            self._resources[item.name].watch(grant)

    def unwatch(self, grant: Request) -> None:
        """The opposite of `watch`."""
        for item in grant.items:
            self._resources[item.name].unwatch(grant)

    def hold(self, grant: Request) -> None:
        """Enter a grant, which has its token already, as a holder of each of its names."""
        for item in grant.items:
            self._resource(item).add_holder(grant, item)

    def drop(self, grant: Request) -> None:
        """Take a grant out of all its names."""
        for item in grant.items:
            resource = self._resources[item.name]
            resource.remove_holder(grant, item)
            self._tidy(resource)

    def change(self, grant: Request, items: tuple[Item, ...]) -> None:
        """Let a grant have ``items``, which are for the same names, instead of those that it has."""
        for old, new in zip(grant.items, items, strict=True):
            resource = self._resources[old.name]
            resource.held += resource.amount(new.demand) - resource.amount(old.demand)
        grant.items = items

    def enqueue(self, request: Request) -> None:
        """Put a request, which has its place already, in line for each of its names."""
        if request.place % PLACE_STEP:
            # It was moved there before it became a record.
            self._places_between.add(request.place)
        for item in request.items:
            self._resource(item).add_waiter(request, item)

    def dequeue(self, request: Request) -> None:
        """Take a waiter out of every line."""
        self._leave_lines(request)
        for item in request.items:
            self._tidy(self._resources[item.name])

    def let_pass(self, session: Session) -> None:
        """Let others pass the waiters of a session from now on (S5)."""
        session.is_passed = True
        for request in session.waiting.values():
            for item in request.items:
                self._resources[item.name].let_pass(request, item)

    def let_back(self, session: Session) -> None:
        """The opposite of `let_pass`. Whoever passed the waiters meanwhile has what it got."""
        session.is_passed = False
        concerned: dict[str, Resource] = {}
        for request in session.waiting.values():
            for item in request.items:
                resource = concerned[item.name] = self._resources[item.name]
                resource.let_back(request, item)
        for resource in concerned.values():
            resource.sort()

    def move_ahead(self, request: Request, of: Request) -> None:
        """Give ``request`` the place just before that of ``of``, in every queue that it is in (D4)."""
        place = of.place - 1
        while place in self._places_between:
            place -= 1
        self.move(request, place)

    def move(self, request: Request, place: int) -> None:
        """Give a waiter another place, which nobody has."""
        self._places_between.discard(request.place)
        self._places_between.add(place)
        request.place = place
        for item in request.items:
            self._resources[item.name].sort()

    def concerned(self, left: Iterable[Item]) -> list[str]:
        """Return the names on which somebody in line may profit from it that ``left`` is in the way no more (R4).

        That is whoever could not have gone because of it, and nobody else. Most releases concern nobody.
        """
        names = []
        for name, demand, _ in left:
            resource = self._resources.get(name)
            if resource is not None and resource.clashes(resource.wanted, demand):
                names.append(name)
        return names

    def look_through(self, name: str, grant: Callable[[Request], None]) -> None:
        """Call ``grant`` for each waiter for ``name``, which is there, that may go now, in the order of the line, and
        dequeue it (R4).

        ``grant`` has to enter the request as a holder, or what it converts in its new mode, at once: who is next
        depends on it.
        """
        resource = self._resources[name]
        for conversion in list((resource.converting or {}).values()):
            if self.may_go(conversion):
                self._leave_lines(conversion)
                grant(conversion)
        gone = []
        for request in self._who_may_go(resource):
            # The queue that is gone through has to stay as it is meanwhile.
            self._leave_lines(request, but=resource)
            grant(request)
            gone.append(request)
        for request in gone:
            resource.remove_waiter(request, resource.item_of(request))
        self._let_insiders_go(resource, grant)

    def _who_may_go(self, resource: Resource) -> Iterator[Request]:
        ahead = resource.ahead_of_queue()
        if resource.bars(ahead):
            return
        stayed: set[Demand] = set()
        elsewhere: dict[tuple[str, Demand], _FirstInTheWay] = {}
        for request in (resource.queue or {}).values():
            if resource.sole_owner() is not None:
                return
            demand = resource.demand_of(request)
            if (
                request.session.is_attached
                and resource.fits(request.owner, demand, ahead)
                and (len(request.items) == 1 or self._has_no_obstacle(request, resource, elsewhere))
            ):
                # What is held has changed when the iteration goes on.
                yield request
                continue
            ahead += resource.amount(demand)
            if demand not in stayed:
                stayed.add(demand)
                if resource.bars(ahead):
                    return

    def _let_insiders_go(self, resource: Resource, grant: Callable[[Request], None]) -> None:
        """Where one owner keeps everybody else out, only its own other requests can go."""
        owner = resource.sole_owner()
        if owner is None:
            return
        for request in owner.waiting:
            if request.place in (resource.queue or ()) and self.may_go(request):
                self._leave_lines(request)
                grant(request)

    def _has_no_obstacle(
        self, request: Request, but: Resource | None, first_in_the_way: dict[tuple[str, Demand], _FirstInTheWay]
    ) -> bool:
        """Whether ``request``, which stands in line, may go on all its names but one.

        Whom it may be behind is asked last: the answer can cost a walk along the queue. For many requests, while nobody
        joins a line, ``first_in_the_way`` keeps the answers: each line is walked along once for each demand.
        """
        wanted = [(self._resources[item.name], item.demand) for item in request.items]
        wanted = [(resource, demand) for resource, demand in wanted if resource is not but]
        if not all(resource.fits(request.owner, demand, 0) for resource, demand in wanted):
            return False
        if request.converts is not None:
            return True
        for resource, demand in wanted:
            if not resource.clashes(resource.wanted, demand):
                continue
            first = first_in_the_way.get((resource.name, demand))
            if first is None:
                first = first_in_the_way[resource.name, demand] = _FirstInTheWay(resource, demand)
            if first.is_before(request):
                return False
        return True

    def _leave_lines(self, request: Request, but: Resource | None = None) -> None:
        self._places_between.discard(request.place)
        for item in request.items:
            resource = self._resources[item.name]
            if resource is not but:
                resource.remove_waiter(request, item)

    def _resource(self, item: Item) -> Resource:
        resource = self._resources.get(item.name)
        if resource is None:
            if isinstance(item.demand, Permits):
                resource = SemaphoreResource(item.name, item.demand.limit)
            else:
                resource = LockResource(item.name)
            self._resources[item.name] = resource
            resource.slot = self.slots.add(resource)
        return resource

    def _tidy(self, resource: Resource) -> None:
        if resource.is_unused:
            del self._resources[resource.name]
            self.slots.remove(resource.slot)


class _FirstInTheWay:
    """The first in line that a demand has to stay behind, while waiters leave the line and none joins it."""

    def __init__(self, resource: Resource, demand: Demand) -> None:
        self._resource, self._demand = resource, demand
        self._first = self._find()

    def is_before(self, request: Request) -> bool:
        """Whether that is before ``request``."""
        if self._first is not None and self._has_left(self._first):
            self._first = self._find()
        first = self._first
        return first is not None and (first.converts is not None or first.place < request.place)

    def _find(self) -> Request | None:
        resource, demand = self._resource, self._demand
        return next((each for each in resource.in_line() if resource.clash(demand, resource.demand_of(each))), None)

    def _has_left(self, waiter: Request) -> bool:
        line = self._resource.queue if waiter.converts is None else self._resource.converting
        return waiter.place not in (line or ())


def _is_behind_somebody(resource: Resource, request: Request, demand: Demand) -> bool:
    if request.converts is not None or not resource.clashes(resource.wanted, demand):
        return False
    earlier = islice(resource.earlier(request), PLACES_COUNTED_MAX)
    return any(resource.clash(demand, resource.demand_of(other)) for other in earlier)
