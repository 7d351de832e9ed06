"""Takes over what another process holds, or what this one held when it was another program."""

from __future__ import annotations

from lockd_wire.errors import ErrorCode
from lockd_wire.limits import TEXT_BYTES_MAX
from lockd_wire.messages import Granted

from ._abandonment import abandonments
from ._facts import integer, maps, text
from ._grant import Grant
from ._owners import this_owner
from ._standing import Standing
from ._waiting import Waiting
from .errors import BadRequest, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lockd_wire.messages import Facts

    from ._ask import WireItem
    from ._session import Session


def adopt(
    session: Session,
    ticket: str,
    on_yield: Callable[[Grant], object] | None,
    on_lost: Callable[[Grant], object] | None,
) -> Grant:
    """Take over what a ticket was made for. `Client.adopt` says more."""
    waiting = Waiting()
    try:
        owner = this_owner()
        answer = session.adopt(waiting, owner, ticket)
        if not isinstance(answer, Granted):
            raise session.refusal(answer, "the ticket", None)
        grant, standing = _taken_over(session, waiting, owner, answer)
        standing.on_yield, standing.on_lost = on_yield, on_lost
        session.hold(waiting, grant, standing)
        return grant
    except BaseException:
        session.abandon(waiting)
        raise


def inherited(session: Session) -> list[Grant]:
    """Take over what earlier programs of this process have left behind. `Client.inherited` says more."""
    grants: list[Grant] = []
    try:
        while session.may_inherit:
            _inherit_next(session, grants)
        return grants
    except BaseException:
        for grant in grants:
            grant.release_after_all()
        raise


def _inherit_next(session: Session, grants: list[Grant]) -> None:
    """Add the next grant to ``grants``, or note that there is none."""
    waiting = Waiting()
    try:
        owner = this_owner()
        answer = session.inherit(waiting, owner)
        if isinstance(answer, Granted):
            grant, standing = _taken_over(session, waiting, owner, answer)
            session.hold(waiting, grant, standing)
            grants.append(grant)
        elif answer.code == ErrorCode.NOTHING_INHERITED:
            session.note_nothing_left()
        else:
            raise session.refusal(answer, "what this process held before", None)
    except BaseException:
        session.abandon(waiting)
        raise


def _taken_over(session: Session, waiting: Waiting, owner: int, answer: Granted) -> tuple[Grant, Standing]:
    """Return what somebody else had asked for, by what the daemon says of it."""
    facts = answer.facts
    items = _items_in(facts)
    if not items:
        raise ProtocolError("lockd did not say what was taken over")
    standing = Standing(answer.token, items, facts.get("tree") is True)
    return Grant(session, owner, waiting.id, standing, text(facts, "label"), abandonments(facts)), standing


def checked_ticket(ticket: object) -> str:
    """Return what can be a ticket. Raises BadRequest if it cannot."""
    if not isinstance(ticket, str):
        raise BadRequest(f"a ticket is a text, not {type(ticket).__name__}")
    if not ticket.isascii() or len(ticket) > TEXT_BYTES_MAX:
        raise BadRequest("this is no ticket: a ticket is what handover() returned, unchanged")
    return ticket


def _items_in(facts: Facts) -> tuple[WireItem, ...]:
    return tuple(
        [
            (text(item, "name"), text(item, "mode"))
            if text(item, "mode")
            else (text(item, "name"), integer(item, "permits"), integer(item, "limit"))
            for item in maps(facts, "items")
        ]
    )
