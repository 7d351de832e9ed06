"""lockd/sentences.py: what people are told, word for word."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockd import sentences, translate
from lockd.core import actions as a
from lockd.core.bounds import HOLDERS_NAMED_MAX, LIMIT_MAX, NAMES_ASKED_MAX, PLACES_COUNTED_MAX
from lockd.core.events import Demand, Peer, Permits
from lockd.core.modes import Mode
from lockd.translate import STEPS_IN_REFUSAL
from lockd_wire import messages as m
from lockd_wire.codec import TO_CLIENT, encode
from lockd_wire.limits import FRAME_BYTES_MAX, STEPS_MAX, UINT_MAX
from lockd_wire.names import fault_of_label, fault_of_name, fault_of_program

PEER = Peer(4711, 1000, 1000)


def holder(
    program: str = "backup", label: str = "", mode: Demand = Mode.EXCLUSIVE, seconds: float = 42, attached: bool = True
) -> a.Holder:
    return a.Holder(PEER, program, label, mode, seconds, 7, attached)


def timeout(facts: a.NameFacts) -> str:
    return sentences.of_failure(a.Failed(1, 1, a.Reason.TIMEOUT, facts))


def shared(*pids: int) -> tuple[a.Holder, ...]:
    return tuple(holder(f"program {pid}", mode=Mode.SHARED)._replace(peer=Peer(pid, 1, 1)) for pid in pids)


TIMEOUTS = [
    (
        a.NameFacts("db", (holder(label="nightly"),), 1, 3, 2, 5.04),
        'waited 5.0 s for "db": it is held exclusively by pid 4711 (backup, "nightly") for 42 s; 2nd in the queue',
    ),
    (
        a.NameFacts("db", (holder(),), 1, 0, 1, 0.0),
        'did not wait for "db": it is held exclusively by pid 4711 (backup) for 42 s; 1st in the queue',
    ),
    (
        a.NameFacts("db", (holder(attached=False),), 1, 1, 1, 60.0),
        'waited 1 min for "db": it is held exclusively by pid 4711 (backup) for 42 s, not connected at the moment; '
        "1st in the queue",
    ),
    (
        a.NameFacts("db", shared(1, 2), 2, 1, 1, 1.0),
        'waited 1.0 s for "db": it is held shared by pid 1 (program 1) for 42 s; shared by pid 2 (program 2) for 42 s; '
        "1st in the queue",
    ),
    (
        a.NameFacts("db", shared(1), 4000, 1, 1, 1.0),
        'waited 1.0 s for "db": it is held shared by pid 1 (program 1) for 42 s; and by 3999 more; 1st in the queue',
    ),
    (
        a.NameFacts("db", (), 0, 1, 2, 1.0),
        'waited 1.0 s for "db": nobody holds it, and others come first; 2nd in the queue',
    ),
    (
        a.NameFacts("db", (holder(),), 1, 2000, PLACES_COUNTED_MAX, 1.0),
        'waited 1.0 s for "db": it is held exclusively by pid 4711 (backup) for 42 s; 1000th in the queue',
    ),
    (
        a.NameFacts("db", (holder(),), 1, 2000, PLACES_COUNTED_MAX + 1, 1.0),
        'waited 1.0 s for "db": it is held exclusively by pid 4711 (backup) for 42 s; '
        "behind more than 1000 others in the queue",
    ),
    (
        a.NameFacts("two\u200bwords", (holder("", "\x1b[31m\N{SOFT HYPHEN}"),), 1, 0, 1, 0.0),
        'did not wait for "two\\u200bwords": it is held exclusively by pid 4711 (?, "\\x1b[31m\\xad") for 42 s; '
        "1st in the queue",
    ),
]


@pytest.mark.parametrize(("facts", "sentence"), TIMEOUTS)
def test_a_timeout_says_who_is_in_the_way(facts: a.NameFacts, sentence: str) -> None:
    assert timeout(facts) == sentence


def step(waiter: int, name: str, blocker: int, demand: Demand = Mode.EXCLUSIVE, is_queued: bool = False) -> a.Step:
    before, behind = Peer(blocker, 1, 1), Peer(waiter, 1, 1)
    return a.Step(name, behind, "backup", "", demand, before, "web", "nightly", Mode.SHARED, 42, is_queued)


def deadlock(*steps: a.Step, total: int | None = None) -> str:
    return sentences.of_failure(
        a.Failed(1, 1, a.Reason.DEADLOCK, cycle=steps, cycle_total=len(steps) if total is None else total)
    )


@pytest.mark.parametrize(
    ("demand", "words"),
    [
        (Mode.EXCLUSIVE, "exclusively"),
        (Mode.SHARED_INTENT_EXCLUSIVE, "shared with intent exclusive"),
        (Mode.UPDATE, "for update"),
        (Mode.SHARED, "shared"),
        (Mode.INTENT_EXCLUSIVE, "with intent exclusive"),
        (Mode.INTENT_SHARED, "with intent shared"),
        (Permits(2, 3), "with 2 of its 3 permits"),
    ],
)
def test_in_what_way_something_is_held_or_wanted(demand: Demand, words: str) -> None:
    facts = a.NameFacts("db", (holder(mode=demand),), 1, 1, 1, 1.0)
    assert timeout(facts) == (
        f'waited 1.0 s for "db": it is held {words} by pid 4711 (backup) for 42 s; 1st in the queue'
    )
    assert f'waits for "db" {words}, and' in deadlock(step(1, "db", 2, demand), step(2, "log", 1))
    assert f"pid 2 holds it {words}" in deadlock(step(1, "db", 2)._replace(blocker_demand=demand), step(2, "log", 1))


@pytest.mark.parametrize(
    ("demand", "words"), [(Mode.EXCLUSIVE, "exclusively"), (Permits(2, 3), "with 2 of its 3 permits")]
)
def test_whoever_would_wait_for_itself_is_told_so(demand: Demand, words: str) -> None:
    assert deadlock(step(1, "db", 1)._replace(blocker_demand=demand)) == (
        f'whoever asks for "db" here has it already, {words} for 42 s, and would wait for itself'
    )


DEADLOCKS = [
    (
        (step(1, "db", 2), step(2, "log", 1, Mode.SHARED, is_queued=True)),
        2,
        'to wait for "db" would be to wait for ever: pid 1 waits for "db" exclusively, and pid 2 holds it shared; '
        'pid 2 waits for "log" shared, and pid 1 waits before it',
    ),
    # Whoever stands before itself in a queue does not have it.
    (
        (step(1, "pool", 1, Permits(1, 2), is_queued=True),),
        1,
        'to wait for "pool" would be to wait for ever: pid 1 waits for "pool" with 1 of its 2 permits, and pid 1 waits '
        "before it",
    ),
    (
        tuple(step(number, "n", number + 1) for number in range(5)),
        5,
        'to wait for "n" would be to wait for ever: '
        + "; ".join(f'pid {at} waits for "n" exclusively, and pid {at + 1} holds it shared' for at in range(4))
        + "; and 1 more step",
    ),
    (
        tuple(step(number, "n", number + 1) for number in range(8)),
        1000,
        'to wait for "n" would be to wait for ever: '
        + "; ".join(f'pid {at} waits for "n" exclusively, and pid {at + 1} holds it shared' for at in range(4))
        + "; and 996 more steps",
    ),
    (
        (step(1, "\x1b[31m", 2),),
        2,
        'to wait for "\\x1b[31m" would be to wait for ever: pid 1 waits for "\\x1b[31m" exclusively, and pid 2 holds '
        "it shared; and 1 more step",
    ),
]


@pytest.mark.parametrize(("steps", "total", "sentence"), DEADLOCKS)
def test_a_deadlock_says_who_waits_for_whom(steps: tuple[a.Step, ...], total: int, sentence: str) -> None:
    assert deadlock(*steps, total=total) == sentence


def test_a_long_name_is_shortened_more_where_there_are_many() -> None:
    assert f'pid 1 waits for "{"n" * 61}…" exclusively' in deadlock(step(1, "n" * 65, 2), step(2, "log", 1))


def test_a_cancelled_request_needs_no_words() -> None:
    assert sentences.of_failure(a.Failed(1, 1, a.Reason.CANCELLED)) == "the request was cancelled"


DETAILED = [reason for reason in a.Reason if reason not in (a.Reason.TIMEOUT, a.Reason.CANCELLED, a.Reason.DEADLOCK)]


@pytest.mark.parametrize("reason", DETAILED)
def test_what_was_refused_for_a_reason_of_its_own_says_that(reason: a.Reason) -> None:
    assert sentences.of_failure(a.Failed(1, 1, reason, detail="uid 7 has enough")) == "uid 7 has enough"


@pytest.mark.parametrize("reason", DETAILED)
def test_a_name_in_such_a_reason_gives_no_orders(reason: a.Reason) -> None:
    failed = a.Failed(1, 1, reason, detail='"two\u200bwords" is a lock')
    assert sentences.of_failure(failed) == '"two\\u200bwords" is a lock'


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "less than 0.1 s"),
        (0.099, "less than 0.1 s"),
        (0.1, "0.1 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (10, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h"),
        (3661, "1 h 1 min"),
        (86399, "23 h 59 min"),
        (86400, "1 d"),
        (100_000, "1 d 3 h"),
        (1e9, "11574 d 1 h"),
    ],
)
def test_durations(value: float, words: str) -> None:
    assert sentences.seconds(value) == words


def test_a_long_name_is_shortened_where_it_is_quoted() -> None:
    assert sentences.quoted("n" * 150) == f'"{"n" * 150}"'
    assert sentences.quoted("n" * 151) == f'"{"n" * 147}…"'
    # Never in the middle of a character.
    assert sentences.quoted("日" * 51) == f'"{"日" * 49}…"'


TEXT = st.text()
NAMES = TEXT.filter(lambda text: fault_of_name(text) is None)
PROGRAMS = TEXT.filter(lambda text: fault_of_program(text) is None)
LABELS = TEXT.filter(lambda text: fault_of_label(text) is None)
PEERS = st.builds(Peer, st.integers(0, 2**22), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
DEMANDS = st.sampled_from(Mode) | st.builds(Permits, st.integers(1, LIMIT_MAX), st.just(LIMIT_MAX))
HOLDERS = st.builds(
    a.Holder,
    peer=PEERS,
    program=PROGRAMS,
    label=LABELS,
    demand=DEMANDS,
    held_seconds=st.floats(0, 1e10),
    token=st.integers(1, UINT_MAX),
    is_attached=st.booleans(),
)
FACTS = st.builds(
    a.NameFacts,
    name=NAMES,
    holders=st.lists(HOLDERS, max_size=HOLDERS_NAMED_MAX).map(tuple),
    holders_total=st.integers(4, 10**9),
    waiters_total=st.integers(0, 10**9),
    position=st.integers(1, PLACES_COUNTED_MAX + 1),
    waited_seconds=st.floats(0, 1e9),
)
STEPS = st.builds(
    a.Step,
    name=NAMES,
    waiter=PEERS,
    waiter_program=PROGRAMS,
    waiter_label=LABELS,
    demand=DEMANDS,
    blocker=PEERS,
    blocker_program=PROGRAMS,
    blocker_label=LABELS,
    blocker_demand=DEMANDS,
    blocker_seconds=st.floats(0, 1e10),
    is_queued=st.booleans(),
)
FAILURES = FACTS.map(lambda facts: a.Failed(1, 1, a.Reason.TIMEOUT, facts)) | st.builds(
    a.Failed,
    session=st.just(1),
    id=st.just(1),
    reason=st.just(a.Reason.DEADLOCK),
    cycle=st.lists(STEPS, min_size=1, max_size=STEPS_IN_REFUSAL + 2).map(tuple),
    cycle_total=st.integers(STEPS_IN_REFUSAL + 2, 10**9),
)


@given(FAILURES)
def test_whatever_peers_call_themselves_the_answer_can_be_sent(failed: a.Failed) -> None:
    message = translate.message_of(failed, UINT_MAX)
    assert TO_CLIENT.decode(encode(message)[4:]) == message
    assert sentences.of_failure(failed).isprintable()


SOMEBODY = Peer(2**22, 2**32 - 2, 0)


def longest(char: str, demand: Demand, position: int | None) -> a.NameFacts:
    """Return the longest that can be said of a name."""
    name, program, label = texts(char)
    holders = (a.Holder(SOMEBODY, program, label, demand, 1e9 + 0.1, UINT_MAX, False),) * HOLDERS_NAMED_MAX
    return a.NameFacts(name, holders, 10**9, 10**9, position, None if position is None else 1e9 + 0.1)


def texts(char: str) -> tuple[str, str, str]:
    """Return the longest name, program and label with nothing but ``char`` in them."""
    size = len(char.encode())
    return char * (255 // size), char * (64 // size), char * (256 // size)


CHARS = ["x", "\N{SOFT HYPHEN}", "\u200b", "\U000e0001", "日", "\N{GRINNING FACE}"]
LONGEST_DEMANDS = [Mode.SHARED_INTENT_EXCLUSIVE, Permits(LIMIT_MAX, LIMIT_MAX)]


@pytest.mark.parametrize("char", CHARS)
@pytest.mark.parametrize("demand", LONGEST_DEMANDS)
@pytest.mark.parametrize("reason", [a.Reason.TIMEOUT, a.Reason.DEADLOCK])
def test_the_longest_of_everything_is_told_to_its_end(char: str, demand: Demand, reason: a.Reason) -> None:
    """A sentence that is too long for a message would be a bug, and bugs end the daemon."""
    if reason is a.Reason.TIMEOUT:
        failed = a.Failed(1, UINT_MAX, reason, longest(char, demand, PLACES_COUNTED_MAX + 1))
    else:
        name, program, label = texts(char)
        wait = a.Step(name, SOMEBODY, program, label, demand, SOMEBODY, program, label, demand, 1e9 + 0.1, False)
        failed = a.Failed(1, UINT_MAX, reason, cycle=(wait,) * (STEPS_IN_REFUSAL + STEPS_MAX + 1), cycle_total=10**9)
        told = [TO_CLIENT.decode(frame[4:]) for frame in translate.frames_of_steps(failed, UINT_MAX)]
        assert [len(each.steps) for each in told if isinstance(each, m.Steps)] == [STEPS_MAX, 1]
    message = translate.message_of(failed, UINT_MAX)
    assert TO_CLIENT.decode(encode(message)[4:]) == message
    assert not sentences.of_failure(failed).endswith("…")
    assert sentences.of_failure(failed) == sentences._of_failure(failed), "nothing was cut off its end"


@pytest.mark.parametrize("char", CHARS)
@pytest.mark.parametrize("demand", LONGEST_DEMANDS)
def test_the_longest_notices_can_be_sent(char: str, demand: Demand) -> None:
    waits, has = longest(char, demand, PLACES_COUNTED_MAX + 1), longest(char, demand, None)
    notices: list[a.Answer | a.Notice] = [
        a.Waiting(1, UINT_MAX, waits),
        a.YieldRequested(1, UINT_MAX, has),
        a.State(1, UINT_MAX, has),
        *(a.Lost(1, UINT_MAX, reason) for reason in a.LossReason),
    ]
    for notice in notices:
        message = translate.message_of(notice, UINT_MAX)
        assert TO_CLIENT.decode(encode(message)[4:]) == message


@pytest.mark.parametrize("char", CHARS)
def test_the_longest_list_of_abandoned_names_can_be_sent(char: str) -> None:
    name, program, label = texts(char)
    abandoned = (a.Abandonment(name, SOMEBODY, program, label, 1e9 + 0.1),) * NAMES_ASKED_MAX
    message = translate.message_of(a.Granted(1, UINT_MAX, UINT_MAX, abandoned), UINT_MAX)
    frame = encode(message)
    assert TO_CLIENT.decode(frame[4:]) == message
    assert len(frame) > FRAME_BYTES_MAX * 3 // 4, "the control: it is near the bound"


def test_what_is_longer_than_any_text_may_be_is_shortened() -> None:
    failed = a.Failed(1, 1, a.Reason.BAD_REQUEST, detail="日" * 1000)
    assert len(sentences.of_failure(failed).encode()) <= 1024
    encode(translate.message_of(failed, 1))
