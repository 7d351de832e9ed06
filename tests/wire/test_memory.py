"""One frame never makes the decoder allocate more than 1 MB.

The bodies here are the worst that we know of: containers cost far more as objects than as bytes, an array costs 8 bytes
for each element that it announces, and msgpack remembers up to 1024 arrays and maps that are not complete.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgpack
import pytest

from lockd_wire.codec import TO_CLIENT, Dialect
from lockd_wire.errors import RemoteWireError
from lockd_wire.limits import ELEMENTS_MAX
from support.wire_messages import DIALECTS, NUMBERS

ALLOCATED_BYTES_MAX = 1_000_000
NESTED_MAX = 1023

#: What a body can be filled with, from which many objects come.
FILLINGS = {
    "empty maps": b"\x80",
    "empty arrays": b"\x90",
    "maps of one pair": b"\x81\xa0\xc0",
    "maps of one pair with a key of its own": b"\x81\xa2\xc4\x80\xc0",
    "maps of six pairs": b"\x86" + b"".join(bytes([0xA1, key, 0xC0]) for key in range(6)),
    "arrays of one element": b"\x91\xc0",
    "maps of maps": b"\x81\xa0" * 15 + b"\x80",
    "arrays of arrays": b"\x91" * 15 + b"\x90",
    "arrays of fifteen maps": b"\x9f" + b"\x80" * 15,
    "floats": b"\xcb" + bytes(range(1, 9)),
    "short floats": b"\xca" + bytes(range(1, 5)),
    "integers": b"\xcd\x7f\x7f",
    "long integers": b"\xcf" + b"\x7f" * 8,
    "texts of two bytes": b"\xa2ab",
    "texts of one character that is not Latin": b"\xa2\xc4\x80",
    "texts of one character that needs four bytes": b"\xa4\xf0\x9f\x98\x80",
}

#: What it can be put into, again and again, before the first element comes.
WRAPPINGS = {
    "the longest short array": b"\x9f",
    "the longest array": b"\xdc" + ELEMENTS_MAX.to_bytes(2, "big"),
    "a map": b"\x8f\xa0",
    "an array of one": b"\x91",
}


def bodies(frame_bytes_max: int) -> dict[str, bytes]:
    """Return bodies of exactly this length; most of them end in the middle of something."""
    made = {}
    for wrapping, head in WRAPPINGS.items():
        for filling, unit in FILLINGS.items():
            for depth in (1, NESTED_MAX - 20):
                body = head * depth
                body += unit * ((frame_bytes_max - len(body)) // len(unit) + 1)
                made[f"{filling} in {depth} times {wrapping}"] = body[:frame_bytes_max]
    for depth in (1, 500, 1000):
        # A map in a map in a map ..., as deep as there is room for, and then again.
        chain = b"\x81\xa0" * (NESTED_MAX - depth - 1) + b"\x80"
        made[f"chains of maps in {depth} arrays"] = (b"\x9f" * depth + chain * frame_bytes_max)[:frame_bytes_max]
    texts = b"\xda\x04\x00" + "\U0001f512".encode() * 256
    made["the longest texts"] = (b"\x9f" + texts * frame_bytes_max)[:frame_bytes_max]
    return made


def allocated_by(decode: Callable[[bytes], Any], body: bytes) -> int:
    """Return how many bytes were allocated at the worst moment of the decoding."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        with suppress(RemoteWireError, ValueError):
            decode(body)
        _, peak = tracemalloc.get_traced_memory()
        return peak - before
    finally:
        tracemalloc.stop()


def allocated_by_bodies(dialect: Dialect[Any], frame_bytes_max: int) -> dict[str, int]:
    """Return what each of the bodies makes a dialect allocate."""
    return {name: allocated_by(dialect.decode, body) for name, body in bodies(frame_bytes_max).items()}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_no_frame_makes_the_decoder_allocate_a_megabyte(dialect: Dialect[Any]) -> None:
    allocated = allocated_by_bodies(dialect, dialect.frame_bytes_max)

    assert {name: size for name, size in allocated.items() if size >= ALLOCATED_BYTES_MAX} == {}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_nor_does_a_frame_that_begins_as_a_message(dialect: Dialect[Any]) -> None:
    """What is in the right place is looked at more closely, and the error says what it is."""
    fillings = [b"\x80", b"\x81\xa0\x80", b"\x91\x90", b"\xa4\xf0\x9f\x98\x80"]
    for message in dialect.message_types:
        count = len(message._fields)
        start = bytes([0x91 + count, NUMBERS[message]]) + b"\x01" * (count - 1)
        for filling in fillings:
            element = b"\xdc" + ELEMENTS_MAX.to_bytes(2, "big") + filling * ELEMENTS_MAX
            room = dialect.frame_bytes_max - len(start) - 3
            array = b"\xdc" + ELEMENTS_MAX.to_bytes(2, "big") + element * min(ELEMENTS_MAX, room // len(element))
            whole = start + array + b"\xc0" * (ELEMENTS_MAX - room // len(element))
            assert allocated_by(dialect.decode, whole) < ALLOCATED_BYTES_MAX


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_twice_the_length_would_be_too_much(dialect: Dialect[Any]) -> None:
    """So that the tests above can fail."""
    assert max(allocated_by_bodies(dialect, 2 * dialect.frame_bytes_max).values()) > ALLOCATED_BYTES_MAX


def test_so_would_arrays_of_as_many_elements_as_there_are_bytes() -> None:
    body = b"\xdc\x0b\xb8" * 1000

    assert len(body) == 0x0BB8
    assert allocated_by(msgpack.unpackb, body) > 20 * ALLOCATED_BYTES_MAX
    assert allocated_by(TO_CLIENT.decode, body) < ALLOCATED_BYTES_MAX
