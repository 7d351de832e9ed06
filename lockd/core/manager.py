"""What happens when something happens (README section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from . import actions as a
from . import earlier, requests, sessions
from . import events as e
from .abandoned import Abandoned
from .book import Book
from .bounds import COUNTER_BITS, DEFAULT_QUOTAS, Quotas
from .deadlines import Deadlines
from .happenings import Happening
from .reasons import facts_of_waiter
from .records import Record, changes, snapshot
from .resources import Resource
from .restoration import Restoration
from .slots import Slots
from .state import Account, Request, Session


class Statistics(NamedTuple):
    """How much there is, and how much there has been since the manager was made."""

    sessions: int
    detached: int
    names: int
    grants: int
    waiters: int
    abandoned: int
    granted_total: int
    timeouts_total: int
    cancels_total: int
    deadlocks_total: int
    reorders_total: int
    leases_taken_total: int
    breaks_total: int
    deaths_total: int


class LockManager:
    """All locks of a host. One method changes it: `handle`."""

    def __init__(self, epoch: int, quotas: Quotas = DEFAULT_QUOTAS, resume_window_seconds: float = 2.0) -> None:
        """Make a manager in which nothing is held.

        Args:
            epoch: The upper bits of its tokens and session ids. Greater than every epoch before on this installation.
            quotas: How much there may be.
            resume_window_seconds: How long a detached session's waiters hold the others up (S5).
        """
        self._book = Book(epoch, quotas)
        self._resume_window_seconds = resume_window_seconds
        self._deaths_total = 0
        #: What has become of requests by the last event, in order (O1). The requests are as they are now, and change
        #: with the next event: whoever wants to know something later notes it.
        self.happened: list[tuple[Happening, Request]] = []

    def set_quotas(self, quotas: Quotas) -> None:
        """Hold everybody against these from now on. Who has more already keeps it, and gets nothing on top (B2)."""
        self._book.quotas = quotas

    @property
    def sessions(self) -> Mapping[int, Session]:
        """All sessions, by id. To look at, not to change."""
        return self._book.sessions

    @property
    def session_slots(self) -> Slots[Session]:
        """The same, to be gone through piece by piece (B3). To look at, not to change."""
        return self._book.session_slots

    @property
    def abandoned(self) -> Abandoned:
        """The names that were abandoned. To look at, not to change."""
        return self._book.abandoned

    @property
    def processes(self) -> Mapping[tuple[int, str], Mapping[int, Session]]:
        """The sessions of each process, by its pid and what tells it from others with that. To look at, not to
        change."""
        return self._book.processes

    def earlier_sessions(self, session: int) -> int:
        """Return how many sessions there are to inherit from (P3), what was taken over and not told of yet as one."""
        of = self._book.sessions[session]
        return len(earlier.sessions_before(self._book, of)) + bool(of.unclaimed)

    @property
    def grants(self) -> Mapping[int, Request]:
        """All grants, by token. To look at, not to change."""
        return self._book.grants

    @property
    def tickets(self) -> Mapping[str, Request]:
        """All grants that can be adopted, by ticket. To look at, not to change."""
        return self._book.tickets

    @property
    def resources(self) -> Mapping[str, Resource]:
        """All names that are held or waited for. To look at, not to change."""
        return self._book.names.resources

    @property
    def resource_slots(self) -> Slots[Resource]:
        """The same, to be gone through piece by piece (B3). To look at, not to change."""
        return self._book.names.slots

    @property
    def accounts(self) -> Mapping[int, Account]:
        """What each uid has. To look at, not to change."""
        return self._book.accounts

    @property
    def deadlines(self) -> Deadlines:
        """What is due. To look at, not to change."""
        return self._book.deadlines

    @property
    def epoch(self) -> int:
        """The upper bits of the next token."""
        return self._book.last_token >> COUNTER_BITS

    @property
    def last_token(self) -> int:
        """The greatest token so far."""
        return self._book.last_token

    def changes(self) -> list[Record]:
        """Return what has changed since this was asked for last, as records. Connections are none of it (J2)."""
        return changes(self._book)

    def snapshot(self) -> Iterator[Record]:
        """Return records of everything there is.

        They may be asked for one by one, with events in between: whoever keeps them has to put the changes of those
        events behind what it has by then.
        """
        return snapshot(self._book)

    def restore(self, records: Iterable[Record], now: float) -> None:
        """Make of records what there was, in a manager in which there is nothing yet (rules J).

        `changes` returns afterwards what is different now, which belongs behind the records.
        """
        restoration = Restoration()
        for record in records:
            restoration.add(record)
        restoration.fill(self._book, now, self._resume_window_seconds)

    def next_deadline(self) -> float | None:
        """Return the instant by which `handle` has to be called next, if only with a Tick, or None."""
        return self._book.deadlines.next()

    def statistics(self) -> Statistics:
        """Return the counters. Costs the same however much there is."""
        book = self._book
        return Statistics(
            sessions=len(book.sessions),
            detached=book.detached,
            names=len(book.names.resources),
            grants=len(book.grants),
            waiters=book.waiters,
            abandoned=len(book.abandoned),
            granted_total=book.last_token - book.first_token,
            timeouts_total=book.failed_total[a.Reason.TIMEOUT],
            cancels_total=book.failed_total[a.Reason.CANCELLED],
            deadlocks_total=book.failed_total[a.Reason.DEADLOCK],
            reorders_total=book.reorders_total,
            leases_taken_total=book.lost_total[a.LossReason.LEASE],
            breaks_total=book.lost_total[a.LossReason.BROKEN],
            deaths_total=self._deaths_total,
        )

    def handle(self, event: e.Event, now: float) -> list[a.Action]:
        """Let ``event`` happen at ``now`` and return what the shell has to do, in this order.

        ``now`` is in seconds, on a clock that never goes back. Never raises for what a peer did: an exception is a
        defect of this package, and the state is then not to be trusted.
        """
        book = self._book
        book.now = now
        book.actions = []
        self.happened = book.happened = []
        if now >= book.deadlines.earliest:
            while (subject := book.deadlines.pop_due(now)) is not None:
                self._expire(subject)
                requests.judge_again(book)
        _HANDLERS[type(event)](self, event)
        if book.to_judge:
            requests.judge_again(book)
        return book.actions

    # The table that says which method handles which event stands below the class.

    def _open_session(self, event: e.OpenSession) -> None:
        sessions.open_session(self._book, event)

    def _resume(self, event: e.Resume) -> None:
        book, peer = self._book, event.peer
        session = book.sessions.get(event.session)
        # Its uid may have changed since, which takes nothing away from it (S8).
        if session is None or (session.peer.pid, session.peer.process) != (peer.pid, peer.process):
            book.actions.append(a.NotResumed(event.session))
            return
        session.last_heard = 0
        session.told.clear()
        book.actions.append(a.Resumed(session.id, session.last_request))
        sessions.attach(book, session)

    def _request(self, event: e.Request) -> None:
        book, number = self._book, event.id
        session = book.sessions.get(event.session)
        if session is None or not session.is_attached:
            return
        if number <= session.last_heard:
            detail = f"request id {number} came after {session.last_heard}: ids only rise"
            book.actions.append(a.Misbehaved(session.id, detail))
            return
        session.last_heard = number
        if number > session.last_request:
            session.last_request = number
        elif requests.repeat(book, session, event):
            return
        requests.HANDLERS[type(event)](book, session, event)

    def _disconnected(self, event: e.Disconnected) -> None:
        book = self._book
        session = book.sessions.get(event.session)
        if session is None or not session.is_attached:
            return
        if session.ends_at_eof:
            sessions.end(book, session, a.EndReason.EOF)
            return
        sessions.detach(book, session, book.now + self._resume_window_seconds)
        sessions.end_if_left_alone(book, session)

    def _process_exited(self, event: e.ProcessExited) -> None:
        session = self._book.sessions.get(event.session)
        if session is not None:
            self._deaths_total += 1
            sessions.end(self._book, session, a.EndReason.PROCESS_EXITED)

    def _break(self, event: e.Break) -> None:
        book, loss = self._book, a.Loss(a.LossReason.BROKEN, event.detail)
        broken = [book.grants[token] for token in dict.fromkeys(event.tokens) if token in book.grants]
        left = [item for grant in broken for item in book.take_away(grant, loss)]
        book.look_through(left)
        book.actions.append(a.Broken(tuple(grant.token for grant in broken)))

    def _tick(self, event: e.Tick) -> None:
        """Nothing: what is due has happened before (W2)."""

    def _expire(self, subject: Session | Request) -> None:
        book = self._book
        if isinstance(subject, Session):
            sessions.let_pass(book, subject)
            return
        if subject.token:
            # A lease. Nothing happens to it while nobody waits (L2), and it is due again when somebody does.
            if book.names.contended_name(subject) is None:
                book.changed_requests[subject] = None
                book.names.watch(subject)
                return
            left = book.take_away(subject, a.Loss(a.LossReason.LEASE))
        else:
            # Who was in the way, and where in the queue it was, is known only as long as it is there.
            facts = facts_of_waiter(book.names, subject, book.now)
            book.dequeue(subject)
            book.fail(subject, a.Reason.TIMEOUT, facts)
            left = [*subject.items]
        book.look_through(left)
        sessions.end_if_left_alone(book, subject.session)


_HANDLERS: Final[Mapping[type[e.Event], Callable[[LockManager, Any], None]]] = {
    e.OpenSession: LockManager._open_session,
    e.Resume: LockManager._resume,
    **dict.fromkeys(requests.HANDLERS, LockManager._request),
    e.Disconnected: LockManager._disconnected,
    e.ProcessExited: LockManager._process_exited,
    e.Break: LockManager._break,
    e.Tick: LockManager._tick,
}
