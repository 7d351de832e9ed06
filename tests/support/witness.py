"""Compares the lock manager with the oracle."""

from __future__ import annotations

from collections import Counter

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.bounds import Quotas
from lockd.core.invariants import check
from lockd.core.manager import LockManager
from lockd.core.state import Request, Session

from .kept import Kept, Source
from .ledger import Answer
from .oracle import Oracle


class Witness:
    """Gives every event to a manager and to an oracle, and raises AssertionError where they differ."""

    def __init__(self, manager: LockManager, quotas: Quotas, window_seconds: float) -> None:
        self.manager = manager
        self.oracle = Oracle(manager, quotas, window_seconds)
        self.now = 0.0
        self.told: Counter[str] = Counter()
        self.last_token = manager.last_token
        self.last_session = 0
        #: What a journal would have by now.
        self.kept = Kept(manager)
        #: How each grant was asked for at first: session and id.
        self._origins: dict[int, tuple[int, int]] = {}

    def give(self, event: e.Event, after: float = 0.0) -> list[a.Action]:
        """Let ``event`` happen ``after`` seconds and return what the manager answers."""
        self.now += after
        actions = self.manager.handle(event, self.now)
        self.kept.note()
        self._note(actions)
        expected = self.oracle.handle(event, self.now, actions)
        answers, due = Counter(map(self._told, actions)), Counter(expected)
        assert answers == due, f"{event}: {list(answers - due)} instead of {list(due - answers)}"
        self._teach()
        self._compare_order(actions, expected)
        self._compare()
        return actions

    def restart(self, source: Source) -> None:
        """Let another manager, made of records, take the place of the one that there is."""
        manager = self.kept.restarted(source, self.now)
        self.manager = manager
        self.oracle.restart(manager, self.now)
        self.told["Restart"] += 1
        self._teach()
        self._compare()

    def _compare(self) -> None:
        self._compare_names()
        self._compare_sessions()
        self._compare_grants()
        check(self.manager)

    def _note(self, actions: list[a.Action]) -> None:
        """Both session ids and tokens only rise (R7)."""
        for action in actions:
            self.told[action.reason if isinstance(action, a.Failed) else type(action).__name__] += 1
            if isinstance(action, a.Opened):
                assert action.session > self.last_session, "R7: a session id that does not rise"
                self.last_session = action.session
            elif isinstance(action, a.Granted) and action.token not in self._origins:
                assert action.token > self.last_token, "R7: a token that does not rise"
                self.last_token = action.token
                self._origins[action.token] = (action.session, action.id)

    def _teach(self) -> None:
        """Tell the oracle what it cannot foretell: the order of what is due at the same time."""
        for session in self.manager.sessions.values():
            self.oracle.world.parties[session.id].due_order = _number_of(session)
            for request in (*session.waiting.values(), *session.grants.values()):
                ask = self.oracle.ask_of(session.id, request.id)
                assert ask is not None, f"{request.id} is not there any more"
                ask.due_order = _number_of(request)

    def _compare_order(self, actions: list[a.Action], expected: list[Answer]) -> None:
        """On one name the order of the grants is that of the queue.

        Across names it is nobody's business, and so it is for those that share one name and wait for others as well.
        """
        order = [(action.session, action.id) for action in actions if isinstance(action, a.Granted)]
        world = self.oracle.world
        for name in world.names():
            here = {
                (ask.session, ask.id)
                for ask in world.on(name, world.granted())
                if len(ask.items) == 1 or isinstance(ask.wants(name), e.Permits)
            }
            told = [request for request in order if request in here]
            due = [answer[1:3] for answer in expected if answer[0] == "granted" and answer[1:3] in here]
            assert told == due, f"the order of the grants on {name!r}"

    def _compare_names(self) -> None:
        resources, world = self.manager.resources, self.oracle.world
        assert set(resources) == world.names(), "the names"
        for name, resource in resources.items():
            holders = {(grant.session.id, grant.id, grant.token) for grant in resource.holders.values()}
            expected = {(ask.session, ask.id, ask.token) for ask in world.on(name, world.granted())}
            assert holders == expected, f"the holders of {name!r}"
            modes = {grant.token: resource.demand_of(grant) for grant in resource.holders.values()}
            assert modes == {ask.token: ask.wants(name) for ask in world.on(name, world.granted())}, f"{name!r}: modes"
            line = [(waiter.session.id, waiter.id) for waiter in resource.in_line()]
            assert line == [(ask.session, ask.id) for ask in world.on(name, world.in_line())], f"the line of {name!r}"

    def _compare_sessions(self) -> None:
        world = self.oracle.world
        sessions = {
            session.id: (
                session.is_attached,
                session.is_passed,
                session.last_request,
                sorted(session.waiting),
                dict(session.losses),
            )
            for session in self.manager.sessions.values()
        }
        expected = {
            party.id: (
                party.is_attached,
                party.is_passed,
                party.last_request,
                sorted(ask.id for ask in world.waiting() if ask.session == party.id),
                {token: loss for token, (_, loss) in party.losses.items()},
            )
            for party in world.parties.values()
        }
        assert sessions == expected, "the sessions"
        assert self.manager.next_deadline() == self.oracle.next_deadline(), "the next deadline"

    def _compare_grants(self) -> None:
        """What makes no difference at once: entries, tickets, and what was abandoned."""
        grants = {
            grant.token: ([grant.id, *(grant.entries or ())], grant.ticket, grant.is_yield_requested)
            for grant in self.manager.grants.values()
        }
        expected = {ask.token: (ask.ids, ask.ticket, ask.is_yield_requested) for ask in self.oracle.world.granted()}
        assert grants == expected, "the grants"
        abandoned = {record.name: (record.peer.pid, record.at) for record in self.manager._book.abandoned}
        assert abandoned == self.oracle.abandoned, "A1: the abandoned names"

    def _told(self, action: a.Action) -> Answer:
        match action:
            case a.Opened():
                return ("opened",)
            case a.Resumed():
                return ("resumed", action.session, action.covered)
            case a.NotResumed():
                return ("not resumed", action.session)
            case a.Refused():
                return ("refused",)
            case a.Granted():
                reports = tuple((report.name, report.peer.pid, report.ago_seconds) for report in action.abandoned)
                return ("granted", action.session, action.id, self._origins[action.token], reports)
            case a.Failed():
                return ("failed", action.session, action.id, action.reason, _counted(action.facts))
            case a.Done():
                return ("done", action.session, action.id)
            case a.TicketMade():
                return ("ticket", action.session, action.id, action.ticket)
            case a.State():
                return ("state", action.session, action.id, _counted(action.facts))
            case a.Waiting():
                return ("waiting", action.session, action.id, _counted(action.facts))
            case a.YieldRequested():
                return ("yield", *self._origins[action.token])
            case a.Lost():
                return ("lost", *self._origins[action.token], action.reason, action.detail)
            case a.Broken():
                return ("broken", frozenset(action.tokens))
            case a.Reordered():
                return ("reordered",)
            case a.Misbehaved():
                return ("misbehaved", action.session)
            case a.SessionEnded():
                return ("ended", action.session, action.reason)


def _counted(facts: a.NameFacts | None) -> Answer | None:
    if facts is None:
        return None
    counted = (facts.name, facts.holders_total, facts.waiters_total)
    return counted if facts.position is None else (*counted, facts.position, facts.waited_seconds)


def _number_of(subject: Session | Request) -> int:
    return 0 if subject.due is None else subject.due[1]
