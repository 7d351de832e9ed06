"""lockd/translate.py: messages to events, actions to messages."""

from __future__ import annotations

import pytest

from lockd import translate
from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.modes import Mode
from lockd_wire import messages as m
from lockd_wire.codec import encode
from lockd_wire.names import fault_of_label, fault_of_name

SESSION = 77

ESCAPE, NUL, NEWLINE, BIDI = "\x1b", "\x00", "two\nlines", "\u202edb"


def acquire(
    *items: tuple[str, str] | tuple[str, int, int],
    timeout: float | None = None,
    options: dict[str, m.Scalar] | None = None,
) -> m.Acquire:
    return m.Acquire(5, 2, items or (("db", "X"),), timeout, options or {})


def convert(mode: str = "S", timeout: float | None = None, options: dict[str, m.Scalar] | None = None) -> m.Convert:
    return m.Convert(5, 99, mode, timeout, options or {})


def wanted(terms: e.Terms, is_tree: bool = False) -> e.Acquire:
    return e.Acquire(SESSION, 5, 2, (e.Item("db", Mode.EXCLUSIVE),), terms, is_tree)


EVENTS = [
    (acquire(), wanted(e.NO_TERMS)),
    (acquire(("db", "S"), timeout=0), e.Acquire(SESSION, 5, 2, (e.Item("db", Mode.SHARED),), e.Terms("", 0))),
    (
        acquire(("a", "IX"), ("pool", 2, 3), ("b", "U")),
        e.Acquire(
            *(SESSION, 5, 2),
            (e.Item("a", Mode.INTENT_EXCLUSIVE), e.Item("pool", e.Permits(2, 3)), e.Item("b", Mode.UPDATE)),
            e.NO_TERMS,
        ),
    ),
    # Whether that many of that make sense is the core's affair.
    (m.Acquire(5, 2, (), None, {}), e.Acquire(SESSION, 5, 2, (), e.NO_TERMS)),
    (acquire(("pool", 0, 0)), e.Acquire(SESSION, 5, 2, (e.Item("pool", e.Permits(0, 0)),), e.NO_TERMS)),
    (acquire(timeout=1.5, options={"label": "nightly"}), wanted(e.Terms("nightly", 1.5))),
    (acquire(options={"tree": True}), wanted(e.NO_TERMS, is_tree=True)),
    (acquire(options={"tree": False}), wanted(e.NO_TERMS)),
    (acquire(options={"reentrant": True}), wanted(e.Terms(is_reentrant=True))),
    (acquire(options={"lease": 0}), wanted(e.Terms(lease_seconds=0))),
    (acquire(options={"lease": 2.5}), wanted(e.Terms(lease_seconds=2.5))),
    (acquire(options={"yield": True}), wanted(e.Terms(wants_yield_request=True))),
    (acquire(options={"wait_notice": True}), wanted(e.Terms(wants_wait_notice=True))),
    (
        acquire(
            timeout=3,
            options={
                **{"label": "all", "tree": True, "reentrant": True, "lease": 9},
                **{"yield": True, "wait_notice": True},
            },
        ),
        wanted(e.Terms("all", 3, True, 9, True, True), is_tree=True),
    ),
    (convert(), e.Convert(SESSION, 5, 99, Mode.SHARED, e.NO_TERMS)),
    (
        convert("SIX", 4, {"wait_notice": True}),
        e.Convert(SESSION, 5, 99, Mode.SHARED_INTENT_EXCLUSIVE, e.Terms("", 4, wants_wait_notice=True)),
    ),
    (m.Release(6, 99, True), e.Release(SESSION, 6, 99, True)),
    (m.Cancel(7, 5), e.Cancel(SESSION, 7, 5)),
    (m.Adopt(7, 2, "ticket"), e.Adopt(SESSION, 7, 2, "ticket")),
    (m.Inherit(7, 2), e.Inherit(SESSION, 7, 2)),
    (m.Query(8, "db"), e.Query(SESSION, 8, "db")),
    (m.Bye(9), e.Bye(SESSION, 9)),
]


