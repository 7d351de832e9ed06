"""One epoll set, drained by one trio task.

A trio task for each connection would be the usual way. It was measured against this one and costs a third of the
requests a second (docs/design.md has the numbers), and a task's stack for each session, and another for each pidfd. So
the daemon keeps an epoll set of its own: trio waits for that one descriptor, and everything that is ready is handled in
one turn, without an await, before anything is answered. Signals, start and end stay with trio."""

from __future__ import annotations

import select
import time
from collections.abc import Callable
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Final, NoReturn

import trio

from .histogram import Histogram

READABLE: Final = select.EPOLLIN
WRITABLE: Final = select.EPOLLOUT
#: Nobody is at the other end any more. It comes whatever is waited for.
HUNG_UP: Final = select.EPOLLHUP

#: Descriptors handled in one turn. Those that wait longest come first in the next one, so this bounds a turn and not
#: the service.
_READY_MAX: Final = 512

#: How long the next request is waited for before trio is asked to wait. In this time nothing else runs in this process,
#: but going to sleep through trio's loop and coming back costs more than a client takes to answer
#: (benchmarks/read_loop.py with one client). epoll counts in milliseconds, so this is the least there is.
_LINGER_SECONDS: Final = 0.001

#: How long in a row of turns. The next request is there long before, so no more is waited; but a timer that has to
#: fire before the kernel's own tick costs as much to set as all of the poll, and this one does not.
_LINGER_SECONDS_IN_A_ROW: Final = 0.005

#: Turns without a pause that make a row.
_ROW_TURNS: Final = 16

#: A daemon that always has something to do lets signals in, and can be cancelled, this often.
_TURNS_BETWEEN_CHECKPOINTS: Final = 64

#: One turn in so many is timed: asking for the time twice costs as much as a part of a short turn.
_TURNS_PER_TIMED: Final = 16

#: Seconds, of turns and of how late timers are.
_LAG_BOUNDS: Final = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)

#: Cancelled timers that are not worth a clean-up.
_STALE_TOLERATED: Final = 64

#: What the clock of `trio.move_on_after` cannot promise: it stands still while the machine is suspended and
#: CLOCK_BOOTTIME does not. A deadline that passed during a suspension is noticed this late at most.
_SLEEP_SECONDS_MAX: Final = 60.0


#: Returns seconds since the machine started, those spent suspended included. It is asked with each event: a function
#: around the system's own would take as long again.
boottime: Final[Callable[[], float]] = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


class Timer:
    """Something to be called once. Made by `Reactor.call_at`."""

    __slots__ = ("_reactor", "callback")

    def __init__(self, reactor: Reactor, callback: Callable[[], None]) -> None:
        self._reactor = reactor
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        """Let it not be called. Does no harm when it has been."""
        if self.callback is not None:
            self.callback = None
            self._reactor.tidy_timers()


class Reactor:
    """Calls whoever is ready.

    Readiness is a hint: between two turns a descriptor may have been closed and its number given to another, so a
    handler that is called must find out by itself (a read that would block, a pidfd that is asked again)."""

    def __init__(self, clock: Callable[[], float] = boottime) -> None:
        self.clock = clock
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Timer]] = []
        self._timers_made = 0
        self._timers_live = 0
        #: How long turns take, of a part of them, and how late timers are called.
        self.turns = Histogram(_LAG_BOUNDS)
        self.lateness = Histogram(_LAG_BOUNDS)
        self._turns_total = 0
        self._turn_began_at = 0.0

    def watch(self, descriptor: int, handler: Callable[[int], None], events: int = READABLE) -> None:
        """Call ``handler`` with a mask of events whenever ``descriptor`` is ready, as long as it is (level-triggered).

        Raises:
            OSError: The kernel has no room for one more (ENOSPC, ENOMEM). Nothing has happened.
        """
        self._epoll.register(descriptor, events)
        self._handlers[descriptor] = handler

    def rewatch(self, descriptor: int, events: int) -> None:
        """Wait for other events on a descriptor that is watched, or, with 0, for none but its hang-up."""
        self._epoll.modify(descriptor, events)

    def forget(self, descriptor: int) -> None:
        """Stop watching. To be called before the descriptor is closed: its number may belong to somebody else right
        after."""
        del self._handlers[descriptor]
        self._epoll.unregister(descriptor)

    def call_at(self, at: float, callback: Callable[[], None]) -> Timer:
        """Call ``callback`` in the first turn after ``at``."""
        timer = Timer(self, callback)
        self._timers_made += 1
        self._timers_live += 1
        heappush(self._timers, (at, self._timers_made, timer))
        return timer

    def tidy_timers(self) -> None:
        """Take note that a timer was cancelled. It stays where it is until there are too many of its kind: most timers
        are cancelled, long before they are due."""
        self._timers_live -= 1
        if len(self._timers) > 2 * self._timers_live + _STALE_TOLERATED:
            self._timers = [entry for entry in self._timers if entry[2].callback is not None]
            heapify(self._timers)

    async def run(self, finish_turn: Callable[[], float | None]) -> NoReturn:
        """Handle what is ready until cancelled.

        Args:
            finish_turn: Called after every turn. Does what is left to do, such as answering, and returns the next
            instant at which there is something to do by itself."""
        turns = 0
        while True:
            due = finish_turn()
            if self._turn_began_at:
                self.turns.add(time.perf_counter() - self._turn_began_at)
                self._turn_began_at = 0.0
            is_row = turns >= _ROW_TURNS and (due is None or due > self.clock() + _LINGER_SECONDS_IN_A_ROW)
            if self._handle_ready(_LINGER_SECONDS_IN_A_ROW if is_row else _LINGER_SECONDS):
                turns += 1
                if turns % _TURNS_BETWEEN_CHECKPOINTS == 0:
                    await trio.lowlevel.checkpoint()
            else:
                turns = 0
                await self._wait(_earliest(due, self._next_timer()))
            if self._timers:
                self._call_due()

    def close(self) -> None:
        """Give the epoll set back. Nothing that was watched is closed."""
        self._epoll.close()

    def _handle_ready(self, seconds: float) -> bool:
        """Handle what is ready, or is within ``seconds``, and say whether there was anything."""
        ready = self._epoll.poll(seconds, _READY_MAX)
        if not ready:
            return False
        self._turns_total += 1
        if self._turns_total % _TURNS_PER_TIMED == 0:
            self._turn_began_at = time.perf_counter()
        handlers = self._handlers
        for descriptor, mask in ready:
            handler = handlers.get(descriptor)
            # None: forgotten by a handler that came before it in this turn.
            if handler is not None:
                handler(mask)
        return True

    async def _wait(self, until: float | None) -> None:
        seconds = float("inf") if until is None else min(until - self.clock(), _SLEEP_SECONDS_MAX)
        with trio.move_on_after(max(seconds, 0.0)):
            await trio.lowlevel.wait_readable(self._epoll.fileno())

    def _next_timer(self) -> float | None:
        while self._timers and self._timers[0][2].callback is None:
            heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _call_due(self) -> None:
        now = self.clock()
        while (at := self._next_timer()) is not None and at <= now:
            timer = heappop(self._timers)[2]
            self.lateness.add(now - at)
            callback, timer.callback = timer.callback, None
            self._timers_live -= 1
            assert callback is not None
            callback()


def _earliest(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return one if other is None else other
    return min(one, other)
