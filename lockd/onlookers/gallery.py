"""All who look on, of one daemon."""

from __future__ import annotations

from collections.abc import Callable

from lockd.driver import Driver
from lockd.reactor import Reactor
from lockd.settings import DiagnosticsSettings

from .history import History
from .stream import Watch


class Gallery:
    """Where those sit who look on."""

    def __init__(self, driver: Driver, reactor: Reactor, settings: DiagnosticsSettings) -> None:
        """Let them look on at what ``driver`` does."""
        self._onlookers = driver.onlookers
        self._reactor = reactor
        self.history = History(settings.history_names_max)
        if settings.history_names_max:
            driver.onlookers.append(self.history.look_on)

    def watch(self, prefix: str, wake: Callable[[], None]) -> Watch:
        """Let somebody watch. See `Watch`."""
        return Watch(self._onlookers, self._reactor, prefix, wake)
