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

#: A watcher is told up to so many events, and then no more for so long. People see a tenth of a second as now; and an
#: event costs the daemon a third of what a lock does, so a thousand in a second are felt by nobody.
EVENTS_MAX: Final = 100
PERIOD_SECONDS: Final = 0.1


class Batch(NamedTuple):
    """What a watcher is told at once."""

    #: How many there were before these and will not be told.
    missed: int
    rows: tuple[dict[str, m.Scalar | dict[str, m.Scalar]], ...]


class Watch:
    """What is to be told to one watcher."""

    def __init__(self, stream: Stream, reactor: Reactor, prefix: str, wake: Callable[[], None]) -> None:
        self._stream = stream
        self._reactor = reactor
        self._prefix = prefix
        self._wake = wake
        self._events: deque[tuple[Note, Item]] = deque()
        #: Behind those.
        self._missed = 0
        #: Nothing is told before.
        self._due_at = reactor.clock()
        self._timer: Timer | None = None

    def look_on(self, notes: list[Note]) -> None:
        """Take in what has happened. Of a tree those names count that were asked for."""
        events = self._events
        was_empty = self._is_empty()
        for noted in notes:
            for item in noted[2]:
                if item.is_asked and item.name.startswith(self._prefix):
                    if len(events) < EVENTS_MAX and not self._missed:
                        events.append((noted, item))
                    else:
                        self._missed += 1
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
        self._stream.forget(self)
        if self._timer is not None:
            self._timer.cancel()

    def _is_empty(self) -> bool:
        return not self._events and not self._missed

    def _wake_when_due(self) -> None:
        if self._reactor.clock() >= self._due_at:
            self._wake()
        else:
            self._timer = self._reactor.call_at(self._due_at, self._wake)


class Stream:
    """All who watch. While nobody does, it is no onlooker."""

    def __init__(self, onlookers: list[Onlooker], reactor: Reactor) -> None:
        """Make one that is among the driver's ``onlookers`` as long as somebody watches."""
        self._onlookers = onlookers
        self._reactor = reactor
        self._watches: list[Watch] = []

    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        """Let somebody watch the names that begin with ``prefix``.

        Args:
            prefix: What the names begin with.
            wake: Called when there is something to be taken. It may be called in the middle of a turn, when what has
                happened is not in the journal yet, and nothing may be told.
        """
        watch = Watch(self, self._reactor, prefix, wake)
        if not self._watches:
            self._onlookers.append(self._look_on)
        self._watches.append(watch)
        return watch

    def forget(self, watch: Watch) -> None:
        """Let somebody watch no more. Does no harm when it does not."""
        if watch in self._watches:
            self._watches.remove(watch)
            if not self._watches:
                self._onlookers.remove(self._look_on)

    def _look_on(self, happened: list[tuple[Happening, Request]], now: float) -> None:
        notes = [note(what, request, now) for what, request in happened]
        for watch in self._watches:
            watch.look_on(notes)
