"""A connection to the daemon of which every news comes as SIGIO, for somebody who never waits for it."""

from __future__ import annotations

import _socket

from lockd_wire.codec import TO_CLIENT, encode
from lockd_wire.errors import RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX

from .signals import request_news

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from lockd_wire.messages import ClientMessage, DaemonMessage

_READ_BYTES = 4096


class Conversation:
    """What is said and heard over one connection."""

    def __init__(self, sock: _socket.socket) -> None:
        """Take over a socket that is connected. What has come before this may have been no news: look at it."""
        self._sock = sock
        self._decoder = FrameDecoder(FRAME_BYTES_MAX)
        #: Whether anything can be heard still.
        self.is_open = True
        request_news(sock)

    def say(self, message: ClientMessage) -> None:
        """Say something, if there is anybody to hear it. It has to be little: there is always room for that."""
        try:
            self._sock.send(encode(message), _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
        except OSError:
            # What can still be heard is heard, and behind that the end.
            return

    def messages(self) -> Iterator[DaemonMessage]:
        """Yield what has come. What is no message of the protocol ends the conversation."""
        self._receive()
        try:
            while (body := self._decoder.peek()) is not None:
                message = TO_CLIENT.decode(body)
                self._decoder.advance()
                yield message
        except RemoteWireError:
            self.is_open = False

    def _receive(self) -> None:
        try:
            while data := self._sock.recv(_READ_BYTES, _socket.MSG_DONTWAIT):
                self._decoder.receive_data(data)
        except BlockingIOError:
            return
        except OSError:
            pass
        self.is_open = False

    def wait_for_end(self, seconds: float) -> None:
        """Wait until the daemon hangs up, for so long at most, and drop what it says before."""
        self._sock.settimeout(seconds)
        try:
            while self._sock.recv(_READ_BYTES):
                pass
        except OSError:
            pass

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._sock.close()
