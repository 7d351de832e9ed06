"""Judges afterwards what several processes did with locks at once, from the notes that each of them took.

A note (`Operation`) says when a lock was asked for and when the call returned, what came of it, and when it was given
back. Nobody can note when the daemon itself did something, so whatever lasts is judged by what is certain: a hold lasts
at least from the return of the acquire to the call of the release, and what was asked may have stood in the daemon from
the call on until that process next got an answer to something that it had asked later. So a fault that is found here
is one, however busy the machine is, and no tolerance is needed.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final, NamedTuple

GRANTED: Final = "granted"
REFUSED: Final = "refused"
INTERRUPTED: Final = "interrupted"

EXCLUSIVE: Final = "exclusive"
SHARED: Final = "shared"

#: Instants are nanoseconds of CLOCK_MONOTONIC, which all processes of a host share. What never came is at the end.
Instant = float
NEVER: Final = math.inf

NANOSECONDS: Final = 1_000_000_000


class Operation(NamedTuple):
    """One acquire and, if it was granted, the release."""

    process: str
    #: Who asked. In one process several threads may.
    thread: str
    name: str
    mode: str
    #: In seconds; 0 is a try, None is no limit.
    timeout: float | None
    invoked_at: Instant
    returned_at: Instant = NEVER
    #: `GRANTED`, `REFUSED` (a try or a timeout), `INTERRUPTED` with nothing held, or the name of an exception.
    outcome: str = ""
    token: int = 0
    #: When the release was called, and when that returned.
    released_at: Instant = NEVER
    ended_at: Instant = NEVER
    #: What a refused try was told, if the one who asked took note of it.
    holders_total: int | None = None
    waiters_total: int | None = None

    def __str__(self) -> str:
        token = f" {self.token}" if self.token else ""
        return (
            f"{self.process}/{self.thread} {self.mode} {self.name} timeout {self.timeout}: {self.outcome}{token} "
            f"[{self.invoked_at}, {self.returned_at}], released [{self.released_at}, {self.ended_at}]"
        )


def faults(history: Iterable[Operation]) -> list[str]:
    """Return what cannot have been if the locks had been kept, a sentence for each fault."""
    operations = sorted(history, key=lambda operation: operation.invoked_at)
    names = {operation.name for operation in operations}
    answers = _answers(operations)
    found = [*_unended(operations), *_tokens_out_of_order(operations)]
    for name in sorted(names):
        here = [operation for operation in operations if operation.name == name]
        traces = [_Trace(operation, _gone_by(operation, answers)) for operation in here]
        found += [*_overlaps(here), *_unexplained(traces), *_ghosts(traces), *_overtakings(here, traces)]
    return found


class _Trace(NamedTuple):
    """An operation, and the last instant at which something of it may have been in the daemon."""

    operation: Operation
    gone_by: Instant

    def gone_for(self, other: Operation) -> Instant:
        """The same, as far as ``other`` is concerned: a process's own messages arrive in the order they were sent."""
        own = self.operation
        is_before = own.process == other.process and _end_of(own) <= other.invoked_at
        return _end_of(own) if is_before else self.gone_by


def _answers(operations: list[Operation]) -> dict[str, tuple[list[Instant], list[Instant]]]:
    """Return of each process when it called what was answered, and by when it had the answer to one of those or of any
    later one."""
    answers = {}
    for process in {operation.process for operation in operations}:
        answered = [each for each in operations if each.process == process and each.outcome in (GRANTED, REFUSED)]
        earliest = accumulate((each.returned_at for each in reversed(answered)), min)
        answers[process] = ([each.invoked_at for each in answered], list(earliest)[::-1])
    return answers


def _gone_by(operation: Operation, answers: dict[str, tuple[list[Instant], list[Instant]]]) -> Instant:
    if operation.outcome == REFUSED:
        return operation.returned_at
    # Neither a release nor a cancel is answered, but no later question is answered before them.
    invoked, earliest = answers[operation.process]
    later = bisect_left(invoked, _end_of(operation))
    return earliest[later] if later < len(earliest) else NEVER


def _end_of(operation: Operation) -> Instant:
    return operation.ended_at if operation.outcome == GRANTED else operation.returned_at


def _conflict(one: Operation, other: Operation) -> bool:
    return EXCLUSIVE in (one.mode, other.mode)


def _unended(operations: list[Operation]) -> Iterator[str]:
    for each in operations:
        if each.outcome not in (GRANTED, REFUSED, INTERRUPTED) or _end_of(each) == NEVER:
            yield f"it did not come to an end: {each}"


def _tokens_out_of_order(operations: list[Operation]) -> Iterator[str]:
    """A grant has a token of its own, greater than that of every grant that was there before it was asked for."""
    granted = sorted((each for each in operations if each.outcome == GRANTED), key=lambda each: each.token)
    latest: Operation | None = None
    for before, each in zip([None, *granted], granted, strict=False):
        if before is not None and before.token == each.token:
            yield f"one token twice: {before} and {each}"
        if latest is not None and each.returned_at < latest.invoked_at:
            yield f"the token of what was granted first is the greater one: {each} and then {latest}"
        if latest is None or each.invoked_at > latest.invoked_at:
            latest = each


