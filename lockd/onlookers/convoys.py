"""Convoys: names whose queues grow."""

from __future__ import annotations

from typing import Final

from lockd.core.manager import LockManager
from lockd.core.resources import Resource
from lockd.core.state import Request
from lockd.logs import Event, fields, log
from lockd.sentences import quoted, seconds

from .people import holders_of

#: A name whose queue comes and goes is told of once in this time.
_QUIET_SECONDS: Final = 60.0

#: Names of which it is remembered when they were told of.
_REMEMBERED_MAX: Final = 1024


class _Convoy:
    __slots__ = ("is_told", "longest", "next_length", "since")

    def __init__(self, length: int, since: float, is_told: bool) -> None:
        self.next_length = 2 * length
        self.since = since
        self.longest = length
        self.is_told = is_told


class Convoys:
    """Warns when a queue gets long, again each time it has doubled, and tells when that is over."""

    def __init__(self, manager: LockManager, length: int) -> None:
        """Look at the names of ``manager``. A queue of ``length`` is a convoy, which is over when half of that is
        left."""
        self.total = 0
        self._manager = manager
        self._length = length
        self._convoys: dict[str, _Convoy] = {}
        # When it was told for the last time that one is over.
        self._ended_at: dict[str, float] = {}

    def __len__(self) -> int:
        """How many there are now."""
        return len(self._convoys)

    def queued(self, request: Request, now: float) -> None:
        """A request begins to wait."""
        resources = self._manager.resources
        for item in request.items:
            resource = resources.get(item.name)
            if resource is not None and resource.waiters_total >= self._length:
                self._grown(resource, now)

    def waited(self, request: Request, now: float) -> None:
        """The wait of a request is over, or nobody need be there who has waited."""
        if not self._convoys:
            return
        resources = self._manager.resources
        for item in request.items:
            if item.name in self._convoys:
                resource = resources.get(item.name)
                if resource is None or resource.waiters_total <= self._length // 2:
                    self._dissolved(item.name, now)

    def _grown(self, resource: Resource, now: float) -> None:
        length, convoy = resource.waiters_total, self._convoys.get(resource.name)
        if convoy is None:
            self.total += 1
            ended_at = self._ended_at.get(resource.name)
            is_told = ended_at is None or now - ended_at >= _QUIET_SECONDS
            convoy = self._convoys[resource.name] = _Convoy(self._length, now, is_told)
        elif length >= convoy.next_length:
            convoy.next_length *= 2
            is_told = convoy.is_told = True
        else:
            is_told = False
        convoy.longest = max(convoy.longest, length)
        if is_told:
            _warn(resource, now)

    def _dissolved(self, name: str, now: float) -> None:
        convoy = self._convoys.pop(name)
        if not convoy.is_told:
            return
        self._ended_at.pop(name, None)
        self._ended_at[name] = now
        if len(self._ended_at) > _REMEMBERED_MAX:
            # All but the latest half at once: the front of a dict that is emptied one by one is slow to find.
            for old in list(self._ended_at)[: _REMEMBERED_MAX // 2]:
                del self._ended_at[old]
        log.info(
            "the queue for %s is short again, after %s with up to %d requests",
            quoted(name),
            seconds(now - convoy.since),
            convoy.longest,
            extra=fields(Event.CONVOY_OVER, name=name, waiters=convoy.longest),
        )


def _warn(resource: Resource, now: float) -> None:
    facts: dict[str, str | int] = {"name": resource.name, "waiters": resource.waiters_total}
    holder = next(iter(resource.holders.values()), None)
    if holder is not None:
        facts |= {"pid": holder.session.peer.pid, "uid": holder.session.peer.uid, "token": holder.token}
    log.warning(
        "%d requests wait for %s, %s",
        resource.waiters_total,
        quoted(resource.name),
        holders_of(resource, now),
        extra=fields(Event.CONVOY, **facts),
    )
