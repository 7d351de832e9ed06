"""What looking on costs: a pair of an acquire and a release in the lock manager, with and without those who look on.

Run it with ``python benchmarks/lookout.py``. It handles events without sockets or a journal, so the differences are
what matters: they are what a pair costs the daemon on top. The figures belong to one machine at one time.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Final

from lockd.core import events as e
from lockd.core.manager import LockManager
from lockd.core.modes import Mode
from lockd.onlookers.lookout import Lookout
from lockd.reactor import Reactor
from lockd.settings import DiagnosticsSettings, MetricsSettings

_PATTERNS: Final = (*(f"queue/{number}/*" for number in range(15)), "reports/*")

#: By what they turn on.
_SETTINGS: Final = {
    "nothing": None,
    "as configured by default": (MetricsSettings(), DiagnosticsSettings()),
    "without the order of locks": (MetricsSettings(), DiagnosticsSettings(lock_order=False)),
    "with 16 patterns": (MetricsSettings(_PATTERNS), DiagnosticsSettings()),
    "with long holds": (MetricsSettings(), DiagnosticsSettings(long_hold_seconds=60.0)),
    "with all of it": (MetricsSettings(_PATTERNS), DiagnosticsSettings(long_hold_seconds=60.0)),
}


class _Daemon:
    def __init__(self, settings: tuple[MetricsSettings, DiagnosticsSettings] | None) -> None:
        self._manager = LockManager(1)
        self._reactor = Reactor()
        self._onlookers = [] if settings is None else [Lookout(self._manager, self._reactor, *settings)]
        self._now = self._reactor.clock()
        self._id = 0
        self._manager.handle(e.OpenSession(e.Peer(1, 0, 0, "p"), "bench", False), self._now)
        [self._session] = self._manager.sessions

    def acquire(self, name: str) -> int:
        self._id += 1
        self._handle(e.Acquire(self._session, self._id, 1, (e.Item(name, Mode.EXCLUSIVE),), e.NO_TERMS))
        return self._manager.last_token

    def release(self, token: int) -> None:
        self._id += 1
        self._handle(e.Release(self._session, self._id, token, False))

    def close(self) -> None:
        self._reactor.close()

    def _handle(self, event: e.Event) -> None:
        # The clock goes on, and is not asked: that costs as much as all the rest of it on some machines.
        now = self._now = self._now + 1e-5
        self._manager.handle(event, now)
        self._manager.changes()
        if happened := self._manager.happened:
            for onlooker in self._onlookers:
                onlooker(happened, now)


def _single(daemon: _Daemon, name: str) -> None:
    daemon.release(daemon.acquire(name))


def _nested(daemon: _Daemon, name: str) -> None:
    outer = daemon.acquire(f"outer {name}")
    daemon.release(daemon.acquire(name))
    daemon.release(outer)


def _microseconds(act: Callable[[_Daemon, str], None], daemon: _Daemon, names: Iterable[str]) -> float:
    names = list(names)
    # Of the processor, not of the wall: the machine may have other things to do.
    begun_at = time.process_time()
    for name in names:
        act(daemon, name)
    return (time.process_time() - begun_at) / len(names) * 1e6


def main() -> None:
    """Print what a pair takes in each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=40)
    options = parser.parse_args()
    works: dict[str, tuple[Callable[[_Daemon, str], None], list[str]]] = {
        "one name": (_single, ["reports/daily"] * options.pairs),
        "100 names": (_single, [f"reports/{number % 100}" for number in range(options.pairs)]),
        "a new name each time": (_single, [f"reports/{number}" for number in range(options.pairs)]),
        "one name inside another (two pairs)": (_nested, ["reports/daily"] * options.pairs),
        "new names inside each other (two pairs)": (_nested, [f"reports/{number}" for number in range(options.pairs)]),
    }
    for work, (act, names) in works.items():
        taken: dict[str, list[float]] = {what: [] for what in _SETTINGS}
        # Round by round, so that what else the machine does meets all of them.
        for _ in range(options.rounds):
            for what, settings in _SETTINGS.items():
                daemon = _Daemon(settings)
                taken[what].append(_microseconds(act, daemon, names))
                daemon.close()
        least = {what: min(times) for what, times in taken.items()}
        print(f"{work}: {statistics.median(taken['nothing']):.2f} us (median), at best:")
        for what, microseconds in least.items():
            print(f"  {what:32} {microseconds:6.2f} us  {microseconds - least['nothing']:+.2f}")


if __name__ == "__main__":
    main()
