"""A small daemon in a thread, for tests of the client: it speaks the protocol, and does what the test tells it.

By itself it grants exclusive locks in the order of arrival, in the simplest way that is right. A test can have it
answer otherwise, say things nobody asked for, send bytes that are no messages, hang up, or be gone for a while and
come back with all that it knew.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple, TypeVar

from lockd_wire import messages as m
from lockd_wire.codec import TO_DAEMON, encode
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX

#: How long a test waits for something to happen before it has failed.
PATIENCE_SECONDS = 60.0

Answers = list[m.DaemonMessage]

_Heard = TypeVar(
    "_Heard",
    m.Hello,
    m.Resume,
    m.Acquire,
    m.Release,
    m.Cancel,
    m.Convert,
    m.HandOver,
    m.Adopt,
    m.Inherit,
    m.Query,
    m.Bye,
)


class Asked(NamedTuple):
    """An ACQUIRE that has been granted or waits."""

    session: int
    request: int
    token: int
    name: str


class ScriptedDaemon:
    """Listens at a path until it is stopped."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: Everything that any client said, in the order in which it was read.
        self.heard: list[m.ClientMessage] = []
        #: Asked instead of `answer`. Returns None to have the usual thing happen.
        self.script: Callable[[int, m.ClientMessage], Answers | None] = lambda session, message: None
        #: What is sent as soon as somebody connects, before anything is read.
        self.greeting = b""
        self.holders: dict[str, Asked] = {}
        self.queue: list[Asked] = []
        #: What it says of itself to whoever says HELLO.
        self.limits: dict[str, int] = {}
        self.connections: dict[int, socket.socket] = {}
        #: The sessions that it knows, and up to where their requests have had their effect.
        self.covered: dict[int, int] = {}
        self._changed = threading.Condition()
        self._token = 0
        self._sessions = 0
        self.start()

    def start(self) -> None:
        """Listen, for the first time or again after `stop`."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(self.path))
        self._listener.listen(16)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def restart(self) -> None:
        """Be killed and started again."""
        self.stop()
        self.start()

    def forget(self) -> None:
        """Lose all that it knows of sessions, and what they hold."""
        with self._changed:
            self.covered.clear()
            self.holders.clear()
            self.queue.clear()

    def wait_until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is true of what this daemon has heard or does, and fail if it does not happen."""
        with self._changed:
            assert self._changed.wait_for(is_so, PATIENCE_SECONDS), f"did not happen; heard {self.heard}"

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Change something between two messages. Whoever waits for something looks again afterwards."""
        with self._changed:
            yield
            self._changed.notify_all()

    def wait_for_waiters(self, count: int) -> None:
        self.wait_until(lambda: len(self.queue) == count)

    def wait_until_idle(self) -> None:
        """Wait until nothing is held and nothing waits."""
        self.wait_until(lambda: not self.holders and not self.queue)

    def heard_of(self, kind: type[_Heard]) -> list[_Heard]:
        return [message for message in self.heard if type(message) is kind]

    def say(self, session: int, message: m.DaemonMessage) -> None:
        self.send(session, encode(message))

    def send(self, session: int, data: bytes) -> None:
        # A client that has gone meanwhile misses nothing.
        with suppress(OSError, KeyError):
            self.connections[session].sendall(data)

    def hang_up(self, session: int) -> None:
        """End a connection without a word."""
        with suppress(OSError, KeyError):
            self.connections[session].shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """End as a daemon does that is killed: every connection ends, and nobody listens any more."""
        # Twice is once, and a client may be about to go by itself.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._changed:
            for session in tuple(self.connections):
                self.hang_up(session)
            assert self._changed.wait_for(lambda: not self.connections, PATIENCE_SECONDS)

    def hold(self, name: str) -> Asked:
        """Take a lock in the name of somebody else."""
        with self._changed:
            assert name not in self.holders
            self._token += 1
            self.holders[name] = Asked(0, 0, self._token, name)
            return self.holders[name]

    def release(self, name: str) -> None:
        """Give back what `hold` took."""
        with self._changed:
            self._free(name)
            self._changed.notify_all()

    def answer(self, session: int, message: m.ClientMessage) -> Answers:
        """Do the usual thing."""
        match message:
            case m.Hello(id=request):
                self.covered[session] = 0
                return [m.Welcome(request, 0, 1, session, 1, self.limits, ())]
            case m.Resume(id=request):
                if message.session not in self.covered:
                    return [m.Failed(request, 0, "session_lost", "not known", {})]
                return [m.Welcome(request, self.covered[session], 1, session, 1, {}, ())]
            case m.Acquire(id=request, items=((name, _),), timeout=timeout):
                for known in [*self.holders.values(), *self.queue]:
                    if known[:2] == (session, request):
                        return [m.Granted(request, request, known.token, {})] if known not in self.queue else []
                self._token += 1
                asked = Asked(session, request, self._token, name)
                if name not in self.holders:
                    self.holders[name] = asked
                    return [m.Granted(request, request, asked.token, {})]
                if timeout == 0:
                    return [m.Failed(request, request, "timeout", "not free", self._facts(name))]
                self.queue.append(asked)
            case m.Release(id=request, token=token, confirm=confirm):
                for name in [name for name, asked in self.holders.items() if asked.token == token]:
                    self._free(name)
                return [m.Done(request, request)] if confirm else []
            case m.Cancel(request=request):
                return self._cancel(session, request)
            case m.Query(id=request, name=name):
                return [m.State(request, request, self._facts(name))]
            case m.Bye():
                self._end(session)
                self.hang_up(session)
        return []

    def _facts(self, name: str) -> m.Facts:
        holder = self.holders.get(name)
        if holder is None:
            return {"name": name, "holders": (), "holders_total": 0, "waiters_total": 0}
        described: dict[str, m.Scalar] = {"pid": 1, "uid": 0, "mode": "X", "token": holder.token, "held_seconds": 1.5}
        return {"name": name, "holders": (described,), "holders_total": 1, "waiters_total": len(self.queue)}

    def _cancel(self, session: int, request: int) -> Answers:
        for asked in [asked for asked in self.queue if asked[:2] == (session, request)]:
            self.queue.remove(asked)
            return [m.Failed(request, request, "cancelled", "cancelled", {})]
        for name in [name for name, asked in self.holders.items() if asked[:2] == (session, request)]:
            self._free(name)
        return []

    def _free(self, name: str) -> None:
        del self.holders[name]
        for asked in self.queue:
            if asked.name == name:
                self.queue.remove(asked)
                self.holders[name] = asked
                self.say(asked.session, m.Granted(asked.request, asked.request, asked.token, {}))
                return

    def _end(self, session: int) -> None:
        self.covered.pop(session, None)
        self.queue = [asked for asked in self.queue if asked.session != session]
        for name in [name for name, asked in self.holders.items() if asked.session == session]:
            self._free(name)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._changed:
                self._sessions += 1
                self.connections[self._sessions] = connection
            if self.greeting:
                self.send(self._sessions, self.greeting)
            threading.Thread(target=self._serve, args=(self._sessions, connection), daemon=True).start()

    def _serve(self, session: int, connection: socket.socket) -> None:
        decoder = FrameDecoder(FRAME_BYTES_MAX)
        with connection:
            while data := _received(connection):
                decoder.receive_data(data)
                while (body := decoder.peek()) is not None:
                    decoder.advance()
                    message = TO_DAEMON.decode(body)
                    if isinstance(message, m.Resume) and message.session in self.covered:
                        session = self._take_up(session, message.session)
                    self._hear(session, message)
        with self._changed:
            if self.connections.get(session) is connection:
                del self.connections[session]
            self._changed.notify_all()

    def _take_up(self, session: int, earlier: int) -> int:
        with self._changed:
            self.hang_up(earlier)
            self.connections[earlier] = self.connections.pop(session)
        return earlier

    def _hear(self, session: int, message: m.ClientMessage) -> None:
        with self._changed:
            self.heard.append(message)
            answers = self.script(session, message)
            if answers is None:
                answers = self.answer(session, message)
                if session in self.covered:
                    self.covered[session] = max(message.id, self.covered[session])
            for answer in answers:
                self.say(session, answer)
            self._changed.notify_all()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except ConnectionResetError:
        return b""


@contextmanager
def scripted_daemon(path: Path) -> Iterator[ScriptedDaemon]:
    """Run one for the time of a block."""
    daemon = ScriptedDaemon(path)
    try:
        yield daemon
    finally:
        daemon.stop()