@pytest.mark.parametrize(("message", "event"), EVENTS)
def test_a_request_is_what_it_asks_of_the_core(message: m.ClientMessage, event: e.Event) -> None:
    assert translate.event_of(SESSION, message) == event


def test_every_mode_can_be_asked_for() -> None:
    for mode in Mode:
        event = translate.event_of(SESSION, acquire(("db", mode.value)))
        assert isinstance(event, e.Acquire)
        assert event.items == (e.Item("db", mode),)


def test_no_ticket_can_be_guessed() -> None:
    events = [translate.event_of(SESSION, m.HandOver(6, 99)) for _ in range(100)]
    tickets = set()
    for event in events:
        assert isinstance(event, e.HandOver)
        assert event[:3] == (SESSION, 6, 99)
        tickets.add(event.ticket)
    assert len(tickets) == 100
    assert min(map(len, tickets)) >= 32, "24 random bytes in base64"


MODES = "the modes are X, SIX, U, S, IX, IS"
OF_ACQUIRE = "is not an option of ACQUIRE, which has exit_releases, label, lease, reentrant, tree, wait_notice, yield"

MALFORMED = [
    (acquire(("", "X")), f'the name "" {fault_of_name("")}'),
    (acquire(("n" * 256, "X")), f'the name "{"n" * 147}…" {fault_of_name("n" * 256)}'),
    (acquire((NEWLINE, "X")), f'the name "two\\x0alines" {fault_of_name(NEWLINE)}'),
    (acquire(("db", "X"), ("", "X")), f'the name "" {fault_of_name("")}'),
    (acquire((NUL, 1, 2)), f'the name "\\x00" {fault_of_name(NUL)}'),
    (acquire((BIDI, "X")), f'the name "\\u202edb" {fault_of_name(BIDI)}'),
    (acquire(("db", "")), f'"" is not a mode: {MODES}'),
    (acquire(("db", "x")), f'"x" is not a mode: {MODES}'),
    (acquire(("db", "\x1b[31m")), f'"\\x1b[31m" is not a mode: {MODES}'),
    (acquire(options={"lable": ""}), f'"lable" {OF_ACQUIRE}'),
    (acquire(options={"\x07": 1}), f'"\\x07" {OF_ACQUIRE}'),
    (acquire(options={"label": 1}), "label is not a text"),
    (acquire(options={"label": None}), "label is not a text"),
    (acquire(options={"label": "l" * 257}), f"the label {fault_of_label('l' * 257)}"),
    (acquire(options={"label": ESCAPE}), f"the label {fault_of_label(ESCAPE)}"),
    *[
        (acquire(options={option: value}), f"{option} is neither true nor false")
        for option in ("tree", "reentrant", "yield", "wait_notice")
        for value in (0, 1, "true", None)
    ],
    *[
        (acquire(options={"lease": value}), "lease is not a number of seconds from 0 on")
        for value in (-1, -1e-9, True, "1", None)
    ],
    (convert(""), f'"" is not a mode: {MODES}'),
    (convert(options={"label": ""}), '"label" is not an option of CONVERT, which has wait_notice'),
    (convert(options={"tree": True}), '"tree" is not an option of CONVERT, which has wait_notice'),
    (convert(options={"wait_notice": 1}), "wait_notice is neither true nor false"),
    (m.Query(5, NUL), f'the name "\\x00" {fault_of_name(NUL)}'),
]


@pytest.mark.parametrize(("message", "detail"), MALFORMED)
def test_what_is_no_request_is_told_why(message: m.ClientMessage, detail: str) -> None:
    """It has used its id up all the same, so it is an event like every other."""
    assert translate.event_of(SESSION, message) == e.Malformed(SESSION, 5, detail)


