"""Probes that wait or work, each in a thread and a session of its own."""

from __future__ import annotations

import time
from threading import Event, Thread
from typing import TYPE_CHECKING

from lockd_client._words import count, quoted
from lockd_client.errors import DaemonUnavailable, LockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lockd_client import Lock

#: What nobody has to wait for may take so long.
AT_ONCE_SECONDS = 10.0

#: Between two calls of the one that works on while the daemon is away.
_BREATH_SECONDS = 0.005


class Waiter(Thread):
    """Waits for a lock in a thread and a session of its own, and holds it until it is told to leave."""

    def __init__(self, label: str, make_handle: Callable[[Callable[[object], object]], Lock]) -> None:
        """Prepare it.

        Args:
            label: What it is called.
            make_handle: Makes the handle of a session of its own, given what is to be called when it has to wait.
        """
        super().__init__(name=label, daemon=True)
        self._queued, self._leaves = Event(), Event()
        self._handle = make_handle(lambda _: self._queued.set())
        self.title = f"{label} for {quoted(self._handle.name)}"
        #: What came of it: 0 as long as it waits.
        self.token = 0
        self.fault = ""

    def run(self) -> None:
        """Wait, hold, and leave."""
        try:
            with self._handle as grant:
                self.token = grant.token
                if grant.abandoned:
                    self.fault = "it was told that the one before had died, and nobody had"
                self._leaves.wait()
        except LockError as error:
            self.fault = str(error)
        finally:
            self._queued.set()

    def wait_until_queued(self) -> None:
        """Wait until the daemon has said that it has to wait.

        Raises:
            LockError: It has not, or something else.
        """
        if not self._queued.wait(AT_ONCE_SECONDS) or self.fault or self.token:
            raise DaemonUnavailable(
                f"{self.title} does not wait: {self.fault or 'it was granted, or the daemon is silent'}"
            )

    def wait_until_served(self, give_up_at: float) -> None:
        """Wait until it has had the lock and has released it, if it was told to leave."""
        self.join(max(0.0, give_up_at - time.monotonic()))
        if self.is_alive():
            self.fault = "it still waits"

    def leave(self) -> None:
        """Have it release the lock, as soon as it has it."""
        self._leaves.set()


class Pulse(Thread):
    """A program that works all the time: takes a lock, releases it, and takes it again."""

    def __init__(self, handle: Lock) -> None:
        super().__init__(name="pulse", daemon=True)
        self._handle = handle
        self._stops = Event()
        self._token = self._calls = 0
        self._fault = ""
        self.longest_seconds = 0.0

    def run(self) -> None:
        """Work until it is told to stop."""
        try:
            while not self._stops.wait(_BREATH_SECONDS):
                asked_at = time.monotonic()
                with self._handle as grant:
                    self.longest_seconds = max(self.longest_seconds, time.monotonic() - asked_at)
                    self._calls += 1
                    if grant.token <= self._token:
                        self._fault = f"token {grant.token} was given behind token {self._token}"
                    self._token = grant.token
        except LockError as error:
            self._fault = str(error)

    def faults(self) -> Iterator[str]:
        """Yield, in words, what went wrong."""
        if self._fault:
            yield f"a program that works on was told, after {count(self._calls, 'call')}: {self._fault}"

    def stop(self) -> None:
        """Have it stop."""
        self._stops.set()
