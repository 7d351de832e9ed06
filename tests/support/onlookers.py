"""A lock manager with those who look on to it, and a clock that a test moves."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from lockd.core.events import Event
from lockd.core.manager import LockManager
from lockd.logs import log
from lockd.onlookers.lookout import Lookout
from lockd.reactor import Reactor
from lockd.settings import DiagnosticsSettings, MetricsSettings

from .core import connect_many, give, make_manager, token


class Timers:
    """Stands for a reactor: keeps what is to be called until the test has it called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        """What time it is."""
        return self.now

    def call_at(self, at: float, callback: Callable[[], None]) -> None:
        """Have something called."""
        self.due.append((at, callback))


class Scene:
    """What happens, and what is told of it."""

    def __init__(
        self,
        sessions: int = 4,
        metrics: MetricsSettings | None = None,
        *,
        manager: LockManager | None = None,
        **diagnostics: Any,
    ) -> None:
        self.manager = manager or make_manager()
        self.sessions = [] if manager else connect_many(self.manager, sessions)
        self.timers = Timers()
        self.look_on(metrics, **diagnostics)

    def look_on(self, metrics: MetricsSettings | None = None, **diagnostics: Any) -> None:
        """Have somebody look on from now on."""
        self.lookout = Lookout(
            self.manager,
            cast(Reactor, self.timers),
            metrics or MetricsSettings(),
            DiagnosticsSettings(**diagnostics),
        )

    def play(self, *events: Event, at: float | None = None) -> int:
        """Let events happen, and return which grant was the latest, from 1."""
        self.timers.now = self.timers.now if at is None else at
        for event in events:
            give(self.manager, event, self.timers.now)
            if happened := self.manager.happened:
                self.lookout(happened, self.timers.now)
        return self.manager.last_token - token(0)

    def wait_until(self, at: float) -> None:
        """Let time go on, and call what is due."""
        while due := [timer for timer in self.timers.due if timer[0] <= at]:
            timer = min(due, key=lambda timer: timer[0])
            self.timers.due.remove(timer)
            self.timers.now = max(self.timers.now, timer[0])
            timer[1]()
        self.timers.now = at


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def told() -> Iterator[list[logging.LogRecord]]:
    """Collect what is logged in the block."""
    kept, level = _Kept(), log.level
    log.addHandler(kept)
    log.setLevel(logging.DEBUG)
    try:
        yield kept.records
    finally:
        log.removeHandler(kept)
        log.setLevel(level)


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return the fields of a message."""
    return dict(record.__dict__["lockd_fields"])
