"""How much there may be (rules B1, B2)."""

from __future__ import annotations

from typing import Final, NamedTuple

#: Places that are counted out for an answer. Counting is linear, and a hundred thousand waiters that time out together
#: must not cost a billion steps.
PLACES_COUNTED_MAX: Final = 1000

#: Holders that an answer names.
HOLDERS_NAMED_MAX: Final = 4

#: Waiters of one name that the graph shows, holders that it shows in the way of each, and holders among which it looks
#: for those. Nobody reads more, and somebody waits while it is drawn.
WAITERS_DRAWN_MAX: Final = 64
HOLDERS_DRAWN_MAX: Final = 4
HOLDERS_SEARCHED_MAX: Final = 1024

#: Steps of a deadlock that its refusal names: what a peer's outbox has room for, and what takes no longer to be named
#: than a long circle takes to be found. Of a change of the order the first few are told.
STEPS_NAMED_MAX: Final = 2000
STEPS_OF_REORDERING_MAX: Final = 8

#: Names of one request, and what they may grow to with the ancestors in a tree.
NAMES_ASKED_MAX: Final = 16
ITEMS_MAX: Final = 64

#: Levels of a name in a tree.
TREE_DEPTH_MAX: Final = 16

#: Permits of a semaphore.
LIMIT_MAX: Final = 1_000_000

#: Names that are remembered as abandoned.
ABANDONED_MAX: Final = 10_000

#: Losses that a session is told of until it has heard.
LOSSES_MAX: Final = 10_000

#: Of so many of them it is also remembered what was said (K2): all of it is in the one record of the session.
LOSS_DETAILS_MAX: Final = 100

#: Requests that one owner waits for at a time. An owner is a thread or a task, and waits for one as a rule. Each
#: further one is judged together with all the others, and thousands would keep everybody else waiting.
OWNER_WAITS_MAX: Final = 64

#: How far apart the places of waiters are, so that one can be moved between two others.
PLACE_STEP: Final = 1 << 20

#: A session id or token is an epoch above this many bits of counter.
COUNTER_BITS: Final = 32


class Quotas(NamedTuple):
    """What there may be at all, and what one uid may have of it. The configuration says why these are the defaults."""

    sessions_max: int = 10_000
    sessions_per_uid_max: int = 5_000
    grants_per_uid_max: int = 1_000_000
    waiters_per_uid_max: int = 200_000


DEFAULT_QUOTAS: Final = Quotas()


def used_up(who: str, limit: int, what: str, quota: str) -> str:
    """Return the sentence for somebody who wanted one more."""
    return f"{who} has all the {limit} {what} it may have ({quota})"
