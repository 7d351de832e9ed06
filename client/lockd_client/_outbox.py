"""Frames on their way out, each of which is sent exactly once."""

from __future__ import annotations

from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Outbox:
    """The frames that the socket has not taken yet.

    Each frame knows how much of it was sent, from which follows what is to be sent next. So whoever is interrupted
    anywhere leaves a state that the next one can go on from: no frame is sent twice, and none is left off in its
    middle.
    """

    def __init__(self) -> None:
        #: Each frame that is not known to have been sent, and how many of its bytes were each time that some were. Only
        #: to be looked at.
        self.frames: deque[tuple[bytes, list[int]]] = deque()

    def put(self, frame: bytes) -> None:
        """Add a frame."""
        self.frames.append((frame, []))

    def clear(self) -> None:
        """Forget all frames, also one of which a part was sent: the next one goes into another stream."""
        self.frames.clear()

    def flush(self, sending: Callable[[bytes], Iterator[int]]) -> None:
        """Send until nothing is left, or until ``sending`` raises: then the rest stays for the next time.

        Args:
            sending: Returns an iterator that sends some of the bytes when it is asked for its one item, which is how
                many that were.
        """
        frames = self.frames
        while frames:
            frame, sent = frames[0]
            start = sum(sent) if sent else 0
            if start < len(frame):
                # One expression without a bytecode between the system call and the note of it: a signal handler that
                # raised there would make us forget what the daemon has got, and send it again.
                sent.extend(sending(frame[start:]))
                if start + sent[-1] < len(frame):
                    continue
            frames.popleft()
