"""A scripted daemon, a client of it, and the module's own client pointed at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import lockd_client
from lockd_client import Client
from lockd_client._default import default_client
from support.judge import Judge
from support.scripted_daemon import ScriptedDaemon, scripted_daemon


@pytest.fixture
def daemon(runtime_dir: Path) -> Iterator[ScriptedDaemon]:
    with scripted_daemon(runtime_dir / "lockd.sock") as running:
        yield running


@pytest.fixture
def client(daemon: ScriptedDaemon) -> Iterator[Client]:
    with lockd_client.connect(daemon.path, program="test") as connected:
        yield connected


@pytest.fixture
def judge(daemon: ScriptedDaemon) -> Judge:
    """Have the daemon decide as the real one does. To be named before anything that connects."""
    return Judge(daemon)


@pytest.fixture
def mine(judge: Judge, daemon: ScriptedDaemon) -> Iterator[Client]:
    with lockd_client.connect(daemon.path, program="mine") as connected:
        yield connected


@pytest.fixture
def theirs(mine: Client, daemon: ScriptedDaemon) -> Iterator[Client]:
    with lockd_client.connect(daemon.path, program="theirs") as connected:
        yield connected


@pytest.fixture
def module(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """The client that the functions of the module use, which opens its session with the scripted daemon."""
    monkeypatch.setenv("LOCKD_SOCKET", str(daemon.path))
    shared = default_client()
    monkeypatch.setattr(shared, "_session", None)
    yield shared
    shared.close()
