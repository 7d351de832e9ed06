"""The golden vectors: what the bytes on the wire are, for good."""

from __future__ import annotations

from contextlib import suppress

import msgspec
import pytest

from lockd_wire.codec import encode
from lockd_wire.errors import RemoteWireError
from support.vectors import Vector, read_vectors
from support.wire_messages import FIELDS, dialect_of

VECTORS = read_vectors()
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.title)


def test_there_is_one_for_each_message() -> None:
    assert {type(vector.message) for vector in VECTORS} == FIELDS.keys()


@each_vector
def test_a_message_is_encoded_to_these_bytes(vector: Vector) -> None:
    assert encode(vector.message) == vector.frame


@each_vector
def test_these_bytes_are_decoded_to_the_message(vector: Vector) -> None:
    message = dialect_of(type(vector.message)).decode(vector.body)

    assert type(message) is type(vector.message)
    assert repr(message) == repr(vector.message)


@each_vector
def test_another_msgpack_reads_the_same_from_them(vector: Vector) -> None:
    assert int.from_bytes(vector.frame[:4], "big") == len(vector.body)
    assert msgspec.msgpack.decode(vector.body) == vector.array


@each_vector
def test_a_single_wrong_bit_is_noticed(vector: Vector) -> None:
    """So that the tests above can fail: no byte of a frame is without meaning."""
    dialect = dialect_of(type(vector.message))
    for position in range(len(vector.body)):
        body = bytearray(vector.body)
        body[position] ^= 1
        with suppress(RemoteWireError):
            assert repr(dialect.decode(bytes(body))) != repr(vector.message), position
