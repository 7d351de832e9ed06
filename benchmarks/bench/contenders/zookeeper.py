"""ZooKeeper, by the lock recipe of kazoo."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from bench.servers import Server, accepts, find_program, free_port

from .base import Contender, Handle, Kind

_HOST = "127.0.0.1"

#: Where Debian's package puts it. Its script would use the directories of the system's own server.
_JAR = Path("/usr/share/java/zookeeper.jar")
_MAIN = "org.apache.zookeeper.server.quorum.QuorumPeerMain"


class ZooKeeper(Contender):
    """Each contender makes a node in a queue, in order, and the server writes each change to its log on the disk."""

    name = "zookeeper"
    title = "ZooKeeper, kazoo Lock, TCP on loopback"
    kind = Kind.SERVICE
    driver = "kazoo"

    def __init__(self) -> None:
        self._server: Server | None = None
        self._port = 0

    def missing(self) -> str | None:
        if reason := super().missing():
            return reason
        if not _JAR.exists():
            return "ZooKeeper is not installed"
        return None if find_program("java") else "there is no java for ZooKeeper"

    def start(self, directory: str) -> None:
        self._port = free_port()
        configuration = os.path.join(directory, "zoo.cfg")
        Path(configuration).write_text(
            f"tickTime=2000\ndataDir={directory}/data\nclientPort={self._port}\nclientPortAddress={_HOST}\n"
            "maxClientCnxns=0\nadmin.enableServer=false\n"
        )
        self._server = Server([str(find_program("java")), "-cp", str(_JAR), _MAIN, configuration], directory)
        self._server.wait_until(lambda: accepts(socket.AF_INET, (_HOST, self._port)))

    def stop(self) -> None:
        if self._server is not None:
            self._server.stop()

    def connect(self, name: str) -> Handle:
        from kazoo.client import KazooClient

        client = KazooClient(hosts=f"{_HOST}:{self._port}", timeout=60)
        client.start(timeout=60)
        lock = client.Lock("/" + name)
        return Handle(lock.acquire, lock.release, client)
