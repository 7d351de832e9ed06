"""lockd itself: the daemon as it is shipped, with its journal, and the client library."""

from __future__ import annotations

from bench.daemon import Daemon
from lockd_client import connect

from .base import Contender, Handle, Kind


class Lockd(Contender):
    """An exclusive lock."""

    name = "lockd"
    title = "lockd"
    kind = Kind.LOCKD

    def __init__(self) -> None:
        self._daemon: Daemon | None = None
        self._socket = ""

    @property
    def daemon(self) -> Daemon:
        """The daemon, after `start`."""
        assert self._daemon is not None
        return self._daemon

    def start(self, directory: str) -> None:
        self._daemon = Daemon(directory)
        self._daemon.start()
        self._socket = self._daemon.socket

    def stop(self) -> None:
        if self._daemon is not None:
            self._daemon.stop()

    def server_cpu_ns(self) -> int | None:
        return None if self._daemon is None else self._daemon.cpu_ns()

    def connect(self, name: str) -> Handle:
        client = connect(self._socket)
        lock = client.lock(name)
        # Opens the session, so that no pair is measured with it.
        lock.locked()
        return Handle(lock.acquire, lock.release, client)
