"""Requests that were refused for a reason that an administrator may be asked about, for the log."""

from __future__ import annotations

from typing import Final

from lockd.core import actions as a
from lockd.core.state import Session
from lockd.logs import Event, fields, log, safe
from lockd.sentences import circle

#: A program that runs against its quota does so again and again. It is told of once in this time.
_QUIET_SECONDS: Final = 60.0

#: Steps of a deadlock that are told: nobody looks for more in a log.
_STEPS_TOLD_MAX: Final = 8

#: Uids of which it is remembered when they were told of.
_REMEMBERED_MAX: Final = 1024


def tell_deadlock(failed: a.Failed) -> None:
    """Tell of a request that would have waited for ever, with the circle."""
    told = failed.cycle[:_STEPS_TOLD_MAX]
    first, more = told[0], failed.cycle_total - len(told)
    log.warning(
        "refused a request that would have closed a deadlock: %s%s",
        circle(told),
        f"; and {more} more" if more else "",
        extra=fields(
            Event.DEADLOCK,
            name=tuple(dict.fromkeys(step.name for step in told)),
            pid=tuple(dict.fromkeys(str(step.waiter.pid) for step in told)),
            uid=first.waiter.uid,
            program=first.waiter_program,
            label=first.waiter_label,
            session=failed.session,
        ),
    )


def tell_reordered(reordered: a.Reordered) -> None:
    """Tell of a waiter that was moved ahead."""
    steps = reordered.cycle
    log.info(
        "moved a waiter ahead of its turn to end a deadlock: %s",
        circle(steps),
        extra=fields(
            Event.REORDERED,
            name=tuple(dict.fromkeys(step.name for step in steps)),
            pid=tuple(dict.fromkeys(str(step.waiter.pid) for step in steps)),
            session=reordered.session,
        ),
    )


class QuotaDiary:
    """Tells of requests that would have been too much, each uid once in a while."""

    def __init__(self) -> None:
        self._told_at: dict[int, float] = {}
        self._untold: dict[int, int] = {}

    def tell(self, failed: a.Failed, session: Session | None, now: float) -> None:
        """Tell of one, unless another one of its uid was told of just now: then it is counted."""
        if session is None:
            return
        uid, pid = session.peer.uid, session.peer.pid
        told_at = self._told_at.get(uid)
        if told_at is not None and now - told_at < _QUIET_SECONDS:
            self._untold[uid] = self._untold.get(uid, 0) + 1
            return
        if len(self._told_at) >= _REMEMBERED_MAX:
            self._told_at.clear()
            self._untold.clear()
        self._told_at[uid] = now
        more = self._untold.pop(uid, 0)
        log.warning(
            "refused a request of pid %d (%s), uid %d: %s%s",
            pid,
            safe(session.program) or "?",
            uid,
            failed.detail,
            f"; so were {more} more of this uid since this was told last" if more else "",
            extra=fields(Event.QUOTA, pid=pid, uid=uid, program=session.program, session=session.id),
        )
