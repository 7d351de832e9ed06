"""What a question on the admin socket is answered from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from lockd.driver import Driver
from lockd.onlookers.gallery import Gallery
from lockd.onlookers.stream import Watch
from lockd.reactor import Reactor
from lockd_wire import limits
from lockd_wire import messages as m

_ROWS_PER_PAGE: Final = limits.ROWS_MAX


class Administrator(NamedTuple):
    """Who asks, by the kernel's word."""

    pid: int
    uid: int
    #: Whether it may change something, and not only ask.
    may_change: bool = True


class Desk:
    """Where one administrator's questions are answered."""

    def __init__(
        self,
        driver: Driver,
        reactor: Reactor,
        gallery: Gallery,
        started_at: float,
        who: Administrator,
        wake: Callable[[], None],
    ) -> None:
        """Make a desk.

        Args:
            driver: Whose affairs are asked about.
            reactor: Has the time.
            gallery: Those who look on at what the driver does.
            started_at: When the daemon did.
            who: Asks here.
            wake: Called when there is something to be told to a watcher, which is then to be fetched with `happened`,
                though not before the journal has it.
        """
        self.who = who
        self.driver = driver
        self.gallery = gallery
        self.manager = driver.manager
        self.started_at = started_at
        self._reactor = reactor
        self._wake = wake
        self._watch: Watch | None = None
        #: The request by which it was begun.
        self._watch_id = 0
        self._pages: dict[type[m.AdminRequest], list[Any]] = {}

    @property
    def now(self) -> float:
        """What time it is, by the clock of everything that is held and waited for."""
        return self._reactor.clock()

    def begin_to_watch(self, request: m.Watch) -> bool:
        """Have something told from now on to whoever asks here, and return whether that is new."""
        if self._watch is not None:
            return False
        self._watch, self._watch_id = self.gallery.watch(request.prefix, self._wake), request.id
        return True

    def happened(self) -> m.Happened | None:
        """Return what is to be told next to whoever watches, or None if there is nothing at the moment."""
        batch = None if self._watch is None else self._watch.take()
        return None if batch is None else m.Happened(self._watch_id, *batch)

    def close(self) -> None:
        """Nobody asks here any more."""
        if self._watch is not None:
            self._watch.close()

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
