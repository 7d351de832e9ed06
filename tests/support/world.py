"""Everything that is asked for, in one list, and the rules about who may go, as lockd/core/README.md has them.

For `oracle`. There are no counts, no queues and no sums here: each question is answered by looking at everybody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from lockd.core import events as e
from lockd.core.actions import Loss
from lockd.core.modes import CONFLICTS, Mode

# Session and owner id.
Who: TypeAlias = tuple[int, int]


@dataclass(eq=False)
class Ask:
    """A request that waits or holds. One that does neither any more is forgotten."""

    session: int
    owner: int
    #: The requests by which it is held, the oldest first. There are several when it has been entered again.
    ids: list[int]
    items: tuple[e.Item, ...]
    terms: e.Terms
    is_tree: bool
    asked_at: float
    place: int = 0
    #: How it was asked for first, whoever has it now: session and id.
    origin: tuple[int, int] = (0, 0)
    converts: Ask | None = None
    token: int = 0
    is_granted: bool = False
    granted_at: float = 0.0
    ticket: str = ""
    is_yield_requested: bool = False
    due_at: float | None = None
    due_order: int = 0

    @property
    def id(self) -> int:
        return self.ids[0]

    @property
    def who(self) -> Who:
        return self.session, self.owner

    def wants(self, name: str) -> e.Demand | None:
        return next((item.demand for item in self.items if item.name == name), None)


@dataclass(eq=False)
class Party:
    """A session."""

    id: int
    pid: int
    process: str
    uid: int
    ends_at_eof: bool
    image: str = ""
    is_attached: bool = True
    is_passed: bool = False
    last_request: int = 0
    #: The greatest id that came over the present connection.
    last_heard: int = 0
    #: What it lost and has not been heard of since: the token, how it was asked for, and why.
    losses: dict[int, tuple[tuple[int, int], Loss]] = field(default_factory=dict)
    #: What failed since it was resumed, before it was said again.
    told: set[int] = field(default_factory=set)
    due_at: float | None = None
    due_order: int = 0


@dataclass
class World:
    """All sessions, and all that they ask for."""

    parties: dict[int, Party] = field(default_factory=dict)
    asks: list[Ask] = field(default_factory=list)

    def granted(self) -> list[Ask]:
        return [ask for ask in self.asks if ask.is_granted]

    def waiting(self) -> list[Ask]:
        """Those who convert first, then everybody by place."""
        return sorted((ask for ask in self.asks if not ask.is_granted), key=lambda ask: (not ask.converts, ask.place))

    def in_line(self) -> list[Ask]:
        """Those who wait and may not be passed (S5)."""
        return [ask for ask in self.waiting() if not self.parties[ask.session].is_passed]

    def owed(self) -> set[int]:
        """The sessions that have not been heard of since they lost something (S8)."""
        return {party.id for party in self.parties.values() if party.losses}

    def on(self, name: str, asks: Iterable[Ask]) -> list[Ask]:
        return [ask for ask in asks if ask.wants(name) is not None]

    def names(self) -> set[str]:
        return {item.name for ask in self.asks for item in ask.items}

    def earlier(self, party: Party) -> list[int]:
        """P1: the sessions of earlier programs of the process that has ``party``."""
        return [
            other.id
            for other in self.parties.values()
            if (other.pid, other.process) == (party.pid, party.process)
            and other.process
            and not other.is_attached
            and other.image != party.image
        ]

    def left_behind(self, ask: Ask) -> tuple[str, int] | None:
        """P2: the name that ``ask`` would not get if nobody held anything but earlier programs and its own owner, and
        by how many grants those have it."""
        earlier = self.earlier(self.parties[ask.session])
        for name, demand, _ in ask.items:
            theirs = [grant for grant in self.on(name, self.granted()) if grant.session in earlier]
            own = [grant for grant in self.on(name, self.granted()) if grant.who == ask.who]
            if isinstance(demand, e.Permits):
                is_kept = sum(permits(grant, name) for grant in theirs + own) + demand.permits > demand.limit
            else:
                is_kept = any(modes_conflict(demand, grant.wants(name)) for grant in theirs)
            if theirs and is_kept:
                return name, len(theirs)
        return None

    def of_uid(self, uid: int) -> list[Ask]:
        return [ask for ask in self.asks if self.parties[ask.session].uid == uid]

    def may_go(self, ask: Ask) -> bool:
        return self.obstacle(ask) is None

    def obstacle(self, ask: Ask) -> str | None:
        """R2 and C2 as they are written: the first name because of which ``ask`` cannot go."""
        return next(self._obstacles(ask, self.granted(), self.in_line()), None)

    def _obstacles(self, ask: Ask, granted: list[Ask], in_line: list[Ask]) -> Iterator[str]:
        for name, demand, _ in ask.items:
            holders = self.on(name, granted)
            before = [other for other in self.on(name, in_line) if is_before(other, ask)]
            if isinstance(demand, e.Permits):
                is_free = sum(permits(holder, name) for holder in holders) + demand.permits <= demand.limit
            else:
                is_free = not any(holder.who != ask.who and clash(holder.wants(name), demand) for holder in holders)
            if not is_free or any(clash(other.wants(name), demand) for other in before):
                yield name

    def own_obstacle(self, ask: Ask) -> bool:
        """R6: whether what the owner has asked for and got conflicts with what it asks for."""
        return any(
            item.is_asked and held.is_asked and item.name == held.name and modes_conflict(item.demand, held.demand)
            for grant in self.granted()
            if grant.who == ask.who
            for item in ask.items
            for held in grant.items
        )

    def is_contended(self, grant: Ask) -> bool:
        """L1 and L2: whether anybody else waits behind a grant."""
        return any(
            other.who != grant.who and clash(other.wants(name), demand)
            for name, demand, _ in grant.items
            for other in self.on(name, self.in_line())
        )

    def stuck(self) -> set[Who]:
        """I10: the owners that wait for ever if every owner that does not wait releases what it has, and every owner
        that could have all it waits for does the same."""
        busy = {ask.who for ask in self.waiting()}
        while True:
            gets_on = {who for who in busy if self._could_have_all(who, busy)}
            if not gets_on:
                return busy
            busy -= gets_on

    def _could_have_all(self, who: Who, busy: set[Who]) -> bool:
        granted = [ask for ask in self.granted() if ask.who in busy]
        others = [ask for ask in self.in_line() if ask.who in busy and ask.who != who]
        own = [ask for ask in self.waiting() if ask.who == who]
        for ask in own:
            # What it waits for itself it will have: permits are used up then, and of locks nothing is in its own way.
            have = [other for other in own if other.place < ask.place and not other.converts]
            if any(self._obstacles(ask, [*granted, *have], others)):
                return False
        return True

    def would_a_move_help(self) -> bool:
        """D4: whether it is enough that one waiter is given the place before another one that it is behind.

        Said of locks only: who is in whose way for the sake of a semaphore is not so clear, nor what breaks a circle.
        """
        stuck = self.stuck()
        if any(isinstance(item.demand, e.Permits) for ask in self.asks if ask.who in stuck for item in ask.items):
            return False
        return any(self.place_that_helps(ask) is not None for ask in self.waiting())

    def place_that_helps(self, ask: Ask) -> int | None:
        """Return a place before another waiter with which nobody would wait for ever, or None."""
        before = [other for other in self.in_line() if is_before(other, ask) and not other.converts]
        own_place = ask.place
        for other in before:
            ask.place = other.place - 1
            is_stuck = bool(self.stuck())
            ask.place = own_place
            if not is_stuck:
                return other.place - 1
        return None


def is_before(other: Ask, ask: Ask) -> bool:
    """Whether ``ask`` has to wait for ``other``, which waits, if the two clash."""
    return other is not ask and not ask.converts and (bool(other.converts) or other.place < ask.place)


def clash(one: e.Demand | None, other: e.Demand) -> bool:
    """Whether two requests for one name cannot go side by side; for a semaphore: whether the later one stays behind."""
    if one is None:
        return False
    return isinstance(one, e.Permits) or modes_conflict(one, other)


def modes_conflict(one: e.Demand, other: e.Demand | None) -> bool:
    return isinstance(one, Mode) and isinstance(other, Mode) and other in CONFLICTS[one]


def permits(ask: Ask, name: str) -> int:
    demand = ask.wants(name)
    assert isinstance(demand, e.Permits)
    return demand.permits


def expanded(items: tuple[e.Item, ...], is_tree: bool) -> tuple[e.Item, ...]:
    """T1: what a request takes, parents before children, then the semaphores."""
    if not is_tree:
        return items
    needs: dict[str, set[Mode]] = {}
    for name, demand, _ in items:
        if isinstance(demand, Mode):
            needs.setdefault(name, set()).add(demand)
            intention = Mode.INTENT_SHARED if demand in ("IS", "S", "U") else Mode.INTENT_EXCLUSIVE
            while "/" in name:
                name = name.rpartition("/")[0]
                needs.setdefault(name, set()).add(intention)
    asked = {item.name for item in items}
    locks = tuple(e.Item(name, weakest_for(needs[name]), name in asked) for name in sorted(needs))
    return locks + tuple(item for item in items if not isinstance(item.demand, Mode))


def weakest_for(modes: set[Mode]) -> Mode:
    """The mode that keeps out no more than it must, to keep out all that each of ``modes`` does."""
    enough = [mode for mode in Mode if all(CONFLICTS[mode] >= CONFLICTS[needed] for needed in modes)]
    return min(enough, key=lambda mode: len(CONFLICTS[mode]))
