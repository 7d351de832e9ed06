"""A request of a thread, and what the thread sleeps at."""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from time import monotonic

from ._pending import Pending

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable

    from ._wait import Wait


class Waiting(Pending):
    """A request of a thread."""

    __slots__ = ("asked_at", "gate", "has_left", "is_busy", "is_reader", "on_wait", "thread")

    def __init__(self) -> None:
        # Not by way of super(): one of these is made for every lock that is taken.
        self.id = 0
        self.answer = None
        self.notice = None
        self.thread = get_ident()
        #: When it was made, if the daemon was away then.
        self.asked_at = 0.0
        #: What to call when it has to wait.
        self.on_wait: Callable[[Wait], object] | None = None
        #: Closed while the thread sleeps at it or is about to. There is none unless another thread reads.
        self.gate: LockType | None = None
        #: Whether the thread reads for all.
        self.is_reader = False
        #: Whether the thread is in `on_wait`, where it can take no role.
        self.is_busy = False
        #: Whether the thread has gone, so that a role which it seems to have is free.
        self.has_left = False

    def prepare_to_sleep(self) -> None:
        """Make sure that there is a gate."""
        if self.gate is None:
            gate = allocate_lock()
            gate.acquire()
            self.gate = gate

    def sleep(self) -> None:
        """Wait until somebody opens the gate. It may have happened since `prepare_to_sleep`, or for nothing."""
        if self.gate is not None:
            self.gate.acquire()

    def sleep_until(self, instant: float) -> bool:
        """Do the same, but no longer than until then, and return whether the gate was opened."""
        return self.gate is None or self.gate.acquire(True, max(0.0, instant - monotonic()))

    def wake(self) -> bool:
        """Open the gate, if it is closed. Called in a section, so that only one thread does it at a time."""
        gate = self.gate
        if gate is None or self.is_busy or not gate.locked():
            return False
        gate.release()
        return True
