"""A connection on the admin socket. Its table of what can be asked is its own (`answers`)."""

from __future__ import annotations

import socket
from functools import partial
from typing import ClassVar, Final

from lockd import __version__, peers
from lockd.connection import Connection, Patience
from lockd.reactor import HUNG_UP, READABLE, Timer
from lockd.vitals import Vitals
from lockd_wire import codec, limits
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode

from .answers import ANSWERS, CHANGES
from .desk import Administrator, Desk

_READS_ONLY: Final = (
    "members of admin_socket.group may look at everything and change nothing: that takes an administrator"
)

#: Read in one turn: a few questions. Each may take half a millisecond to answer, and others are not to wait for many.
_READ_BYTES: Final = 64


class AdminConnection(Connection):
    """One administrator's socket."""

    __slots__ = ("_desk", "_rest", "_share")

    HEARD: ClassVar = codec.TO_ADMIN
    TOLD_FRAME_BYTES_MAX: ClassVar = limits.FRAME_BYTES_MAX
    READ_BYTES: ClassVar = _READ_BYTES

    def __init__(
        self,
        sock: socket.socket,
        patience: Patience,
        vitals: Vitals,
        may_change: bool = True,
    ) -> None:
        driver = vitals.driver
        pid, uid, _ = peers.credentials(sock)
        wake = partial(driver.connections.mark, self)
        self._desk = Desk(vitals, Administrator(pid, uid, may_change), wake, self.send)
        self._share = vitals.share
        self._rest: Timer | None = None
        super().__init__(sock, vitals.reactor, patience, driver.connections)

    def received(self, message: m.AdminRequest) -> None:
        """Answer a question."""
        if isinstance(message, m.AdminHello) == self.is_introduced:
            self.fail("the first message, and no other, has to be ADMIN_HELLO")
        elif isinstance(message, m.AdminHello):
            self._hello(message)
        elif type(message) in CHANGES and not self._desk.who.may_change:
            self.send(m.AdminFailed(message.id, ErrorCode.ACCESS_DENIED, _READS_ONLY))
        else:
            answer = ANSWERS[type(message)](self._desk, message)
            if type(message) in CHANGES and isinstance(answer, m.Report):
                # Of a change nobody is told before it is in the journal.
                Connection.send(self, answer)
            elif answer is not None:
                # None: what takes its time to answer is answered later.
                self.send(answer)

    def ended(self) -> None:
        """Whoever watched here watches no more. Nothing else depends on this connection."""
        self._desk.close()
        if self._rest is not None:
            self._rest.cancel()

    def send(self, message: m.Message) -> None:
        """Send a message now: what is wrong is to be seen also while the journal cannot be written."""
        self.send_ahead(message)

    def flush(self) -> None:
        """Send what is to be sent and, behind it, what is to be told to a watcher. All of it is in the journal by now.

        What a watcher does not read is not put into the outbox: a slow one misses events, and is not cut off.
        """
        super().flush()
        while not self._outbox and not self._is_ending and not self.is_closed:
            happened = self._desk.happened()
            if happened is None:
                return
            self.send(happened)

    def farewell(self, sentence: str) -> m.AdminFailed:
        """Return the notice of a protocol error."""
        return m.AdminFailed(0, ErrorCode.PROTOCOL, sentence)

    def turn_away(self, sentence: str) -> None:
        """Refuse a peer that has no business here. Nothing that it has sent is looked at."""
        self.send(m.AdminFailed(0, ErrorCode.ACCESS_DENIED, sentence))
        self.end()

    def _waits_for(self) -> int:
        # While it rests, what has been sent stays where it is.
        return super()._waits_for() & ~READABLE if self._rest is not None else super()._waits_for()

    def _ready(self, mask: int) -> None:
        if mask & HUNG_UP:
            self._share.take(self._hear_last_words)
            return
        if self._rest is None and mask & READABLE and (pause := self._share.pause_seconds()):
            self._rest = self._reactor.call_at(self._reactor.clock() + pause, self._go_on)
            self._reactor.rewatch(self._sock.fileno(), self._waits_for())
        if self._rest is not None:
            mask &= ~READABLE
        if mask:
            self._share.take(lambda: super(AdminConnection, self)._ready(mask))

    def _hear_last_words(self) -> None:
        """The peer is gone. What it has sent is done where it changes something, and else there is nobody to answer:
        neither does it have to rest for that, nor can it take much time."""
        self.read_rest(self._last_word)
        self.close()

    def _last_word(self, message: m.AdminRequest) -> None:
        if type(message) in CHANGES or isinstance(message, m.AdminHello):
            self.received(message)

    def _go_on(self) -> None:
        self._rest = None
        self._reactor.rewatch(self._sock.fileno(), self._waits_for())

    def _hello(self, hello: m.AdminHello) -> None:
        if hello.magic != limits.ADMIN_MAGIC:
            self.fail(f'ADMIN_HELLO does not begin with "{limits.ADMIN_MAGIC}"')
        elif hello.version != limits.VERSION:
            sentence = f"the daemon speaks version {limits.VERSION} of the protocol and not {hello.version}"
            self.send(m.AdminFailed(hello.id, ErrorCode.VERSION, sentence))
            self.end()
        else:
            self.introduced()
            self.send(m.AdminWelcome(hello.id, limits.VERSION, __version__))
