"""What those cost who look on: the history, and whoever watches.

Run it with ``python benchmarks/onlookers.py``. A pair is a grant and its release, as the lock manager handles them; the
rest is what an onlooker adds to it. Each figure is the least of several rounds, of the time that this process has
used: on a machine that others use, too, that says most. The figures belong to one machine at one time.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import count, cycle

from lockd.core import events as e
from lockd.core.happenings import Happening
from lockd.core.manager import LockManager
from lockd.core.modes import Mode
from lockd.core.state import Request
from lockd.driver import Onlooker
from lockd.onlookers.history import KEPT, History
from lockd.onlookers.stream import EVENTS_MAX, Watch
from lockd.reactor import Reactor
from lockd_wire import messages as m
from lockd_wire.codec import encode

_ROUNDS = 15
_CALLS = 4_000


def _least(call: Callable[[], object]) -> float:
    """Return the microseconds that a call takes."""
    least = float("inf")
    for _ in range(_ROUNDS):
        begin = time.process_time()
        for _ in range(_CALLS):
            call()
        least = min(least, time.process_time() - begin)
    return least / _CALLS * 1e6


class _Pairs:
    """Takes and releases names, and lets somebody look on."""

    def __init__(self, names: Iterator[str]) -> None:
        self._manager = LockManager(1)
        self._manager.handle(e.OpenSession(e.Peer(1, 1000, 1000, "inode"), "benchmark", False), 0.0)
        [self._session] = self._manager.sessions
        self._ids = count(1)
        self._names = names
        self.onlookers: list[Onlooker] = []

    def __call__(self) -> None:
        item = e.Item(next(self._names), Mode.EXCLUSIVE)
        self._handle(e.Acquire(self._session, next(self._ids), 1, (item,), e.NO_TERMS, False))
        self._handle(e.Release(self._session, next(self._ids), self._manager.last_token, False))

    def _handle(self, event: e.Event) -> None:
        self._manager.handle(event, 1.0)
        # As the driver does.
        if happened := self._manager.happened:
            for onlooker in self.onlookers:
                onlooker(happened, 1.0)

    def happened(self) -> list[list[tuple[Happening, Request]]]:
        """Return what is told of one pair."""
        told: list[list[tuple[Happening, Request]]] = []
        self.onlookers.append(lambda happened, now: told.append(happened))
        self()
        self.onlookers.pop()
        return told


def _alone(onlooker: Onlooker, pairs: _Pairs) -> Callable[[], None]:
    happened = pairs.happened()
    return lambda: _look_on(onlooker, happened)


def _look_on(onlooker: Onlooker, happened: list[list[tuple[Happening, Request]]]) -> None:
    for each in happened:
        onlooker(each, 1.0)


def _memory(names: int) -> float:
    """Return the megabytes of a history that is full."""
    tracemalloc.start()
    history = History(names)
    # One after the other: of names that come in turns no more than half of these are remembered.
    pairs = _Pairs(f"reports/daily/{number}" for number in range(names) for _ in range(2 * KEPT))
    pairs.onlookers.append(history.look_on)
    for _ in range(names * 2 * KEPT):
        pairs()
    full = tracemalloc.get_traced_memory()[0]
    del history
    pairs.onlookers.clear()
    left = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    return (full - left) / 1e6


def main() -> None:
    """Measure, and print a table."""
    busy = _Pairs(cycle(["db"]))
    print(f"a pair, nobody looks on                  {_least(busy):6.2f} us")
    print(f"  history, one name                    + {_least(_alone(History(1000).look_on, busy)):6.2f} us")
    others = cycle([_Pairs(iter([f"name/{number}"])).happened() for number in range(2000)])
    history = History(1000)
    print(f"  history, always another name         + {_least(lambda: _look_on(history.look_on, next(others))):6.2f} us")
    reactor = Reactor(lambda: 1.0)
    watch = Watch([], reactor, "", lambda: None)
    watch.look_on(busy.happened()[0] * EVENTS_MAX, 1.0)
    print(f"  one watcher, who misses it           + {_least(_alone(watch.look_on, busy)):6.2f} us")
    batch = watch.take()
    assert batch is not None

    def tell() -> None:
        encode(m.Happened(1, *batch))

    print(f"an event that a watcher is told, packed  {_least(tell) / len(batch.rows):6.2f} us")
    print(f"memory of 1000 names, {2 * KEPT} ends each      {_memory(1000):6.1f} MB")


if __name__ == "__main__":
    main()
