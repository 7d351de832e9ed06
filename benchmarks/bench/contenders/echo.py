"""The floor: servers that send back what they receive. They exclude nobody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import msgpack

from bench.servers import Server, ServerFailed, accepts, find_program

from .base import Contender, Handle, Kind

#: More than any message here has.
_BYTES_MAX = 4096


def _handle(path: str, name: str) -> Handle:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    packb, unpackb, sendall, recv = msgpack.packb, msgpack.unpackb, connection.sendall, connection.recv

    def round_trip() -> None:
        # As long as a request for a lock.
        sendall(packb((4, 1_000, 1, ((name, "X"),), None, ())))
        unpackb(recv(_BYTES_MAX))

    return Handle(round_trip, lambda: None, connection)


class PythonEcho(Contender):
    """A blocking server in Python that unpacks and packs each message: one process for each connection."""

    name = "echo"
    title = "echo, Python on both sides"
    kind = Kind.FLOOR

    def __init__(self) -> None:
        self._server = 0
        self._path = ""

    def start(self, directory: str) -> None:
        self._path = os.path.join(directory, "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self._path)
        listener.listen(4096)
        self._server = os.fork()
        if self._server == 0:
            try:
                _serve(listener)
            finally:
                os._exit(1)
        listener.close()

    def stop(self) -> None:
        if self._server:
            os.kill(self._server, signal.SIGKILL)
            os.waitpid(self._server, 0)
            self._server = 0

    def connect(self, name: str) -> Handle:
        return _handle(self._path, name)


def _serve(listener: socket.socket) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            listener.close()
            packb, unpackb, sendall, recv = msgpack.packb, msgpack.unpackb, connection.sendall, connection.recv
            while data := recv(_BYTES_MAX):
                sendall(packb(unpackb(data)))
            os._exit(0)
        connection.close()


class CEcho(Contender):
    """A server in C under the same clients: what is left of a round trip is the client and the kernel."""

    name = "echo-c"
    title = "echo, the server in C"
    kind = Kind.FLOOR

    def __init__(self) -> None:
        self._server: Server | None = None
        self._path = ""

    def missing(self) -> str | None:
        return None if _compiler() else "there is no C compiler (cc)"

    def start(self, directory: str) -> None:
        program = os.path.join(directory, "echo")
        source = Path(__file__).with_name("echo.c")
        made = subprocess.run([str(_compiler()), "-O2", "-o", program, source], capture_output=True, text=True)
        if made.returncode:
            raise ServerFailed(f"the compiler says: {made.stderr.strip()}")
        self._path = os.path.join(directory, "socket")
        self._server = Server([program, self._path], directory)
        self._server.wait_until(lambda: accepts(socket.AF_UNIX, self._path))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def connect(self, name: str) -> Handle:
        return _handle(self._path, name)


def _compiler() -> str | None:
    return find_program("cc")
