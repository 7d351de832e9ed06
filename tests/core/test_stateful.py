"""Hypothesis and random campaigns against the oracle: every rule, in combinations nobody thought of.

Both give each event to the manager and to the oracle, and compare answers, holders, lines, sessions and deadlines:
exclusion and order (R2, M3), all or nothing (R1), what is released, cancelled and timed out (R4, W1 to W4), deadlocks
(D2 to D5, D7), conversions, re-entry, hand-over, leases, deaths, connections that are gone and come back (S8), requests
that come again (S9), restarts (J1 to J3), what earlier programs have left behind (P1 to P4), and what
administrators break (K1, K2).
"""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, MultipleResults, RuleBasedStateMachine, consumes, multiple, precondition, rule

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.modes import Mode
from support.campaign import (
    LEASES,
    LOCKS,
    MODES,
    OWNERS,
    PAUSES,
    PERMITS,
    SEMAPHORES,
    TIMEOUTS,
    UIDS,
    make_witness,
    run,
    run_all,
)
from support.kept import Source

modes = st.sampled_from(sorted(set(MODES)))
owners = st.sampled_from(sorted(set(OWNERS)))
uids = st.sampled_from(sorted(set(UIDS)))
pauses = st.sampled_from(sorted(set(PAUSES)))
# What is left out Hypothesis makes up, defaults or not.
lock_items = st.builds(e.Item, st.sampled_from(sorted(set(LOCKS))), modes, st.just(True))
semaphore_items = st.builds(e.Item, st.sampled_from(SEMAPHORES), st.sampled_from(sorted(set(PERMITS))), st.just(True))
items = st.lists(st.one_of(lock_items, semaphore_items), min_size=1, max_size=3, unique_by=lambda item: item.name)
terms = st.builds(
    e.Terms,
    label=st.just(""),
    timeout_seconds=st.sampled_from(TIMEOUTS),
    is_reentrant=st.booleans(),
    lease_seconds=st.sampled_from(LEASES),
    wants_yield_request=st.booleans(),
    wants_wait_notice=st.booleans(),
    exit_releases=st.booleans(),
)


