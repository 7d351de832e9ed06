"""What is in order stays in order: a release before an exit, releases before SIGTERM, one daemon in a directory."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lockd_client import AdminClient
from support.daemon import DEADLINE_SECONDS, Daemon, command
from support.library import Play
from support.raw import RELEASE, Raw, frame

TRIES = 1000

#: Children that take the lock of the test, say so, and go, while this process is about to take it.
CHILDREN = """
def child(end):
    reads, writes = os.pipe()
    pid = os.fork()
    if pid == 0:
        client = connect()
        held = client.lock(name)
        held.acquire()
        os.write(writes, b".")
        end(held)
        os._exit(0)
    os.close(writes)
    os.read(reads, 1)
    os.close(reads)
    with mine as grant:
        left = len(grant.abandoned)
    os.waitpid(pid, 0)
    return left
"""


def test_a_release_before_an_exit_is_a_release(play: Play) -> None:
    """However short the time between them is, and although the exit and the release reach the daemon by two ways."""
    parent = play(CHILDREN)
    assert parent(f"sum(child(lambda held: held.release()) for _ in range({TRIES}))") == 0


def test_an_exit_without_a_release_would_be_seen(play: Play) -> None:
    parent = play(CHILDREN)
    assert parent("sum(child(lambda held: None) for _ in range(10))") == 10


# SIGTERM

CONNECTIONS, NAMES = 8, 100


def held_after(daemon: Daemon, number: signal.Signals, *, suspended: bool) -> int:
    """Return how many names are held when clients have released all, and the daemon has ended by a signal at once."""
    with ExitStack() as stack:
        holders = [stack.enter_context(Raw.welcomed(daemon.client_socket)) for _ in range(CONNECTIONS)]
        tokens = [
            [holder.acquire(1 + place, f"{who} {place}") for place in range(NAMES)]
            for who, holder in enumerate(holders)
        ]
        if suspended:
            daemon.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, daemon.pid, os.WSTOPPED)
        for holder, its in zip(holders, tokens, strict=True):
            holder.send_bytes(b"".join(frame(RELEASE, 1 + NAMES + place, its[place], False) for place in range(NAMES)))
        daemon.send_signal(number)
        daemon.send_signal(signal.SIGCONT)
        for holder in holders:
            assert holder.is_ended()
        daemon.stop()
        daemon.start()
        with AdminClient(daemon.admin_socket) as admin:
            held = admin.status()["grants"]
    assert isinstance(held, int)
    return held


@pytest.fixture
def own_daemon(runtime_dir: Path) -> Iterator[Daemon]:
    with Daemon(runtime_dir) as daemon:
        yield daemon


@pytest.mark.parametrize("suspended", [False, True])
def test_sigterm_loses_no_release(own_daemon: Daemon, suspended: bool) -> None:
    """Nobody resumes: what counts is what the daemon had received."""
    for _ in range(3):
        assert held_after(own_daemon, signal.SIGTERM, suspended=suspended) == 0


def test_sigkill_may_delay_them(own_daemon: Daemon) -> None:
    """The control, and what the documents say."""
    assert held_after(own_daemon, signal.SIGKILL, suspended=True) == CONNECTIONS * NAMES


# One daemon


def second(daemon: Daemon, **instead: Path) -> str:
    """Start another daemon in the same directories, or another in place of one of them, and return what it says."""
    places = {"runtime": daemon.runtime_dir, "state": daemon.state_dir, **instead}
    directories = [word for which, path in places.items() for word in (f"--{which}-dir", str(path))]
    done = subprocess.run(
        [command("lockd"), "serve", *directories], capture_output=True, text=True, timeout=DEADLINE_SECONDS, check=False
    )
    assert done.returncode == 1
    return done.stderr


def contents(directory: Path) -> dict[str, tuple[int, bytes]]:
    return {str(path): (path.stat().st_ino, path.read_bytes()) for path in directory.iterdir() if path.is_file()}


def test_a_second_daemon_touches_nothing_even_after_a_compaction(own_daemon: Daemon, tmp_path: Path) -> None:
    runtime, state = own_daemon.runtime_dir, own_daemon.state_dir
    inode = (runtime / "journal").stat().st_ino
    with Raw.welcomed(own_daemon.client_socket) as peer, Raw.welcomed(own_daemon.client_socket) as other:
        token = peer.acquire(1, "kept")
        request = 1
        # The journal grows by whatever is done, and faster by what has a long name.
        name = "in passing ".ljust(255, ".")
        while (runtime / "journal").stat().st_ino == inode:
            request += 2
            peer.release(request + 1, peer.acquire(request, name))
        before = contents(runtime), contents(state)
        for which, taken, instead in (("runtime", runtime, "state"), ("state", state, "runtime")):
            said = second(own_daemon, **{instead: tmp_path / instead})
            assert f"another lockd runs in the {which} directory {taken} (pid {own_daemon.pid})" in said
        assert (contents(runtime), contents(state)) == before
        [holder] = other.facts_of(1, "kept")["holders"]
        assert holder["token"] == token
