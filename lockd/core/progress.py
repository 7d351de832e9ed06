"""Who gets on in the end, if everybody who can does (rule D3).

Owners that wait for nobody are supposed to release what they have, owners that can go then to do the same, and so on.
Who is left waits for ever. An owner that waits for several things goes when it can have all of them.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final

from .events import Demand
from .resources import Resource, SemaphoreResource
from .state import Owner, Request

#: Waiters that are looked at, each as often as it is, before those who are left are taken for stuck. That they get on
#: one by one, each because of the one before, is what makes it many: nobody's programs do that by the thousand.
_WAITERS_LOOKED_AT_MAX: Final = 4_000


def stuck_owners(owners: Iterable[Owner], resources: Mapping[str, Resource]) -> Collection[Owner]:
    """Return those of ``owners`` that wait for ever, or, where that is too much to find out, that may (D6).

    ``owners`` have to be all who matter: whoever waits and is in the way of one of them is one of them too.
    """
    # How many items each still waits for.
    missing = {owner: sum(len(waiter.items) for waiter in owner.waiting) for owner in owners if owner.waiting}
    lines = _lines_of(missing, resources)
    concerned: dict[Owner, list[_Line]] = {owner: [] for owner in missing}
    for line in lines:
        for owner in line.owners():
            concerned[owner].append(line)
    to_look_at = OrderedDict.fromkeys(lines)
    looked_at = 0
    while to_look_at and looked_at < _WAITERS_LOOKED_AT_MAX:
        line, _ = to_look_at.popitem(last=False)
        before = line.looked_at
        for owner in list(line.who_can_have_it_now()):
            missing[owner] -= 1
            if not missing[owner]:
                del missing[owner]
                for other in concerned[owner]:
                    other.let_go(owner)
                    to_look_at[other] = None
        looked_at += line.looked_at - before
    return missing


def _lines_of(owners: Collection[Owner], resources: Mapping[str, Resource]) -> list[_Line]:
    waiters: dict[str, list[Request]] = {}
    for owner in owners:
        for waiter in owner.waiting:
            for item in waiter.items:
                waiters.setdefault(item.name, []).append(waiter)
    return [_Line(resources[name], found, owners) for name, found in waiters.items()]


class _Line:
    """What the owners that are left hold of one name, and what they still want of it."""

    def __init__(self, resource: Resource, waiters: Iterable[Request], owners: Collection[Owner]) -> None:
        self._resource = resource
        in_order = sorted(waiters, key=lambda waiter: (waiter.converts is None, waiter.place))
        self._waiters = OrderedDict.fromkeys(in_order)
        self._served: set[Request] = set()
        #: How many waiters have been looked at, each as often as it was.
        self.looked_at = 0
        self._held: Counter[Owner] = Counter()
        for grant in resource.holders.values():
            if grant.owner in owners:
                self._held[grant.owner] += resource.amount(resource.demand_of(grant))
        self._held_total = self._held.total()

    def owners(self) -> Iterable[Owner]:
        """Return who holds some of it or wants it."""
        return dict.fromkeys([*self._held, *(waiter.owner for waiter in self._waiters)])

    def let_go(self, owner: Owner) -> None:
        """Take an owner out that has gone."""
        self._held_total -= self._held.pop(owner, 0)
        for waiter in owner.waiting:
            self._waiters.pop(waiter, None)

    def who_can_have_it_now(self) -> Iterator[Owner]:
        """Return the owner of each waiter that could not have it before and can now."""
        resource, wanted, ahead, ahead_total = self._resource, Counter[Owner](), Counter[Owner](), 0
        first: Owner | None = None
        for waiter in self._waiters:
            self.looked_at += 1
            owner, demand = waiter.owner, resource.demand_of(waiter)
            others_ahead = ahead_total - ahead[owner]
            if waiter not in self._served and self._can_have_it(waiter, demand, others_ahead, wanted[owner]):
                self._served.add(waiter)
                yield owner
            wanted[owner] += resource.amount(demand)
            if waiter.session.is_passed:
                continue
            ahead[owner] += resource.amount(demand)
            ahead_total += resource.amount(demand)
            first = first or owner
            # Two owners that each bar all the others: behind them there is nobody to be found.
            if resource.bars(ahead[first]) and resource.bars(ahead_total - ahead[first]):
                return

    def _can_have_it(self, waiter: Request, demand: Demand, others_ahead: int, own: int) -> bool:
        if waiter.converts is None and self._resource.clashes(others_ahead, demand):
            return False
        if isinstance(self._resource, SemaphoreResource):
            # The owner will have the permits for which it waits here before.
            return self._resource.has_room(self._held_total + own, demand)
        return self._resource.has_room(self._held_total - self._held[waiter.owner], demand)
