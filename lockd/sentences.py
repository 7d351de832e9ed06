"""What people are told when a request does not get through.

One sentence each: what was asked for, why it did not happen, and what to do where that is not plain. What peers chose
themselves is escaped and shortened in it: the facts beside the sentence have it in full.
"""

from __future__ import annotations

from collections.abc import Iterable

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.bounds import PLACES_COUNTED_MAX
from lockd.core.modes import Mode
from lockd_wire.limits import TEXT_BYTES_MAX
from lockd_wire.words import ordinal, whole_seconds

from .logs import safe

#: How people say in what way a name is held or wanted.
_MODE_WORDS = {
    Mode.EXCLUSIVE: "exclusively",
    Mode.SHARED_INTENT_EXCLUSIVE: "shared with intent exclusive",
    Mode.UPDATE: "for update",
    Mode.SHARED: "shared",
    Mode.INTENT_EXCLUSIVE: "with intent exclusive",
    Mode.INTENT_SHARED: "with intent shared",
}

# With as many holders as are named, all of them detached, a sentence with these is shorter than any text may be. So is
# one with that many steps of a deadlock: the facts have more of them.
_NAME_BYTES_SHOWN = 150
_NAME_BYTES_SHOWN_IN_STEP = 64
_STEPS_SHOWN_MAX = 4
_PROGRAM_BYTES_SHOWN = 32
_LABEL_BYTES_SHOWN = 48


def of_failure(failed: a.Failed) -> str:
    """Return the sentence for a request that was refused or did not come to its turn. It fits into a message."""
    return shortened(_of_failure(failed), TEXT_BYTES_MAX)


def quoted(name: str, bytes_max: int = _NAME_BYTES_SHOWN) -> str:
    """Return a name, fit to be shown, as a part of a sentence."""
    return f'"{shortened(safe(name), bytes_max)}"'


def _of_failure(failed: a.Failed) -> str:
    match failed.reason:
        case a.Reason.TIMEOUT if failed.facts is not None:
            return _timeout(failed.facts)
        case a.Reason.DEADLOCK:
            return _deadlock(failed)
        case a.Reason.HELD_BY_EARLIER_PROGRAM if failed.facts is not None:
            return _held_by_earlier_program(failed.facts)
        case a.Reason.CANCELLED:
            return "the request was cancelled"
        case _:
            # A name in it is as the peer wrote it.
            return safe(failed.detail)


def who_has(facts: a.NameFacts) -> str:
    """Return who holds a name, as the end of a sentence."""
    if not facts.holders:
        return "nobody holds it, and others come first"
    more = facts.holders_total - len(facts.holders)
    holders = "; ".join(of_holder(holder) for holder in facts.holders)
    return f"it is held {holders}" + (f"; and by {more} more" if more else "")


def circle(steps: Iterable[a.Step]) -> str:
    """Return who waits for whom, as a part of a sentence."""
    return "; ".join(_step(step) for step in steps)


def seconds(value: float) -> str:
    """Return a duration as people say it: ``less than 0.1 s``, ``0.3 s``, ``42 s``, ``3 min 5 s``, ``2 h 10 min``."""
    if value < 0.1:
        return "less than 0.1 s"
    if value < 9.95:
        return f"{value:.1f} s"
    return whole_seconds(round(value))


def _timeout(facts: a.NameFacts) -> str:
    assert facts.position is not None
    assert facts.waited_seconds is not None
    asked = f"waited {seconds(facts.waited_seconds)} for" if facts.waited_seconds else "did not wait for"
    place = (
        f"{ordinal(facts.position)} in the queue"
        if facts.position <= PLACES_COUNTED_MAX
        else f"behind more than {PLACES_COUNTED_MAX} others in the queue"
    )
    return f"{asked} {quoted(facts.name)}: {who_has(facts)}; {place}"


def _held_by_earlier_program(facts: a.NameFacts) -> str:
    first = facts.holders[0]
    label = f', "{shortened(safe(first.label), _LABEL_BYTES_SHOWN)}"' if first.label else ""
    program = shortened(safe(first.program), _PROGRAM_BYTES_SHOWN) or "?"
    return (
        f"{quoted(facts.name)} is held {_in_words(first.demand)} by an earlier program of this process (pid "
        f"{first.peer.pid}, {program}{label}) for {seconds(first.held_seconds)}, and would be as long as the process "
        "lives: inherited() takes it over, and so does INHERIT"
    )


def _deadlock(failed: a.Failed) -> str:
    first = failed.cycle[0]
    if failed.cycle_total == 1 and first.waiter == first.blocker and not first.is_queued:
        return (
            f"whoever asks for {quoted(first.name)} here has it already, {_in_words(first.blocker_demand)} for "
            f"{seconds(first.blocker_seconds)}, and would wait for itself"
        )
    shown = failed.cycle[:_STEPS_SHOWN_MAX]
    more = failed.cycle_total - len(shown)
    rest = f"; and {more} more {'step' if more == 1 else 'steps'}" if more else ""
    return f"to wait for {quoted(first.name)} would be to wait for ever: {circle(shown)}{rest}"


def _step(step: a.Step) -> str:
    wanted = f"{quoted(step.name, _NAME_BYTES_SHOWN_IN_STEP)} {_in_words(step.demand)}"
    has = "waits before it" if step.is_queued else f"holds it {_in_words(step.blocker_demand)}"
    return f"pid {step.waiter.pid} waits for {wanted}, and pid {step.blocker.pid} {has}"


def _in_words(demand: e.Demand) -> str:
    """Return ``demand`` as it is said behind "held" or "wanted"."""
    if isinstance(demand, Mode):
        return _MODE_WORDS[demand]
    return f"with {demand.permits} of its {demand.limit} permits"


def of_holder(holder: a.Holder) -> str:
    """Return in what way somebody holds a name, who it is, and for how long, as what follows "held"."""
    label = f', "{shortened(safe(holder.label), _LABEL_BYTES_SHOWN)}"' if holder.label else ""
    gone = "" if holder.is_attached else ", not connected at the moment"
    program = shortened(safe(holder.program), _PROGRAM_BYTES_SHOWN) or "?"
    since = seconds(holder.held_seconds)
    return f"{_in_words(holder.demand)} by pid {holder.peer.pid} ({program}{label}) for {since}{gone}"


def shortened(text: str, bytes_max: int) -> str:
    """Return ``text``, without its end where it would take more than ``bytes_max`` bytes of UTF-8."""
    encoded = text.encode()
    if len(encoded) <= bytes_max:
        return text
    kept = bytes_max - len("…".encode())
    # A character that was cut through is dropped.
    return encoded[:kept].decode(errors="ignore") + "…"
