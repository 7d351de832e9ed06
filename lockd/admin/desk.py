"""What a question on the admin socket is answered from."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from lockd.driver import Driver
from lockd.reactor import Reactor
from lockd_wire import limits
from lockd_wire import messages as m

_ROWS_PER_PAGE: Final = limits.ROWS_MAX


class Administrator(NamedTuple):
    """Who asks, by the kernel's word."""

    pid: int
    uid: int


class Desk:
    """Where one administrator's questions are answered: the daemon, and the pages that were laid out for it."""

    def __init__(self, driver: Driver, reactor: Reactor, started_at: float, who: Administrator) -> None:
        """Make a desk for one administrator. ``started_at`` is when the daemon began."""
        self.who = who
        #: Whether this one may change anything, and not only ask.
        self.may_change = True
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

    def page(self, kind: type[m.AdminRequest], cursor: int) -> tuple[list[Any], int | None]:
        """Return what is on a page and the cursor of the next one."""
        everything = self._pages.get(kind, [])
        behind = cursor + _ROWS_PER_PAGE
        if behind < len(everything):
            return everything[cursor:behind], behind
        self._pages.pop(kind, None)
        return everything[cursor:], None
