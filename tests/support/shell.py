"""The daemon in the process of the test: the real one, with real sockets, on trio's clock.

A test says things, then asks what is heard. In between the daemon runs until it has nothing left to do, so that what is
said in one go is one turn of the daemon's, and the order of everything is the same each time. With the autojump clock
nothing waits: hours pass when a test sleeps for hours.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from trio.testing import wait_all_tasks_blocked

from lockd import config, server
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.codec import FROM_ADMIN, TO_CLIENT, Dialect, encode
from lockd_wire.framing import FrameDecoder

from .permissions import effective_uid

#: Starts the daemon with these options, by their keys in the configuration.
Start = Callable[..., Awaitable["Shell"]]

_READ_BYTES: Final = 1024 * 1024


def hello(program: str = "test", **options: m.Scalar) -> m.Hello:
    """Return the first message of a client."""
    return m.Hello(0, limits.MAGIC, limits.VERSION, program, options)


def acquire(
    request: int, name: str = "db", mode: str = "X", *, timeout: float | None = None, owner: int = 1, label: str = ""
) -> m.Acquire:
    """Return a request for one name."""
    return m.Acquire(request, owner, ((name, mode),), timeout, {"label": label} if label else {})


def kinds(messages: Iterable[object]) -> list[str]:
    """Return what sort of message each is."""
    return [type(message).__name__ for message in messages]


class Peer:
    """The other end of one connection to the daemon."""

    def __init__(
        self,
        path: str,
        dialect: Dialect[Any],
        uid: int | None = None,
        connect: Callable[[socket.socket, str], None] = socket.socket.connect,
    ) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        try:
            with effective_uid(uid):
                connect(self.sock, path)
        except OSError:
            self.sock.close()
            raise
        self._dialect = dialect
        self._decoder = FrameDecoder(limits.FRAME_BYTES_MAX)
        #: Whether the daemon has ended the connection.
        self.is_ended = False

    def says(self, *messages: m.Message) -> None:
        """Send messages, all of them before the daemon looks."""
        self.sends(b"".join(map(encode, messages)))

    def sends(self, data: bytes) -> None:
        """Send bytes, which have to fit into the socket."""
        assert self.sock.send(data) == len(data)

    async def hears(self) -> list[Any]:
        """Let the daemon do all that there is to do and return what it has said by then."""
        await wait_all_tasks_blocked()
        return self.has_heard()

    def has_heard(self) -> list[Any]:
        """Return what the daemon has said already."""
        heard = []
        while data := self._recv():
            self._decoder.receive_data(data)
            while (body := self._decoder.peek()) is not None:
                heard.append(self._dialect.decode(body))
                self._decoder.advance()
        return heard

    async def asks(self, *messages: m.Message) -> list[Any]:
        """Send messages and return what the daemon says then."""
        self.says(*messages)
        return await self.hears()

    async def granted(self, *messages: m.Acquire) -> list[int]:
        """Send requests that are granted at once, and return their tokens."""
        answers = await self.asks(*messages)
        assert [type(answer) for answer in answers] == [m.Granted] * len(messages), answers
        return [answer.token for answer in answers]

    def hangs_up(self) -> None:
        """Close the connection."""
        self.sock.close()

    def _recv(self) -> bytes:
        if self.is_ended:
            return b""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            # An end with something in between that the daemon has not read.
            data = b""
        self.is_ended = not data
        return data


class Shell:
    """A daemon that runs, and those who are connected to it."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self.client_socket = str(directory / "run" / "lockd.sock")
        self.admin_socket = str(directory / "run" / "admin.sock")
        self._stack = stack

    def config(self, **options: str) -> config.Config:
        """Return the configuration in which nothing but the directories, and these options, are set."""
        flags = {key.replace("__", "."): value for key, value in options.items()}
        directories = {"runtime_dir": str(self.directory / "run"), "state_dir": str(self.directory / "state")}
        return config.load({**directories, **flags}, {}, uid=os.getuid())

    def connect(self, *, uid: int | None = None) -> Peer:
        """Connect to the client socket, as this uid, and say nothing yet."""
        return self._closed_at_the_end(Peer(self.client_socket, TO_CLIENT, uid))

    async def welcomed(self, program: str = "test", *, uid: int | None = None, **options: m.Scalar) -> Peer:
        """Connect and say HELLO."""
        peer = self.connect(uid=uid)
        [welcome] = await peer.asks(hello(program, **options))
        assert isinstance(welcome, m.Welcome), welcome
        return peer

    def connect_admin(self, *, uid: int | None = None) -> Peer:
        """Connect to the admin socket, as this uid, and say nothing yet."""
        return self._closed_at_the_end(Peer(self.admin_socket, FROM_ADMIN, uid))

    async def administrator(self) -> Peer:
        """Connect to the admin socket and say ADMIN_HELLO."""
        admin = self.connect_admin()
        [welcome] = await admin.asks(m.AdminHello(0, limits.ADMIN_MAGIC, limits.VERSION))
        assert isinstance(welcome, m.AdminWelcome), welcome
        return admin

    async def status(self) -> dict[str, Any]:
        """Ask the daemon how it is."""
        admin = await self.administrator()
        [report] = await admin.asks(m.Status(1))
        assert isinstance(report, m.Report), report
        admin.hangs_up()
        return report.facts

    def _closed_at_the_end(self, peer: Peer) -> Peer:
        self._stack.callback(peer.sock.close)
        return peer


def never_at_work() -> float:
    """Stand in for the clock of the daemon's work: as long as it has done none, no administrator has to wait."""
    return 0.0


async def start_shell(directory: Path, nursery: trio.Nursery, stack: ExitStack, **options: str) -> Shell:
    """Start the daemon. It runs until the nursery ends, and clients can connect when this returns.

    Args:
        directory: With a short path: the address of a socket has room for 107 bytes.
        stack: Closes what tests leave open.
        options: By their keys in the configuration, with ``__`` for the dot.
    """
    shell = Shell(directory, stack)
    await nursery.start(partial(server.serve, shell.config(**options), clock=trio.current_time, worked=never_at_work))
    return shell
