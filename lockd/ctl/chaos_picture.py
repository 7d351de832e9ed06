"""What others hold and wait for, as the admin socket tells it; and what a restart of the daemon has made of it.

Others go on meanwhile. A grant that is no longer there, and whose process lives, was released or is lost, and nobody
who looks from outside can tell which: it is counted, and judged by what the probes show, of which every step is known.
What no release can bring about is called lost.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from lockd_client._words import count, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Any

    from lockd_client import AdminClient

    _Facts = Mapping[str, Any]

#: Which field of /proc/PID/stat, behind the name of the program, is the start of the process.
_START_FIELD = 19


class Process(NamedTuple):
    """Somebody's process: the number alone may be somebody else's later."""

    pid: int
    #: On the clock of the kernel's ticks; None for one that is not to be seen from here.
    started: int | None


class Waiter(NamedTuple):
    """Somebody who waits for a name."""

    process: Process
    #: How he wants it, and why: what he waits for under which terms.
    wish: tuple[object, ...]
    #: Between which two instants he came, on the clock of the daemon's deadlines.
    came_after: float
    came_before: float

    def is_same(self, other: Waiter) -> bool:
        """Whether two pictures show the same request."""
        return (
            (self.process, self.wish) == (other.process, other.wish)
            and self.came_after <= other.came_before
            and other.came_after <= self.came_before
        )


class Picture(NamedTuple):
    """What there was at one time, without the probes."""

    status: _Facts
    #: By name and token.
    grants: Mapping[tuple[str, int], Process]
    #: Of each name in the order in which they are served.
    waiters: Mapping[str, Sequence[Waiter]]
    #: By their ids.
    sessions: Mapping[int, Process]
    #: Holders and waiters that the daemon counts and does not describe: it describes the first of each name.
    undescribed: int
    #: What cannot be, in words.
    contradictions: Sequence[str]


class Tally(NamedTuple):
    """What has become of one kind of things."""

    before: int = 0
    #: Exactly as they were.
    there_again: int = 0
    #: No longer there, and their process lives: released, given up or closed by it, as far as anybody can tell.
    ended_meanwhile: int = 0
    #: No longer there, as is their process.
    exited: int = 0

    def plus(self, other: Tally) -> Tally:
        """Return both together."""
        return Tally(*map(sum, zip(self, other, strict=True)))


def take(admin: AdminClient, program: str) -> Picture:
    """Take a picture of everything but what a program of this name, that of the probes, has."""
    grants: dict[tuple[str, int], Process] = {}
    waiters: dict[str, list[Waiter]] = {}
    contradictions: list[str] = []
    undescribed = 0
    # Read once, since a process may hold a thousand grants.
    starts: dict[int, int | None] = {}
    for row in list(admin.names()):
        name = row["name"]
        asked_at = boottime()
        # What a row describes, its first holder, is most often all there is.
        is_all = row["holder"] is not None and row["holders_total"] == 1 and not row["waiters_total"]
        facts = {"holders": [row["holder"]], "waiters": [], **row} if is_all else admin.show(name)
        answered_at = boottime()
        holders = [each for each in facts["holders"] if each["program"] != program]
        in_line = [each for each in facts["waiters"] if each["program"] != program]
        grants |= {(name, each["token"]): process_of(each, starts) for each in holders}
        if in_line:
            waiters[name] = [_waiter(each, starts, asked_at, answered_at) for each in in_line]
        undescribed += facts["holders_total"] - len(facts["holders"])
        undescribed += facts["waiters_total"] - len(facts["waiters"])
        contradictions += _shared_though_exclusive(name, facts["holders"])
    rows = [row for row in admin.sessions() if row["program"] != program]
    sessions = {row["session"]: process_of(row, starts) for row in rows}
    return Picture(admin.status(), grants, waiters, sessions, undescribed, contradictions)


def boottime() -> float:
    """Return the time on the clock of the daemon's deadlines."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def compare(before: Picture, after: Picture) -> tuple[dict[str, Tally], list[str]]:
    """Return what has become of each kind of things, and what was lost, in words."""
    losses = list(after.contradictions)
    waiters, disorder = _compared_waiters(before, after)
    # To resolve a deadlock the daemon gives waiters another order.
    if not after.status["reorders_total"]:
        losses += disorder
    losses += [
        f"session {session} was of pid {process.pid} and is of pid {after.sessions[session].pid}"
        for session, process in before.sessions.items()
        if session in after.sessions and after.sessions[session] != process and _lives(process)
    ]
    tallies = {
        # A grant may have been handed over to another process meanwhile: its token tells that it is the same.
        "grants": _tally(before.grants, after.grants),
        "waiters": waiters,
        "sessions": _tally(before.sessions, after.sessions),
    }
    return tallies, losses


def _tally(before: Mapping[Any, Process], after: Mapping[Any, Process]) -> Tally:
    gone = [process for key, process in before.items() if key not in after]
    return _counted(len(before), gone)


def _counted(total: int, gone: Iterable[Process]) -> Tally:
    lives = [_lives(process) for process in gone]
    return Tally(total, total - len(lives), lives.count(True), lives.count(False))


def _compared_waiters(before: Picture, after: Picture) -> tuple[Tally, list[str]]:
    tally, disorder = Tally(), []
    for name, earlier in before.waiters.items():
        later = after.waiters.get(name, ())
        places = [next((place for place, each in enumerate(later) if each.is_same(one)), None) for one in earlier]
        gone = [one.process for one, place in zip(earlier, places, strict=True) if place is None]
        tally = tally.plus(_counted(len(earlier), gone))
        kept = [place for place in places if place is not None]
        if kept != sorted(kept):
            disorder.append(f"{count(len(kept), 'waiter')} of {quoted(name)} are in another order than before")
    return tally, disorder


def _shared_though_exclusive(name: str, holders: Sequence[_Facts]) -> Iterator[str]:
    # One process may have several grants of one name: it does not keep itself out.
    pids = sorted({holder["pid"] for holder in holders})
    if len(pids) > 1 and any(holder["mode"] == "X" for holder in holders):
        yield f"{quoted(name)} is held exclusively and by several: pids {', '.join(map(str, pids))}"


def _waiter(facts: _Facts, starts: dict[int, int | None], asked_at: float, answered_at: float) -> Waiter:
    wish = tuple(facts[key] for key in ("program", "label", "mode", "permits", "converts_from"))
    waited = facts["waited_seconds"]
    return Waiter(process_of(facts, starts), wish, asked_at - waited, answered_at - waited)


def process_of(facts: _Facts, starts: dict[int, int | None]) -> Process:
    """Return whose process something is told of. ``starts`` has what was found out before, and gets what is now."""
    pid = facts["pid"]
    if pid not in starts:
        starts[pid] = _start_of(pid)
    return Process(pid, starts[pid])


def _lives(process: Process) -> bool:
    return process.started is not None and _start_of(process.pid) == process.started


def _start_of(pid: int) -> int | None:
    """Return when a process has started, or None if there is no such process, or only what is left of one."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # What the process calls itself stands in parentheses, and may be anything.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else int(fields[_START_FIELD])
