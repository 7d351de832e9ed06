"""What can become of a request, as onlookers are told it (rules O)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from .actions import LossReason, Reason


class Happening(StrEnum):
    """What became of a request, for whoever looks on."""

    #: It waits.
    QUEUED = "queued"
    #: It is a grant from now on.
    GRANTED = "granted"
    #: The grant has another mode.
    CONVERTED = "converted"
    #: The grant is another owner's.
    HANDED_OVER = "handed over"
    #: The grant ended in order.
    RELEASED = "released"
    #: The grant ended without a release: its session did.
    ABANDONED = "abandoned"
    #: The grant ended because its lease had run out and somebody waited.
    LEASE_TAKEN = "lease taken"
    #: The grant ended because an administrator took it away.
    BROKEN = "broken"
    #: It was taken back: a waiter, or a grant whose holder had not heard of it.
    CANCELLED = "cancelled"
    #: It waited as long as it wanted to, or was a try.
    TIMED_OUT = "timed out"
    #: It would have waited for ever.
    DEADLOCKED = "deadlocked"
    #: It cannot be, does not fit, or would be too much.
    REFUSED = "refused"
    #: It was in line when its session ended.
    LEFT = "left"
    #: It was moved ahead in its queues, because everybody would have waited for ever otherwise.
    REORDERED = "reordered"


#: What becomes of a grant that is taken away.
OF_LOSS: Final[Mapping[LossReason, Happening]] = {
    LossReason.LEASE: Happening.LEASE_TAKEN,
    LossReason.BROKEN: Happening.BROKEN,
}

_OF_FAILURE: Final[Mapping[Reason, Happening]] = {
    Reason.TIMEOUT: Happening.TIMED_OUT,
    Reason.CANCELLED: Happening.CANCELLED,
    Reason.DEADLOCK: Happening.DEADLOCKED,
}


def of_failure(reason: Reason) -> Happening:
    """Return what becomes of a request that does not get through."""
    return _OF_FAILURE.get(reason, Happening.REFUSED)
