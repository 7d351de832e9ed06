"""A daemon for the whole folder, a name for each test, and lockctl as a process."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockd_client import Client, connect
from support.daemon import Daemon
from support.lockctl import Lockctl

_numbers = itertools.count()


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    """A daemon that no test may harm: it is everybody's."""
    directory = Path(tempfile.mkdtemp(prefix="lockd-"))
    with Daemon(directory) as daemon:
        yield daemon
    shutil.rmtree(directory)


@pytest.fixture
def own_daemon(runtime_dir: Path) -> Iterator[Daemon]:
    """A daemon that the test may do with what it likes."""
    with Daemon(runtime_dir) as daemon:
        yield daemon


@pytest.fixture
def lockctl(daemon: Daemon) -> Iterator[Lockctl]:
    """Starts lockctl for the daemon of all."""
    with Lockctl(daemon) as lockctl:
        yield lockctl


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """A client in the process of the test."""
    with connect(daemon.client_socket, program="the test") as client:
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """The name of a lock that is of no concern to any other test."""
    return f"{request.path.stem}/{request.node.originalname}/{next(_numbers)}"
