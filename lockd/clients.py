"""A connection on the client socket: HELLO, then requests."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import ClassVar, Final

from lockd.core import actions as a
from lockd_wire import codec, limits
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode
from lockd_wire.names import fault_of_program

from . import peers, usual
from .connection import Connection, Patience
from .driver import Client, Driver
from .logs import log
from .reactor import Reactor

_LIMITS: Final = {
    "frame_bytes_max": limits.FRAME_BYTES_MAX,
    "name_bytes_max": limits.NAME_BYTES_MAX,
    "label_bytes_max": limits.LABEL_BYTES_MAX,
    "items_max": limits.ITEMS_MAX,
}

#: Option of HELLO, the type of its value, and what is wrong with any other.
_HELLO_OPTIONS: Final[Mapping[str, tuple[type, str]]] = {
    "release_on_eof": (bool, "is neither true nor false"),
    "image": (str, "is not a text"),
}

#: Bytes of what a program tells itself from others by. It is kept as long as the session.
_IMAGE_BYTES_MAX: Final = 64


class ClientConnection(Connection):
    """One client's socket."""

    __slots__ = ("_client", "_driver", "_lobby", "uid")

    HEARD: ClassVar = codec.TO_DAEMON
    TOLD_FRAME_BYTES_MAX: ClassVar = limits.FRAME_BYTES_MAX

    def __init__(
        self, sock: socket.socket, uid: int, reactor: Reactor, patience: Patience, driver: Driver, lobby: Lobby
    ) -> None:
        self.uid = uid
        self._driver = driver
        self._lobby = lobby
        self._client: Client | None = None
        super().__init__(sock, reactor, patience, driver.connections)
        lobby.enter(self)

    def heard(self, body: bytes) -> None:
        """Handle a message. What is said all the time takes the shortest way."""
        client, driver = self._client, self._driver
        if client is not None and not driver.tells_requests:
            event = usual.event_of(client.session, body)
            if event is not None:
                driver.request(client, event)
                return
        self.received(self.HEARD.decode(body))

    def received(self, message: m.ClientMessage) -> None:
        """Apply a request, or open the session that it would need."""
        if isinstance(message, m.Hello):
            self._hello(message)
        elif isinstance(message, m.Resume):
            self._resume(message)
        elif self._client is None:
            self.fail("the first message has to be HELLO or RESUME")
        else:
            self._driver.hear(self._client, message)

    def ended(self) -> None:
        """Detach the session, if there is one and it lives."""
        self._lobby.leave(self)
        if self._client is not None and self._client.connection is self:
            self._driver.disconnected(self._client)

    def farewell(self, sentence: str) -> m.Failed:
        """Return the notice of a protocol error."""
        covered = 0 if self._client is None else self._client.covered
        return m.Failed(0, covered, ErrorCode.PROTOCOL, sentence, {})

    def _hello(self, hello: m.Hello) -> None:
        if self._client is not None:
            self.fail("a second HELLO came on one connection")
            return
        refusal = _refusal(hello)
        if refusal is not None:
            self._refuse(refusal)
            return
        if self._driver.is_full:
            self._refuse(m.Failed(hello.id, 0, ErrorCode.UNAVAILABLE, self._driver.trouble(), {}))
            return
        try:
            outcome = self._open(hello)
        except peers.PeerGone:
            self.end()
            return
        except OSError as error:
            log.error("no session for pid %d: %s", peers.credentials(self._sock)[0], error.strerror)
            sentence = f"the daemon cannot watch one more process at the moment ({error.strerror}): try again later"
            self._refuse(m.Failed(hello.id, 0, ErrorCode.UNAVAILABLE, sentence, {}))
            return
        if isinstance(outcome, a.Refused):
            self._refuse(m.Failed(hello.id, 0, ErrorCode.QUOTA, outcome.detail, {}))
            return
        self._welcome(outcome)

    def _resume(self, resume: m.Resume) -> None:
        if self._client is not None:
            self.fail("RESUME came on a connection that has a session")
            return
        refusal = _fault_of_opening(resume)
        if refusal is not None:
            self._refuse(refusal)
            return
        try:
            identity = peers.identify(self._sock)
        except peers.PeerGone:
            self.end()
            return
        except OSError as error:
            sentence = f"the daemon has no descriptors left at the moment ({error.strerror}): try again later"
            self._refuse(m.Failed(resume.id, 0, ErrorCode.UNAVAILABLE, sentence, {}))
            return
        if not self._driver.resume(self, identity, resume.session, self._welcome):
            sentence = "there is no such session of this process: it has ended, and holds nothing any more"
            # HELLO may follow.
            self.send(m.Failed(resume.id, 0, ErrorCode.SESSION_LOST, sentence, {}))

    def _welcome(self, client: Client) -> None:
        self._client = client
        self._lobby.leave(self)
        self.introduced()
        manager = self._driver.manager
        earlier = manager.earlier_sessions(client.session)
        told = {**_LIMITS, "earlier_sessions": earlier} if earlier else _LIMITS
        self.send(m.Welcome(0, client.covered, limits.VERSION, client.session, manager.epoch, told, ()))

    def _open(self, hello: m.Hello) -> Client | a.Refused:
        identity = peers.identify(self._sock)
        program = hello.program or peers.short_name(identity.pid)
        image = str(hello.options.get("image", ""))
        return self._driver.open(self, identity, program, hello.options.get("release_on_eof") is True, image)

    def _refuse(self, failed: m.Failed) -> None:
        self.send_ahead(failed)
        self.end()


