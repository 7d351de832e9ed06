"""Frames with their numbers in the same places say what other frames say, and are read as these are."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockd_wire import fixed
from lockd_wire import messages as m
from lockd_wire.codec import TO_CLIENT, TO_DAEMON, encode, rest_of_acquire
from lockd_wire.errors import LocalWireError, RemoteWireError
from lockd_wire.limits import ELEMENTS_MAX, FRAME_BYTES_MAX, UINT_MAX
from support.wire_messages import messages

numbers = st.integers(0, UINT_MAX)

RELEASE = fixed.release(7, 8)
GRANTED = fixed.granted(7, 8, 9)


def body_of(frame: bytes) -> bytes:
    """Return the body, whose length the frame has to announce."""
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    return frame[4:]


@given(numbers, numbers)
def test_release(number: int, token: int) -> None:
    body = body_of(fixed.release(number, token))
    heard = TO_DAEMON.decode(body)

    assert type(heard) is m.Release
    assert heard == m.Release(number, token, False)
    assert fixed.parts_of_release(body) == (number, token)


@given(numbers, numbers, numbers)
def test_granted(number: int, covered: int, token: int) -> None:
    heard = TO_CLIENT.decode(body_of(fixed.granted(number, covered, token)))

    assert type(heard) is m.Granted
    assert heard == m.Granted(number, covered, token, {})


@given(messages(m.Acquire).filter(lambda asked: len(encode(asked, 1_000_000)) < FRAME_BYTES_MAX // 2))
def test_acquire(asked: m.Acquire) -> None:
    rest = rest_of_acquire(asked.items, asked.timeout, asked.options)
    body = body_of(fixed.acquire(asked.id, asked.owner, rest))

    assert TO_DAEMON.decode(body) == asked
    assert fixed.parts_of_acquire(body) == (asked.id, asked.owner, rest)


def test_whatever_is_another_byte_in_front_is_no_acquire_of_this_kind() -> None:
    body = body_of(fixed.acquire(7, 8, rest_of_acquire((("a", "X"),), None, {})))
    for at in (0, 1, 2, 11):
        assert [fixed.parts_of_acquire(body[:at] + bytes([byte]) + body[at + 1 :]) for byte in range(256)] == [
            (7, 8, body[20:]) if byte == body[at] else None for byte in range(256)
        ]


@pytest.mark.parametrize(
    "frame",
    [
        fixed.acquire(UINT_MAX + 1, 1, b"rest"),
        fixed.acquire(1, UINT_MAX + 1, b"rest"),
        # Cut off in the owner.
        fixed.acquire(1, 1, b"")[:-1],
        fixed.acquire(0, 0, b"")[:-2],
        encode(m.Acquire(1, 1, (("reports/daily", "X"),), None, {})),
    ],
)
def test_what_no_acquire_of_this_kind_has_is_left_to_others(frame: bytes) -> None:
    assert fixed.parts_of_acquire(frame[4:]) is None


def test_facts_of_a_grant_are_its_own() -> None:
    one, other = TO_CLIENT.decode(body_of(GRANTED)), TO_CLIENT.decode(body_of(GRANTED))

    assert isinstance(one, m.Granted)
    assert isinstance(other, m.Granted)
    assert one.facts is not other.facts


@pytest.mark.parametrize(
    ("decode", "frame", "most"),
    [
        (TO_DAEMON.decode, fixed.release(UINT_MAX + 1, 1), "RELEASE cannot have"),
        (TO_DAEMON.decode, fixed.release(1, UINT_MAX + 1), "RELEASE cannot have"),
        (TO_CLIENT.decode, fixed.granted(UINT_MAX + 1, 1, 1), "GRANTED cannot have"),
        (TO_CLIENT.decode, fixed.granted(1, UINT_MAX + 1, 1), "GRANTED cannot have"),
        (TO_CLIENT.decode, fixed.granted(1, 1, UINT_MAX + 1), "GRANTED cannot have"),
        (TO_CLIENT.decode, RELEASE, "5 is not the type"),
        (TO_DAEMON.decode, GRANTED, "34 is not the type"),
    ],
)
def test_what_no_message_has_is_refused_as_ever(decode: Callable[[bytes], object], frame: bytes, most: str) -> None:
    with pytest.raises(RemoteWireError, match=most):
        decode(body_of(frame))


@pytest.mark.parametrize(
    ("decode", "body"),
    [(TO_DAEMON.decode, body_of(RELEASE)), (TO_CLIENT.decode, body_of(GRANTED))],
    ids=["RELEASE", "GRANTED"],
)
def test_whatever_is_another_byte_is_read_as_any_frame(
    decode: Callable[[bytes], object], body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def outcome(other: bytes) -> object:
        try:
            return decode(other)
        except RemoteWireError as error:
            return str(error)

    others = [body[:at] + bytes([byte]) + body[at + 1 :] for at in range(len(body)) for byte in range(256)]
    quick = [outcome(other) for other in others]
    dialect = decode.__self__  # type: ignore[attr-defined]  # It is a method.
    monkeypatch.setattr(dialect, "_readers", {})
    assert quick == [outcome(other) for other in others]


def test_a_number_that_is_none_is_a_bug_on_this_side() -> None:
    with pytest.raises(struct.error):
        fixed.release(-1, 1)


def test_what_cannot_be_asked_for_is_a_bug_on_this_side() -> None:
    with pytest.raises(LocalWireError):
        rest_of_acquire((("a", "X"),) * (ELEMENTS_MAX + 1), None, {})
