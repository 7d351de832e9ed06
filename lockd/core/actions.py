"""Everything the lock manager asks the shell to do, and the facts it gives with it."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, TypeAlias

from .events import Demand, Item, Peer


class Reason(StrEnum):
    """Why a request did not get through."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    DEADLOCK = "deadlock"
    BAD_REQUEST = "bad_request"
    QUOTA = "quota"
    NOT_OWNER = "not_owner"
    KIND_MISMATCH = "kind_mismatch"
    LIMIT_MISMATCH = "limit_mismatch"
    HELD_BY_EARLIER_PROGRAM = "held_by_earlier_program"
    NOTHING_INHERITED = "nothing_inherited"


class EndReason(StrEnum):
    """Why a session ended."""

    BYE = "bye"
    EOF = "eof"
    PROCESS_EXITED = "process exited"
    IDLE_DETACHED = "detached with nothing left"


class LossReason(StrEnum):
    """Why a grant is its holder's no more, though the holder has not released it."""

    LEASE = "lease"
    HANDED_OVER = "handed_over"
    BROKEN = "broken"


class Loss(NamedTuple):
    """Why a grant was lost. ``detail`` is what the administrator said who broke it (K2)."""

    reason: LossReason
    detail: str = ""


class Holder(NamedTuple):
    """One grant of a name, as others may know it."""

    peer: Peer
    program: str
    label: str
    demand: Demand
    held_seconds: float
    token: int
    is_attached: bool


class Step(NamedTuple):
    """One step of a deadlock: who waits, for which name and how, and who is in the way.

    ``blocker_demand`` is what that one holds, or, if ``is_queued``, what it waits for at an earlier place;
    ``blocker_seconds`` is since when.
    """

    name: str
    waiter: Peer
    waiter_program: str
    waiter_label: str
    demand: Demand
    blocker: Peer
    blocker_program: str
    blocker_label: str
    blocker_demand: Demand
    blocker_seconds: float
    is_queued: bool


class NameFacts(NamedTuple):
    """Who has a name and who wants it.

    ``holders`` are the first few, ``position`` and ``waited_seconds`` those of the request that is answered.
    """

    name: str
    holders: tuple[Holder, ...]
    holders_total: int
    waiters_total: int
    position: int | None = None
    waited_seconds: float | None = None


class Abandonment(NamedTuple):
    """Who had a name last and did not release it: what the name stands for may be half done."""

    name: str
    peer: Peer
    program: str
    label: str
    ago_seconds: float


class Opened(NamedTuple):
    """The session exists from now on."""

    session: int


class Refused(NamedTuple):
    """No session was opened, because of a bound; ``detail`` names it."""

    detail: str


class Resumed(NamedTuple):
    """The session has a connection again. ``covered`` is the greatest request id of it that has had its effect."""

    session: int
    covered: int


class NotResumed(NamedTuple):
    """There is no such session, or it is somebody else's."""

    session: int


class Granted(NamedTuple):
    """The request got through. ``abandoned`` has an entry for each name that was abandoned before.

    ``items``, ``label`` and ``is_tree`` tell of an adopted or inherited grant what it is for, which whoever gets it did
    not say.
    """

    session: int
    id: int
    token: int
    abandoned: tuple[Abandonment, ...] = ()
    items: tuple[Item, ...] = ()
    label: str = ""
    is_tree: bool = False


class Failed(NamedTuple):
    """The request did not get through.

    ``facts`` is there for TIMEOUT, and for HELD_BY_EARLIER_PROGRAM, where ``holders`` are of earlier programs alone.
    DEADLOCK has the steps of the circle in ``cycle``, beginning with the request itself, and how many there are: more
    than that only of a circle that is longer than the bound.
    ``detail`` says more for the others.
    """

    session: int
    id: int
    reason: Reason
    facts: NameFacts | None = None
    detail: str = ""
    cycle: tuple[Step, ...] = ()
    cycle_total: int = 0


class Done(NamedTuple):
    """The request has taken effect."""

    session: int
    id: int


class TicketMade(NamedTuple):
    """The grant can be had for the ticket."""

    session: int
    id: int
    ticket: str


class State(NamedTuple):
    """The answer to a Query."""

    session: int
    id: int
    facts: NameFacts


class Waiting(NamedTuple):
    """A notice: the request ``id`` has to wait, for the reason in ``facts``."""

    session: int
    id: int
    facts: NameFacts


class YieldRequested(NamedTuple):
    """A notice: somebody waits behind the grant ``token``."""

    session: int
    token: int
    facts: NameFacts


class Lost(NamedTuple):
    """A notice: the grant ``token`` is the session's no more."""

    session: int
    token: int
    reason: LossReason
    detail: str = ""


class Broken(NamedTuple):
    """The answer to a Break: which of the grants there were, and are no more."""

    tokens: tuple[int, ...]


class Reordered(NamedTuple):
    """For the log: a request was moved ahead in its queues, because everybody would have waited for ever otherwise."""

    session: int
    id: int
    cycle: tuple[Step, ...]


class Misbehaved(NamedTuple):
    """The peer broke the order of messages: its connection has to end.

    The session goes on until the shell says Disconnected.
    """

    session: int
    detail: str


class SessionEnded(NamedTuple):
    """The session is gone, and all it held is free. Whatever connection it has may be closed."""

    session: int
    reason: EndReason


#: What answers one request.
Answer: TypeAlias = Granted | Failed | Done | TicketMade | State
#: What a session is told unasked.
Notice: TypeAlias = Waiting | YieldRequested | Lost
Action: TypeAlias = (
    Opened | Resumed | NotResumed | Refused | Answer | Notice | Broken | Reordered | Misbehaved | SessionEnded
)
