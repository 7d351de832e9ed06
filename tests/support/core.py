"""What the tests of lockd.core share: events in few words, and `give`, which looks at every invariant each time."""

from __future__ import annotations

from lockd.core.actions import Action, Failed, Granted, NameFacts, Opened, Waiting, YieldRequested
from lockd.core.bounds import DEFAULT_QUOTAS, Quotas
from lockd.core.events import (
    Acquire,
    Adopt,
    Convert,
    Demand,
    Event,
    HandOver,
    Item,
    OpenSession,
    Peer,
    Permits,
    Release,
    Terms,
)
from lockd.core.invariants import check
from lockd.core.manager import LockManager
from lockd.core.modes import Mode

EPOCH = 7
WINDOW_SECONDS = 2.0

X, SIX, U, S, IX, IS = Mode

#: What stands in place of facts that are not the point.
NO_FACTS = NameFacts("", (), 0, 0)


def make_manager(quotas: Quotas = DEFAULT_QUOTAS) -> LockManager:
    """Make a manager whose tokens `token` counts."""
    return LockManager(EPOCH, quotas, resume_window_seconds=WINDOW_SECONDS)


def token(number: int) -> int:
    """Return the token of the ``number``-th grant."""
    return (EPOCH << 32) + number


def give(manager: LockManager, event: Event, at: float = 0.0) -> list[Action]:
    """Let ``event`` happen and return everything that the manager answers."""
    actions = manager.handle(event, at)
    check(manager)
    return actions


def connect(
    manager: LockManager, *, pid: int = 100, uid: int = 1000, ends_at_eof: bool = False, at: float = 0.0
) -> int:
    """Open a session and return its id."""
    [opened] = give(manager, OpenSession(Peer(pid, uid, 100), f"program {pid}", ends_at_eof), at)
    assert isinstance(opened, Opened)
    return opened.session


def connect_many(manager: LockManager, number: int) -> list[int]:
    """Open sessions with the pids 1, 2, 3 and so on, and return their ids."""
    return [connect(manager, pid=pid) for pid in range(1, number + 1)]


def acquire(
    session: int,
    request: int,
    name: str = "db",
    demand: Demand = X,
    *more: tuple[str, Demand],
    owner: int = 1,
    tree: bool = False,
    timeout: float | None = None,
    label: str = "",
    reentrant: bool = False,
    lease: float | None = None,
    yields: bool = False,
    notice: bool = False,
) -> Acquire:
    """Return the event that an owner of ``session`` asks for one name, or for ``more``. 0 is the timeout of a try."""
    items = tuple(Item(*pair) for pair in ((name, demand), *more))
    return Acquire(session, request, owner, items, Terms(label, timeout, reentrant, lease, yields, notice), tree)


def permits(number: int = 1, limit: int = 2) -> Permits:
    """Return the demand for so many permits of a semaphore."""
    return Permits(number, limit)


def convert(
    session: int, request: int, number: int, mode: Mode, *, timeout: float | None = None, notice: bool = False
) -> Convert:
    """Return the event that ``session`` wants the ``number``-th grant in another mode."""
    terms = Terms(timeout_seconds=timeout, wants_wait_notice=notice)
    return Convert(session, request, token(number), mode, terms)


def release(session: int, request: int, number: int, *, confirm: bool = False) -> Release:
    """Return the event that ``session`` gives up the ``number``-th grant."""
    return Release(session, request, token(number), confirm)


def hand_over(session: int, request: int, number: int, ticket: str = "ticket") -> HandOver:
    """Return the event that ``session`` makes a ticket for the ``number``-th grant."""
    return HandOver(session, request, token(number), ticket)


def adopt(session: int, request: int, ticket: str = "ticket", *, owner: int = 1) -> Adopt:
    """Return the event that an owner of ``session`` brings a ticket."""
    return Adopt(session, request, owner, ticket)


def granted(session: int, request: int, number: int) -> Granted:
    """Return the answer that is the ``number``-th grant."""
    return Granted(session, request, token(number))


def without_facts(actions: list[Action]) -> list[Action]:
    """Return the same answers without what they tell about names and circles, where that is not the point."""
    return [_bare(action) for action in actions]


def _bare(action: Action) -> Action:
    match action:
        case Failed():
            return Failed(action.session, action.id, action.reason)
        case Granted():
            return Granted(action.session, action.id, action.token)
        case Waiting() | YieldRequested():
            return action._replace(facts=NO_FACTS)
        case _:
            return action
