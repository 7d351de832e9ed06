"""Redis, by the lock of redis-py."""

from __future__ import annotations

import os
import socket

from bench.servers import Server, accepts, find_program

from .base import Contender, Handle, Kind


class Redis(Contender):
    """``redis.Redis.lock``: SET NX and a script that deletes. Who waits looks again every tenth of a second."""

    name = "redis"
    title = "redis-py Lock, Unix socket"
    kind = Kind.SERVICE
    driver = "redis"

    def __init__(self) -> None:
        self._server: Server | None = None
        self._path = ""

    def missing(self) -> str | None:
        return super().missing() or (None if find_program("redis-server") else "redis-server is not installed")

    def start(self, directory: str) -> None:
        self._path = os.path.join(directory, "socket")
        options = ["--port", "0", "--unixsocket", self._path, "--save", "", "--appendonly", "no", "--dir", directory]
        self._server = Server([str(find_program("redis-server")), *options], directory)
        self._server.wait_until(lambda: accepts(socket.AF_UNIX, self._path))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def connect(self, name: str) -> Handle:
        from redis import Redis as Client

        client = Client(unix_socket_path=self._path)
        client.ping()
        lock = client.lock(name)
        return Handle(lock.acquire, lock.release, client)
