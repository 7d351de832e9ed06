"""etcd, by the lock service of the server (v3lock) through its JSON gateway."""

from __future__ import annotations

import base64
import json
import os
import socket
from http.client import HTTPConnection
from typing import Any

from bench.servers import Server, accepts, find_program, free_port

from .base import Contender, Handle, Kind

_HOST = "127.0.0.1"

#: Longer than a run.
_LEASE_SECONDS = 3600


class Etcd(Contender):
    """The server queues, in order, and writes each change to its log on the disk."""

    name = "etcd"
    title = "etcd lock service, HTTP on loopback"
    kind = Kind.SERVICE

    def __init__(self) -> None:
        self._server: Server | None = None
        self._port = 0

    def missing(self) -> str | None:
        return None if find_program("etcd") else "etcd is not installed"

    def start(self, directory: str) -> None:
        self._port = free_port()
        clients, peers = f"http://{_HOST}:{self._port}", f"http://{_HOST}:{free_port()}"
        options = {
            "data-dir": os.path.join(directory, "data"),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"default={peers}",
        }
        command = [str(find_program("etcd")), *(f"--{name}={value}" for name, value in options.items())]
        self._server = Server(command, directory)
        self._server.wait_until(self._answers)

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def connect(self, name: str) -> Handle:
        # HTTPConnection would wait for the acknowledgement of its header's packet before it sends the body.
        connection = HTTPConnection(_HOST, self._port)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lease = _post(connection, "lease/grant", {"TTL": _LEASE_SECONDS})["ID"]
        wanted = {"name": base64.b64encode(name.encode()).decode(), "lease": lease}
        held: dict[str, Any] = {}

        def acquire() -> None:
            held["key"] = _post(connection, "lock/lock", wanted)["key"]

        def release() -> None:
            _post(connection, "lock/unlock", held)

        return Handle(acquire, release, connection)

    def _answers(self) -> bool:
        if not accepts(socket.AF_INET, (_HOST, self._port)):
            return False
        connection = HTTPConnection(_HOST, self._port)
        try:
            connection.request("GET", "/health")
            return b"true" in connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()


def _post(connection: HTTPConnection, what: str, fields: dict[str, Any]) -> dict[str, Any]:
    connection.request("POST", f"/v3/{what}", json.dumps(fields))
    answer = json.loads(connection.getresponse().read())
    if not isinstance(answer, dict) or "error" in answer:
        raise RuntimeError(f"etcd says: {answer}")
    return answer
