"""One peer's socket: bytes to messages, messages to a bounded outbox.

What the messages mean is the business of the two kinds of connection that are built on this one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Final, NamedTuple

from lockd_wire import messages as m
from lockd_wire.codec import Dialect, encode
from lockd_wire.errors import RemoteWireError
from lockd_wire.framing import FrameDecoder

from . import peers
from .logs import Event, fields, log
from .reactor import READABLE, WRITABLE, Reactor, Timer

#: Read in one turn from one peer: a hundred requests at most, then the others have theirs. More is not faster, and
#: makes everybody wait longer while many peers send without a pause.
_READ_BYTES: Final = 2 * 1024

#: Read from a peer when nothing more will come: it is gone, or the daemon stops. The kernel buffers less for a socket.
_LAST_READ_BYTES_MAX: Final = 1024 * 1024


class Patience(NamedTuple):
    """How much a connection puts up with. The configuration explains each."""

    outbox_bytes_max: int
    hello_seconds_max: float
    frame_seconds_max: float


class Connections:
    """The connections that are open, and which of them have something to do at the end of the turn."""

    def __init__(self) -> None:
        self._open: set[Connection] = set()
        self._dirty: list[Connection] = []
        #: Those that did not read.
        self.cut_off_total = 0

    def add(self, connection: Connection) -> None:
        """Take note of a new connection."""
        self._open.add(connection)

    def discard(self, connection: Connection) -> None:
        """Take note of a connection that is closed."""
        self._open.discard(connection)

    def mark(self, connection: Connection) -> None:
        """Have `flush` call the connection's."""
        self._dirty.append(connection)

    def flush(self) -> bool:
        """Send what is to be sent, and then end what is to end, and return whether there may be more to do. The end of
        one may change something, and give others something to say, which is for the next call: it is not in the journal
        yet."""
        dirty = self._dirty
        if not dirty:
            return False
        self._dirty = []
        has_ended = False
        for connection in dirty:
            connection.flush()
            has_ended = has_ended or connection._is_ending
        if has_ended:
            for connection in dirty:
                if connection._is_ending:
                    connection.close()
        return has_ended or bool(self._dirty)

    def hear_out(self) -> None:
        """Take all that has arrived on any connection, and let nothing more arrive."""
        for connection in list(self._open):
            connection.hear_out()

    def close(self) -> None:
        """Close every connection, as when the process ends."""
        for connection in list(self._open):
            connection.close()


