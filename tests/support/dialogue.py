"""The client's machine and what passes between it and a daemon: messages, without a socket."""

from __future__ import annotations

from typing import Any

from lockd_client._grant import Grant
from lockd_client._machine import Machine
from lockd_client._pending import Pending
from lockd_client._program import introduction
from lockd_client._standing import Conversion, Held, Standing
from lockd_wire import messages as m
from lockd_wire.codec import TO_DAEMON, encode, rest_of_acquire
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX

WELCOME = m.Welcome(0, 0, 1, 7, 1, {}, ())

#: What a standing says when its holder has asked to be called.
CALLED: Any = print


class Dialogue:
    """A machine, and what passes between it and a daemon."""

    def __init__(self) -> None:
        self.machine = Machine("test")
        #: The grants whose last reference went while they were held.
        self.gone: list[Held] = []
        self._wire = FrameDecoder(FRAME_BYTES_MAX)

    def said(self) -> list[m.ClientMessage]:
        """Return what the machine has to say since the last time, what is owed included, as the daemon reads it."""

        def send(data: bytes) -> list[int]:
            self._wire.receive_data(data)
            return [len(data)]

        self.machine.queue_owed()
        self.machine.outbox.flush(lambda data: iter(send(data)))
        messages = []
        while (body := self._wire.peek()) is not None:
            messages.append(TO_DAEMON.decode(body))
            self._wire.advance()
        return messages

    def hears(self, *messages: m.DaemonMessage) -> None:
        """Let these arrive, all in one read."""
        for message in messages:
            self.machine.decoder.receive_data(encode(message))
        self.machine.handle_received()

    def asks(self, name: str = "a", mode: str = "X", timeout: float | None = None, **options: m.Scalar) -> Pending:
        pending = Pending()
        self.machine.acquire(pending, 1, rest_of_acquire(((name, mode),), timeout, options))
        return pending

    def holds(self, pending: Pending, standing: Standing) -> Grant:
        """Do what the library does with what was granted."""
        session: Any = None
        grant = Grant(session, 1, pending.id, standing, "", ())
        self.machine.hold(pending, grant, 1, standing, self.gone.append)
        return grant

    def has(self, mode: str = "X", token: int = 11) -> tuple[Grant, Standing]:
        """Ask for a lock and be granted it; what was said so far is forgotten."""
        pending = self.asks(mode=mode)
        self.hears(m.Granted(pending.id, 0, token, {}))
        standing = Standing(token, (("a", mode),), False)
        standing.on_lost = standing.on_yield = CALLED
        grant = self.holds(pending, standing)
        self.said()
        return grant, standing

    def converts(self, standing: Standing, mode: str, fallback: str | None) -> tuple[Pending, Conversion]:
        """Ask for another mode; what was said so far is forgotten."""
        pending = Pending()
        conversion = Conversion(standing, standing.common_mode(), mode, fallback)
        self.machine.convert(pending, conversion, mode, None, {})
        self.said()
        return pending, conversion


def welcomed() -> Dialogue:
    """Return a dialogue that has got over the formalities."""
    dialogue = Dialogue()
    dialogue.hears(WELCOME)
    assert dialogue.said() == [introduction("test")]
    return dialogue
