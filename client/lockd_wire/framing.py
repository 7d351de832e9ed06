"""The bytes of a stream, cut into frames."""

from __future__ import annotations

from ._typing import TYPE_CHECKING
from .errors import RemoteWireError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

_HEADER_BYTES = 4


class FrameDecoder:
    """Collects bytes as they come and gives them back as the bodies of frames.

    A frame stays until `advance` is called, so that whoever handles frames may be interrupted anywhere (a
    KeyboardInterrupt falls between any two instructions) and take the same frame again. Each method changes the buffer
    in one step or not at all: no frame is ever half taken.
    """

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._buffer = bytearray()
        # Where the frame ends that `peek` has given back.
        self._end = 0
        #: Adds what was read from the stream. It is the buffer's own method, and no function around it, so that a
        #: reader can go from `recv` to here without a bytecode in between, at which an interrupt could lose what was
        #: read.
        self.receive_data: Callable[[bytes], None] = self._buffer.extend

    @property
    def is_empty(self) -> bool:
        """Whether the stream stands between two frames."""
        return not self._buffer

    def peek(self) -> bytes | None:
        """Return the body of the first frame, or None while it is incomplete.

        Raises:
            RemoteWireError: The frame announces a length that no frame has. The stream is of no further use.
        """
        buffer = self._buffer
        if len(buffer) < _HEADER_BYTES:
            return None
        length = int.from_bytes(buffer[:_HEADER_BYTES], "big")
        if not 0 < length <= self._frame_bytes_max:
            raise self._refusal(length)
        self._end = end = _HEADER_BYTES + length
        return bytes(buffer[_HEADER_BYTES:end]) if len(buffer) >= end else None

    def advance(self) -> bool:
        """Drop the frame that `peek` has just given back, and return whether there is anything behind it."""
        buffer = self._buffer
        del buffer[: self._end]
        return bool(buffer)

    def frames(self, data: bytes) -> Iterator[bytes]:
        """Add what was read and return the bodies of all frames that are complete with it, each of which is dropped
        when the next one is asked for, or at once if nothing else was read. For a reader that no interrupt can meet:
        it takes half as long.

        Raises:
            RemoteWireError: (the iterator) As for `peek`, behind the frames before.
        """
        length = len(data) - _HEADER_BYTES
        if not self._buffer and 0 < length <= self._frame_bytes_max and length == int.from_bytes(data[:4], "big"):
            # One whole frame is the usual thing.
            return iter((data[_HEADER_BYTES:],))
        return self._frames(data)

    def _frames(self, data: bytes) -> Generator[bytes]:
        buffer, at = self._buffer, 0
        if buffer:
            buffer += data
            data = bytes(buffer)
        size = len(data)
        try:
            while (begin := at + _HEADER_BYTES) <= size:
                length = int.from_bytes(data[at:begin], "big")
                if not 0 < length <= self._frame_bytes_max:
                    raise self._refusal(length)
                end = begin + length
                if end > size:
                    return
                yield data[begin:end]
                at = end
        finally:
            if buffer or at < size:
                buffer[:] = data[at:]

    def _refusal(self, length: int) -> RemoteWireError:
        return RemoteWireError(f"a frame announces {length} bytes: a frame has 1 to {self._frame_bytes_max}")
