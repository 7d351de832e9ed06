"""A daemon, and processes that use it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lockd_client import Client, connect
from support.actor import Actor
from support.daemon import Daemon

USES_LOCKD = """
import socket, subprocess
import lockd_client
lock = lockd_client.path_lock(path)

def copy_of_connection():
    for descriptor in os.listdir("/proc/self/fd"):
        try:
            copy = socket.socket(fileno=os.dup(int(descriptor)))
            if copy.getpeername() == os.environ["LOCKD_SOCKET"]:
                return copy
        except OSError:
            continue
"""

USES_KERNEL = """
import fcntl
file = open(path, "r+b")
def attempt(lock):
    try:
        lock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
"""


class Cast:
    """The processes of a test. All are about the same file."""

    def __init__(self, path: Path, daemon: Daemon, stack: ExitStack) -> None:
        self.path = path
        self._daemon = daemon
        self._stack = stack

    def with_lockd(self) -> Actor:
        """Start a process that has in ``lock`` the handle of the file's lock."""
        actor = Actor(USES_LOCKD, self._daemon.environment(), path=str(self.path))
        return self._stack.enter_context(actor)

    def with_kernel(self) -> Actor:
        """Start a process that has the file open, and can ``attempt`` to lock it with a function of `fcntl`."""
        return self._stack.enter_context(Actor(USES_KERNEL, path=str(self.path)))


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    directory = Path(tempfile.mkdtemp(prefix="lockd-"))
    with Daemon(directory) as daemon:
        yield daemon
    shutil.rmtree(directory)


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """A client in the process of the test."""
    with connect(daemon.client_socket, program="the test") as client:
        yield client


@pytest.fixture
def cast(daemon: Daemon, tmp_path: Path) -> Iterator[Cast]:
    path = tmp_path / "document"
    path.write_bytes(b"")
    with ExitStack() as stack:
        yield Cast(path, daemon, stack)
