"""A stream may be cut anywhere: the same frames come out of it."""

from __future__ import annotations

from collections.abc import Callable, Generator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockd_wire.errors import RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX
from support.vectors import Vector, read_vectors

#: Adds what was read to a decoder and returns the frames that are complete with it.
Reader = Callable[[FrameDecoder, bytes], list[bytes]]

VECTORS = read_vectors()
STREAM = b"".join(vector.frame for vector in VECTORS)
BODIES = [vector.body for vector in VECTORS]


def taken_from(decoder: FrameDecoder) -> list[bytes]:
    """Take all frames that are complete."""
    bodies = []
    while (body := decoder.peek()) is not None:
        bodies.append(body)
        decoder.advance()
    return bodies


def stored_and_taken(decoder: FrameDecoder, data: bytes) -> list[bytes]:
    """Store what was read, and take what is complete then, as a reader does that may be interrupted."""
    decoder.receive_data(data)
    return taken_from(decoder)


def cut_out(decoder: FrameDecoder, data: bytes) -> list[bytes]:
    """Take what is complete with what was read, as a reader does that is never interrupted."""
    return list(decoder.frames(data))


each_reader = pytest.mark.parametrize("read", [stored_and_taken, cut_out])


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.title)
def test_a_frame_may_be_cut_at_every_byte(vector: Vector) -> None:
    for cut in range(len(vector.frame)):
        decoder = FrameDecoder(FRAME_BYTES_MAX)
        decoder.receive_data(vector.frame[:cut])
        assert decoder.is_empty == (cut == 0)
        assert decoder.peek() is None

        decoder.receive_data(vector.frame[cut:])
        assert taken_from(decoder) == [vector.body]
        assert decoder.is_empty


@each_reader
def test_many_frames_come_in_one_chunk(read: Reader) -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)

    assert read(decoder, STREAM) == BODIES
    assert decoder.is_empty


@each_reader
def test_many_frames_come_byte_by_byte(read: Reader) -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    bodies = []
    for byte in STREAM:
        bodies += read(decoder, bytes([byte]))

    assert bodies == BODIES
    assert decoder.is_empty


@each_reader
@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=20).map(sorted))
def test_many_frames_come_in_chunks(read: Reader, cuts: list[int]) -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    bodies = []
    for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
        bodies += read(decoder, STREAM[start:end])

    assert bodies == BODIES
    assert decoder.is_empty


def test_a_frame_that_is_cut_out_is_dropped_when_the_next_is_asked_for() -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    frames = decoder.frames(b"\0\0\0\1a\0\0\0\1b\0")
    assert isinstance(frames, Generator)
    assert [next(frames), next(frames)] == [b"a", b"b"]

    frames.close()
    assert taken_from(decoder) == [b"b"]
    assert list(decoder.frames(b"\0\0\1c")) == [b"c"]


def test_a_frame_that_comes_alone_is_cut_out() -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)

    assert list(decoder.frames(b"\0\0\0\1a")) == [b"a"]
    assert decoder.is_empty
    assert list(decoder.frames(b"\0\0\0\1b")) == [b"b"]


def test_a_bad_frame_is_found_behind_those_that_are_cut_out() -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    frames = decoder.frames(b"\0\0\0\1a\0\0\0\0")

    assert next(frames) == b"a"
    with pytest.raises(RemoteWireError, match=r"^a frame announces 0 bytes"):
        next(frames)
    with pytest.raises(RemoteWireError, match=r"^a frame announces 0 bytes"):
        next(decoder.frames(b""))


def test_a_frame_stays_until_it_is_dropped() -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    decoder.receive_data(b"\0\0\0\1a\0\0\0\1b")

    assert decoder.peek() == b"a"
    assert decoder.peek() == b"a"
    decoder.receive_data(b"\0\0\0\1c")
    assert decoder.peek() == b"a"

    decoder.advance()
    assert not decoder.is_empty
    assert decoder.peek() == b"b"
    decoder.advance()
    assert decoder.peek() == b"c"
    decoder.advance()
    assert decoder.peek() is None
    assert decoder.is_empty


@pytest.mark.parametrize("length", [1, FRAME_BYTES_MAX])
def test_a_frame_has_one_byte_to_as_many_as_are_allowed(length: int) -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    decoder.receive_data(length.to_bytes(4, "big") + bytes(length))

    assert decoder.peek() == bytes(length)


@pytest.mark.parametrize("length", [0, FRAME_BYTES_MAX + 1, 2**31, 2**32 - 1, int.from_bytes(b"GET ", "big")])
def test_no_frame_has_another_length(length: int) -> None:
    """The length alone is enough to know: nothing is collected that nobody could use."""
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    decoder.receive_data(length.to_bytes(4, "big"))

    for _ in range(2):
        with pytest.raises(RemoteWireError, match=f"^a frame announces {length} bytes: a frame has 1 to 8192$"):
            decoder.peek()


def test_what_came_before_a_bad_frame_is_given_back_first() -> None:
    decoder = FrameDecoder(FRAME_BYTES_MAX)
    decoder.receive_data(b"\0\0\0\1a\0\0\0\0")

    assert decoder.peek() == b"a"
    decoder.advance()
    with pytest.raises(RemoteWireError):
        decoder.peek()


def test_the_bound_is_that_of_the_dialect() -> None:
    decoder = FrameDecoder(3)
    decoder.receive_data(b"\0\0\0\3abc")
    assert taken_from(decoder) == [b"abc"]

    decoder.receive_data(b"\0\0\0\4")
    with pytest.raises(RemoteWireError):
        decoder.peek()
