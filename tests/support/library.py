"""Processes that use the library as a program does, and what the daemon says about the names that they use."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from lockd_client import AdminClient

from .actor import Actor
from .idle import wait_until

#: Starts a process that knows the daemon, and the name of the test as ``name``.
Play = Callable[..., Actor]

#: What every such process begins with. ``outcome``, ``inside`` and ``circle`` are for what JSON cannot carry.
SETUP: Final = """
import threading, warnings
import lockd_client
from lockd_client import *

mine = lock(name)

def outcome(call):
    try:
        return call()
    except BaseException as error:
        return f"{type(error).__name__}: {error}"

def inside(handle, body=lambda: None):
    with handle as grant:
        body()
        return grant.token

def circle(call):
    try:
        return call()
    except DeadlockDetected as error:
        assert error.cycle_total == len(error.cycle)
        return [
            [step.waiter.pid, step.waiter.label, step.name, step.blocker.pid, step.blocker.label, step.blocker.mode]
            for step in error.cycle
        ]

def left_by(grant):
    return [[each.name, each.pid, each.label] for each in grant.abandoned]
"""

#: Takes the lock of the test if that is free.
TRY: Final = "mine.acquire(blocking=False)"


class Queue:
    """What the daemon says about names: about that of the test, if none is given."""

    def __init__(self, admin: AdminClient, name: str) -> None:
        self.admin, self._name = admin, name

    def waiters(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return those who wait for it."""
        return list(self.admin.show(name or self._name)["waiters"])

    def holders(self, name: str | None = None) -> list[int]:
        """Return the processes that hold it."""
        return [holder["pid"] for holder in self.admin.show(name or self._name)["holders"]]

    def modes(self, name: str | None = None) -> list[str]:
        """Return the modes in which it is held, as the protocol has them."""
        return [holder["mode"] for holder in self.admin.show(name or self._name)["holders"]]

    def permits(self, name: str | None = None) -> list[int]:
        """Return how many permits each holder has."""
        return [holder["permits"] for holder in self.admin.show(name or self._name)["holders"]]

    def wait_for(self, *pids: int, name: str | None = None) -> None:
        """Wait until these processes wait, in this order, and nobody else does."""
        expected = list(pids)
        wait_until(lambda: [each["pid"] for each in self.waiters(name)] == expected, f"{expected} are the queue")


def interrupt_while_asleep(pid: int) -> None:
    """Send SIGINT to a process as soon as its main thread sleeps in a system call."""
    # Before the call the signal would be noticed only when the call returned.
    state = Path(f"/proc/{pid}/task/{pid}/stat")
    wait_until(lambda: state.read_text().rpartition(") ")[2].startswith("S"), f"process {pid} sleeps")
    os.kill(pid, signal.SIGINT)
