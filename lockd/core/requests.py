"""What becomes of a request: one function for each kind.

The order of the questions is the order in which the answers take precedence: what cannot be at all, what does not fit
what is there, what would be too much, and only then who is in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from . import actions as a
from . import earlier, sessions
from . import events as e
from .book import Book
from .bounds import OWNER_WAITS_MAX, used_up
from .deadlock import judge, judge_owner_of
from .faults import fault_of_acquire, fault_of_conversion, fault_of_hand_over, fault_of_tree
from .happenings import Happening
from .modes import Mode, covers
from .reasons import facts_of_try, facts_of_waiter
from .state import Conversion, Request, Session
from .trees import with_ancestors

# Looked up in its class a member of an enumeration takes as long as a call.
_RELEASED: Final = Happening.RELEASED


def acquire(book: Book, session: Session, event: e.Acquire) -> None:
    """Rules R, M, T and E."""
    items, fault = event.items, fault_of_acquire(event)
    if fault is None and event.is_tree:
        items = with_ancestors(event.items)
        fault = fault_of_tree(items)
    if fault is not None:
        _refuse(book, session, event.id, a.Reason.BAD_REQUEST, fault)
        return
    owner = session.owner(event.owner)
    request = Request(owner, event.id, items, event.terms, event.is_tree, book.now)
    # The usual thing, and then there is nothing that anybody could be in the way of.
    is_free = book.names.are_free(items)
    if not is_free and (mismatch := book.names.mismatch(items)) is not None:
        book.fail(request, mismatch[0], detail=mismatch[1])
    elif _is_at_its_quota(book, session):
        detail = used_up(f"uid {session.peer.uid}", book.quotas.grants_per_uid_max, "grants", "grants_per_uid_max")
        book.fail(request, a.Reason.QUOTA, detail=detail)
    elif is_free:
        book.grant(request)
        if request.terms is not e.NO_TERMS:
            book.watch(request)
    elif event.terms.is_reentrant and (grant := _covering_grant(book, request)) is not None:
        book.enter(grant, event.id)
    elif owner.grants_total and (own := book.names.own_obstacle(request)) is not None:
        book.fail_deadlocked(request, [(request, *own)])
    elif book.names.may_go_on_arrival(request):
        book.grant(request)
        book.watch(request)
    else:
        _wait(book, request)


def convert(book: Book, session: Session, event: e.Convert) -> None:
    """Rules C."""
    grant = _grant_of(book, session, event.token)
    if grant is None:
        _refuse(book, session, event.id, a.Reason.NOT_OWNER, _NOT_HELD)
        return
    fault = fault_of_conversion(grant)
    if fault is not None:
        _refuse(book, session, event.id, a.Reason.BAD_REQUEST, fault)
        return
    conversion = _conversion(grant, event, book.now)
    if book.names.obstacle(conversion) is None:
        before = grant.items
        book.convert(conversion)
        # What the old mode kept out may be let in by the new one.
        book.look_through(before)
        book.watch(grant)
    else:
        _wait(book, conversion)


def release(book: Book, session: Session, event: e.Release) -> None:
    """Rules W4, E2 and A2."""
    if session.losses:
        sessions.acknowledge(book, session, event.token)
    grant = _grant_of(book, session, event.token)
    if grant is not None:
        if grant.extras is not None and grant.extras.entries:
            # Whoever releases has read the answer to that one. Those that came later may still be cancelled.
            book.leave(grant, grant.id)
        else:
            book.abandoned.settle(grant)
            book.look_through(book.drop(grant, _RELEASED))
    if event.confirm:
        book.actions.append(a.Done(session.id, event.id))


def cancel(book: Book, session: Session, event: e.Cancel) -> None:
    """Rule W3."""
    if (waiter := session.waiting.get(event.request)) is not None:
        book.dequeue(waiter)
        book.fail(waiter, a.Reason.CANCELLED)
        book.look_through(waiter.items)
        return
    grant = session.grants.get(event.request) or session.entered.get(event.request)
    if grant is None:
        return
    if grant.entries:
        book.leave(grant, event.request)
    else:
        book.look_through(book.drop(grant, Happening.CANCELLED))


def hand_over(book: Book, session: Session, event: e.HandOver) -> None:
    """Rule H1."""
    grant = _grant_of(book, session, event.token)
    if grant is None:
        _refuse(book, session, event.id, a.Reason.NOT_OWNER, _NOT_HELD)
        return
    fault = fault_of_hand_over(book, grant)
    if fault is not None:
        _refuse(book, session, event.id, a.Reason.BAD_REQUEST, fault)
        return
    if not grant.ticket:
        grant.with_extras().ticket = event.ticket
        book.tickets[event.ticket] = grant
        book.changed_requests[grant] = None
    book.actions.append(a.TicketMade(session.id, event.id, grant.ticket))


def adopt(book: Book, session: Session, event: e.Adopt) -> None:
    """Rules H2 and H3."""
    grant = book.tickets.get(event.ticket)
    if grant is None:
        detail = "the ticket is not valid: it was used before, or whoever made it holds the lock no more"
        _refuse(book, session, event.id, a.Reason.NOT_OWNER, detail)
    elif grant.session.peer.uid != session.peer.uid:
        detail = f"the ticket was made by uid {grant.session.peer.uid}: only a process of that uid can use it"
        _refuse(book, session, event.id, a.Reason.NOT_OWNER, detail)
    elif (fault := fault_of_hand_over(book, grant)) is not None:
        _refuse(book, session, event.id, a.Reason.BAD_REQUEST, fault)
    else:
        heir = Request(session.owner(event.owner), event.id, grant.items, grant.terms, grant.is_tree, book.now)
        book.hand_to(heir, grant)
        # What conflicted between two owners may go together now that they are one.
        book.look_through(grant.items)
        book.watch(grant)


def inherit(book: Book, session: Session, event: e.Inherit) -> None:
    """Rules P3 and P4."""
    earlier.take_over(book, session.owner(event.owner))
    grant = next(iter(session.unclaimed.values()), None)
    if grant is None:
        detail = "no earlier program of this process has left anything behind"
        _refuse(book, session, event.id, a.Reason.NOTHING_INHERITED, detail)
    else:
        book.name_by(grant, event.id)
        book.tell_again(grant, event.id)
        book.remind(grant)


def query(book: Book, session: Session, event: e.Query) -> None:
    """Answer who has a name."""
    book.actions.append(a.State(session.id, event.id, book.facts(event.name)))


def malformed(book: Book, session: Session, event: e.Malformed) -> None:
    """Answer what is no request at all."""
    _refuse(book, session, event.id, a.Reason.BAD_REQUEST, event.detail)


def bye(book: Book, session: Session, event: e.Bye) -> None:
    """End the session. Whatever it holds counts as released."""
    sessions.end(book, session, a.EndReason.BYE)


_NOT_HELD: Final = "this session holds no grant with that token: it was released, lost or handed over, or never held"


def _wait(book: Book, request: Request) -> None:
    """Put a request that cannot go into line, unless it is a try, too much, or would wait for ever (R3, P2, D)."""
    if (facts := earlier.in_the_way(book, request)) is not None:
        book.fail(request, a.Reason.HELD_BY_EARLIER_PROGRAM, facts)
        return
    if request.terms.timeout_seconds == 0:
        book.fail(request, a.Reason.TIMEOUT, facts_of_try(book.names, request, book.now))
        return
    account, uid, most = request.session.account, request.session.peer.uid, book.quotas.waiters_per_uid_max
    if account.waiters >= most:
        detail = used_up(f"uid {uid}", most, "waiting requests", "waiters_per_uid_max")
        book.fail(request, a.Reason.QUOTA, detail=detail)
        return
    if len(request.owner.waiting) >= OWNER_WAITS_MAX:
        detail = f"owner {request.owner.id} waits for {OWNER_WAITS_MAX} other requests, the most at a time"
        book.fail(request, a.Reason.QUOTA, detail=detail)
        return
    book.enqueue(request)
    circle, moved = judge(request, book.names)
    if circle and not moved:
        book.dequeue(request)
        book.fail_deadlocked(request, circle)
        return
    book.note_reordering(circle, moved)
    book.look_through([item for waiter in moved for item in waiter.items])
    if request.id in request.session.waiting:
        book.happened.append((Happening.QUEUED, request))
        book.tell_those_before(request)
        if request.terms.wants_wait_notice:
            facts = facts_of_waiter(book.names, request, book.now)
            book.actions.append(a.Waiting(request.session.id, request.id, facts))


def judge_again(book: Book) -> None:
    """Look at those again that got something while they wait for something else (D7)."""
    # Whoever is granted something because of that joins the list meanwhile.
    for grant in book.to_judge:
        # What it has now is in its own way no more.
        book.look_through(grant.items)
        circle, moved = judge_owner_of(grant, book.names)
        while circle and not moved:
            waiter, _, _ = circle[0]
            book.dequeue(waiter)
            book.fail_deadlocked(waiter, circle)
            book.look_through(waiter.items)
            circle, moved = judge_owner_of(grant, book.names)
        book.note_reordering(circle, moved)
        book.look_through([item for waiter in moved for item in waiter.items])
    book.to_judge.clear()


def repeat(book: Book, session: Session, event: e.Request) -> bool:
    """Answer a request that came before, over another connection, and return whether that is all it needs (S9)."""
    if event.id in session.told:
        session.told.discard(event.id)
        return True
    if event.id in session.waiting:
        return True
    grant = session.grants.get(event.id) or session.entered.get(event.id)
    match event:
        case e.Acquire() | e.Adopt() | e.Inherit() if grant is not None:
            book.tell_again(grant, event.id)
        case e.Convert() if grant is not None:
            # It would wait under the id of a grant. Nobody who sends the same again does that.
            _refuse(book, session, event.id, a.Reason.BAD_REQUEST, f"request {event.id} was another one before")
        case e.Release():
            if event.confirm:
                book.actions.append(a.Done(session.id, event.id))
        case _:
            return False
    return True


def _conversion(grant: Request, event: e.Convert, now: float) -> Conversion:
    """Return a request for the names of a grant that are locks, in another mode."""
    items = tuple(
        item._replace(demand=event.mode)
        for item in grant.items
        if isinstance(item.demand, Mode) and (item.is_asked or not grant.is_tree)
    )
    if grant.is_tree:
        items = with_ancestors(items)
    # Shown to whoever waits for what is wanted now, for the reason for which the grant was wanted.
    terms = event.terms._replace(label=grant.terms.label)
    return Conversion(grant, event.id, items, terms, now)


def _covering_grant(book: Book, request: Request) -> Request | None:
    """Return a grant by which the owner has all that ``request`` asks for, or None (E1)."""
    resource = book.names.resources.get(request.items[0].name)
    grants = () if resource is None else resource.held_by(request.owner)
    return next((grant for grant in grants if _has(grant, request.items)), None)


def _has(grant: Request, items: tuple[e.Item, ...]) -> bool:
    held = {item.name: item.demand for item in grant.items}
    return not grant.ticket and all(_does(held.get(item.name), item.demand) for item in items)


def _does(held: e.Demand | None, demand: e.Demand) -> bool:
    if isinstance(held, Mode) and isinstance(demand, Mode):
        return covers(held, demand)
    if isinstance(held, e.Permits) and isinstance(demand, e.Permits):
        return held.limit == demand.limit and held.permits >= demand.permits
    return False


def _is_at_its_quota(book: Book, session: Session) -> bool:
    account = session.account
    # A waiter may become a grant at any moment, and a grant that is due cannot be refused any more.
    return account.grants + account.waiters >= book.quotas.grants_per_uid_max


def _grant_of(book: Book, session: Session, token: int) -> Request | None:
    grant = book.grants.get(token)
    return grant if grant is not None and grant.owner.session is session else None


def _refuse(book: Book, session: Session, request_id: int, reason: a.Reason, detail: str) -> None:
    book.failed_total[reason] += 1
    book.actions.append(a.Failed(session.id, request_id, reason, detail=detail))


#: What handles what.
HANDLERS: Final[Mapping[type[e.Request], Callable[[Book, Session, Any], None]]] = {
    e.Acquire: acquire,
    e.Convert: convert,
    e.Release: release,
    e.Cancel: cancel,
    e.HandOver: hand_over,
    e.Adopt: adopt,
    e.Inherit: inherit,
    e.Query: query,
    e.Malformed: malformed,
    e.Bye: bye,
}