class Lobby:
    """The connections that have not said HELLO, by uid. They belong to no session, so no quota counts them."""

    def __init__(self, per_uid_max: int) -> None:
        self._per_uid_max = per_uid_max
        # A dict for its order: the first entry has waited longest.
        self._waiting: dict[int, dict[ClientConnection, None]] = {}

    def enter(self, connection: ClientConnection) -> None:
        """Let a connection in. Where its uid has too many here, the one that has waited longest has to go."""
        waiting = self._waiting.setdefault(connection.uid, {})
        if len(waiting) >= self._per_uid_max:
            longest = next(iter(waiting))
            self.leave(longest)
            longest.fail(f"uid {connection.uid} has more than {self._per_uid_max} connections that have not said HELLO")
        self._waiting.setdefault(connection.uid, {})[connection] = None

    def leave(self, connection: ClientConnection) -> None:
        """Let a connection out. Does no harm when it is not here."""
        waiting = self._waiting.get(connection.uid)
        if waiting is None:
            return
        waiting.pop(connection, None)
        if not waiting:
            del self._waiting[connection.uid]


def _refusal(hello: m.Hello) -> m.Failed | None:
    """Return what speaks against a HELLO, or None."""
    refusal = _fault_of_opening(hello)
    if refusal is not None:
        return refusal
    fault = fault_of_program(hello.program)
    if fault is not None:
        return _protocol(hello, f"the program {fault}")
    for option, value in hello.options.items():
        if option not in _HELLO_OPTIONS:
            there_are = " and ".join(_HELLO_OPTIONS)
            return _protocol(hello, f"HELLO has an option that there is not: those there are are {there_are}")
        kind, fault = _HELLO_OPTIONS[option]
        if type(value) is not kind:
            return _protocol(hello, f"{option} {fault}")
        if isinstance(value, str) and len(value.encode()) > _IMAGE_BYTES_MAX:
            return _protocol(hello, f"{option} has more than {_IMAGE_BYTES_MAX} bytes")
    return None


def _fault_of_opening(message: m.Hello | m.Resume) -> m.Failed | None:
    """Return what speaks against the first message of a connection, as far as HELLO and RESUME have it in common."""
    kind = type(message).__name__.upper()
    if message.id != 0:
        return _protocol(message, f"{kind} has the id {message.id}: its id is 0, and those of requests are greater")
    if message.magic != limits.MAGIC:
        return _protocol(message, f'{kind} does not begin with "{limits.MAGIC}": this is the socket of a lockd daemon')
    if message.version != limits.VERSION:
        sentence = (
            f"the daemon speaks version {limits.VERSION} of the protocol and not {message.version}: update the older "
            "of the two"
        )
        return m.Failed(message.id, 0, ErrorCode.VERSION, sentence, {"supported": limits.VERSION})
    return None


def _protocol(message: m.Hello | m.Resume, sentence: str) -> m.Failed:
    return m.Failed(message.id, 0, ErrorCode.PROTOCOL, sentence, {})
