"""What a question on the admin socket is answered from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from lockd.onlookers.stream import Watch
from lockd.vitals import Vitals
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
        vitals: Vitals,
        who: Administrator,
        wake: Callable[[], None],
        send: Callable[[m.AdminReply], None],
    ) -> None:
        """Make a desk.

        Args:
            vitals: What is asked about.
            who: Asks here.
            wake: Called when there is something to be told to a watcher, which is then to be fetched with `happened`,
                though not before the journal has it.
            send: Takes an answer that comes later.
        """
        self.vitals = vitals
        self.driver = vitals.driver
        self.manager = vitals.manager
        self.started_at = vitals.started_at
        self.who = who
        self.send = send
        self._reactor = vitals.reactor
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
        self._watch = Watch(self.driver.onlookers, self._reactor, request.prefix, self._wake)
        self._watch_id = request.id
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
