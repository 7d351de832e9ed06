"""What the earlier programs of a process have left behind (rules P).

A process that becomes another program by exec is the same process to the kernel, so all that it held stays held. The
new program knows nothing of it, and would wait for itself.
"""

from __future__ import annotations

from . import sessions
from .actions import NameFacts, Reason
from .book import Book
from .bounds import HOLDERS_NAMED_MAX
from .events import Item
from .state import Owner, Request, Session
from .views import holder


def sessions_before(book: Book, session: Session) -> list[Session]:
    """Return the sessions of earlier programs of the process that has ``session`` (P1)."""
    same = book.processes.get((session.peer.pid, session.peer.process), {})
    return [other for other in same.values() if not other.is_attached and other.image != session.image]


def in_the_way(book: Book, request: Request) -> NameFacts | None:
    """Return who of an earlier program keeps ``request`` from ever being granted, or None (P2)."""
    found = sessions_before(book, request.session)
    for name, demand, _ in request.items if found else ():
        resource = book.names.resources.get(name)
        if resource is None:
            continue
        left = [grant for session in found for owner in session.owners.values() for grant in resource.held_by(owner)]
        own = sum(resource.amount(resource.demand_of(grant)) for grant in resource.held_by(request.owner))
        # What would be held still if everybody else had released. Permits of its own count against itself (M3).
        held = sum(resource.amount(resource.demand_of(grant)) for grant in left)
        held += own - resource.not_in_its_own_way(request.owner)
        if left and not resource.has_room(held, demand):
            holders = tuple(holder(resource, grant, book.now) for grant in left[:HOLDERS_NAMED_MAX])
            return NameFacts(name, holders, len(left), resource.waiters_total)
    return None


def take_over(book: Book, heir: Owner) -> None:
    """Let ``heir`` have all that the earlier programs of its process held, and end their sessions (P3).

    All of it at once: an owner may have two grants that go together in the same hands only (H4).
    """
    found = sessions_before(book, heir.session)
    left: list[Item] = []
    grants: list[Request] = []
    for session in found:
        for waiter in tuple(session.waiting.values()):
            book.dequeue(waiter)
            book.fail(waiter, Reason.CANCELLED)
            left += waiter.items
        grants += session.grants.values()
    for grant in sorted(grants, key=lambda grant: grant.token):
        left += grant.items
        book.change_hands(grant, heir, -grant.token)
    # Some of an earlier one may be there still.
    heir.session.unclaimed = dict(sorted(heir.session.unclaimed.items()))
    for session in found:
        # Whom it would have been told to is there no more.
        session.losses.clear()
        sessions.end_if_left_alone(book, session)
    book.look_through(left)
    for grant in grants:
        book.watch(grant)
