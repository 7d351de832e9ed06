"""Those who look on to measure and to warn, as one onlooker.

It is called after every event, so what happens all the time takes the shortest way: a request that is granted at once
and a grant that is released in order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from lockd.core.happenings import Happening
from lockd.core.manager import LockManager
from lockd.core.state import BEHIND_ALL, Request
from lockd.reactor import Reactor
from lockd.settings import DiagnosticsSettings, MetricsSettings

from .convoys import Convoys
from .diary import tell_abandoned, tell_lease_taken
from .lock_order import LockOrder
from .long_holds import LongHolds
from .measures import OTHER, Measures

_Look: TypeAlias = Callable[[Request, float], None]

_GRANTED: Final = Happening.GRANTED
_RELEASED: Final = Happening.RELEASED
_ABANDONED: Final = Happening.ABANDONED


class Lookout:
    """Measures, and warns of convoys, long holds and opposite orders."""

    def __init__(
        self, manager: LockManager, reactor: Reactor, metrics: MetricsSettings, diagnostics: DiagnosticsSettings
    ) -> None:
        """Look on from now on: at what happens, and where it matters at the grants that there are."""
        self.measures = Measures(metrics.patterns)
        self.convoys: Convoys | None = None
        self.long_holds: LongHolds | None = None
        self.lock_order: LockOrder | None = None
        if diagnostics.convoy_waiters:
            self.convoys = Convoys(manager, diagnostics.convoy_waiters)
        if diagnostics.long_hold_seconds:
            self.long_holds = LongHolds(manager, reactor, diagnostics.long_hold_seconds)
            self.long_holds.begin()
        if diagnostics.lock_order:
            self.lock_order = LockOrder(diagnostics.lock_order_classes)
        # Where all names are measured together. What happens all the time is then done in `__call__` itself.
        self._together = None if metrics.patterns else self.measures.families[OTHER]
        # Who looks at what becomes of a grant, and of a request that is none.
        self._at_grants = {happening: tuple(self._looks_at_grant(happening)) for happening in Happening}
        self._at_waiters = {happening: tuple(self._looks_at_waiter(happening)) for happening in Happening}
        _, *others = self._at_grants[_GRANTED]
        self._at_granted_waiters = (self.measures.waited, *others)
        if self.convoys is not None:
            self._at_granted_waiters += (self.convoys.waited,)
        # The order of names is of interest to those who have several.
        self._nested = {} if self.lock_order is None else self.lock_order.held
        self._at_nested_grants = tuple(others)
        self._at_lone_grants = tuple(look for look in others if look != getattr(self.lock_order, "granted", None))
        _, *others = self._at_grants[_RELEASED]
        self._at_nested_ends = tuple(others)
        self._at_lone_ends = tuple(look for look in others if look != getattr(self.lock_order, "ended", None))

    def __call__(self, happened: list[tuple[Happening, Request]], now: float) -> None:
        """Look at what has happened by one event."""
        abandoned: list[Request] | None = None
        together = self._together
        for happening, request in happened:
            if happening is _GRANTED:
                if request.place != BEHIND_ALL:
                    looks = self._at_granted_waiters
                elif together is None:
                    looks = self._at_grants[_GRANTED]
                else:
                    together.granted_at_once += 1
                    looks = self._at_nested_grants if request.owner.grants_total > 1 else self._at_lone_grants
            elif happening is _RELEASED and together is not None:
                together.holds.add(now - request.granted_at)  # type: ignore[operator]  # Whoever held it was granted it.
                looks = self._at_nested_ends if self._nested else self._at_lone_ends
            elif request.token:
                looks = self._at_grants[happening]
                if happening is _ABANDONED:
                    abandoned = abandoned or []
                    abandoned.append(request)
            else:
                looks = self._at_waiters[happening]
            for look in looks:
                look(request, now)
        if abandoned is not None:
            tell_abandoned(abandoned)

    def _looks_at_grant(self, happening: Happening) -> Iterator[_Look]:
        measures, convoys, order = self.measures, self.convoys, self.lock_order
        match happening:
            case Happening.GRANTED:
                # The first one: for those that have waited it is another.
                yield measures.granted_at_once
                if order is not None:
                    yield order.granted
                if self.long_holds is not None:
                    yield self.long_holds.granted
            case Happening.CONVERTED:
                yield measures.converted
                if convoys is not None:
                    yield convoys.waited
            case Happening.HANDED_OVER:
                if order is not None:
                    yield order.handed_over
            case _:
                yield measures.held
                if order is not None:
                    yield order.ended
                if self.long_holds is not None:
                    yield self.long_holds.ended
                if happening is Happening.ABANDONED:
                    yield measures.abandoned
                if happening is Happening.LEASE_TAKEN:
                    yield tell_lease_taken

    def _looks_at_waiter(self, happening: Happening) -> Iterator[_Look]:
        measures, convoys, order = self.measures, self.convoys, self.lock_order
        match happening:
            case Happening.QUEUED:
                yield measures.queued
                if convoys is not None:
                    yield convoys.queued
                if order is not None:
                    yield order.wanted
            case Happening.REORDERED:
                return
            case _:
                yield measures.waited
                if convoys is not None:
                    yield convoys.waited
                if happening is Happening.REFUSED:
                    yield measures.refused
                if happening is Happening.DEADLOCKED and order is not None:
                    yield order.wanted
