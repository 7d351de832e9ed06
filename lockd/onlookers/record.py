"""What has become of a request, as something that stays as it is: requests change with the next event."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from lockd.core.events import Item, Peer, Terms
from lockd.core.happenings import Happening
from lockd.core.state import Request
from lockd.translate import facts_of_demand
from lockd_wire import messages as m

#: The fields of a `Record`. To make one of those takes as long again, and this is made for every release.
Note: TypeAlias = tuple[float, Happening, tuple[Item, ...], Peer, str, Terms, int, float, float | None]


class Record(NamedTuple):
    """One happening."""

    at: float
    what: Happening
    #: Those of the request's that are of interest.
    items: tuple[Item, ...]
    peer: Peer
    program: str
    terms: Terms
    #: 0 unless it is a grant.
    token: int
    queued_at: float
    granted_at: float | None

    def facts(self, item: Item, now: float) -> dict[str, m.Scalar | dict[str, m.Scalar]]:
        """Return what has become of one of the items, as the protocol writes it."""
        granted_at = self.granted_at
        return {
            "name": item.name,
            "what": self.what.value,
            "ago_seconds": now - self.at,
            "pid": self.peer.pid,
            "uid": self.peer.uid,
            "program": self.program,
            "label": self.terms.label,
            **facts_of_demand(item.demand),
            "token": self.token,
            "waited_seconds": (self.at if granted_at is None else granted_at) - self.queued_at,
            "held_seconds": None if granted_at is None else self.at - granted_at,
        }


def note(what: Happening, request: Request, items: tuple[Item, ...], now: float) -> Note:
    """Write down what has just become of a request, and of which of its items."""
    session = request.owner.session
    # Not the session itself: it would stay in memory for as long as the note.
    return (
        now,
        what,
        items,
        session.peer,
        session.program,
        request.terms,
        request.token,
        request.queued_at,
        request.granted_at,
    )
