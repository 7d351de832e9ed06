"""The second story: up to 50 processes at once on the file of an embedded database that knows nothing of processes.

Each process keeps a ledger of what the database has acknowledged, and at the end the two are compared. The workload is
that of ``lockd demo``.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tinydb import TinyDB

from lockd_client import Client
from support.actor import Actor
from support.daemon import DEADLINE_SECONDS, Daemon
from support.waiters import wait_until_somebody_waits

if TYPE_CHECKING:
    from .conftest import Cast

PROCESSES = 50
SECONDS = 2.0

INSERTS = """
from contextlib import nullcontext
from tinydb import JSONStorage, TinyDB

def insert(key, guard):
    with guard, TinyDB(path) as database:
        database.insert({"key": key})
"""

#: The same, but between the read and the write of an insertion it waits for whoever listens at the gate.
INSERTS_WITH_A_STOP = """
class StoppingStorage(JSONStorage):
    def write(self, data):
        with socket.socket(socket.AF_UNIX) as at_the_gate:
            at_the_gate.connect(gate)
            at_the_gate.recv(1)
        super().write(data)

TinyDB.default_storage_class = StoppingStorage
"""


class Gate:
    """Where a process stops."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self._listening = socket.socket(socket.AF_UNIX)
        self._listening.settimeout(DEADLINE_SECONDS)
        self._listening.bind(self.path)
        self._listening.listen()

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Wait until a process has come to the gate, and hold it there until the block ends."""
        stopped, _ = self._listening.accept()
        with stopped:
            yield

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def gate(runtime_dir: Path) -> Iterator[Gate]:
    with closing(Gate(runtime_dir / "gate")) as gate:
        yield gate


def test_nobody_reads_between_the_read_and_the_write_of_a_holder(cast: Cast, gate: Gate, client: Client) -> None:
    slow, quick = slow_and_quick(cast, gate)
    slow.begin("insert('slow', lock)")
    with gate.holding():
        quick.begin("insert('quick', lock)")
        wait_until_somebody_waits(client, cast.path)
    slow.result()
    quick.result()
    assert keys(cast.path) == {"slow", "quick"}


def test_control_without_locks_whoever_writes_last_wins(cast: Cast, gate: Gate) -> None:
    slow, quick = slow_and_quick(cast, gate)
    slow.begin("insert('slow', nullcontext())")
    with gate.holding():
        quick("insert('quick', nullcontext())")
        assert keys(cast.path) == {"quick"}
    slow.result()
    assert keys(cast.path) == {"slow"}


def slow_and_quick(cast: Cast, gate: Gate) -> tuple[Actor, Actor]:
    """Start two processes that insert into one database, of which the first stops at the gate."""
    slow, quick = cast.with_lockd(), cast.with_lockd()
    slow(INSERTS)
    slow(f"gate = {gate.path!r}")
    slow(INSERTS_WITH_A_STOP)
    quick(INSERTS)
    return slow, quick


def keys(path: Path) -> set[str]:
    with TinyDB(path) as database:
        return {row["key"] for row in database.table(TinyDB.default_table_name)}


def play(directory: Path, *kind_and_socket: str) -> dict[str, Any]:
    """Let the processes work, and return what came of it."""
    program = Path(__file__).with_name("play_half.py")
    command = [sys.executable, str(program), str(directory), str(PROCESSES), str(SECONDS), *kind_and_socket]
    ended = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=DEADLINE_SECONDS)
    findings: dict[str, Any] = json.loads(ended.stdout)
    return findings


def test_fifty_processes_lose_nothing_under_lockd(tmp_path: Path, daemon: Daemon) -> None:
    findings = play(tmp_path / "half", "lock", daemon.client_socket)
    assert findings["is_flawless"], findings
    assert len(findings["finished"]) == PROCESSES
    # Nobody was left waiting.
    assert min(findings["finished"]) > 0


def test_fifty_processes_lose_nothing_with_a_guarded_class(tmp_path: Path, daemon: Daemon) -> None:
    findings = play(tmp_path / "half", "guarded", daemon.client_socket)
    assert findings["is_flawless"], findings
    assert min(findings["finished"]) > 0


def test_control_fifty_processes_lose_data_without_locks(tmp_path: Path) -> None:
    findings = play(tmp_path / "half", "none")
    assert not findings["is_flawless"]
    assert findings["died"] == 0
    assert findings["lost"] + findings["returned"] + len(findings["failures"]) > 0
