"""What the processes of a crash campaign noted (`support.crash_client`), put together into operations.

Each process appends a line for each thing that happens to it, so that what it noted is there even if it is killed. The
instant of a call is taken before the call, and that of a return after it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

GRANTED: Final = "granted"
#: A try, or a timeout.
REFUSED: Final = "refused"
#: By KeyboardInterrupt, with nothing held.
INTERRUPTED: Final = "interrupted"
#: Another holder wants to convert as well.
DEADLOCK: Final = "deadlock"

EXCLUSIVE: Final = "exclusive"
SHARED: Final = "shared"
UPDATE: Final = "update"

#: Nanoseconds of CLOCK_MONOTONIC, which all processes of a host share. What never came is at the end.
Instant = float
NEVER: Final = math.inf

NANOSECONDS: Final = 1_000_000_000


class Item(NamedTuple):
    """A name and what is wanted of it: a lock in a mode, or permits of a semaphore that has ``limit`` of them."""

    name: str
    mode: str
    permits: int = 0
    limit: int = 0


class Conversion(NamedTuple):
    """A change of the mode of what is held."""

    mode: str
    invoked_at: Instant
    returned_at: Instant = NEVER
    outcome: str = ""


class Operation(NamedTuple):
    """A request, and if it was granted all that was done with the grant."""

    process: str
    number: int
    items: tuple[Item, ...]
    #: In seconds; 0 is a try, None is no limit.
    timeout: float | None
    invoked_at: Instant
    #: When it had word that it stood in the queue.
    waited_at: Instant = NEVER
    returned_at: Instant = NEVER
    #: One of the four above, or whatever was raised, which is a fault.
    outcome: str = ""
    token: int = 0
    conversions: tuple[Conversion, ...] = ()
    #: The tokens under which it was entered again.
    entries: tuple[int, ...] = ()
    #: When the release was called, and when that returned.
    released_at: Instant = NEVER
    ended_at: Instant = NEVER
    #: What went wrong while it was held or when it was released.
    complaint: str = ""
    #: The instant before the process was killed.
    killed_at: Instant = NEVER

    @property
    def held_until(self) -> Instant:
        """Up to when, if it was granted, it was certainly held."""
        return min(self.released_at, self.killed_at)

    def __str__(self) -> str:
        wanted = ", ".join(f"{item.name} {item.mode or f'{item.permits}/{item.limit}'}" for item in self.items)
        killed = "" if self.killed_at == NEVER else f", killed {self.killed_at}"
        return (
            f"{self.process}/{self.number} {wanted} timeout {self.timeout}: {self.outcome} {self.token or ''} "
            f"[{self.invoked_at}, waits {self.waited_at}, {self.returned_at}], "
            f"released [{self.released_at}, {self.ended_at}]{killed}{self.complaint and f': {self.complaint}'}"
        )


class Life(NamedTuple):
    """A daemon, from the instant before it was started to the instant when its end was known."""

    begun_at: Instant
    ended_at: Instant
    resume_window_seconds: float


class History(NamedTuple):
    """All that is known of a campaign."""

    operations: list[Operation]
    lives: list[Life]


def operations_of(process: str, lines: Iterable[str], killed_at: Instant) -> list[Operation]:
    """Return what a process noted. The last line of one that was killed may be half a line."""
    operations: dict[int, Operation] = {}
    for line in lines:
        if not line.endswith("\n"):
            break
        kind, at, number, *facts = json.loads(line)
        if kind == "ask":
            items, timeout = facts
            wanted = tuple(Item(*item) for item in items)
            operations[number] = Operation(process, number, wanted, timeout, at, killed_at=killed_at)
        else:
            operations[number] = _READERS[kind](operations[number], at, *facts)
    return list(operations.values())


def _waits(operation: Operation, at: int) -> Operation:
    # After a restart of the daemon it may be told once more.
    return operation if operation.waited_at != NEVER else operation._replace(waited_at=at)


def _answered(operation: Operation, at: int, outcome: str, token: int = 0) -> Operation:
    return operation._replace(returned_at=at, outcome=outcome, token=token)


def _converts(operation: Operation, at: int, mode: str) -> Operation:
    return operation._replace(conversions=(*operation.conversions, Conversion(mode, at)))


def _converted(operation: Operation, at: int, outcome: str) -> Operation:
    *earlier, last = operation.conversions
    return operation._replace(conversions=(*earlier, last._replace(returned_at=at, outcome=outcome)))


def _entered(operation: Operation, at: int, token: int) -> Operation:
    return operation._replace(entries=(*operation.entries, token))


def _complained(operation: Operation, at: int, complaint: str) -> Operation:
    return operation._replace(complaint=complaint)


def _released(operation: Operation, at: int) -> Operation:
    return operation._replace(released_at=at)


def _ended(operation: Operation, at: int) -> Operation:
    return operation._replace(ended_at=at)


_READERS: Final[Mapping[str, Callable[..., Operation]]] = {
    "waits": _waits,
    "answer": _answered,
    "convert": _converts,
    "converted": _converted,
    "entry": _entered,
    "complaint": _complained,
    "release": _released,
    "released": _ended,
}


def line_of(kind: str, at: int, number: int, *facts: Any) -> str:
    """Return a note as it is written: "ask" begins an operation, and the others tell how it goes on."""
    return json.dumps([kind, at, number, *facts], separators=(",", ":")) + "\n"
