"""The records of names: who holds each, who waits for it, and who of these is in whose way.

There are two kinds, locks and semaphores. They differ in what a demand is and in when two demands go together, and in
nothing else: all that is above them asks the questions of `Resource`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Final, cast

from .actions import Reason
from .events import Demand, Item, Permits
from .modes import BARRING_FIELDS, CONFLICTING_FIELDS, FIELD, UNIT, Mode, conflict, strongest
from .state import Owner, Request


class Resource(ABC):
    """The record of one name.

    ``held`` and ``wanted`` are sums of what is held and of what is waited for, in the kind's own arithmetic: what they
    consist of is added and taken away, and only the kind itself looks into them.
    """

    __slots__ = (
        "_holders",
        "converting",
        "held",
        "name",
        "passed",
        "queue",
        "slot",
        "waiters_total",
        "wanted",
        "watchful",
    )

    def __init__(self, name: str) -> None:
        self.name = name
        #: Where it is among all names (B3). Whoever enters it there knows.
        self.slot = -1
        # Most names have one holder, and a dict for it would be larger than all the rest of a resource.
        self._holders: dict[int, Request] | Request | None = None
        self.held = 0
        # Most names are never waited for, and an empty queue is larger than all the rest of a resource. An OrderedDict,
        # because a dict from whose front much was removed is slow to find its first entry.
        self.queue: OrderedDict[int, Request] | None = None
        self.wanted = 0
        self.waiters_total = 0
        self.converting: dict[int, Request] | None = None
        # Those that may be passed stand apart: else every hand-over would have to step over them again.
        self.passed: dict[int, Request] | None = None
        self.watchful: dict[int, Request] | None = None

    @property
    def holders(self) -> Mapping[int, Request]:
        """Token → request: the grants. To look at, not to change."""
        holders = self._holders
        if isinstance(holders, Request):
            return {holders.token: holders}
        return holders or {}

    @property
    def is_unused(self) -> bool:
        """Whether nobody holds the name and nobody waits for it."""
        return self._holders is None and not self.waiters_total

    @abstractmethod
    def mismatch(self, demand: Demand) -> tuple[Reason, str] | None:
        """Say why ``demand`` is at odds with what the name is at present, or return None (M2)."""

    @abstractmethod
    def amount(self, demand: Demand) -> int:
        """Return what ``demand`` adds to a sum."""

    @abstractmethod
    def has_room(self, held: int, demand: Demand) -> bool:
        """Whether ``demand`` goes with the grants that are summed up in ``held``."""

    @abstractmethod
    def clashes(self, waiting: int, demand: Demand) -> bool:
        """Whether any of the waiters that are summed up in ``waiting`` and one with ``demand`` clash."""

    @abstractmethod
    def bars(self, ahead: int) -> bool:
        """Whether nobody in line can go behind the waiters that are summed up in ``ahead``."""

    @abstractmethod
    def not_in_its_own_way(self, owner: Owner) -> int:
        """Return the sum of the grants of ``owner`` that need not be free for another request of its own."""

    @abstractmethod
    def sole_owner(self) -> Owner | None:
        """Return the owner that keeps everybody else out by what it holds, or None. There may be one all the same."""

    @abstractmethod
    def clash(self, one: Demand, other: Demand) -> bool:
        """Whether the later of two waiters with these demands has to stay behind the earlier one."""

    @abstractmethod
    def opposes(self, grant: Request, demand: Demand) -> bool:
        """Whether ``grant``, a holder, is a reason why ``demand`` of another owner cannot be met."""

    @abstractmethod
    def sole_opponent(self, demand: Demand) -> Request | None:
        """Return the only grant, if it is in the way of ``demand`` and only who has that waits. None elsewhere."""

    def fits(self, owner: Owner, demand: Demand, ahead: int) -> bool:
        """Whether ``demand`` of ``owner`` goes with what is held and with the waiters that are summed up in
        ``ahead``."""
        if self.clashes(ahead, demand):
            return False
        if self.has_room(self.held, demand):
            return True
        return owner.grants_total > 0 and self.has_room(self.held - self.not_in_its_own_way(owner), demand)

    def demand_of(self, request: Request) -> Demand:
        """Return what ``request`` wants or has here."""
        return self.item_of(request).demand

    def item_of(self, request: Request) -> Item:
        """Return the item by which ``request`` is here."""
        items = request.items
        if len(items) == 1:
            return items[0]
        return next(item for item in items if item.name == self.name)

    def held_by(self, owner: Owner) -> Iterator[Request]:
        """Return the grants of ``owner`` on this name."""
        if not owner.grants_total:
            return
        holders = self.holders
        # The shorter of the two: a name may have many readers, and a session may hold many names.
        for grant in min(holders, owner.session.grants, key=len).values():
            if grant.owner is owner and grant.token in holders:
                yield grant

    def add_holder(self, grant: Request, item: Item) -> None:
        """Count ``grant``, which has its token already, as a holder."""
        holders = self._holders
        if holders is None:
            self._holders = grant
        elif isinstance(holders, Request):
            self._holders = {holders.token: holders, grant.token: grant}
        else:
            holders[grant.token] = grant
        self.held += self.amount(item.demand)

    def remove_holder(self, grant: Request, item: Item) -> None:
        """The opposite of `add_holder`."""
        holders = self._holders
        if holders is grant:
            self._holders = None
        else:
            assert isinstance(holders, dict)
            del holders[grant.token]
            self._holders = holders or None
        self.held -= self.amount(item.demand)
        if self.watchful is not None:
            self.unwatch(grant)

    def watch(self, grant: Request) -> None:
        """Take note that ``grant``, a holder, is concerned as soon as somebody waits behind it (L)."""
        if self.watchful is None:
            self.watchful = {}
        self.watchful[grant.token] = grant

    def unwatch(self, grant: Request) -> None:
        """The opposite of `watch`, for a grant that need not be watched."""
        if self.watchful is not None:
            self.watchful.pop(grant.token, None)
            self.watchful = self.watchful or None

    def add_waiter(self, request: Request, item: Item) -> None:
        """Put ``request``, which has its place already, behind all that are in line."""
        if request.converts is not None:
            if self.converting is None:
                self.converting = {}
            self.converting[request.place] = request
        else:
            if self.queue is None:
                self.queue = OrderedDict()
            self.queue[request.place] = request
        self.wanted += self.amount(item.demand)
        self.waiters_total += 1

    def remove_waiter(self, request: Request, item: Item) -> None:
        """The opposite of `add_waiter`, wherever the request stands."""
        self.waiters_total -= 1
        if self.passed is not None and request.place in self.passed:
            del self.passed[request.place]
            self.passed = self.passed or None
            return
        if request.converts is not None:
            assert self.converting is not None
            del self.converting[request.place]
            self.converting = self.converting or None
        else:
            assert self.queue is not None
            del self.queue[request.place]
            self.queue = self.queue or None
        self.wanted -= self.amount(item.demand)

    def let_pass(self, request: Request, item: Item) -> None:
        """Let others pass ``request``, which is in line (S5)."""
        self.remove_waiter(request, item)
        if self.passed is None:
            self.passed = {}
        self.passed[request.place] = request
        self.waiters_total += 1

    def let_back(self, request: Request, item: Item) -> None:
        """Let ``request``, which was passed, have its place in line again. The line has to be sorted afterwards."""
        self.remove_waiter(request, item)
        self.add_waiter(request, item)

    def sort(self) -> None:
        """File everybody under the right place again, in order, after a place has changed."""
        if self.converting is not None:
            self.converting = dict(sorted(self.converting.items()))
        if self.queue is not None:
            self.queue = OrderedDict(sorted((request.place, request) for request in self.queue.values()))
        if self.passed is not None:
            self.passed = {request.place: request for request in self.passed.values()}

    def ahead_of_queue(self) -> int:
        """Sum up those that convert: they stand before the whole queue (C2)."""
        return sum(self.amount(self.demand_of(conversion)) for conversion in (self.converting or {}).values())

    def in_line(self) -> Iterator[Request]:
        """Return all who wait and may not be passed, those that convert first."""
        yield from (self.converting or {}).values()
        yield from (self.queue or {}).values()

    def earlier(self, request: Request) -> Iterator[Request]:
        """Return the waiters that stand before ``request``, whether it stands in the queue or not: those that convert
        come first."""
        yield from (self.converting or {}).values()
        yield from takewhile(lambda waiter: waiter.place < request.place, (self.queue or {}).values())


# A lock is only asked about modes.
_UNIT: Final = cast("Mapping[Demand, int]", UNIT)
_CONFLICTING_FIELDS: Final = cast("Mapping[Demand, int]", CONFLICTING_FIELDS)


class LockResource(Resource):
    """A lock: modes conflict or do not. Its sums are tallies of modes."""

    __slots__ = ()

    def mismatch(self, demand: Demand) -> tuple[Reason, str] | None:
        """A semaphore is something else."""
        if isinstance(demand, Permits):
            return Reason.KIND_MISMATCH, f'"{self.name}" is in use as a lock and was asked for as a semaphore'
        return None

    def amount(self, demand: Demand) -> int:
        """One of the mode."""
        return _UNIT[demand]

    def has_room(self, held: int, demand: Demand) -> bool:
        """One look at the fields of the conflicting modes."""
        return not held & _CONFLICTING_FIELDS[demand]

    def clashes(self, waiting: int, demand: Demand) -> bool:
        """The same."""
        return bool(waiting & _CONFLICTING_FIELDS[demand])

    def bars(self, ahead: int) -> bool:
        """An exclusive request bars all. Others may happen to, when all who are in line want the like."""
        if ahead & BARRING_FIELDS:
            return True
        return all(ahead & CONFLICTING_FIELDS[mode] for mode in Mode if self.wanted & FIELD[mode])

    def not_in_its_own_way(self, owner: Owner) -> int:
        """Conflicts are between owners."""
        return sum(self.amount(self.demand_of(grant)) for grant in self.held_by(owner))

    def sole_owner(self) -> Owner | None:
        """Whoever holds the name in X has it alone."""
        if not self.held & BARRING_FIELDS:
            return None
        holders = self._holders
        return holders.owner if isinstance(holders, Request) else next(iter(self.holders.values())).owner

    def clash(self, one: Demand, other: Demand) -> bool:
        """As the table has it."""
        return conflict(cast(Mode, one), cast(Mode, other))

    def opposes(self, grant: Request, demand: Demand) -> bool:
        """As the table has it."""
        return conflict(cast(Mode, self.demand_of(grant)), cast(Mode, demand))

    def sole_opponent(self, demand: Demand) -> Request | None:
        """The only holder, if there is nobody else."""
        holders = self._holders
        if self.waiters_total == 1 and isinstance(holders, Request) and self.held & _CONFLICTING_FIELDS[demand]:
            return holders
        return None

    def strongest_held(self) -> Mode | None:
        """Return the strongest mode in which somebody holds the name."""
        return strongest(self.held)


class SemaphoreResource(Resource):
    """A semaphore: so many permits, and whoever is in line goes in order. Its sums are permits."""

    __slots__ = ("limit",)

    def __init__(self, name: str, limit: int) -> None:
        super().__init__(name)
        self.limit = limit

    def mismatch(self, demand: Demand) -> tuple[Reason, str] | None:
        """A lock is something else, and so is another limit."""
        if not isinstance(demand, Permits):
            return Reason.KIND_MISMATCH, f'"{self.name}" is in use as a semaphore and was asked for as a lock'
        if demand.limit != self.limit:
            detail = f'"{self.name}" is in use with a limit of {self.limit} and was asked for with {demand.limit}'
            return Reason.LIMIT_MISMATCH, detail
        return None

    def amount(self, demand: Demand) -> int:
        """The permits."""
        return cast(Permits, demand).permits

    def has_room(self, held: int, demand: Demand) -> bool:
        """Whether so many permits are left."""
        return held + cast(Permits, demand).permits <= self.limit

    def clashes(self, waiting: int, demand: Demand) -> bool:
        """Whoever waits comes first, however little is wanted: else small requests would starve a large one (M3)."""
        return bool(waiting)

    def bars(self, ahead: int) -> bool:
        """Anybody does."""
        return bool(ahead)

    def not_in_its_own_way(self, owner: Owner) -> int:
        """Nothing: permits are used up by whoever holds them."""
        return 0

    def sole_owner(self) -> Owner | None:
        """Nobody."""
        return None

    def clash(self, one: Demand, other: Demand) -> bool:
        """Whoever waits comes first."""
        return True

    def opposes(self, grant: Request, demand: Demand) -> bool:
        """Every holder has some of what is wanted."""
        return True

    def sole_opponent(self, demand: Demand) -> Request | None:
        """Others may bring permits back."""
        return None
