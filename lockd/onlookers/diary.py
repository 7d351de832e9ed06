"""What becomes of requests, for the log: what an administrator may be asked about."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from lockd.core.events import Permits
from lockd.core.modes import WRITING
from lockd.core.state import Request
from lockd.logs import Event, fields, log
from lockd.sentences import seconds

from .people import facts_of, listed, names_of, who


def tell_abandoned(grants: Iterable[Request]) -> None:
    """Tell of grants that ended with their sessions: one line for each session, however many it had."""
    for _, of_session in groupby(grants, key=lambda grant: grant.session.id):
        left = [grant for grant in of_session if _may_be_half_done(grant)]
        if not left:
            continue
        names = [item.name for grant in left for item in grant.items if item.is_asked]
        facts = facts_of(left[0]) | {"name": tuple(names[: len(names_of(left[0])) + 15])}
        log.warning(
            "%s ended without releasing %s: whoever is granted that next is told",
            who(left[0]),
            listed(names, len(names)),
            extra=fields(Event.ABANDONED, **facts),
        )


def tell_lease_taken(grant: Request, now: float) -> None:
    """Tell of a grant that was taken away."""
    assert grant.granted_at is not None
    log.warning(
        "took %s from %s, who had it for %s: its lease had run out and somebody waited",
        listed(names_of(grant), sum(item.is_asked for item in grant.items)),
        who(grant),
        seconds(now - grant.granted_at),
        extra=fields(Event.LEASE_TAKEN, **facts_of(grant)),
    )


def _may_be_half_done(grant: Request) -> bool:
    """Whether those that get the names next are told (rule A1)."""
    return any(item.is_asked and (isinstance(item.demand, Permits) or item.demand in WRITING) for item in grant.items)
