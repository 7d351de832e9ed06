"""A held lock that is collected is released, with a warning as for a file; at the exit of the program all is silent."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lockd_client
from lockd_client import Client
from lockd_wire import messages as m
from support.scripted_daemon import ScriptedDaemon


def test_a_handle_that_is_forgotten(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    with pytest.warns(
        ResourceWarning, match='the lock "a" was still held when it was collected, and has been released: use `with`'
    ):
        del handle
    daemon.wait_until_idle()


def test_a_handle_that_nobody_ever_had(client: Client, daemon: ScriptedDaemon) -> None:
    with pytest.warns(ResourceWarning):
        client.lock("a").acquire()
    daemon.wait_until_idle()


def test_a_grant_that_somebody_keeps_keeps_the_lock(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    del handle
    assert client.lock("a").locked()
    grant.release()
    daemon.wait_until_idle()


def test_a_handle_in_a_reference_cycle(client: Client, daemon: ScriptedDaemon) -> None:
    class Owner:
        def __init__(self) -> None:
            self.self = self
            self.lock = client.lock("a")

    owner = Owner()
    owner.lock.acquire()
    del owner
    with pytest.warns(ResourceWarning):
        gc.collect()
    daemon.wait_until_idle()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_client_and_its_locks_in_a_reference_cycle(daemon: ScriptedDaemon) -> None:
    class Owner:
        def __init__(self) -> None:
            self.self = self
            self.client = lockd_client.connect(daemon.path)
            self.lock = self.client.lock("a")

    owner = Owner()
    owner.lock.acquire()
    del owner
    gc.collect()
    daemon.wait_until_idle()


def test_released_handles_are_collected_in_silence(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    with handle:
        pass
    del handle
    gc.collect()
    assert len(daemon.heard_of(m.Release)) <= 1


def test_collected_in_the_middle_of_another_call(client: Client, daemon: ScriptedDaemon) -> None:
    """The collector runs wherever something is allocated: in a section, for instance, in which nothing may wait."""
    forgotten = [client.lock(f"n{number}") for number in range(20)]
    for handle in forgotten:
        handle.acquire()
    busy = client.lock("busy")

    class Bomb:
        def __init__(self, handle: object) -> None:
            self.handle, self.self = handle, self

    bombs = [Bomb(handle) for handle in forgotten]
    del bombs, handle
    forgotten.clear()
    thresholds = gc.get_threshold()

    def work_while_collecting() -> None:
        gc.set_threshold(1)
        for _ in range(5):
            with busy:
                pass
        gc.set_threshold(*thresholds)

    with pytest.warns(ResourceWarning):
        work_while_collecting()
    daemon.wait_until_idle()


PROGRAM = """
import sys, threading
import lockd_client

handle = lockd_client.lock("a")
handle.acquire()
own = lockd_client.connect()
other = own.lock("b")
other.acquire()
cycle = [own, other]
cycle.append(cycle)
blocked = threading.Thread(target=lockd_client.lock("theirs").acquire, daemon=True)
blocked.start()
print("ready", flush=True)
sys.stdin.read()
"""


def test_at_exit_nothing_is_said_to_anybody(daemon: ScriptedDaemon, runtime_dir: Path) -> None:
    daemon.hold("theirs")
    environment = {**os.environ, "LOCKD_SOCKET": str(daemon.path)}
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-W", "error", "-c", PROGRAM],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        daemon.wait_for_waiters(1)
        _, complaints = process.communicate()
    assert (process.returncode, complaints) == (0, b"")
    daemon.wait_until(lambda: not daemon.connections)
    # The exit itself says it all: the daemon's pidfd tells it.
    assert {type(message) for message in daemon.heard} == {m.Hello, m.Acquire}
