"""The books: everything the manager knows, and the few steps by which that changes.

Each step leaves the books in order but for one thing, which its docstring names: whoever took something away has to
look through the queues. `requests`, `sessions` and `manager` are made of these steps.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from . import actions as a
from . import events as e
from .abandoned import Abandoned
from .bounds import (
    COUNTER_BITS,
    LOSS_DETAILS_MAX,
    LOSSES_MAX,
    PLACE_STEP,
    STEPS_NAMED_MAX,
    STEPS_OF_REORDERING_MAX,
    Quotas,
)
from .deadlines import Deadlines
from .deadlock import Edge
from .happenings import OF_LOSS, Happening, of_failure
from .modes import Mode
from .names import Names
from .slots import Slots
from .state import Account, Owner, Request, Session
from .views import abandonment, name_facts, step

# Looked up in its class a member of an enumeration takes as long as a call.
_GRANTED: Final = Happening.GRANTED


class Book:
    """The state of a lock manager."""

    def __init__(self, epoch: int, quotas: Quotas) -> None:
        self.quotas = quotas
        self.last_token = epoch << COUNTER_BITS
        #: The last one of those who were there before.
        self.first_token = self.last_token
        self.last_session = self.last_token
        self.last_place = 0
        self.sessions: dict[int, Session] = {}
        #: The same, to be gone through piece by piece (B3).
        self.session_slots: Slots[Session] = Slots()
        self.accounts: dict[int, Account] = {}
        #: The sessions of each process, of those that can be told from others.
        self.processes: dict[tuple[int, str], dict[int, Session]] = {}
        self.grants: dict[int, Request] = {}
        self.tickets: dict[str, Request] = {}
        self.names = Names()
        self.deadlines = Deadlines()
        self.abandoned = Abandoned()
        self.detached = 0
        self.waiters = 0
        self.failed_total = dict.fromkeys(a.Reason, 0)
        self.lost_total = dict.fromkeys(a.LossReason, 0)
        self.reorders_total = 0
        #: What was got by owners that wait for something else (D7).
        self.to_judge: list[Request] = []
        self.now = 0.0
        self.actions: list[a.Action] = []
        #: What has become of requests by the last event (O1).
        self.happened: list[tuple[Happening, Request]] = []
        #: What has changed since `records` was asked for that, for `records`.
        self.changed_sessions: dict[Session, None] = {}
        self.changed_requests: dict[Request, None] = {}

    def forget_changes(self) -> None:
        """Have `records` see nothing of what has changed so far."""
        self.changed_requests.clear()
        # Those two have nothing in them as a rule.
        if self.changed_sessions:
            self.changed_sessions.clear()
        if self.abandoned.changed:
            self.abandoned.changed.clear()

    def grant(self, request: Request) -> None:
        """Let a request have what it asked for. It stands in no line. It has to be watched afterwards."""
        self.last_token = request.token = token = self.last_token + 1
        request.granted_at = self.now
        self.names.hold(request)
        self.grants[token] = request
        self.take_over(request)
        reports: tuple[a.Abandonment, ...] = ()
        if self.abandoned:
            reports = tuple(abandonment(record, self.now) for record in self.abandoned.told_to(request))
        self.happened.append((_GRANTED, request))
        self.actions.append(a.Granted(request.owner.session.id, request.id, token, reports))

    def take_over(self, grant: Request) -> None:
        """Enter a grant, which its names have already, as one of its owner's."""
        self.changed_requests[grant] = None
        owner = grant.owner
        session = owner.session
        session.grants[grant.id] = grant
        if grant.id < 0:
            session.unclaimed[grant.token] = grant
        session.owners[owner.id] = owner
        session.account.grants += 1
        owner.grants_total += 1
        if owner.waiting:
            self.to_judge.append(grant)

    def enter(self, grant: Request, request_id: int) -> None:
        """Let the owner of a grant have it once more, by the request ``request_id`` (E1)."""
        self.changed_requests[grant] = None
        grant.with_extras().entries[request_id] = None
        session = grant.session
        session.entered[request_id] = grant
        session.account.grants += 1
        self.actions.append(a.Granted(session.id, request_id, grant.token))

    def leave(self, grant: Request, request_id: int) -> None:
        """Take away the entry that the request ``request_id`` made of a grant that was entered more than once (E2)."""
        self.changed_requests[grant] = None
        session, left, entries = grant.session, request_id, grant.with_extras().entries
        if request_id == grant.id:
            # The grant goes on under the id of the entry that came next.
            left, _ = entries.popitem(last=False)
            self.name_by(grant, left)
        else:
            del entries[left]
        del session.entered[left]
        session.account.grants -= 1

    def name_by(self, grant: Request, request_id: int) -> None:
        """Have a grant go by the id of another request of its owner."""
        self.changed_requests[grant] = None
        session = grant.session
        session.unclaimed.pop(grant.token, None)
        del session.grants[grant.id]
        grant.id = request_id
        session.grants[request_id] = grant

    def drop(self, grant: Request, how: Happening) -> list[e.Item]:
        """Take a grant from its holder, which is ``how`` it ends. Returns what is no longer in the way: for that the
        queues have to be looked through afterwards (R4)."""
        left = [*grant.items]
        if grant.extras is not None and (conversion := grant.extras.pending) is not None:
            self.dequeue(conversion)
            self.fail(conversion, a.Reason.CANCELLED)
            left += conversion.items
        if grant.due is not None:
            self.deadlines.clear(grant)
        self.names.drop(grant)
        del self.grants[grant.token]
        self.changed_requests[grant] = None
        self.happened.append((how, grant))
        self._let_go(grant)
        return left

    def take_away(self, grant: Request, loss: a.Loss) -> list[e.Item]:
        """Drop a grant against its holder's will, and tell it. Returns what `drop` does."""
        self.abandoned.remember(grant, self.now)
        left = self.drop(grant, OF_LOSS[loss.reason])
        self._note_loss(grant.session, grant.token, loss)
        return left

    def convert(self, conversion: Request) -> None:
        """Let a grant have the modes that ``conversion``, which stands in no line, asks for (C). It has to be watched,
        and the queues have to be looked through afterwards."""
        grant = conversion.converts
        assert grant is not None
        if self.abandoned and all(item.demand is not Mode.EXCLUSIVE for item in conversion.items):
            # Whoever leaves X by a conversion leaves it in order, as by a release.
            self.abandoned.settle(grant)
        wanted = {item.name: item for item in conversion.items}
        self.names.change(grant, tuple(wanted.get(item.name, item) for item in grant.items))
        self.changed_requests[grant] = None
        if grant.owner.waiting:
            self.to_judge.append(grant)
        self.happened.append((Happening.CONVERTED, grant))
        self.actions.append(a.Granted(grant.session.id, conversion.id, grant.token))

    def hand_to(self, heir: Request, grant: Request) -> None:
        """Give a grant to the owner of ``heir``, under the request id of that (H). It has to be watched, and the queues
        have to be looked through afterwards."""
        maker = grant.session
        self.change_hands(grant, heir.owner, heir.id)
        if maker is not grant.session:
            self._note_loss(maker, grant.token, a.Loss(a.LossReason.HANDED_OVER))
        reports = tuple(abandonment(record, self.now) for record in self.abandoned.told_to(grant))
        self.tell_of(grant, grant.id, reports)

    def change_hands(self, grant: Request, owner: Owner, request_id: int) -> None:
        """Give a grant to an owner, entered once and without a ticket. Nobody is told, and what `hand_to` says has to
        be done afterwards."""
        self._let_go(grant)
        grant.extras = None
        grant.owner, grant.id = owner, request_id
        self.take_over(grant)
        self.happened.append((Happening.HANDED_OVER, grant))
        # It may have been its own before.
        if grant.session.losses.pop(grant.token, None) is not None:
            self.changed_sessions[grant.session] = None

    def tell_of(self, grant: Request, request_id: int, reports: tuple[a.Abandonment, ...] = ()) -> None:
        """Answer a request by which a grant is had, with what it is for."""
        asked = tuple(item for item in grant.items if item.is_asked)
        session, terms = grant.session.id, grant.terms
        self.actions.append(a.Granted(session, request_id, grant.token, reports, asked, terms.label, grant.is_tree))

    def tell_again(self, grant: Request, request_id: int) -> None:
        """Answer a request by which a grant was had before (S9), or is had that was another session's (P3)."""
        records = self.abandoned.told_again_to(grant) if self.abandoned else ()
        self.tell_of(grant, request_id, tuple(abandonment(record, self.now) for record in records))

    def enqueue(self, request: Request) -> None:
        """Put a request in line, behind all others."""
        self.last_place += PLACE_STEP
        request.place = self.last_place
        timeout = request.terms.timeout_seconds
        self.stand(request, None if timeout is None else self.now + timeout)

    def stand(self, request: Request, due_at: float | None) -> None:
        """Put a request, which has its place already, in line: behind all others, until ``due_at``."""
        self.names.enqueue(request)
        self.changed_requests[request] = None
        if request.converts is not None:
            request.converts.with_extras().pending = request
        if due_at is not None:
            self.deadlines.set(request, due_at)
        session, owner = request.session, request.owner
        session.waiting[request.id] = request
        owner.add_waiter(request)
        session.owners[owner.id] = owner
        session.account.waiters += 1
        self.waiters += 1

    def dequeue(self, waiter: Request) -> None:
        """The opposite of `enqueue`. The queues have to be looked through afterwards (R4)."""
        self.names.dequeue(waiter)
        self._forget_waiter(waiter)

    def watch(self, grant: Request) -> None:
        """See to it that what has to happen to a grant when somebody waits behind it does, now or later (L)."""
        if not grant.is_watchful:
            return
        if (name := self.names.contended_name(grant)) is None:
            self.names.watch(grant)
        else:
            self._contend(grant, name)

    def remind(self, grant: Request) -> None:
        """Tell the holder of a grant again that it should yield, if it has been told and somebody still waits."""
        if grant.is_yield_requested and (name := self.names.contended_name(grant)) is not None:
            self._request_yield(grant, name)

    def tell_those_before(self, request: Request) -> None:
        """Let the holders that ``request`` waits for know, as far as they have asked for it (L)."""
        for grant, name in list(self.names.watchful_before(request)):
            # It may be in the way on several names.
            if grant.is_watchful:
                self._contend(grant, name)

    def look_through(self, left: Iterable[e.Item]) -> None:
        """Let those go who may go now that the items in ``left`` are in the way no more (R4)."""
        if concerned := self.names.concerned(left):
            # Each name in the order in which it came up: the order of the grants has to be the same every time.
            self._look_through(deque(dict.fromkeys(concerned)))

    def look_at_waiters(self, session: Session) -> None:
        """Let those go who may go now that ``session`` has a connection (S3, S8)."""
        names = [item.name for waiter in session.waiting.values() for item in waiter.items]
        self._look_through(deque(dict.fromkeys(names)))

    def _look_through(self, names: deque[str]) -> None:
        gone: list[Request] = []

        def grant(waiter: Request) -> None:
            self._forget_waiter(waiter)
            if waiter.converts is None:
                self.grant(waiter)
                gone.append(waiter)
                # Whoever waits for a semaphore bars all behind it, and bars fewer once it has what it wanted.
                names.extend(item.name for item in waiter.items if isinstance(item.demand, e.Permits))
            else:
                # The new mode may let others in.
                names.extend(self.names.concerned(waiter.converts.items))
                self.convert(waiter)
                gone.append(waiter.converts)

        while names:
            self.names.look_through(names.popleft(), grant)
        for request in gone:
            self.watch(request)

    def _note_told(self, request: Request) -> None:
        session = request.session
        if session.is_attached and request.id > session.last_heard:
            session.told.add(request.id)

    def fail(self, request: Request, reason: a.Reason, facts: a.NameFacts | None = None, detail: str = "") -> None:
        """Answer a request that did not get through, and stands in no line."""
        self._note_told(request)
        self.failed_total[reason] += 1
        self.happened.append((of_failure(reason), request))
        self.actions.append(a.Failed(request.session.id, request.id, reason, facts, detail))

    def fail_deadlocked(self, request: Request, circle: list[Edge]) -> None:
        """Answer a request that would have waited for ever, and stands in no line."""
        self._note_told(request)
        self.failed_total[a.Reason.DEADLOCK] += 1
        self.happened.append((Happening.DEADLOCKED, request))
        steps, total = self._steps(circle, STEPS_NAMED_MAX), len(circle)
        self.actions.append(a.Failed(request.session.id, request.id, a.Reason.DEADLOCK, cycle=steps, cycle_total=total))

    def note_reordering(self, circle: list[Edge], moved: list[Request]) -> None:
        """Let it be known that ``moved`` have other places, without which there would have been ``circle`` (D4)."""
        if not moved:
            return
        self.reorders_total += 1
        self.changed_requests.update(dict.fromkeys(moved))
        self.happened.extend((Happening.REORDERED, request) for request in moved)
        steps = self._steps(circle, STEPS_OF_REORDERING_MAX)
        self.actions.extend(a.Reordered(request.session.id, request.id, steps) for request in moved)

    def facts(self, name: str) -> a.NameFacts:
        """Return who has a name and who wants it."""
        return name_facts(name, self.names.resources.get(name), self.now)

    def _steps(self, circle: list[Edge], steps_max: int) -> tuple[a.Step, ...]:
        return tuple(step(edge, self.now) for edge in circle[:steps_max])

    def _contend(self, grant: Request, name: str) -> None:
        self.names.unwatch(grant)
        terms = grant.terms
        if terms.wants_yield_request and not grant.is_yield_requested:
            grant.with_extras().is_yield_requested = True
            self.changed_requests[grant] = None
            self._request_yield(grant, name)
        if terms.lease_seconds is not None and grant.due is None:
            assert grant.granted_at is not None
            self.deadlines.set(grant, max(grant.granted_at + terms.lease_seconds, self.now))
            self.changed_requests[grant] = None

    def _request_yield(self, grant: Request, name: str) -> None:
        # Its owner does not know yet that it has what it has not asked for, and is told when it does (P4).
        if grant.id >= 0:
            self.actions.append(a.YieldRequested(grant.session.id, grant.token, self.facts(name)))

    def _let_go(self, grant: Request) -> None:
        owner = grant.owner
        session = owner.session
        if (extras := grant.extras) is not None:
            if extras.ticket:
                del self.tickets[extras.ticket]
            for entry in extras.entries:
                del session.entered[entry]
            session.account.grants -= len(extras.entries)
        if session.unclaimed:
            session.unclaimed.pop(grant.token, None)
        del session.grants[grant.id]
        session.account.grants -= 1
        owner.grants_total -= 1
        if not owner.grants_total and owner.is_idle:
            del session.owners[owner.id]

    def _note_loss(self, session: Session, token: int, loss: a.Loss) -> None:
        self.lost_total[loss.reason] += 1
        session.losses[token] = loss if len(session.losses) < LOSS_DETAILS_MAX else a.Loss(loss.reason)
        if len(session.losses) > LOSSES_MAX:
            del session.losses[next(iter(session.losses))]
        self.changed_sessions[session] = None
        self.actions.append(a.Lost(session.id, token, *loss))

    def _forget_waiter(self, waiter: Request) -> None:
        self.changed_requests[waiter] = None
        self.deadlines.clear(waiter)
        if waiter.converts is not None:
            waiter.converts.with_extras().pending = None
        session, owner = waiter.session, waiter.owner
        del session.waiting[waiter.id]
        owner.remove_waiter(waiter)
        if owner.is_idle:
            del session.owners[owner.id]
        session.account.waiters -= 1
        self.waiters -= 1
