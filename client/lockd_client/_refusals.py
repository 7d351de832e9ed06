"""The daemon's refusals as exceptions: one table from the codes of the protocol."""

from __future__ import annotations

from lockd_wire.errors import ErrorCode
from lockd_wire.words import ordinal

from ._facts import integer, seconds, text
from ._words import count, duration, printable, quoted
from .errors import (
    AccessDenied,
    BadRequest,
    DaemonUnavailable,
    DeadlockDetected,
    HeldByEarlierProgram,
    KindMismatch,
    LimitMismatch,
    LockError,
    LockTimeout,
    NotOwner,
    ProtocolError,
    QuotaExceeded,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lockd_wire.messages import Facts, Failed

#: The refusals of which there is nothing more to say than the daemon's own sentence.
_PLAIN: dict[str, type[LockError]] = {
    ErrorCode.BAD_REQUEST: BadRequest,
    ErrorCode.NOT_OWNER: NotOwner,
    ErrorCode.KIND_MISMATCH: KindMismatch,
    ErrorCode.LIMIT_MISMATCH: LimitMismatch,
    ErrorCode.QUOTA: QuotaExceeded,
    ErrorCode.VERSION: ProtocolError,
    ErrorCode.PROTOCOL: ProtocolError,
    ErrorCode.ACCESS_DENIED: AccessDenied,
    ErrorCode.UNAVAILABLE: DaemonUnavailable,
}


def plain_error(code: str, sentence: str) -> LockError:
    """Return the exception for a refusal that is about no lock in particular."""
    said = printable(sentence) or "no reason was given"
    return _PLAIN.get(code, LockError)(f"the daemon refused: {said}")


def refusal(failed: Failed, what: str, timeout: float | None) -> LockError:
    """Return the exception for a request that failed.

    Args:
        failed: The answer.
        what: What was asked for, in words.
        timeout: The seconds that were asked for.
    """
    if failed.code == ErrorCode.TIMEOUT:
        return _timeout(failed.facts, what, timeout)
    if failed.code == ErrorCode.DEADLOCK:
        return _deadlock(failed.facts, what)
    if failed.code == ErrorCode.HELD_BY_EARLIER_PROGRAM:
        return _held_by_earlier_program(failed.facts, what)
    return plain_error(failed.code, failed.sentence)


def _timeout(facts: Facts, what: str, timeout: float | None) -> LockTimeout:
    from ._wait import Wait

    wait = Wait(facts)
    held = wait.held
    if wait.name and quoted(wait.name) != what:
        held = (
            f"{quoted(wait.name)} is {held}"
            if wait.holders
            else f"nobody holds {quoted(wait.name)}, but others came first"
        )
    if timeout:
        place = f"; you were {ordinal(wait.position)} in the queue" if wait.position else ""
        sentence = f"{what} was not granted within {duration(timeout)}: {held}{place}"
    else:
        waiting = f"; {count(wait.waiters_total, 'request')} in the queue" if wait.waiters_total else ""
        sentence = f"{what} is not free: {held}{waiting}"
    return LockTimeout(
        sentence,
        name=wait.name,
        holders=wait.holders,
        holders_total=wait.holders_total,
        position=wait.position,
        waiters_total=wait.waiters_total,
        waited_seconds=seconds(facts, "waited_seconds"),
    )


def _deadlock(facts: Facts, what: str) -> DeadlockDetected:
    from ._cycle import sentence_of, steps_of

    cycle = steps_of(facts)
    cycle_total = max(integer(facts, "cycle_total"), len(cycle))
    sentence = sentence_of(cycle, cycle_total, what)
    return DeadlockDetected(sentence, name=text(facts, "name"), cycle=cycle, cycle_total=cycle_total)


def _held_by_earlier_program(facts: Facts, what: str) -> HeldByEarlierProgram:
    from ._wait import Wait

    wait = Wait(facts)
    which = "" if not wait.name or quoted(wait.name) == what else f"{quoted(wait.name)} is "
    known = "".join([f", {holder}," for holder in wait.holders[:1]])
    sentence = (
        f"{what} cannot be had: {which}held by an earlier program of this process{known} and would be as long as the "
        "process lives: inherited() takes it over"
    )
    return HeldByEarlierProgram(sentence, name=wait.name, holders=wait.holders)