def _overlaps(here: list[Operation]) -> Iterator[str]:
    """Of two conflicting grants, the first is released before the second has returned."""
    last: dict[str, Operation] = {}
    for each in sorted((each for each in here if each.outcome == GRANTED), key=lambda each: each.token):
        for before in last.values():
            if _conflict(before, each) and before.released_at > each.returned_at:
                yield f"both held it at once: {before} and {each}"
        if each.mode not in last or each.released_at > last[each.mode].released_at:
            last[each.mode] = each


def _unexplained(traces: list[_Trace]) -> Iterator[str]:
    """Whoever was refused was kept out by somebody who came first, and whoever waited in vain, all the time.

    The daemon counts a timeout from the arrival of the request, and refuses no earlier. So a request that was refused
    had arrived a timeout before it returned at the latest, and was still there a timeout after it was made.
    """
    for trace, others in _each_with_others(traces):
        operation = trace.operation
        if operation.timeout is None:
            yield f"refused, although it would have waited for ever: {operation}"
            continue
        nanoseconds = operation.timeout * NANOSECONDS
        arrived_by, there_until = operation.returned_at - nanoseconds, operation.invoked_at + nanoseconds
        in_the_way = [
            other.gone_for(operation)
            for other in others
            if _conflict(other.operation, operation) and other.operation.invoked_at <= arrived_by
        ]
        if arrived_by < operation.invoked_at:
            yield f"refused before its time: {operation}"
        elif not in_the_way:
            yield f"nobody was in its way: {operation}"
        elif (free_at := max(in_the_way)) < there_until:
            yield f"it was not woken, although nobody was in its way any more at {free_at}: {operation}"


def _ghosts(traces: list[_Trace]) -> Iterator[str]:
    """The daemon knows of no more holders and waiters than there can have been."""
    for trace, others in _each_with_others(traces):
        told = trace.operation
        if told.waiters_total is not None and told.waiters_total > len(list(_possible_waiters(told, others))):
            yield f"{told.waiters_total} are said to wait, and there are not so many: {told}"
        holders = [other for other in others if other.operation.outcome != REFUSED]
        if told.holders_total is not None and told.holders_total > len(holders):
            yield f"{told.holders_total} are said to hold it, and there are not so many: {told}"


def _overtakings(here: list[Operation], traces: list[_Trace]) -> Iterator[str]:
    """Whoever was seen to wait is served before those who came later.

    If as many were said to wait as can have waited, then all of these did.
    """
    invoked = [each.invoked_at for each in here]
    smallest = {mode: _smallest_tokens_from(here, mode) for mode in (EXCLUSIVE, SHARED)}
    for trace, others in _each_with_others(traces):
        told = trace.operation
        waiters = list(_possible_waiters(told, others)) if told.waiters_total else []
        if len(waiters) != told.waiters_total:
            continue
        later = bisect_right(invoked, told.returned_at)
        for waiter in waiters:
            rivals = [smallest[EXCLUSIVE][later], *([smallest[SHARED][later]] if waiter.mode == EXCLUSIVE else [])]
            if waiter.outcome == GRANTED and min(rivals) < waiter.token:
                yield f"token {min(rivals)} was given to somebody who came later than this waiter: {waiter}"


def _smallest_tokens_from(here: list[Operation], mode: str) -> list[float]:
    tokens = (each.token if (each.mode, each.outcome) == (mode, GRANTED) else NEVER for each in reversed(here))
    return list(accumulate(tokens, min, initial=NEVER))[::-1]


def _possible_waiters(told: Operation, others: list[_Trace]) -> Iterator[Operation]:
    for other, gone_by in others:
        left_queue_by = other.returned_at if other.outcome == GRANTED else gone_by
        if other.timeout != 0 and left_queue_by >= told.invoked_at:
            yield other


def _each_with_others(traces: list[_Trace]) -> Iterator[tuple[_Trace, list[_Trace]]]:
    """Yield each refusal with those of which something may have been in the daemon at the same time.

    The traces are sorted by the instant of the call, so one looks from the last that began in time backwards, until
    everything before was gone.
    """
    invoked = [trace.operation.invoked_at for trace in traces]
    latest = list(accumulate((trace.gone_by for trace in traces), max))
    for trace in traces:
        operation = trace.operation
        if operation.outcome != REFUSED:
            continue
        others = []
        index = bisect_right(invoked, operation.returned_at) - 1
        while index >= 0 and latest[index] >= operation.invoked_at:
            other = traces[index]
            if other is not trace and other.gone_for(operation) >= operation.invoked_at:
                others.append(other)
            index -= 1
        yield trace, others
