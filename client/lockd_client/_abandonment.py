"""Names that were left in the middle of something."""

from __future__ import annotations

import time

from ._facts import integer, maps, seconds, text
from ._words import quoted, since, who

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from lockd_wire.messages import Facts


class Abandonment:
    """Who held a name last and did not release it, because it died or lost it. As a text, a sentence that says so."""

    __slots__ = ("_seen_at", "ago_seconds", "label", "name", "pid", "program", "uid")

    def __init__(self, facts: Mapping[str, object], seen_at: float) -> None:
        self._seen_at = seen_at
        self.name = text(facts, "name")
        self.pid = integer(facts, "pid")
        self.uid = integer(facts, "uid")
        #: What the program called itself, and why it held the name, the first 64 bytes of each: free text, never to be
        #: believed.
        self.program = text(facts, "program")
        self.label = text(facts, "label")
        #: How long ago that was, when this was granted.
        self.ago_seconds = seconds(facts, "ago_seconds")

    @property
    def left_at(self) -> datetime:
        """When it was, in local time."""
        from datetime import datetime

        return datetime.fromtimestamp(self._seen_at - self.ago_seconds).astimezone()

    def __str__(self) -> str:
        described = who(self.pid, self.uid, self.program, self.label)
        return f"{quoted(self.name)} was left by {described} at {since(self.left_at, self.ago_seconds)}"

    def __repr__(self) -> str:
        return f"<Abandonment {self}>"


def abandonments(facts: Facts) -> tuple[Abandonment, ...]:
    """Return the names that an answer says were left."""
    seen_at = time.time()
    return tuple([Abandonment(each, seen_at) for each in maps(facts, "abandoned")])
