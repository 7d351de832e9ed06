"""The books of the oracle, and the steps by which they change.

Nothing is kept that can be found by looking. See `oracle` for what is believed of the manager.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.bounds import Quotas
from lockd.core.manager import LockManager
from lockd.core.modes import WRITING, Mode

from .world import Ask, Party, World, modes_conflict

# What is told, without tokens: kind, session, request, and whatever else must be the same.
Answer: TypeAlias = tuple[object, ...]


class Ledger:
    """What there is, and what has to be answered to the present event."""

    def __init__(self, manager: LockManager, quotas: Quotas, window_seconds: float) -> None:
        self.manager = manager
        self.quotas = quotas
        self.window_seconds = window_seconds
        self.world = World()
        self.abandoned: dict[str, tuple[int, float]] = {}
        self.now = 0.0
        self.answers: list[Answer] = []
        self._told: list[a.Action] = []
        self._verdicts: list[a.Failed | a.Reordered] = []
        self._last_place = 0

    def ask_of(self, session: int, request: int) -> Ask | None:
        """Return what waits or holds under this id."""
        return next((ask for ask in self.world.asks if ask.session == session and request in ask.ids), None)

    def _set_due(self, subject: Ask | Party, at: float) -> None:
        others: list[Ask | Party] = [*self.world.asks, *self.world.parties.values()]
        subject.due_order = 1 + max(other.due_order for other in others)
        subject.due_at = at

    def _settle(self) -> None:
        """R4: let everybody go who may, the earliest first, until nobody may any more. Then tell those in the way."""
        while True:
            attached = [ask for ask in self.world.waiting() if self.world.parties[ask.session].is_attached]
            ready = next((ask for ask in attached if self.world.may_go(ask)), None)
            if ready is None:
                break
            self._grant(ready)
        for grant in self.world.granted():
            if self.world.is_contended(grant):
                self._contend(grant)

    def _grant(self, ask: Ask) -> None:
        ask.due_at = None
        if ask.converts:
            self.world.asks.remove(ask)
            if all(item.demand is not Mode.EXCLUSIVE for item in ask.items):
                self._settle_abandoned(ask.converts)
            ask.converts.items = tuple(
                next((wanted for wanted in ask.items if wanted.name == item.name), item) for item in ask.converts.items
            )
            self.answers.append(("granted", ask.session, ask.id, ask.converts.origin, ()))
            return
        ask.is_granted, ask.granted_at, ask.token = True, self.now, self._token_told(ask.session, ask.id)
        self.answers.append(("granted", ask.session, ask.id, ask.origin, self._reports(ask)))

    def _reports(self, ask: Ask) -> tuple[tuple[str, int, float], ...]:
        """A2, A3."""
        reports = []
        for item in ask.items:
            if item.is_asked and item.name in self.abandoned:
                pid, at = self.abandoned[item.name]
                reports.append((item.name, pid, self.now - at))
                if isinstance(item.demand, e.Permits):
                    del self.abandoned[item.name]
        return tuple(reports)

    def _reports_again(self, ask: Ask) -> tuple[tuple[str, int, float], ...]:
        """S9, P3: the locks among its names that are abandoned still."""
        reports = []
        for item in ask.items:
            if item.is_asked and isinstance(item.demand, Mode) and item.name in self.abandoned:
                pid, at = self.abandoned[item.name]
                reports.append((item.name, pid, self.now - at))
        return tuple(reports)

    def _contend(self, grant: Ask) -> None:
        if grant.terms.wants_yield_request and not grant.is_yield_requested:
            grant.is_yield_requested = True
            if grant.id >= 0:
                self.answers.append(("yield", *grant.origin))
        if grant.terms.lease_seconds is not None and grant.due_at is None:
            self._set_due(grant, max(grant.granted_at + grant.terms.lease_seconds, self.now))

    def _take_away(self, asks: Iterable[Ask]) -> None:
        for ask in asks:
            self.world.asks.remove(ask)
            if (conversion := self._conversion_of(ask)) is not None:
                self.world.asks.remove(conversion)
                self._fail(conversion, a.Reason.CANCELLED)
        self._settle()

    def _judge_again(self) -> None:
        """D7: whoever got something while it waits may wait for ever now, or let somebody wait for ever."""
        while self.world.stuck():
            assert self._verdicts, f"D7: {self.world.stuck()} wait for ever"
            refused = next((ask for ask in self.world.waiting() if self._is_refused(ask)), None)
            if refused is None:
                self._reorder()
                self._settle()
            else:
                assert not self.world.would_a_move_help(), (
                    f"D4: {refused} is refused, and another order would have helped"
                )
                assert refused.who in self.world.stuck(), f"D7: {refused} could have waited on"
                self._verdicts.pop(0)
                self._fail(refused, a.Reason.DEADLOCK)
                self._take_away([refused])

    def _reorder(self) -> None:
        """D4: believe the manager which order it is, but not that it helps."""
        assert self._verdicts, f"I10: {self.world.stuck()} wait for ever"
        first = self._verdicts[0]
        assert isinstance(first, a.Reordered), f"D4: {first} comes at the wrong moment"
        while self._verdicts and isinstance(self._verdicts[0], a.Reordered) and self._verdicts[0].cycle == first.cycle:
            self._verdicts.pop(0)
            self.answers.append(("reordered",))
        places = {
            (session.id, request.id): request.place
            for session in self.manager.sessions.values()
            for request in (*session.waiting.values(), *session.grants.values())
        }
        for ask in self.world.waiting():
            ask.place = places.get((ask.session, ask.id), ask.place)
        for ask in self.world.waiting():
            # What was moved may have been granted and lost in the same event, and nobody knows its place any more.
            if self.world.stuck() and (ask.session, ask.id) not in places:
                ask.place = self.world.place_that_helps(ask) or ask.place
        assert not self.world.stuck(), "D4: the new order does not help"

    def _is_refused(self, ask: Ask) -> bool:
        first = self._verdicts[0] if self._verdicts else None
        return isinstance(first, a.Failed) and (first.session, first.id) == (ask.session, ask.id)

    def _token_told(self, session: int, request: int) -> int:
        told = (action for action in self._told if isinstance(action, a.Granted))
        return next((action.token for action in told if (action.session, action.id) == (session, request)), 0)

    def _held(self, session: int, token: int) -> Ask | None:
        held = (ask for ask in self.world.granted() if ask.session == session and ask.token == token)
        return next(held, None)

    def _conversion_of(self, grant: Ask) -> Ask | None:
        return next((ask for ask in self.world.asks if ask.converts is grant), None)

    def _may_change_hands(self, grant: Ask) -> bool:
        """H1 and H4."""
        others = [ask for ask in self.world.granted() if ask.who == grant.who and ask is not grant]
        return (
            len(grant.ids) == 1
            and self._conversion_of(grant) is None
            and not any(modes_conflict(item.demand, other.wants(item.name)) for item in grant.items for other in others)
        )

    def _mismatch(self, items: tuple[e.Item, ...]) -> a.Reason | None:
        for name, demand, _ in items:
            for ask in self.world.on(name, self.world.asks):
                other = ask.wants(name)
                if isinstance(other, Mode) != isinstance(demand, Mode):
                    return a.Reason.KIND_MISMATCH
                if isinstance(other, e.Permits) and isinstance(demand, e.Permits) and other.limit != demand.limit:
                    return a.Reason.LIMIT_MISMATCH
        return None

    def _remember(self, grant: Ask) -> None:
        for item in grant.items:
            if item.is_asked and (isinstance(item.demand, e.Permits) or item.demand in WRITING):
                self.abandoned[item.name] = (self.world.parties[grant.session].pid, self.now)

    def _settle_abandoned(self, grant: Ask) -> None:
        for item in grant.items:
            if item.is_asked and item.demand is Mode.EXCLUSIVE:
                self.abandoned.pop(item.name, None)

    def _refuse(self, event: e.Request, reason: a.Reason) -> None:
        self.answers.append(("failed", event.session, event.id, reason, None))

    def _fail(self, ask: Ask, reason: a.Reason, facts: Answer | None = None) -> None:
        party = self.world.parties[ask.session]
        if party.is_attached and ask.id > party.last_heard:
            party.told.add(ask.id)
        self.answers.append(("failed", ask.session, ask.id, reason, facts))

    def _facts(self, name: str) -> Answer:
        """Return how many hold a name and wait for it."""
        return (name, len(self.world.on(name, self.world.granted())), len(self.world.on(name, self.world.waiting())))

    def _facts_of_waiter(self, waiter: Ask) -> Answer:
        """Return why a request cannot go, its position, and how long it has waited."""
        name = self.world.obstacle(waiter) or waiter.items[0].name
        ahead = self.world.on(name, self.world.in_line())
        if waiter.converts:
            ahead = [ask for ask in ahead if ask.converts and ask.place < waiter.place]
        ahead = [ask for ask in ahead if ask is not waiter and (ask.converts or ask.place < waiter.place)]
        return (*self._facts(name), len(ahead) + 1, self.now - waiter.asked_at)