class Sessions(RuleBasedStateMachine):
    """Several processes do whatever they can do. Those that have ended go on trying."""

    sessions: Bundle[int] = Bundle("sessions")
    requests: Bundle[tuple[int, int]] = Bundle("requests")

    def __init__(self) -> None:
        super().__init__()
        self.witness = make_witness()
        self.tokens: list[int] = []
        self.tickets: list[str] = []
        self.sent: list[e.Request] = []
        self.peers: dict[int, e.Peer] = {}

    @rule(
        target=sessions,
        uid=uids,
        process=st.sampled_from(("one", "two", "")),
        ends_at_eof=st.booleans(),
        image=st.sampled_from(("", "first", "second")),
        after=pauses,
    )
    def connect(self, uid: int, process: str, ends_at_eof: bool, image: str, after: float) -> MultipleResults[int]:
        peer = e.Peer(1, uid, 1, process)
        told = self.give(e.OpenSession(peer, "", ends_at_eof, image), after)
        opened = [action.session for action in told if isinstance(action, a.Opened)]
        self.peers.update(dict.fromkeys(opened, peer))
        return multiple(*opened)

    @rule(
        target=requests, session=sessions, owner=owners, items=items, terms=terms, is_tree=st.booleans(), after=pauses
    )
    def acquire(
        self, session: int, owner: int, items: list[e.Item], terms: e.Terms, is_tree: bool, after: float
    ) -> tuple[int, int]:
        request = self.next_id(session)
        self.give(e.Acquire(session, request, owner, tuple(items), terms, is_tree), after)
        return session, request

    @precondition(lambda self: self.tokens)
    @rule(target=requests, data=st.data(), mode=modes, terms=terms, after=pauses)
    def convert(
        self, data: st.DataObject, mode: Mode, terms: e.Terms, after: float
    ) -> MultipleResults[tuple[int, int]]:
        held = self.draw_held(data)
        if held is None:
            return multiple()
        session, token = held
        request = self.next_id(session)
        self.give(e.Convert(session, request, token, mode, terms), after)
        return multiple((session, request))

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), confirm=st.booleans(), after=pauses)
    def release(self, data: st.DataObject, confirm: bool, after: float) -> None:
        held = self.draw_held(data)
        if held is not None:
            session, token = held
            self.give(e.Release(session, self.next_id(session), token, confirm), after)

    @precondition(lambda self: self.tokens)
    @rule(session=sessions, data=st.data(), confirm=st.booleans())
    def release_whatever_token(self, session: int, data: st.DataObject, confirm: bool) -> None:
        token = data.draw(st.sampled_from(self.tokens), label="token")
        self.give(e.Release(session, self.next_id(session), token, confirm))

    @rule(request=requests, after=pauses)
    def cancel(self, request: tuple[int, int], after: float) -> None:
        session, number = request
        self.give(e.Cancel(session, self.next_id(session), number), after)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), after=pauses)
    def hand_over(self, data: st.DataObject, after: float) -> None:
        held = self.draw_held(data)
        if held is not None:
            session, token = held
            request = self.next_id(session)
            told = self.give(e.HandOver(session, request, token, f"ticket {session} {request}"), after)
            self.tickets += [action.ticket for action in told if isinstance(action, a.TicketMade)]

    @precondition(lambda self: self.tickets)
    @rule(session=sessions, owner=owners, data=st.data(), after=pauses)
    def adopt(self, session: int, owner: int, data: st.DataObject, after: float) -> None:
        ticket = data.draw(st.sampled_from(self.tickets), label="ticket")
        self.give(e.Adopt(session, self.next_id(session), owner, ticket), after)

    @rule(session=sessions, owner=owners, after=pauses)
    def inherit(self, session: int, owner: int, after: float) -> None:
        self.give(e.Inherit(session, self.next_id(session), owner), after)

    @rule(session=sessions, name=st.sampled_from(LOCKS + SEMAPHORES))
    def query(self, session: int, name: str) -> None:
        self.give(e.Query(session, self.next_id(session), name))

    @rule(session=sessions)
    def ask_what_cannot_be(self, session: int) -> None:
        self.give(e.Malformed(session, self.next_id(session), "no"))

    @rule(request=requests)
    def use_an_id_again(self, request: tuple[int, int]) -> None:
        session, number = request
        self.give(e.Acquire(session, number, 1, (e.Item("db", Mode.EXCLUSIVE),), e.NO_TERMS))

    @rule(session=sessions, after=pauses)
    def disconnect(self, session: int, after: float) -> None:
        self.give(e.Disconnected(session), after)

    @rule(session=sessions, after=pauses, is_its_own=st.sampled_from((True, True, True, False)))
    def resume(self, session: int, after: float, is_its_own: bool) -> None:
        peer = self.peers[session]
        self.give(e.Resume(session, peer if is_its_own else peer._replace(process="another")), after)

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), after=pauses)
    def resume_and_send_again(self, data: st.DataObject, after: float) -> None:
        session = data.draw(st.sampled_from(self.sent), label="session of").session
        sent = [event for event in self.sent if event.session == session]
        again = data.draw(st.lists(st.sampled_from(sent), unique_by=lambda event: event.id), label="again")
        self.give(e.Resume(session, self.peers[session]), after)
        for event in sorted(again, key=lambda event: event.id):
            self.give(event)

    @rule(source=st.sampled_from(Source))
    def restart(self, source: Source) -> None:
        self.witness.restart(source)

    @rule(session=consumes(sessions), after=pauses)
    def bye(self, session: int, after: float) -> None:
        self.give(e.Bye(session, self.next_id(session)), after)

    @rule(session=sessions, after=pauses)
    def exit(self, session: int, after: float) -> None:
        self.give(e.ProcessExited(session), after)

    @precondition(lambda self: self.tokens)
    @rule(data=st.data(), detail=st.sampled_from(("", "why")), after=pauses)
    def break_grants(self, data: st.DataObject, detail: str, after: float) -> None:
        tokens = data.draw(st.lists(st.sampled_from(self.tokens), min_size=1, max_size=3), label="tokens")
        self.give(e.Break(tuple(tokens), detail), after)

    @rule(seconds=st.sampled_from((0.5, 1.0, 2.0, 10.0)))
    def pass_time(self, seconds: float) -> None:
        self.give(e.Tick(), seconds)

    def teardown(self) -> None:
        for session in list(self.witness.manager.sessions):
            self.give(e.ProcessExited(session))
        manager = self.witness.manager
        left = [*manager.sessions, *manager.grants, *manager.resources, *manager.accounts, *manager.tickets]
        assert left == []
        assert manager.next_deadline() is None

    def give(self, event: e.Event, after: float = 0.0) -> list[a.Action]:
        actions = self.witness.give(event, after)
        self.tokens += [action.token for action in actions if isinstance(action, a.Granted)]
        if isinstance(event, e.Request):
            self.sent.append(event)
        return actions

    def next_id(self, session: int) -> int:
        party = self.witness.oracle.world.parties.get(session)
        return 1 if party is None else max(party.last_request, party.last_heard) + 1

    def draw_held(self, data: st.DataObject) -> tuple[int, int] | None:
        """Return a session and the token of a grant of its own, or None if the grant has ended."""
        token = data.draw(st.sampled_from(self.tokens), label="token")
        grant = self.witness.manager.grants.get(token)
        return None if grant is None else (grant.session.id, token)


TestSessions = Sessions.TestCase
TestSessions.settings = settings(stateful_step_count=60, max_examples=100)


def test_random_campaigns() -> None:
    """Those by which every broken manager is noticed."""
    told = run_all()
    # Campaigns in which nothing happens would prove nothing.
    kinds: dict[str, int] = {
        "Broken": 50,
        "Granted": 500,
        "Done": 50,
        "Lost": 50,
        "Misbehaved": 20,
        "NotResumed": 20,
        "Opened": 100,
        "Refused": 20,
        "Reordered": 10,
        "Restart": 50,
        "Resumed": 100,
        "SessionEnded": 100,
        "State": 20,
        "TicketMade": 20,
        "Waiting": 50,
        "YieldRequested": 20,
        **{reason: 20 for reason in a.Reason},
        a.Reason.TIMEOUT: 200,
        a.Reason.DEADLOCK: 50,
    }
    assert {kind: told[kind] for kind, least in kinds.items() if told[kind] < least} == {}
    assert set(told) == set(kinds)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_long_random_campaign(seed: int) -> None:
    run(seed, steps=5_000)
