"""A connection on the admin socket. Its table of what can be asked is its own (`answers`)."""

from __future__ import annotations

import socket
from typing import ClassVar

from lockd import __version__
from lockd.connection import Connection, Patience
from lockd.driver import Driver
from lockd.reactor import Reactor
from lockd.vitals import Vitals
from lockd_wire import codec, limits
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode

from .answers import ANSWERS
from .desk import Desk


class AdminConnection(Connection):
    """One administrator's socket."""

    __slots__ = ("_desk",)

    HEARD: ClassVar = codec.TO_ADMIN
    TOLD_FRAME_BYTES_MAX: ClassVar = limits.FRAME_BYTES_MAX

    def __init__(
        self,
        sock: socket.socket,
        reactor: Reactor,
        patience: Patience,
        driver: Driver,
        started_at: float,
        vitals: Vitals,
    ) -> None:
        self._desk = Desk(driver, reactor, started_at, vitals, self.send)
        super().__init__(sock, reactor, patience, driver.connections)

    def received(self, message: m.AdminRequest) -> None:
        """Answer a question."""
        if isinstance(message, m.AdminHello) == self.is_introduced:
            self.fail("the first message, and no other, has to be ADMIN_HELLO")
        elif isinstance(message, m.AdminHello):
            self._hello(message)
        else:
            answer = ANSWERS[type(message)](self._desk, message)
            # What takes its time to answer is answered later.
            if answer is not None:
                self.send(answer)

    def ended(self) -> None:
        """Nothing depends on this connection."""

    def send(self, message: m.Message) -> None:
        """Send a message now: what is wrong is to be seen also while the journal cannot be written."""
        self.send_ahead(message)

    def farewell(self, sentence: str) -> m.AdminFailed:
        """Return the notice of a protocol error."""
        return m.AdminFailed(0, ErrorCode.PROTOCOL, sentence)

    def turn_away(self, sentence: str) -> None:
        """Refuse a peer that has no business here. Nothing that it has sent is looked at."""
        self.send(m.AdminFailed(0, ErrorCode.ACCESS_DENIED, sentence))
        self.end()

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