def test_the_shortest_and_the_longest_of_everything_are_requests() -> None:
    for name in ("n", "n" * 255, "日" * 85):
        for label in ("", "l" * 256):
            event = translate.event_of(SESSION, acquire((name, "X"), options={"label": label}))
            assert isinstance(event, e.Acquire)


HOLDER = a.Holder(e.Peer(11, 12, 13), "backup", "nightly", Mode.SHARED, 4.5, 99, False)
AS_MAP: dict[str, m.Scalar] = {
    **{"pid": 11, "uid": 12, "program": "backup", "label": "nightly", "mode": "S", "permits": 0},
    **{"held_seconds": 4.5, "token": 99, "attached": False},
}
OF_PERMITS = HOLDER._replace(demand=e.Permits(2, 3))
FACTS: m.Facts = {"name": "db", "holders": (AS_MAP,), "holders_total": 2, "waiters_total": 3}
WAITER, BLOCKER = e.Peer(11, 12, 13), e.Peer(21, 22, 23)
STEP = a.Step(
    "db", WAITER, "backup", "nightly", Mode.EXCLUSIVE, BLOCKER, "web", "", e.Permits(2, 3), 4.5, is_queued=True
)
STEP_AS_MAP: dict[str, m.Scalar] = {
    **{"name": "db", "pid": 11, "uid": 12, "program": "backup", "label": "nightly", "mode": "X", "permits": 0},
    **{"blocker_pid": 21, "blocker_uid": 22, "blocker_program": "web", "blocker_label": ""},
    **{"blocker_mode": "", "blocker_permits": 2, "seconds": 4.5, "queued": True},
}
ABANDONMENT = a.Abandonment("db", e.Peer(11, 12, 13), "backup", "nightly", 4.5)

MESSAGES = [
    (a.Granted(SESSION, 5, 99), m.Granted(5, 8, 99, {})),
    (
        a.Granted(SESSION, 5, 99, (ABANDONMENT, ABANDONMENT._replace(name="log", label="l" * 65))),
        m.Granted(
            *(5, 8, 99),
            {
                "abandoned": tuple(
                    {
                        **{"name": name, "pid": 11, "uid": 12, "program": "backup", "label": label},
                        "ago_seconds": 4.5,
                    }
                    for name, label in (("db", "nightly"), ("log", "l" * 61 + "…"))
                )
            },
        ),
    ),
    (a.Done(SESSION, 6), m.Done(6, 8)),
    (a.TicketMade(SESSION, 6, "ticket"), m.Ticket(6, 8, "ticket")),
    (
        a.Waiting(SESSION, 7, a.NameFacts("db", (HOLDER,), 2, 3, 3, 0.0)),
        m.Waiting(0, 8, 7, {**FACTS, "position": 3, "waited_seconds": 0.0}),
    ),
    (
        a.YieldRequested(SESSION, 99, a.NameFacts("db", (HOLDER,), 2, 3)),
        m.YieldRequested(0, 8, 99, FACTS),
    ),
    (a.Lost(SESSION, 99, a.LossReason.LEASE), m.Lost(0, 8, 99, "lease")),
    (a.Lost(SESSION, 99, a.LossReason.HANDED_OVER), m.Lost(0, 8, 99, "handed_over")),
    (
        a.State(SESSION, 7, a.NameFacts("db", (OF_PERMITS,), 2, 3)),
        m.State(7, 8, {**FACTS, "holders": ({**AS_MAP, "mode": "", "permits": 2},)}),
    ),
    (
        a.Failed(SESSION, 5, a.Reason.DEADLOCK, cycle=(STEP, STEP._replace(name="log")), cycle_total=9),
        m.Failed(
            *(5, 8, "deadlock"),
            'to wait for "db" would be to wait for ever: pid 11 waits for "db" exclusively, and pid 21 waits before '
            'it; pid 11 waits for "log" exclusively, and pid 21 waits before it; and 7 more steps',
            {"name": "db", "cycle": (STEP_AS_MAP, {**STEP_AS_MAP, "name": "log"}), "cycle_total": 9},
        ),
    ),
    *[
        (
            a.Failed(SESSION, 5, reason, detail="no, for a reason"),
            m.Failed(5, 8, reason.value, "no, for a reason", {}),
        )
        for reason in (a.Reason.NOT_OWNER, a.Reason.KIND_MISMATCH, a.Reason.LIMIT_MISMATCH)
    ],
    (
        a.State(SESSION, 7, a.NameFacts("db", (HOLDER,), 2, 3)),
        m.State(7, 8, {"name": "db", "holders": (AS_MAP,), "holders_total": 2, "waiters_total": 3}),
    ),
    (
        a.State(SESSION, 7, a.NameFacts("db", (), 0, 0)),
        m.State(7, 8, {"name": "db", "holders": (), "holders_total": 0, "waiters_total": 0}),
    ),
    (
        a.Failed(SESSION, 5, a.Reason.CANCELLED),
        m.Failed(5, 8, "cancelled", "the request was cancelled", {}),
    ),
    (
        a.Failed(SESSION, 5, a.Reason.QUOTA, detail="uid 12 has enough"),
        m.Failed(5, 8, "quota", "uid 12 has enough", {}),
    ),
    (
        a.Failed(SESSION, 5, a.Reason.BAD_REQUEST, detail="no"),
        m.Failed(5, 8, "bad_request", "no", {}),
    ),
    (
        a.Failed(SESSION, 5, a.Reason.TIMEOUT, a.NameFacts("db", (), 0, 1, 2, 0.0)),
        m.Failed(
            *(5, 8, "timeout", 'did not wait for "db": nobody holds it, and others come first; 2nd in the queue'),
            {
                **{"name": "db", "holders": (), "holders_total": 0, "waiters_total": 1},
                **{"position": 2, "waited_seconds": 0.0},
            },
        ),
    ),
]


