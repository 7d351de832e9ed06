"""Judges afterwards whether the locks were kept while the daemon was killed again and again.

Nobody can note when the daemon itself did something, so only what is certain counts: a hold lasts at least from the
return of the request to the call of the release, or to the instant before its process was killed. So a fault that is
found is one, however busy the machine is, and no tolerance is needed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate
from typing import Final, NamedTuple

from .crash_history import (
    DEADLOCK,
    EXCLUSIVE,
    GRANTED,
    INTERRUPTED,
    NANOSECONDS,
    NEVER,
    REFUSED,
    SHARED,
    UPDATE,
    History,
    Instant,
    Item,
    Life,
    Operation,
)

#: Which locks two owners cannot have at once.
_CONFLICTS: Final = {
    *((EXCLUSIVE, mode) for mode in (EXCLUSIVE, SHARED, UPDATE)),
    *((mode, EXCLUSIVE) for mode in (SHARED, UPDATE)),
    (UPDATE, UPDATE),
}

_STRENGTH: Final = {SHARED: 0, UPDATE: 1, EXCLUSIVE: 2}


class _Hold(NamedTuple):
    """A time in which a name was certainly held."""

    operation: Operation
    item: Item
    since: Instant
    until: Instant


def faults(history: History) -> list[str]:
    """Return what cannot have been if the locks had been kept, a sentence for each fault."""
    operations = sorted(history.operations, key=lambda operation: operation.invoked_at)
    granted = sorted((each for each in operations if each.outcome == GRANTED), key=lambda each: each.token)
    return [
        *_unserved(operations),
        *_refused_early(operations),
        *_tokens_out_of_order(granted),
        *_entered_elsewhere(granted),
        *_overlaps(granted),
        *_overlaps_of_conversions(granted),
        *_overtakings(granted, history.lives),
    ]


def _unserved(operations: list[Operation]) -> Iterator[str]:
    """Whoever was not killed came to an end with everything, and to one that he had a right to."""
    for each in operations:
        killed = each.killed_at != NEVER
        if each.complaint:
            yield f"something went wrong with what was held: {each}"
        if each.outcome not in (GRANTED, REFUSED, INTERRUPTED) and not (killed and not each.outcome):
            yield f"it was not served: {each}"
        elif each.outcome == GRANTED and each.ended_at == NEVER and not killed:
            yield f"it did not come to an end: {each}"
        for conversion in each.conversions:
            if conversion.outcome not in (GRANTED, REFUSED, INTERRUPTED, DEADLOCK) and not (
                killed and not conversion.outcome
            ):
                yield f"its conversion did not come to an end: {each}: {conversion}"


def _refused_early(operations: list[Operation]) -> Iterator[str]:
    for each in operations:
        if each.outcome != REFUSED:
            continue
        if each.timeout is None or each.returned_at - each.invoked_at < each.timeout * NANOSECONDS:
            yield f"refused before its time: {each}"


def _tokens_out_of_order(granted: list[Operation]) -> Iterator[str]:
    """A grant has a token of its own, greater than that of every grant that was there before it was asked for."""
    latest: Operation | None = None
    for before, each in zip([None, *granted], granted, strict=False):
        if before is not None and before.token == each.token:
            yield f"one token twice: {before} and {each}"
        if latest is not None and each.returned_at < latest.invoked_at:
            yield f"the token of what was granted first is the greater one: {each} and then {latest}"
        if latest is None or each.invoked_at > latest.invoked_at:
            latest = each


def _entered_elsewhere(granted: list[Operation]) -> Iterator[str]:
    for each in granted:
        if any(token != each.token for token in each.entries):
            yield f"entered again under the tokens {each.entries}: {each}"


def _overlaps(granted: list[Operation]) -> Iterator[str]:
    """Of two grants that conflict, the first is released before the second has returned.

    The one with the smaller token was granted first, even if its process was stopped and has heard of it last.
    """
    for holds in _holds_by_name(granted).values():
        # Nobody from here on returned earlier than this.
        horizons = list(accumulate((hold.since for hold in reversed(holds)), min))[::-1]
        earlier: list[_Hold] = []
        for hold, horizon in zip(holds, horizons, strict=True):
            earlier = [other for other in earlier if other.until > horizon]
            together = [other for other in earlier if other.until > hold.since]
            yield from _too_much(hold, together)
            earlier.append(hold)


def _holds_by_name(granted: list[Operation]) -> dict[str, list[_Hold]]:
    found = defaultdict(list)
    for each in granted:
        # From the call on in which it is made weaker, it may be.
        weaker = [
            conversion.invoked_at
            for conversion in each.conversions
            if any(item.mode and _STRENGTH[conversion.mode] < _STRENGTH[item.mode] for item in each.items)
        ]
        for item in each.items:
            found[item.name].append(_Hold(each, item, each.returned_at, min(each.held_until, *weaker, NEVER)))
    return found


def _too_much(hold: _Hold, together: list[_Hold]) -> Iterator[str]:
    """Say what is wrong with a hold beside others that were there before it, and still are."""
    item = hold.item
    if item.limit:
        permits = item.permits + sum(other.item.permits for other in together)
        if permits > item.limit:
            others = " and ".join(str(other.operation) for other in together)
            yield f"{permits} permits of {item.limit} were held at once: {hold.operation} beside {others}"
        return
    for other in together:
        if (other.item.mode, item.mode) in _CONFLICTS:
            yield f"both held it at once: {other.operation} and {hold.operation}"


def _overlaps_of_conversions(granted: list[Operation]) -> Iterator[str]:
    """While one is certain to hold a name in a mode that it was converted to, nobody holds it in a conflicting one."""
    converted = defaultdict(list)
    for operation in granted:
        for place, conversion in enumerate(operation.conversions):
            if conversion.outcome == GRANTED:
                later = operation.conversions[place + 1 :]
                until = min([operation.held_until, *(other.invoked_at for other in later)])
                for item in operation.items:
                    item = item._replace(mode=conversion.mode)
                    converted[item.name].append(_Hold(operation, item, conversion.returned_at, until))
    plain = _holds_by_name(granted)
    for name, holds in converted.items():
        yield from _crossings(sorted(holds, key=_since), sorted([*plain[name], *holds], key=_since))


def _since(hold: _Hold) -> Instant:
    return hold.since


def _crossings(holds: list[_Hold], others: list[_Hold]) -> Iterator[str]:
    active: list[_Hold] = []
    place = 0
    for hold in holds:
        while place < len(others) and others[place].since < hold.until:
            active.append(others[place])
            place += 1
        active = [other for other in active if other.until > hold.since]
        for other in active:
            is_conflict = (other.item.mode, hold.item.mode) in _CONFLICTS and other.operation is not hold.operation
            if is_conflict and max(other.since, hold.since) < min(other.until, hold.until):
                yield f"both held it at once, one of them converted to {hold.item.mode}: {hold.operation} and {other}"


def _overtakings(granted: list[Operation], lives: list[Life]) -> Iterator[str]:
    """Whoever had word that he waits is served before all who asked later for what he keeps them from."""
    # Of each name and mode: when the last to ask for it did, of those with smaller tokens.
    latest: dict[tuple[str, str], Operation] = {}
    for each in granted:
        if each.waited_at != NEVER and not _is_excused(each, lives):
            for item in each.items:
                for mode in (EXCLUSIVE, SHARED, UPDATE, ""):
                    rival = latest.get((item.name, mode))
                    if (
                        rival is not None
                        and rival.invoked_at > each.waited_at
                        and (item.limit or (mode, item.mode) in _CONFLICTS)
                    ):
                        yield f"somebody who came later was served first: {rival} before {each}"
        for item in each.items:
            before = latest.get((item.name, item.mode))
            if before is None or before.invoked_at < each.invoked_at:
                latest[item.name, item.mode] = each


def _is_excused(waiter: Operation, lives: list[Life]) -> bool:
    """Whether a waiter may have lost its place: its time ran out, so that it asked anew when it did not hear of that,
    or a daemon had been there for so long that others could pass those who did not come back.

    That can be a daemon from before it had word as well: the word of an earlier one, read late."""
    if waiter.timeout is not None and waiter.returned_at - waiter.invoked_at >= waiter.timeout * NANOSECONDS:
        return True
    return any(
        life.ended_at > waiter.waited_at
        and min(life.ended_at, waiter.returned_at) - life.begun_at >= life.resume_window_seconds * NANOSECONDS
        for life in lives
    )
