"""What the end-to-end tests share: a daemon for each module, and connections that are closed at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lockd_client import AdminClient
from support.actor import Actor
from support.daemon import Daemon
from support.library import SETUP, Play, Queue
from support.raw import Raw

#: Connects to the client socket of the module's daemon and says HELLO.
Connect = Callable[..., Raw]


@pytest.fixture(scope="module")
def daemon() -> Iterator[Daemon]:
    """A daemon that all tests of a module share, so each takes names of its own."""
    directory = Path(tempfile.mkdtemp(prefix="lockd-"))
    with Daemon(directory) as daemon:
        yield daemon
    shutil.rmtree(directory)


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """What is to be closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connect(daemon: Daemon, closing: ExitStack) -> Connect:
    """Connect to the module's daemon and say HELLO."""

    def connect(program: str = "test", **options: object) -> Raw:
        return closing.enter_context(Raw.welcomed(daemon.client_socket, program, **options))

    return connect


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test takes."""
    node = request.node
    assert isinstance(node, pytest.Item)
    return f"{node.name[:150].encode('ascii', 'replace').decode()}"


@pytest.fixture
def play(daemon: Daemon, closing: ExitStack, name: str) -> Play:
    """Start a process that knows the daemon, and the name of the test as ``name``."""

    def play(setup: str = "", of: Daemon = daemon, **variables: Any) -> Actor:
        return closing.enter_context(Actor(SETUP + setup, of.environment(), name=name, **variables))

    return play


@pytest.fixture
def queue(daemon: Daemon, name: str) -> Iterator[Queue]:
    """What the daemon says about the name of the test."""
    with AdminClient(daemon.admin_socket) as admin:
        yield Queue(admin, name)
