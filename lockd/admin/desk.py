"""What a question on the admin socket is answered from."""

from __future__ import annotations

from typing import Any, Final

from lockd.driver import Driver
from lockd.onlookers.gallery import Gallery
from lockd.reactor import Reactor
from lockd_wire import limits
from lockd_wire import messages as m

_ROWS_PER_PAGE: Final = limits.ROWS_MAX


class Desk:
    """Where one administrator's questions are answered."""

    def __init__(
        self, driver: Driver, reactor: Reactor, gallery: Gallery, started_at: float, may_change: bool = True
    ) -> None:
        """Make a desk.

        Args:
            started_at: When the daemon did.
            may_change: Whether whoever asks here may also change something.
        """
        self.driver = driver
        self.gallery = gallery
        self.manager = driver.manager
        self.started_at = started_at
        self.may_change = may_change
        self._reactor = reactor
        self._pages: dict[type[m.AdminRequest], list[Any]] = {}

    @property
    def now(self) -> float:
        """What time it is, by the clock of everything that is held and waited for."""
        return self._reactor.clock()

    def lay_out(self, kind: type[m.AdminRequest], everything: list[Any]) -> None:
        """Take what a question goes through page by page, as it is when the first page is asked for. For what there is
        a bounded number of: the rest is gone through in place (`paging`)."""
        self._pages[kind] = everything

    def page(self, kind: type[m.AdminRequest], cursor: int) -> tuple[list[Any], int | None]:
        """Return what is on a page and the cursor of the next one."""
        everything = self._pages.get(kind, [])
        behind = cursor + _ROWS_PER_PAGE
        if behind < len(everything):
            return everything[cursor:behind], behind
        self._pages.pop(kind, None)
        return everything[cursor:], None
