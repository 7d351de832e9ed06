"""What somebody has to wait for."""

from __future__ import annotations

import time

from lockd_wire.words import ordinal

from ._facts import integer, text
from ._holders import holders_of, who_holds
from ._words import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lockd_wire.messages import Facts


class Wait:
    """What a request has to wait for, as it was when it joined the queue. As a text, a sentence that says it."""

    __slots__ = ("holders", "holders_total", "name", "position", "waiters_total")

    def __init__(self, facts: Facts) -> None:
        self.name = text(facts, "name")
        #: Who holds it: the first few, those that came first in front.
        self.holders = holders_of(facts, time.time())
        #: How many hold it.
        self.holders_total = max(integer(facts, "holders_total"), len(self.holders))
        #: The place in the queue: 1 is the next to be served.
        self.position = integer(facts, "position")
        #: How many wait for it, this request included.
        self.waiters_total = integer(facts, "waiters_total")

    @property
    def held(self) -> str:
        """Who holds it and how, in words that follow its name."""
        return who_holds(self.holders, self.holders_total) or "nobody holds it, but others came first"

    def __str__(self) -> str:
        return f"waiting for {quoted(self.name)}: {self.held}; {ordinal(self.position)} in the queue"

    def __repr__(self) -> str:
        return f"<Wait {self}>"
