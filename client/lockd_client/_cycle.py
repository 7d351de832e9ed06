"""A deadlock in words: who waits for whom."""

from __future__ import annotations

import time

from lockd_wire.messages import STEP_FACTS

from . import _modes as modes
from ._facts import integer, maps, seconds, text
from ._words import count, quoted, since, who

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lockd_wire.messages import Facts, Failed
    from lockd_wire.messages import Step as StepFacts


#: Steps that a sentence tells of a longer circle: those from this thread on, and those that lead back to it.
_FIRST_STEPS = 30
_LAST_STEPS = 10


class Party:
    """One end of a step: who waits, or who is in the way."""

    __slots__ = ("label", "mode", "permits", "pid", "program", "uid")

    def __init__(self, facts: Mapping[str, object], prefix: str) -> None:
        self.pid = integer(facts, f"{prefix}pid")
        self.uid = integer(facts, f"{prefix}uid")
        #: What the program calls itself, and why it wants or has the name, the first 64 bytes of each: free text, never
        #: to be believed.
        self.program = text(facts, f"{prefix}program")
        self.label = text(facts, f"{prefix}label")
        #: In what mode it wants or has the name; empty for a semaphore.
        self.mode = modes.word_of(text(facts, f"{prefix}mode"))
        #: How many permits of a semaphore it wants or has; 0 for a lock.
        self.permits = integer(facts, f"{prefix}permits")

    @property
    def demand(self) -> str:
        """What it wants or has: ``exclusive``, ``2 permits``."""
        return self.mode or count(self.permits, "permit")

    def __str__(self) -> str:
        return who(self.pid, self.uid, self.program, self.label)


class Step:
    """One wait of a deadlock. As a text, a sentence that tells of it."""

    __slots__ = ("_seen_at", "blocked_seconds", "blocker", "is_queued", "name", "waiter")

    def __init__(self, facts: Mapping[str, object], seen_at: float) -> None:
        self._seen_at = seen_at
        #: What is waited for.
        self.name = text(facts, "name")
        #: Who waits.
        self.waiter = Party(facts, "")
        #: Who is in the way.
        self.blocker = Party(facts, "blocker_")
        #: Whether that one does not hold the name but waits for it as well, at an earlier place.
        self.is_queued = facts.get("queued") is True
        #: For how long it has held the name, or waited.
        self.blocked_seconds = seconds(facts, "seconds")

    @property
    def since(self) -> datetime:
        """Since when it has held the name, or waited, in local time."""
        from datetime import datetime

        return datetime.fromtimestamp(self._seen_at - self.blocked_seconds).astimezone()

    def __str__(self) -> str:
        does = "waits for it before that," if self.is_queued else "holds it,"
        return (
            f"{self.waiter} wants {quoted(self.name)}, {self.waiter.demand}, and {self.blocker} {does} "
            f"{self.blocker.demand}, since {since(self.since, self.blocked_seconds)}"
        )

    def __repr__(self) -> str:
        return f"<Step {self}>"


def steps_of(facts: Facts) -> tuple[Step, ...]:
    """Return the steps that an answer describes."""
    seen_at = time.time()
    return tuple([Step(each, seen_at) for each in maps(facts, "cycle")])


def with_steps(failed: Failed, told: Mapping[tuple[int, int], tuple[StepFacts, ...]]) -> Failed:
    """Return a refusal with all steps of its circle: those that it has itself, and behind them those that were ``told``
    ahead of it, each lot under the request that is refused and the position of the first of them."""
    cycle = failed.facts.get("cycle")
    if not isinstance(cycle, tuple):
        return failed
    while further := told.get((failed.id, len(cycle))):
        cycle += tuple([dict(zip(STEP_FACTS, step, strict=True)) for step in further])
    return failed._replace(facts={**failed.facts, "cycle": cycle})


def sentence_of(steps: tuple[Step, ...], steps_total: int, what: str) -> str:
    """Return why waiting for ``what`` would never end."""
    if steps_total == 1 and len(steps) == 1 and not steps[0].is_queued:
        step = steps[0]
        label = f" ({quoted(step.blocker.label)})" if step.blocker.label else ""
        return (
            f"this thread already holds {quoted(step.name)}{label} since {since(step.since, step.blocked_seconds)}: "
            "waiting for itself would never end. Release it first, let the code that needs it run inside the lock that "
            "is already held, or use rlock"
        )
    told = [*map(str, steps[:_FIRST_STEPS])]
    # What leads back to this thread is known if all of it is.
    last = steps[_FIRST_STEPS:][-_LAST_STEPS:] if steps_total == len(steps) else ()
    if more := steps_total - len(told) - len(last):
        told.append(f"{'then' if last else 'and'} {count(more, 'more step')}")
    told.extend(map(str, last))
    return (
        f"waiting for {what} would never end{': ' if told else ''}{'; '.join(told)}. This thread keeps what it holds: "
        "release that and try again, or take all that is needed at once with lock_all"
    )
