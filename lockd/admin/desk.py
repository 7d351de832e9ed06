"""What a question on the admin socket is answered from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from lockd.driver import Driver
from lockd.reactor import Reactor
from lockd.vitals import Vitals
from lockd_wire import limits
from lockd_wire import messages as m

_ROWS_PER_PAGE: Final = limits.ROWS_MAX


class Desk:
    """Where one administrator's questions are answered: the daemon, and the pages that were laid out for it."""

    def __init__(
        self,
        driver: Driver,
        reactor: Reactor,
        started_at: float,
        vitals: Vitals,
        send: Callable[[m.AdminReply], None],
    ) -> None:
        """Make a desk. ``started_at`` is when the daemon did; ``send`` is for answers that come later."""
        self.vitals = vitals
        self.send = send
        self.driver = driver
        self.manager = driver.manager
        self.started_at = started_at
        self._reactor = reactor
        self._pages: dict[type[m.AdminRequest], list[Any]] = {}

    @property
    def now(self) -> float:
        """What time it is, by the clock of everything that is held and waited for."""
        return self._reactor.clock()

    def lay_out(self, kind: type[m.AdminRequest], everything: list[Any]) -> None:
        """Take what a question goes through page by page, as it is when the first page is asked for."""
        self._pages[kind] = everything

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        """Do something after a while."""
        self._reactor.call_at(self.now + seconds, act)

    def page(self, kind: type[m.AdminRequest], cursor: int, rows: int = _ROWS_PER_PAGE) -> tuple[list[Any], int | None]:
        """Return what is on a page, of so many rows at the most, and the cursor of the next one."""
        everything = self._pages.get(kind, [])
        behind = cursor + rows
        if behind < len(everything):
            return everything[cursor:behind], behind
        self._pages.pop(kind, None)
        return everything[cursor:], None
