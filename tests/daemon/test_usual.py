"""lockd/usual.py: what is remembered says what reading it again would say."""

from __future__ import annotations

import pytest

from lockd import translate, usual
from lockd.core import events as e
from lockd_wire import fixed
from lockd_wire import messages as m
from lockd_wire.codec import TO_DAEMON, encode, rest_of_acquire
from lockd_wire.errors import RemoteWireError

SESSION = 77

WISHES: list[bytes] = [
    rest_of_acquire((("reports/daily", "X"),), None, {}),
    rest_of_acquire((("reports/daily", "X"),), 0, {}),
    rest_of_acquire((("reports/daily", "X"),), 0.0, {}),
    rest_of_acquire((("reports/daily", "S"),), 2.5, {"label": "nightly", "reentrant": True}),
    rest_of_acquire((("a/b", "S"), ("pool", 2, 3)), None, {"tree": True}),
    rest_of_acquire((("n" * 255, "SIX"),), None, {}),
    # Too long to be remembered.
    rest_of_acquire((("n" * 255, "X"),), None, {"label": "l" * 256}),
    # Nothing that can be done.
    rest_of_acquire((("two\nlines", "X"),), None, {}),
    rest_of_acquire((("db", "XX"),), None, {}),
    rest_of_acquire((("db", "X"),), None, {"colour": "red"}),
]


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> usual._Memory:
    """An empty memory."""
    memory = usual._Memory()
    monkeypatch.setattr(usual, "_memory", memory)
    return memory


def body_of_acquire(number: int, owner: int, rest: bytes) -> bytes:
    return fixed.acquire(number, owner, rest)[4:]


def as_read(body: bytes) -> e.Request:
    return translate.event_of(SESSION, TO_DAEMON.decode(body))


def exactly(event: e.Request | None) -> str:
    """1 and 1.0 and True are equal, and here they are not the same."""
    return repr(event)


@pytest.mark.parametrize("wish", WISHES)
def test_what_is_remembered_is_what_would_be_read(wish: bytes) -> None:
    for number, owner in ((1, 1), (2, 9), (3, 1)):
        body = body_of_acquire(number, owner, wish)
        assert exactly(usual.event_of(SESSION, body)) == exactly(as_read(body))


def test_wishes_are_told_apart() -> None:
    bodies = [body_of_acquire(number, 1, wish) for number, wish in enumerate(WISHES * 2)]
    assert [exactly(usual.event_of(SESSION, body)) for body in bodies] == [exactly(as_read(body)) for body in bodies]


def test_a_release_is_what_would_be_read() -> None:
    body = fixed.release(7, 8)[4:]
    assert exactly(usual.event_of(SESSION, body)) == exactly(as_read(body))


@pytest.mark.parametrize(
    "message", [m.Release(7, 8, False), m.Release(7, 8, True), m.Acquire(7, 8, (("db", "X"),), None, {}), m.Bye(7)]
)
def test_what_is_written_in_another_way_is_left_to_others(message: m.ClientMessage) -> None:
    assert usual.event_of(SESSION, encode(message)[4:]) is None


def test_a_message_of_the_length_of_a_release_is_left_to_others() -> None:
    body = bytes([0x94, 9]) + fixed.release(7, 8)[6:]
    assert usual.event_of(SESSION, body) is None


def test_whoever_breaks_the_protocol_is_told_so_each_time() -> None:
    body = body_of_acquire(1, 1, b"\x91")
    for _ in range(2):
        with pytest.raises(RemoteWireError):
            usual.event_of(SESSION, body)


def test_what_was_refused_is_not_remembered(memory: usual._Memory) -> None:
    for wish in WISHES[-4:]:
        usual.event_of(SESSION, body_of_acquire(1, 1, wish))
    assert not memory.young


def test_the_memory_is_bounded_and_keeps_what_is_used(memory: usual._Memory) -> None:
    def ask(name: str) -> None:
        usual.event_of(SESSION, body_of_acquire(1, 1, rest_of_acquire(((name, "X"),), None, {})))

    for number in range(5_000):
        ask("used")
        ask(f"name/{number}")
        assert len(memory.young) + len(memory.old) <= 1024
    [used] = (wish for rest, wish in memory.young.items() if b"used" in rest)
    ask("used")
    assert memory.young[rest_of_acquire((("used", "X"),), None, {})] is used
