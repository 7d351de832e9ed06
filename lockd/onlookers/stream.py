"""What happens, told to those who watch, as it happens.

Nobody waits for them. Each is told a bounded number of events in a bounded time, and if it reads slowly, fewer: of what
is more it is told how many they were. So what a watcher costs has a limit, however much happens.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from lockd.core.events import Item
from lockd.core.happenings import Happening
from lockd.core.state import Request
from lockd.driver import Onlooker
from lockd.reactor import Reactor, Timer
from lockd_wire import limits
from lockd_wire import messages as m

from .record import Note, Record, note

#: A watcher is told up to so many events, and then no more for so long. People see a tenth of a second as now, and a
#: thousand events in a second take less than a hundredth of the daemon's time (benchmarks/onlookers.py).
EVENTS_MAX: Final = 100
PERIOD_SECONDS: Final = 0.1


class Batch(NamedTuple):
    """What a watcher is told at once."""

    #: How many there were before these and will not be told.
    missed: int
    rows: tuple[dict[str, m.Scalar | dict[str, m.Scalar]], ...]


class Watch:
    """What is to be told to one watcher."""

    def __init__(self, onlookers: list[Onlooker], reactor: Reactor, prefix: str, wake: Callable[[], None]) -> None:
        """Watch from now on, as one of the driver's ``onlookers``.

        Args:
            onlookers: Among whom it is until it is closed.
            reactor: Has the time.
            prefix: What the names begin with that are watched.
            wake: Called when there is something to be taken. It may be called in the middle of a turn, when what has
                happened is not in the journal yet, and nothing may be told.
        """
        self._onlookers = onlookers
        self._reactor = reactor
        self._prefix = prefix
        self._wake = wake
        self._events: deque[tuple[Note, Item]] = deque()
        #: Behind those.
        self._missed = 0
        #: Nothing is told before.
        self._due_at = reactor.clock()
        self._timer: Timer | None = None
        onlookers.append(self.look_on)

    def look_on(self, happened: list[tuple[Happening, Request]], now: float) -> None:
        """Take in what has happened. Of a tree those names count that were asked for."""
        prefix = self._prefix
        if self._missed:
            # Where much happens this is what happens most.
            for _, request in happened:
                for name, _, is_asked in request.items:
                    self._missed += is_asked and name.startswith(prefix)
            return
        was_empty = self._is_empty()
        for what, request in happened:
            concerned = [item for item in request.items if item.is_asked and item.name.startswith(prefix)]
            if len(self._events) >= EVENTS_MAX:
                self._missed += len(concerned)
            elif concerned:
                noted = note(what, request, request.items, now)
                self._events.extend((noted, item) for item in concerned)
        if was_empty and not self._is_empty():
            self._wake_when_due()

    def take(self) -> Batch | None:
        """Return what is to be told now, in the order in which it happened, or None."""
        now = self._reactor.clock()
        if self._is_empty() or now < self._due_at:
            return None
        if self._events:
            told = [self._events.popleft() for _ in range(min(len(self._events), limits.ROWS_MAX))]
            batch = Batch(0, tuple(Record._make(noted).facts(item, now) for noted, item in told))
        else:
            batch, self._missed = Batch(self._missed, ()), 0
        if self._is_empty():
            self._due_at = now + PERIOD_SECONDS
        return batch

    def close(self) -> None:
        """Watch no more. May be called more than once."""
        if self.look_on in self._onlookers:
            self._onlookers.remove(self.look_on)
        if self._timer is not None:
            self._timer.cancel()

    def _is_empty(self) -> bool:
        return not self._events and not self._missed

    def _wake_when_due(self) -> None:
        if self._reactor.clock() >= self._due_at:
            self._wake()
        else:
            self._timer = self._reactor.call_at(self._due_at, self._wake)