@pytest.mark.parametrize(("action", "message"), MESSAGES)
def test_an_action_is_what_its_session_is_told(action: a.Answer | a.Notice, message: m.DaemonMessage) -> None:
    assert translate.message_of(action, covered=8) == message


def circle(*numbers: int) -> tuple[a.Step, ...]:
    return tuple(STEP._replace(name=f"name {number}") for number in numbers)


def test_the_steps_that_a_refusal_has_no_room_for_are_told_ahead_of_it() -> None:
    failed = a.Failed(SESSION, 5, a.Reason.DEADLOCK, cycle=circle(*range(21)), cycle_total=30)
    refusal = translate.message_of(failed, covered=8)
    assert isinstance(refusal, m.Failed)
    assert refusal.facts["cycle"] == tuple({**STEP_AS_MAP, "name": f"name {number}"} for number in range(8))
    assert refusal.facts["cycle_total"] == 30
    steps = [("name " + str(number), *tuple(STEP_AS_MAP.values())[1:]) for number in range(21)]
    assert list(translate.frames_of_steps(failed, covered=8)) == [
        encode(m.Steps(0, 8, 5, 8, tuple(steps[8:20]))),
        encode(m.Steps(0, 8, 5, 20, tuple(steps[20:]))),
    ]


def test_of_a_short_circle_the_refusal_tells_all() -> None:
    failed = a.Failed(SESSION, 5, a.Reason.DEADLOCK, cycle=circle(*range(8)), cycle_total=8)
    assert list(translate.frames_of_steps(failed, covered=8)) == []


def test_hello_is_no_request() -> None:
    """The connection answers it. Whoever gives it to the core has a bug, and no peer can."""
    with pytest.raises(AssertionError, match="Hello is no request"):
        translate.event_of(SESSION, m.Hello(0, "lockd", 1, "", {}))
