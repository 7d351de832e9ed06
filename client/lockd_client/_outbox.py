"""Frames on their way out, each of which is sent exactly once."""

from __future__ import annotations

from collections import deque
from operator import add

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Outbox:
    """The frames that the socket has not taken yet.

    How far the stream has got is one number, the position of its first unsent byte, and each frame knows the position
    of its end. From these two follows what is to be sent next, so that whoever is interrupted anywhere leaves a state
    that the next one can go on from: no frame is sent twice, and none is left off in its middle.
    """

    def __init__(self) -> None:
        #: Each frame that is not known to have been sent, after the position of its end. Only to be looked at.
        self.frames: deque[tuple[int, bytes]] = deque()
        # A queue of one, because that can be changed from C: see `flush`.
        self._position: deque[int] = deque((0,), maxlen=1)

    def put(self, frame: bytes) -> None:
        """Add a frame."""
        start = self.frames[-1][0] if self.frames else self._position[0]
        self.frames.append((start + len(frame), frame))

    def clear(self) -> None:
        """Forget all frames, also one of which a part was sent: the next one goes into another stream."""
        self.frames.clear()

    def flush(self, sending: Callable[[bytes], Iterator[int]]) -> None:
        """Send until nothing is left, or until ``sending`` raises: then the rest stays for the next time.

        Args:
            sending: Returns an iterator that sends some of the bytes when it is asked for its one item, which is how
                many that were.
        """
        frames, position = self.frames, self._position
        while frames:
            end, frame = frames[0]
            sent = position[0]
            if sent < end:
                # One expression without a bytecode between the system call and the new position: a signal handler that
                # raised there would make us forget what the daemon has got, and send it again.
                position.extend(map(add, sending(frame[sent - end :]), (sent,)))
                if position[0] < end:
                    continue
            frames.popleft()
