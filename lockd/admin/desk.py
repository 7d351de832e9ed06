"""What a question on the admin socket is answered from."""

from __future__ import annotations

from lockd.driver import Driver
from lockd.reactor import Reactor


class Desk:
    """Where one administrator's questions are answered."""

    def __init__(self, driver: Driver, reactor: Reactor, started_at: float, may_change: bool = True) -> None:
        """Make a desk.

        Args:
            started_at: When the daemon did.
            may_change: Whether whoever asks here may also change something.
        """
        self.driver = driver
        self.manager = driver.manager
        self.started_at = started_at
        self.may_change = may_change
        self._reactor = reactor

    @property
    def now(self) -> float:
        """What time it is, by the clock of everything that is held and waited for."""
        return self._reactor.clock()
