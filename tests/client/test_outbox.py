"""Frames leave once each and whole, however much the socket takes at a time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockd_client._outbox import Outbox


class Socket:
    """Takes as much at a time as it is told to, and then nothing."""

    def __init__(self, *sizes: int) -> None:
        self.sizes = list(sizes)
        self.taken = b""

    def sending(self, data: bytes) -> Iterator[int]:
        if not self.sizes:
            raise BlockingIOError
        size = min(self.sizes.pop(0), len(data))

        def send() -> Iterator[int]:
            self.taken += data[:size]
            yield size

        return send()


@given(frames=st.lists(st.binary(min_size=1, max_size=20)), sizes=st.lists(st.integers(1, 25), max_size=30))
def test_what_was_sent_is_a_prefix_of_all_frames(frames: list[bytes], sizes: list[int]) -> None:
    outbox, socket = Outbox(), Socket(*sizes)
    for frame in frames:
        outbox.put(frame)
    try:
        outbox.flush(socket.sending)
    except BlockingIOError:
        assert outbox.frames
    assert b"".join(frames).startswith(socket.taken)
    socket.sizes = [1000] * 100
    outbox.flush(socket.sending)
    assert (socket.taken, list(outbox.frames)) == (b"".join(frames), [])


def test_frames_put_while_others_wait_come_behind_them() -> None:
    outbox, socket = Outbox(), Socket(2)
    outbox.put(b"first")
    with pytest.raises(BlockingIOError):
        outbox.flush(socket.sending)
    outbox.put(b"second")
    socket.sizes = [100, 100]
    outbox.flush(socket.sending)
    assert socket.taken == b"firstsecond"


def test_a_frame_that_was_sent_before_an_interrupt_is_not_sent_again() -> None:
    outbox, socket = Outbox(), Socket(100, 100)

    class Interrupt(Exception):
        pass

    def sending_and_then_interrupted(data: bytes) -> Iterator[int]:
        # The count is stored before the next item is asked for, so this stands for an interrupt behind the storing.
        yield from socket.sending(data)
        raise Interrupt

    outbox.put(b"first")
    with pytest.raises(Interrupt):
        outbox.flush(sending_and_then_interrupted)
    outbox.put(b"second")
    outbox.flush(socket.sending)
    assert socket.taken == b"firstsecond"
