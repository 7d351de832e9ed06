"""A state of a `search`: how it came about, what tells it from others, and what has to be true of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.bounds import PLACE_STEP
from lockd.core.invariants import check
from lockd.core.manager import LockManager
from lockd.core.state import Owner, Request, Session

from .search_spaces import FIRST_IMAGE, PERIOD_SECONDS, Move, Space, earlier_programs

#: A request: its session and its id.
Asked: TypeAlias = tuple[int, int]

#: The requests that are answered, if they do not wait.
_ANSWERED = (e.Acquire, e.Convert, e.HandOver, e.Adopt, e.Inherit)

#: From so far on, the distance between two places makes no difference: fewer requests than that are there to be put
#: between them.
_DISTANCE_MAX = 16
assert _DISTANCE_MAX < PLACE_STEP


class Play:
    """A manager with its clock."""

    def __init__(self, space: Space, way: Iterable[Move] = ()) -> None:
        self.manager = LockManager(1, resume_window_seconds=PERIOD_SECONDS)
        self.now = 0.0
        self._pids = range(1, space.processes + 1)
        self._open_missing()
        for move in way:
            self.make(move)

    def make(self, move: Move) -> list[a.Action]:
        """Let something happen. A process that has ended is followed by another one."""
        self.now += move.after
        actions = self.manager.handle(move.event, self.now)
        self._open_missing()
        return actions

    def waiting(self) -> set[Asked]:
        """Return all that wait."""
        return {(session.id, waiter) for session in self.manager.sessions.values() for waiter in session.waiting}

    def _open_missing(self) -> None:
        there = {session.peer.pid for session in self.manager.sessions.values()}
        if len(there) < len(self._pids):
            for pid in self._pids:
                if pid not in there:
                    peer = e.Peer(pid, 0, 0, f"process {pid}")
                    self.manager.handle(e.OpenSession(peer, "", False, FIRST_IMAGE), self.now)


def make_and_check(play: Play, move: Move, waiting: set[Asked]) -> None:
    """Let something happen after which everybody who waited, ``waiting``, waits still or has been answered, once (W1).

    Nobody is granted anything who is not there to be told (S3).
    """
    actions = play.make(move)
    answers = [action for action in actions if isinstance(action, a.Granted | a.Failed | a.Done | a.TicketMade)]
    answered = {(answer.session, answer.id) for answer in answers}
    asked, left = set(waiting), play.waiting()
    if isinstance(move.event, _ANSWERED):
        asked.add((move.event.session, move.event.id))
    sessions = play.manager.sessions
    assert len(answered) == len(answers), f"W1: answered twice: {answers}"
    assert answered <= asked, f"W1: nobody asked: {answered - asked}"
    assert not answered & left, f"W1: answered, and in line: {answered & left}"
    assert not left - asked, f"W1: in line, and had not asked: {left - asked}"
    owed = {one for one in asked - left - answered if one[0] in sessions}
    assert not owed, f"W1: without an answer: {owed}"
    for answer in answers:
        if isinstance(answer, a.Granted) and answer.session in sessions:
            # What was due was granted before the connection was gone (W2).
            is_there = sessions[answer.session].is_attached or isinstance(move.event, e.Disconnected)
            assert is_there, f"S3: {answer}"


def check_state(play: Play) -> None:
    """Check every invariant, and that everybody gets on who can be expected to. The play is over after that.

    Whoever waits for nothing releases what it has, and goes on. Of a process without a connection another program that
    it has become inherits; if there is none, it dies if it holds something; if it does not, it need not: after its
    window the others pass it (S5). Nobody is left waiting then.
    """
    manager = play.manager
    check(manager)
    if any(session.due_at is not None for session in manager.sessions.values()):
        play.make(Move(e.Tick(), PERIOD_SECONDS))
    while any(session.waiting for session in manager.sessions.values() if session.is_attached):
        assert _let_go(play), "a waiter was forgotten, or nobody can go on"
    check(manager)


def _let_go(play: Play) -> bool:
    """Let everybody release who can, and return whether there was anybody."""
    last = play.manager.last_token
    has_changed = False
    for session in list(play.manager.sessions.values()):
        if not session.is_attached and session.grants:
            play.make(Move(_end_of(session, play.manager)))
            has_changed = has_changed or not session.grants
            continue
        for grant in list(session.grants.values()):
            # What is granted meanwhile has its turn next time.
            if grant.token <= last and not grant.owner.waiting:
                # As often as it was entered.
                while grant.token in play.manager.grants:
                    play.make(Move(e.Release(session.id, session.last_request + 1, grant.token, False)))
                has_changed = True
    return has_changed


def _end_of(left: Session, manager: LockManager) -> e.Event:
    """Return what frees what a process without a connection has."""
    for heir in manager.sessions.values():
        if heir.is_attached and left in earlier_programs(manager, heir):
            return e.Inherit(heir.id, heir.last_request + 1, 1)
    return e.ProcessExited(left.id)


def key(play: Play) -> int:
    """Return what tells a state from every other one: all that makes a difference to what can happen next.

    Ids, tokens and the time make none, nor what is only told, and neither does which process it is: they are all alike.
    The order of what somebody goes through does make one: it may decide which circle is found, and what becomes of it.
    """
    manager, now = play.manager, play.now
    waiters = sorted(waiter.place for session in manager.sessions.values() for waiter in session.waiting.values())
    places: dict[int, object] = {}
    before = -PLACE_STEP
    for rank, place in enumerate(waiters):
        places[place] = rank, min(place - before, _DISTANCE_MAX)
        before = place
    due = sorted(manager.deadlines, key=lambda subject: subject.due[:2] if subject.due else (0.0, 0))
    dates = {id(subject): (rank, (subject.due_at or 0.0) - now) for rank, subject in enumerate(due)}
    processes: dict[int, list[int]] = {}
    for session in manager.sessions.values():
        processes.setdefault(session.peer.pid, []).append(_key_of_session(session, play, places, dates))
    # Two of one process are always of different images.
    return hash(tuple(sorted(hash(tuple(sorted(sessions))) for sessions in processes.values())))


def _key_of_session(session: Session, play: Play, places: Mapping[int, object], dates: Mapping[int, object]) -> int:
    owners = sorted(_key_of_owner(owner, play, places, dates) for owner in session.owners.values())
    is_owed = bool(session.losses)
    return hash((session.is_attached, session.is_passed, is_owed, dates.get(id(session)), *owners))


def _key_of_owner(owner: Owner, play: Play, places: Mapping[int, object], dates: Mapping[int, object]) -> int:
    grants = [grant for grant in owner.session.grants.values() if grant.owner is owner]
    held = tuple(_key_of_grant(grant, play, dates) for grant in grants)
    wanted = tuple(
        (
            waiter.items,
            waiter.terms,
            places[waiter.place],
            dates.get(id(waiter)),
            None if waiter.converts is None else grants.index(waiter.converts),
        )
        for waiter in owner.waiting
    )
    return hash((held, wanted))


def _key_of_grant(grant: Request, play: Play, dates: Mapping[int, object]) -> tuple[object, ...]:
    resources = play.manager.resources
    lease_seconds = grant.terms.lease_seconds
    return (
        grant.items,
        grant.terms,
        # Which of the holders it is.
        *(list(resources[item.name].holders).index(grant.token) for item in grant.items),
        len(grant.entries or ()),
        bool(grant.ticket),
        # Which one is told of next (P4).
        list(grant.session.unclaimed).index(grant.token) if grant.token in grant.session.unclaimed else None,
        grant.is_yield_requested,
        dates.get(id(grant)),
        None if lease_seconds is None else min(play.now - (grant.granted_at or 0.0), lease_seconds),
    )
