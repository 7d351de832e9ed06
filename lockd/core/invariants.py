"""What is always true (README section 2). Called by every test after every event.

Each check computes its answer from nothing but the grants and the lines, in the plainest way there is: it must not
share a shortcut with the code that it checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import combinations

from .events import Demand, Permits
from .liveness import check_waiting, clash, waiters_of
from .manager import LockManager
from .modes import UNIT, Mode
from .resources import Resource, SemaphoreResource
from .slots import Slots
from .state import Owner, Request, Session


def check(manager: LockManager) -> None:
    """Raise AssertionError, naming the invariant, if one does not hold."""
    _check_tokens(manager)
    for resource in manager.resources.values():
        _check_exclusion(resource)
        _check_resource_counts(resource)
        _check_order(resource)
        assert not resource.is_unused, f"I6: {resource.name!r} is kept though nobody holds it or waits for it"
    for session in manager.sessions.values():
        _check_grants(manager, session)
        _check_waiters(manager, session)
        _check_session(session)
    _check_totals(manager)
    _check_accounts(manager)
    _check_processes(manager)
    _check_deadlines(manager)
    _check_tickets(manager)
    _check_slots("names", manager.resource_slots, manager.resources.values())
    _check_slots("sessions", manager.session_slots, manager.sessions.values())
    check_waiting(manager)


def _check_exclusion(resource: Resource) -> None:
    if isinstance(resource, SemaphoreResource):
        held = sum(_permits(resource, grant) for grant in resource.holders.values())
        assert held <= resource.limit, f"I1: {held} permits of {resource.name!r} are held"
        return
    for one, other in combinations(resource.holders.values(), 2):
        goes = one.owner is other.owner or not clash(resource.demand_of(one), resource.demand_of(other))
        assert goes, f"I1: {resource.name!r} is held by {one.token} and {other.token}"


def _check_resource_counts(resource: Resource) -> None:
    held = sum(_amount(resource.demand_of(grant)) for grant in resource.holders.values())
    assert resource.held == held, f"I3: held of {resource.name!r}"
    in_line = [*(resource.queue or {}).values(), *(resource.converting or {}).values()]
    wanted = sum(_amount(resource.demand_of(waiter)) for waiter in in_line)
    assert resource.wanted == wanted, f"I3: wanted of {resource.name!r}"
    waiters_total = len(in_line) + len(resource.passed or ())
    assert resource.waiters_total == waiters_total, f"I3: how many wait for {resource.name!r}"
    watchful = {token: grant for token, grant in resource.holders.items() if grant.is_watchful}
    assert (resource.watchful or {}) == watchful, f"I2: watchful of {resource.name!r}"


def _check_order(resource: Resource) -> None:
    for requests in (resource.queue, resource.converting, resource.passed, resource.watchful):
        assert requests is None or requests, f"I6: {resource.name!r} keeps an empty table"
    for waiters in (resource.queue, resource.converting, resource.passed):
        for place, waiter in (waiters or {}).items():
            assert waiter.place == place, f"I4: a waiter for {resource.name!r} is filed under another's place"
    for line in (resource.queue, resource.converting):
        places = list(line or ())
        assert places == sorted(places), f"I4: the queue of {resource.name!r} is out of order"


def _check_grants(manager: LockManager, session: Session) -> None:
    for request_id, grant in session.grants.items():
        assert grant.id == request_id, f"I2: grant {request_id} is filed under another's id"
        assert grant.session is session, f"I2: grant {request_id} is another session's"
        assert grant.token, f"I2: grant {request_id} has no token"
        assert grant.granted_at is not None, f"R5: grant {request_id} is not complete"
        assert manager.grants.get(grant.token) is grant, f"I2: the manager does not know grant {request_id}"
        for item in grant.items:
            holders = manager.resources[item.name].holders
            assert holders.get(grant.token) is grant, f"I2: grant {request_id} does not hold {item.name!r}"


def _check_waiters(manager: LockManager, session: Session) -> None:
    for request_id, waiter in session.waiting.items():
        assert waiter.id == request_id, f"I2: waiter {request_id} is filed under another's id"
        assert waiter.session is session, f"I2: waiter {request_id} is another session's"
        assert not waiter.token, f"I2: waiter {request_id} has a token"
        for item in waiter.items:
            waiters = _line_of(manager.resources[item.name], waiter)
            assert waiters.get(waiter.place) is waiter, (
                f"I2: {request_id} does not stand where it should: {item.name!r}"
            )
        if waiter.converts is not None:
            assert waiter.converts.pending is waiter, f"C1: the grant does not know of its conversion {request_id}"
            assert waiter.converts.owner is waiter.owner, f"C1: {request_id} converts what is another owner's"
    entered = {entry: grant for grant in session.grants.values() for entry in grant.entries or ()}
    assert session.entered == entered, f"I2: what session {session.id} has entered again"
    unclaimed = {grant.token: grant for grant in session.grants.values() if grant.id < 0}
    assert session.unclaimed == unclaimed, f"I2: what session {session.id} has taken over and not asked for yet"
    for grant in session.grants.values():
        if grant.pending is not None:
            assert session.waiting.get(grant.pending.id) is grant.pending, (
                f"C1: {grant.token} has a conversion that is gone"
            )


def _check_session(session: Session) -> None:
    if not session.is_attached:
        assert not session.is_idle, f"I6: session {session.id} is detached and has nothing"
    requests = [*session.grants.values(), *session.waiting.values()]
    ids = [request.id for request in requests] + list(session.entered)
    assert all(number <= session.last_request for number in ids), f"I9: session {session.id}"
    owners: dict[int, Owner] = {request.owner.id: request.owner for request in requests}
    assert session.owners == owners, f"I2: the owners of session {session.id}"
    for owner in owners.values():
        grants = [grant for grant in session.grants.values() if grant.owner is owner]
        waiting = tuple(waiter for waiter in session.waiting.values() if waiter.owner is owner)
        assert owner.grants_total == len(grants), f"I3: what owner {owner.id} of session {session.id} holds"
        assert owner.waiting == waiting, f"I2: what owner {owner.id} of session {session.id} waits for"


def _check_slots(
    what: str, slots: Slots[Resource] | Slots[Session], things: Collection[Resource] | Collection[Session]
) -> None:
    found: list[tuple[int, Resource | Session]] = [*slots.look(0, len(slots))]
    assert all(thing.slot == slot for slot, thing in found), f"I2: one of the {what} does not know its slot"
    assert {thing for _, thing in found} == set(things), f"I2: the slots of the {what}"


def _check_totals(manager: LockManager) -> None:
    sessions = manager.sessions.values()
    grants = sum(len(session.grants) for session in sessions)
    waiters = sum(len(session.waiting) for session in sessions)
    holders = {id(grant) for resource in manager.resources.values() for grant in resource.holders.values()}
    assert len(manager.grants) == grants, "I2: a grant is no session's"
    assert len(holders) == grants, "I2: a name has a holder that no session knows"
    places = [waiter.place for waiter in waiters_of(manager)]
    assert len(places) == waiters, "I2: a queue has a waiter that no session knows"
    assert len(set(places)) == waiters, "I4: two waiters at one place"
    detached = sum(not session.is_attached for session in sessions)
    statistics = manager.statistics()
    counted = (statistics.sessions, statistics.detached, statistics.grants, statistics.waiters)
    assert counted == (len(sessions), detached, grants, waiters), "I3: the totals"


def _check_accounts(manager: LockManager) -> None:
    expected: dict[int, Counter[str]] = {}
    for session in manager.sessions.values():
        grants = len(session.grants) + len(session.entered)
        has = {"sessions": 1, "grants": grants, "waiters": len(session.waiting)}
        expected.setdefault(session.peer.uid, Counter()).update(has)
    for uid, account in manager.accounts.items():
        assert not account.is_empty, f"I6: the account of uid {uid} is kept empty"
        counted = {field: getattr(account, field) for field in ("sessions", "grants", "waiters")}
        assert counted == expected.pop(uid, None), f"I3: the account of uid {uid}"
    assert not expected, "I3: a uid has no account"


def _check_processes(manager: LockManager) -> None:
    expected: dict[tuple[int, str], dict[int, Session]] = {}
    for session in manager.sessions.values():
        if session.peer.process:
            expected.setdefault((session.peer.pid, session.peer.process), {})[session.id] = session
    assert manager.processes == expected, "I2: the sessions of the processes"


def _check_tokens(manager: LockManager) -> None:
    grants = [grant for session in manager.sessions.values() for grant in session.grants.values()]
    grants.sort(key=lambda grant: grant.token)
    assert len({grant.token for grant in grants}) == len(grants), "I7: a token twice"
    assert all(grant.token <= manager.last_token for grant in grants), "I7: a token above the counter"
    times = [grant.granted_at or 0.0 for grant in grants]
    assert times == sorted(times), "I7: a later grant has a smaller token"


def _check_deadlines(manager: LockManager) -> None:
    subjects: list[Session | Request] = [*manager.sessions.values(), *waiters_of(manager), *manager.grants.values()]
    due = [subject for subject in subjects if subject.due_at is not None]
    in_heap = list(manager.deadlines)
    assert {id(subject) for subject in in_heap} == {id(subject) for subject in due}, "I8: what is in the heap"
    assert len(manager.deadlines) == len(in_heap) == len(due), "I8: how much is in the heap"
    earliest = min((subject.due_at for subject in due if subject.due_at is not None), default=None)
    assert earliest is None or earliest >= manager.deadlines.earliest, "I8: something is due before the earliest"
    assert manager.next_deadline() == earliest, "I8: the next deadline"
    for session in manager.sessions.values():
        if session.due_at is not None:
            assert not session.is_attached, f"I8: session {session.id} has a window though it is attached"
            assert not session.is_passed, f"I8: session {session.id} has a window though its waiters are passed"
        for grant in session.grants.values():
            has_lease = grant.terms.lease_seconds is not None
            assert has_lease or grant.due_at is None, f"I8: grant {grant.token} has a deadline and no lease"


def _check_tickets(manager: LockManager) -> None:
    ticketed = {grant.ticket: grant for grant in manager.grants.values() if grant.ticket}
    assert manager.tickets == ticketed, "I2: the tickets"


def _amount(demand: Demand) -> int:
    return UNIT[demand] if isinstance(demand, Mode) else demand.permits


def _permits(resource: Resource, grant: Request) -> int:
    demand = resource.demand_of(grant)
    assert isinstance(demand, Permits), f"I1: {grant.token} holds a semaphore in a mode"
    return demand.permits


def _line_of(resource: Resource, waiter: Request) -> Mapping[int, Request]:
    if waiter.session.is_passed:
        return resource.passed or {}
    return (resource.queue if waiter.converts is None else resource.converting) or {}
