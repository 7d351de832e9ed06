"""Those who hold a lock, as the daemon describes them to somebody who does not get it."""

from __future__ import annotations

from . import _modes as modes
from ._facts import integer, maps, seconds, text
from ._words import count, listed, since, who

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lockd_wire.messages import Facts


class Holder:
    """One who holds a lock, as it was at the moment of the answer."""

    __slots__ = ("_seen_at", "attached", "held_seconds", "label", "mode", "permits", "pid", "program", "token", "uid")

    def __init__(self, facts: Mapping[str, object], seen_at: float) -> None:
        self._seen_at = seen_at
        self.pid = integer(facts, "pid")
        self.uid = integer(facts, "uid")
        #: What the program calls itself: free text, never to be believed.
        self.program = text(facts, "program")
        #: Why it holds the lock, in its own words.
        self.label = text(facts, "label")
        #: "exclusive" or "shared", say; empty for a semaphore.
        self.mode = modes.word_of(text(facts, "mode"))
        #: How many permits of a semaphore it holds; 0 for a lock.
        self.permits = integer(facts, "permits")
        self.held_seconds = seconds(facts, "held_seconds")
        self.token = integer(facts, "token")
        #: Whether its process is connected to the daemon now. It holds the lock in any case.
        self.attached = facts.get("attached") is not False

    @property
    def since(self) -> datetime:
        """When it got the lock, in local time."""
        from datetime import datetime

        return datetime.fromtimestamp(self._seen_at - self.held_seconds).astimezone()

    def __str__(self) -> str:
        described = who(self.pid, self.uid, self.program, self.label, "" if self.attached else "not connected")
        return f"{described} since {self.since_words()}"

    def since_words(self) -> str:
        """Return ``14:02:33, 42 s ago``, with the date if that was not today."""
        return since(self.since, self.held_seconds)

    def __repr__(self) -> str:
        return f"<Holder {self}, {self.mode or count(self.permits, 'permit')}>"


def holders_of(facts: Facts, seen_at: float) -> tuple[Holder, ...]:
    """Return the holders that an answer describes."""
    return tuple([Holder(each, seen_at) for each in maps(facts, "holders")])


def who_holds(holders: tuple[Holder, ...], holders_total: int) -> str:
    """Return who holds a lock and how, in words that follow its name, or nothing if nobody does."""
    if not holders:
        return ""
    named = [str(holder) for holder in holders]
    more = holders_total - len(holders)
    if more > 0:
        named.append(count(more, "other"))
    mode = holders[0].mode
    # Those of a tree may hold it in modes that differ.
    how = modes.held(mode) if mode and all(holder.mode == mode for holder in holders) else "held"
    return f"{how} by {listed(named)}"
