"""All that administrators are answered from."""

from __future__ import annotations

from typing import NamedTuple

from lockd.core.manager import LockManager

from .admin.share import Share
from .driver import Driver
from .keeper import Keeper
from .onlookers.history import History
from .onlookers.lookout import Lookout
from .reactor import Reactor


class Vitals(NamedTuple):
    """The parts of one daemon that can tell something, and what of its start is worth telling."""

    manager: LockManager
    keeper: Keeper
    reactor: Reactor
    driver: Driver
    history: History
    lookout: Lookout
    share: Share
    #: When the daemon began to take connections.
    started_at: float
    #: What the start took, from the first look at the journal until all processes were watched again.
    recovery_seconds: float
    #: Whether all that a daemon knew was lost since the machine started.
    was_state_lost: bool
