"""Grants that are held for long."""

from __future__ import annotations

from collections import deque
from typing import Final

from lockd.core.manager import LockManager
from lockd.core.state import Request
from lockd.logs import Event, fields, log
from lockd.reactor import Reactor
from lockd.sentences import seconds

from .people import facts_of, listed, names_of, who

#: What is told at a time. A program that keeps a hundred thousand locks is told of once, and not as often.
_TOLD_MAX: Final = 10

#: Grants in line that have ended meanwhile, and are not worth a clean-up.
_STALE_TOLERATED: Final = 64


class LongHolds:
    """Warns once of each grant that is held for longer than it ought to be, and tells when it ends after all.

    The grants stand in line in the order in which they are due, which is the order in which they were granted, and a
    timer runs for the first of them only: nothing is searched, and with nothing to warn of nobody is woken. Most end
    long before, and stay in line until it is their turn or there are too many of their kind.
    """

    def __init__(self, manager: LockManager, reactor: Reactor, limit_seconds: float) -> None:
        """Look at the grants of ``manager`` that have been there for so long."""
        self.total = 0
        self._manager = manager
        self._reactor = reactor
        self._limit_seconds = limit_seconds
        self._grants = manager.grants
        self._young: deque[Request] = deque()
        self._old: dict[int, Request] = {}
        self._is_timed = False

    def __len__(self) -> int:
        """How many there are now."""
        return len(self._old)

    def begin(self) -> None:
        """Take over those grants that there are already."""
        self._young.extend(sorted(self._grants.values(), key=_granted_at))
        self._set_timer()

    def granted(self, grant: Request, now: float) -> None:
        """There is one more."""
        young = self._young
        young.append(grant)
        if len(young) > 2 * len(self._grants) + _STALE_TOLERATED:
            self._young = deque(grant for grant in young if self._is_held(grant))
        if not self._is_timed:
            self._set_timer()

    def ended(self, grant: Request, now: float) -> None:
        """There is one less."""
        if self._old and self._old.pop(grant.token, None) is not None:
            log.info(
                "%s was held for %s by %s, and is no longer",
                listed(names_of(grant), sum(item.is_asked for item in grant.items)),
                seconds(now - _granted_at(grant)),
                who(grant),
                extra=fields(Event.LONG_HOLD_OVER, **facts_of(grant)),
            )

    def _set_timer(self) -> None:
        young = self._young
        while young and not self._is_held(young[0]):
            young.popleft()
        self._is_timed = bool(young)
        if young:
            self._reactor.call_at(_granted_at(young[0]) + self._limit_seconds, self._look)

    def _is_held(self, grant: Request) -> bool:
        return self._grants.get(grant.token) is grant

    def _look(self) -> None:
        now = self._reactor.clock()
        due = 0
        while self._young and _granted_at(self._young[0]) + self._limit_seconds <= now:
            grant = self._young.popleft()
            if not self._is_held(grant):
                continue
            self._old[grant.token] = grant
            due += 1
            if due <= _TOLD_MAX:
                self._tell(grant, now)
        self.total += due
        if due > _TOLD_MAX:
            more = due - _TOLD_MAX
            log.warning(
                "%d more grants have been held for %s or longer", more, seconds(self._limit_seconds),
                extra=fields(Event.LONG_HOLD),
            )  # fmt: skip
        self._set_timer()

    def _tell(self, grant: Request, now: float) -> None:
        resources = self._manager.resources
        waiters = sum(resources[item.name].waiters_total for item in grant.items if item.is_asked)
        log.warning(
            "%s has been held for %s by %s; %s",
            listed(names_of(grant), sum(item.is_asked for item in grant.items)),
            seconds(now - _granted_at(grant)),
            who(grant),
            f"{waiters} {'waits' if waiters == 1 else 'wait'} for it" if waiters else "nobody waits for it",
            extra=fields(Event.LONG_HOLD, **facts_of(grant), waiters=waiters),
        )


def _granted_at(grant: Request) -> float:
    assert grant.granted_at is not None
    return grant.granted_at
