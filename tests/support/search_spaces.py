"""What a few processes can do, for `search`: the spaces, and the moves from each of their states."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from lockd.core import events as e
from lockd.core.bounds import COUNTER_BITS
from lockd.core.manager import LockManager
from lockd.core.modes import Mode
from lockd.core.state import Owner, Session

from .words import MODE_WORDS, in_words

#: Grants with which an owner asks for no more.
_GRANTS_MAX = 2

#: What tells a program from the one that its process was before.
FIRST_IMAGE = "first"
_OTHER_IMAGE = {FIRST_IMAGE: "other", "other": FIRST_IMAGE}

#: The window, each timeout and each lease. That all are alike lets many things fall due together.
PERIOD_SECONDS = 1.0


class Ask(NamedTuple):
    """Something to ask for."""

    items: tuple[e.Item, ...]
    terms: e.Terms = e.NO_TERMS
    is_tree: bool = False


class Space(NamedTuple):
    """How many processes there are, of how many owners each, and what these do.

    ``modes`` are those to which they convert what they hold. An owner with ``waits_max`` of 1 is like a thread, which
    does nothing while it waits but to cancel that; one with more goes on and may wait for several things at a time.
    A process that lost its connection may come back over another one (``comes_back``), and as another program
    (``execs``), which inherits.
    ``share`` is the part of a search that this space is worth.
    """

    name: str
    asks: tuple[Ask, ...]
    modes: tuple[Mode, ...]
    share: float
    processes: int = 3
    owners: int = 1
    waits_max: int = 1
    hands_over: bool = False
    breaks: bool = False
    comes_back: bool = False
    execs: bool = False


class Move(NamedTuple):
    """Something that happens, so many seconds after what happened before."""

    event: e.Event
    after: float = 0.0

    def told(self) -> str:
        """Return the move as it is written in a scenario, which is what to make of a way that leads to a defect."""
        at = f"@+{self.after:g} " if self.after else ""
        return at + _told(self.event)


def _ask(
    *wanted: tuple[str, e.Demand],
    tree: bool = False,
    timeout: float | None = None,
    reentrant: bool = False,
    lease: float | None = None,
    yields: bool = False,
) -> Ask:
    terms = e.Terms("", timeout, reentrant, lease, yields)
    return Ask(tuple(e.Item(*pair) for pair in wanted), terms, tree)


_X, _SIX, _U, _S, _IX, _IS = Mode

SPACES = (
    Space(
        "two locks in all modes",
        (
            *(_ask(wanted) for wanted in product("ab", Mode)),
            _ask(("a", _X), ("b", _S)),
            _ask(("a", _S), ("b", _U)),
            _ask(("a", _IX), ("b", _X)),
        ),
        tuple(Mode),
        share=0.3,
    ),
    Space(
        "a lock and a semaphore",
        (
            *(_ask(("a", mode)) for mode in (_X, _S, _U)),
            *(_ask(("s", e.Permits(permits, 2))) for permits in (1, 2)),
            *(_ask(("a", mode), ("s", e.Permits(permits, 2))) for mode in (_X, _S) for permits in (1, 2)),
        ),
        (_X, _S, _U),
        share=0.15,
    ),
    Space(
        "a tree",
        tuple(_ask((name, mode), tree=True) for name in ("a", "a/b", "a/c") for mode in (_X, _S, _U)),
        (_X, _S),
        share=0.15,
    ),
    Space(
        "two processes of two threads",
        (*(_ask((name, mode)) for name in "ab" for mode in (_X, _S, _U)), _ask(("a", _X), ("b", _S))),
        (_X, _S),
        share=0.1,
        processes=2,
        owners=2,
    ),
    Space(
        "owners that wait for several things, and hand over",
        (
            *(_ask((name, mode)) for name in "ab" for mode in (_X, _S)),
            _ask(("a", _X), ("b", _X)),
            _ask(("s", e.Permits(1, 2))),
        ),
        (_X, _S),
        share=0.1,
        waits_max=2,
        hands_over=True,
        breaks=True,
        comes_back=True,
    ),
    Space(
        "timeouts, tries, leases and re-entry",
        (
            _ask(("a", _X), timeout=PERIOD_SECONDS),
            _ask(("a", _S), reentrant=True),
            _ask(("a", _X), reentrant=True, lease=PERIOD_SECONDS),
            _ask(("a", _S), yields=True, timeout=PERIOD_SECONDS),
            _ask(("b", _X), timeout=0),
            _ask(("b", _S), lease=PERIOD_SECONDS, yields=True),
            _ask(("a", _S), ("b", _X)),
        ),
        (_X, _S),
        share=0.1,
        breaks=True,
    ),
    Space(
        "programs that come back, or become others",
        (
            *(_ask((name, mode)) for name in "ab" for mode in (_X, _S)),
            _ask(("a", _S), ("b", _X)),
            _ask(("s", e.Permits(1, 2))),
        ),
        (_X, _S),
        share=0.1,
        processes=2,
        comes_back=True,
        execs=True,
    ),
)


def moves(manager: LockManager, now: float, space: Space) -> Iterator[Move]:
    """Return everything that can happen next."""
    if manager.next_deadline() is not None or any(
        _has_young_lease(session, now) for session in manager.sessions.values()
    ):
        yield Move(e.Tick(), PERIOD_SECONDS)
    if space.breaks:
        yield from (Move(e.Break((token,))) for token in manager.grants)
    for session in manager.sessions.values():
        yield Move(e.ProcessExited(session.id))
        if session.is_attached:
            inherits = space.execs and bool(session.unclaimed or earlier_programs(manager, session))
            yield from _moves_of(session, space, list(manager.tickets), inherits=inherits)
        elif space.comes_back:
            yield Move(e.Resume(session.id, session.peer))
    if space.execs:
        yield from _execs(manager)


def earlier_programs(manager: LockManager, session: Session) -> list[Session]:
    """Return the sessions of the programs that the process of this one was before, as P1 has it."""
    return [
        other
        for other in manager.sessions.values()
        if other.peer == session.peer and other.image != session.image and not other.is_attached
    ]


def _execs(manager: LockManager) -> Iterator[Move]:
    """Let the processes that have lost their connection come back as another program, each once at a time."""
    images: dict[e.Peer, list[str]] = {}
    for session in manager.sessions.values():
        images.setdefault(session.peer, []).append("" if session.is_attached else session.image)
    for peer, known in images.items():
        if len(known) == 1 and known[0]:
            yield Move(e.OpenSession(peer, "", False, _OTHER_IMAGE[known[0]]))


def _has_young_lease(session: Session, now: float) -> bool:
    return any(
        grant.terms.lease_seconds is not None and now - (grant.granted_at or 0.0) < grant.terms.lease_seconds
        for grant in session.grants.values()
    )


def _moves_of(session: Session, space: Space, tickets: list[str], *, inherits: bool) -> Iterator[Move]:
    # Whoever has nothing ends with its connection, and that is a way to end like the other.
    if not session.is_idle:
        yield Move(e.Disconnected(session.id))
    request = session.last_request + 1
    for waiter in session.waiting:
        yield Move(e.Cancel(session.id, request, waiter))
    for owner_id in range(1, space.owners + 1):
        owner = session.owner(owner_id)
        if owner.waiting and space.waits_max == 1:
            continue
        yield from _moves_with_grants(owner, request, space)
        if len(owner.waiting) < space.waits_max:
            if inherits:
                yield Move(e.Inherit(session.id, request, owner_id))
            for ticket in tickets:
                yield Move(e.Adopt(session.id, request, owner_id, ticket))
            if owner.grants_total < _GRANTS_MAX:
                for ask in space.asks:
                    yield Move(e.Acquire(session.id, request, owner_id, ask.items, ask.terms, ask.is_tree))


def _moves_with_grants(owner: Owner, request: int, space: Space) -> Iterator[Move]:
    session = owner.session.id
    for grant in owner.session.grants.values():
        if grant.owner is not owner:
            continue
        yield Move(e.Release(session, request, grant.token, False))
        for entry in (grant.id, *(grant.entries or ())):
            # What has not been asked for yet is known by no request (P4).
            if entry > 0:
                yield Move(e.Cancel(session, request, entry))
        for mode in space.modes:
            yield Move(e.Convert(session, request, grant.token, mode, e.NO_TERMS))
        if space.hands_over and not grant.ticket:
            yield Move(e.HandOver(session, request, grant.token, f"t{_counted(grant.token)}"))


def _told(event: e.Event) -> str:
    match event:
        case e.Acquire():
            wanted = ", ".join(f"{item.name} {in_words(item.demand)}" for item in event.items)
            return f"p{_counted(event.session)}> acquire {wanted}{_terms(event)}"
        case e.Convert():
            return f"p{_counted(event.session)}> convert #{_counted(event.token)} {MODE_WORDS[event.mode]}"
        case e.Release():
            return f"p{_counted(event.session)}> release #{_counted(event.token)}"
        case e.Cancel():
            return f"p{_counted(event.session)}> cancel {event.request}"
        case e.HandOver():
            return f"p{_counted(event.session)}> handover #{_counted(event.token)} ticket {event.ticket}"
        case e.Adopt():
            return f"p{_counted(event.session)}> adopt ticket {event.ticket} owner {event.owner}"
        case e.Inherit():
            return f"p{_counted(event.session)}> inherit owner {event.owner}"
        case e.OpenSession():
            return f"another one> connect process {event.peer.process} image {event.image}"
        case e.Resume():
            return f"p{_counted(event.session)}> resume"
        case e.Disconnected():
            return f"p{_counted(event.session)}> disconnect"
        case e.Break():
            return f"admin> break #{_counted(event.tokens[0])}"
        case e.ProcessExited():
            return f"p{_counted(event.session)}> exit"
        case _:
            return ""


def _terms(event: e.Acquire) -> str:
    terms = event.terms
    words = {
        "owner 2": event.owner == 2,
        "tree": event.is_tree,
        "try": terms.timeout_seconds == 0,
        f"timeout {terms.timeout_seconds}": bool(terms.timeout_seconds),
        "reentrant": terms.is_reentrant,
        f"lease {terms.lease_seconds}": terms.lease_seconds is not None,
        "yields": terms.wants_yield_request,
    }
    return "".join(f" {word}" for word, is_meant in words.items() if is_meant)


def _counted(number: int) -> int:
    """Return which session or grant it was, from 1, by an id or a token."""
    return number & ((1 << COUNTER_BITS) - 1)