class Connection:
    """One peer's socket. Its end says nothing about the session behind it.

    Nothing here closes a connection in the middle of a turn but the peer's own hang-up: whoever wants it closed marks
    it, and `flush` at the end of the turn does it. So no connection ends while the answers to one event are still being
    handed out."""

    __slots__ = (
        "_connections",
        "_decoder",
        "_is_ending",
        "_is_stuck",
        "_outbox",
        "_overdue",
        "_patience",
        "_reactor",
        "_sock",
        "is_closed",
        "is_introduced",
    )

    #: What the peer may say.
    HEARD: ClassVar[Dialect[Any]]
    #: Bound of what it is told.
    TOLD_FRAME_BYTES_MAX: ClassVar[int]
    #: Read in one turn.
    READ_BYTES: ClassVar[int] = _READ_BYTES

    def __init__(self, sock: socket.socket, reactor: Reactor, patience: Patience, connections: Connections) -> None:
        """Start serving ``sock``, which does not block. ``connections`` is flushed by its owner at the end of each
        turn.

        Raises:
            OSError: It cannot be watched. It is the caller's to close, and nothing else has happened.
        """
        self._sock = sock
        self._reactor = reactor
        self._patience = patience
        self._connections = connections
        self._decoder = FrameDecoder(self.HEARD.frame_bytes_max)
        self._outbox = bytearray()
        self._overdue: Timer | None = None
        self._is_stuck = False
        self._is_ending = False
        self.is_closed = False
        self.is_introduced = False
        reactor.watch(sock.fileno(), self._ready)
        connections.add(self)
        self._expect(patience.hello_seconds_max, "no HELLO came")

    def received(self, message: Any) -> None:
        """Handle a message of the peer's. For subclasses."""
        raise NotImplementedError

    def heard(self, body: bytes) -> None:
        """Handle the body of a frame of the peer's.

        Raises:
            RemoteWireError: It is no message that may come here.
        """
        self.received(self.HEARD.decode(body))

    def ended(self) -> None:
        """Take notice that the connection is closed, by whichever side. For subclasses."""
        raise NotImplementedError

    def farewell(self, sentence: str) -> m.Message:
        """Return what a peer is told that broke the protocol. For subclasses."""
        raise NotImplementedError

    def send(self, message: m.Message) -> None:
        """Put a message into the outbox. It leaves at the end of the turn, and not before: by then what it tells is in
        the journal. A peer that leaves too much unread is cut off then."""
        if not self.is_closed and not self._is_ending:
            self.send_frame(encode(message, self.TOLD_FRAME_BYTES_MAX))

    def send_frame(self, frame: bytes) -> None:
        """Do the same with a message that is a frame already."""
        if self.is_closed or self._is_ending:
            return
        # One that waits for room is not sent to before there is some, unless it is to be cut off.
        outbox = self._outbox
        if not outbox or len(outbox) > self._patience.outbox_bytes_max:
            self._connections.mark(self)
        outbox += frame

    @property
    def room(self) -> int:
        """How many bytes of answers more may be left unread. There is some again when the turn has ended."""
        return max(0, self._patience.outbox_bytes_max - len(self._outbox))

    def send_ahead(self, message: m.Message) -> None:
        """Send a message now that tells of nothing which has to be in the journal first, unless others wait before
        it. While the journal cannot be written, nothing else leaves."""
        if self._outbox or self.is_closed or self._is_ending:
            Connection.send(self, message)
            return
        self._outbox += encode(message, self.TOLD_FRAME_BYTES_MAX)
        self._offer()
        if self._outbox:
            self._connections.mark(self)

    def end(self) -> None:
        """Let the connection end with this turn, once more trying to send what is in the outbox."""
        self._is_ending = True
        self._connections.mark(self)

    def fail(self, sentence: str) -> None:
        """Tell the peer what it did wrong, and let the connection end."""
        self.send(self.farewell(sentence))
        self.end()

    def flush(self) -> None:
        """Send what the socket takes. What it does not take now leaves when there is room, unless that is too much."""
        if self.is_closed:
            return
        self._offer()
        if not self._outbox and not self._is_stuck:
            # The usual thing.
            return
        # Many answers in one turn are no proof: only now the socket, and with it the peer, has seen them.
        if not self._is_ending and len(self._outbox) > self._patience.outbox_bytes_max:
            pid, uid, _ = peers.credentials(self._sock)
            log.warning(
                "cut off pid %d (uid %d): it left %d bytes of answers unread",
                pid,
                uid,
                len(self._outbox),
                extra=fields(Event.CUT_OFF, pid=pid, uid=uid),
            )
            self._connections.cut_off_total += 1
            self._is_ending = True
        if not self._is_ending and bool(self._outbox) != self._is_stuck:
            self._is_stuck = not self._is_stuck
            self._reactor.rewatch(self._sock.fileno(), self._waits_for())

    def close(self) -> None:
        """Close the connection now. What is in the outbox is lost."""
        if self.is_closed:
            return
        self.is_closed = True
        self._expect_no_more()
        self._connections.discard(self)
        self._reactor.forget(self._sock.fileno())
        self._sock.close()
        self.ended()

    def hear_out(self) -> None:
        """Take all that has arrived, and let nothing more arrive. What the peer sends from now on fails, so that it
        knows."""
        if not self.is_closed:
            with suppress(OSError):
                self._sock.shutdown(socket.SHUT_RD)
            self._read_rest(self.heard)

    def catch_up(self) -> None:
        """Handle all that has arrived, the end of the connection included, before others are heard."""
        reads = _LAST_READ_BYTES_MAX // self.READ_BYTES
        while reads and not self._is_ending and not self.is_closed and self._read():
            reads -= 1

    def read_rest(self, handle: Callable[[Any], None]) -> None:
        """Call ``handle`` for what the peer had sent and nobody had read yet: it is gone."""
        self._read_rest(lambda body: handle(self.HEARD.decode(body)))

    def introduced(self) -> None:
        """The peer has said who it is, and is no longer waited for."""
        self.is_introduced = True

    def _read_rest(self, handle: Callable[[bytes], None]) -> None:
        read = 0
        while not self.is_closed and read < _LAST_READ_BYTES_MAX and (data := self._recv()):
            read += len(data)
            try:
                self._take(data, handle)
            except RemoteWireError:
                return

    def _waits_for(self) -> int:
        return READABLE | WRITABLE if self._is_stuck else READABLE

    def _ready(self, mask: int) -> None:
        if mask == READABLE:
            # The usual thing.
            if not self.is_closed:
                self._read()
            return
        if mask & WRITABLE:
            # At the end of the turn: what has come into the outbox meanwhile may not be in the journal yet.
            self._connections.mark(self)
        # A hang-up comes without READABLE, and is found by reading.
        if mask & ~WRITABLE and not self.is_closed:
            self._read()

    def _read(self) -> bool:
        """Handle what has arrived, and say whether there may be more."""
        data = self._recv()
        if data is None:
            return False
        if not data:
            self.close()
            return False
        try:
            has_completed_frame = self._take(data, self.heard)
        except RemoteWireError as error:
            self.fail(str(error))
            return False
        if not self.is_introduced or (self._overdue is None and self._decoder.is_empty):
            return True
        if self._overdue is not None and has_completed_frame:
            # It was what had to come. If there is a beginning behind it, that came just now.
            self._expect_no_more()
        if self._overdue is None and not self._decoder.is_empty:
            self._expect(self._patience.frame_seconds_max, "a frame was begun and not finished")
        return True

    def _take(self, data: bytes, handle: Callable[[bytes], None]) -> bool:
        """Call ``handle`` for the body of each frame that is complete with ``data``, and say whether there was one."""
        body = None
        for body in self._decoder.frames(data):
            if self._is_ending:
                break
            handle(body)
        return body is not None

    def _offer(self) -> None:
        """Give the socket as much of the outbox as it takes."""
        outbox = self._outbox
        try:
            sent = self._sock.send(outbox)
            if sent == len(outbox):
                outbox.clear()
            else:
                del outbox[:sent]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            # The peer hung up. The end will be found behind what it had sent before, and only then.
            self._outbox.clear()
        except OSError as error:
            # No memory for it, say. A peer that lives must not miss an answer and be told the next one.
            log.error("no answers for pid %d, so it is cut off: %s", peers.credentials(self._sock)[0], error.strerror)
            self._outbox.clear()
            self.end()

    def _recv(self) -> bytes | None:
        """Return what the peer sent, ``b""`` at the end, None if there is nothing now."""
        try:
            return self._sock.recv(self.READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def _expect(self, seconds: float, complaint: str) -> None:
        def complain() -> None:
            self._overdue = None
            self.fail(f"{complaint} within {seconds:g} seconds")

        self._overdue = self._reactor.call_at(self._reactor.clock() + seconds, complain)

    def _expect_no_more(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
