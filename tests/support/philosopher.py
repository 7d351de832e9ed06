"""What a dining philosopher does, who is a process, and the notes that he takes.

A fork is a lock, and a file as well, which is there while somebody has the fork: whoever takes up one that is taken
finds the file, whatever any lock, clock or note says.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from lockd_client import DeadlockDetected, lock, lock_all

from .history import EXCLUSIVE, GRANTED, NEVER, Instant, Operation

#: No wait lasts as long as this, unless nobody will ever end it.
PATIENCE_SECONDS: Final = 60.0
#: How long, on average, somebody thinks, eats, and has one fork before he wants the other one.
_PAUSE_SECONDS: Final = 0.001


class Meal(NamedTuple):
    """A meal, and the two forks."""

    pid: int
    left: Operation
    right: Operation
    #: When it was known that the request for both stood in the queue. `NEVER`: it did not have to wait, or it was for
    #: one fork at a time.
    queued_at: Instant = NEVER


class Wait(NamedTuple):
    """A step of a circle."""

    fork: str
    pid: int
    blocker: int
    is_queued: bool
    blocked_seconds: float


class Deadlock(NamedTuple):
    """A refusal of the second fork."""

    pid: int
    #: What he had, which he put down then.
    left: Operation
    wanted: str
    at: Instant
    circle: tuple[Wait, ...]
    circle_total: int
    sentence: str


class Philosopher:
    """One of those at a table."""

    def __init__(self, forks: Sequence[str], seat: int, directory: str) -> None:
        """Sit down.

        Args:
            forks: All forks of the table. The left one is that of the own number, the right one that of the next seat.
            directory: Where the forks are files.
        """
        self._left, self._right = forks[seat], forks[(seat + 1) % len(forks)]
        self._directory = Path(directory)
        self._random = Random(f"{forks[0]} {seat}")
        self._hands = ExitStack()
        self._told = self._directory / f"{os.getpid()} has been told to wait"
        self._held: Operation | None = None
        self.meals: list[Meal] = []
        self.deadlocks: list[Deadlock] = []

    def dine_with_both(self, seconds: float) -> None:
        """Think and eat for some time, and take both forks at once.

        Whoever has to wait leaves a file that says so.
        """
        until = time.monotonic() + seconds
        while True:
            self._eat_with_both()
            if time.monotonic() >= until:
                return
            self._pause()

    def take_left(self) -> None:
        """Take the left fork, and keep it."""
        asked_at = time.monotonic_ns()
        grant = self._hands.enter_context(lock(self._left, label="left", timeout=PATIENCE_SECONDS))
        self._held = _held(self._left, asked_at, grant.token)
        self._hands.enter_context(self._taken(self._left))

    def dine_with_one_after_the_other(self, seconds: float) -> None:
        """Think and eat for some time, and take the left fork first. It may have been taken before.

        When it is said to be a deadlock he puts down what he has, and tries again, until he has eaten.
        """
        until = time.monotonic() + seconds
        while True:
            if self._held is None:
                self.take_left()
                self._pause()
            if self._eat_with_the_right_one_too() and time.monotonic() >= until:
                return
            self._pause()

    def write_notes(self, path: str) -> None:
        """Write down what happened (`read_notes`), after the daemon has heard everything that was said."""
        lock(self._left).locked()
        Path(path).write_text(json.dumps([self.meals, self.deadlocks]))

    def _eat_with_both(self) -> None:
        queued_at: list[Instant] = []
        asked_at = time.monotonic_ns()

        def be_told(wait: object) -> None:
            queued_at.append(time.monotonic_ns())
            self._told.touch()

        with lock_all(self._left, self._right, timeout=PATIENCE_SECONDS, on_wait=be_told) as grant:
            left, right = (_held(fork, asked_at, grant.token) for fork in (self._left, self._right))
            with self._taken(self._left), self._taken(self._right):
                self._pause()
            put_down_at = time.monotonic_ns()
        left, right = (_put_down(fork, put_down_at) for fork in (left, right))
        self.meals.append(Meal(os.getpid(), left, right, *queued_at))

    def _eat_with_the_right_one_too(self) -> bool:
        """Take the right fork as well and eat, put down both, and return whether there was a meal."""
        assert self._held is not None
        left, right, deadlock = self._held, None, None
        with self._hands.pop_all():
            asked_at = time.monotonic_ns()
            try:
                with lock(self._right, label="right", timeout=PATIENCE_SECONDS) as grant:
                    right = _held(self._right, asked_at, grant.token)
                    with self._taken(self._right):
                        self._pause()
                    right = right._replace(released_at=time.monotonic_ns())
            except DeadlockDetected as error:
                deadlock = error
            put_down_at = time.monotonic_ns()
        self._held = None
        left = _put_down(left, put_down_at)
        if right is not None:
            self.meals.append(Meal(os.getpid(), left, right._replace(ended_at=left.ended_at)))
        if deadlock is not None:
            self.deadlocks.append(_note(deadlock, left))
        return right is not None

    @contextmanager
    def _taken(self, fork: str) -> Iterator[None]:
        """Have the fork in the hand. Raises FileExistsError if somebody else has."""
        path = self._directory / fork.replace("/", "%")
        os.close(os.open(path, os.O_CREAT | os.O_EXCL, 0o600))
        try:
            yield
        finally:
            path.unlink()

    def _pause(self) -> None:
        time.sleep(self._random.expovariate(1 / _PAUSE_SECONDS))


def read_notes(path: Path) -> tuple[list[Meal], list[Deadlock]]:
    """Return what a philosopher noted."""
    meals, deadlocks = json.loads(path.read_text())
    return (
        [Meal(pid, Operation(*left), Operation(*right), queued_at) for pid, left, right, queued_at in meals],
        [
            Deadlock(pid, Operation(*left), wanted, at, tuple(Wait(*step) for step in circle), *rest)
            for pid, left, wanted, at, circle, *rest in deadlocks
        ],
    )


def _held(fork: str, asked_at: Instant, token: int) -> Operation:
    """Return the note of a fork that has just been granted."""
    now = time.monotonic_ns()
    return Operation(f"{os.getpid()}", "0", fork, EXCLUSIVE, PATIENCE_SECONDS, asked_at, now, GRANTED, token)


def _put_down(fork: Operation, at: Instant) -> Operation:
    return fork._replace(released_at=at, ended_at=time.monotonic_ns())


def _note(deadlock: DeadlockDetected, left: Operation) -> Deadlock:
    circle = tuple(
        Wait(step.name, step.waiter.pid, step.blocker.pid, step.is_queued, step.blocked_seconds)
        for step in deadlock.cycle
    )
    # It was told before he put the left fork down.
    return Deadlock(os.getpid(), left, deadlock.name, left.released_at, circle, deadlock.cycle_total, str(deadlock))
