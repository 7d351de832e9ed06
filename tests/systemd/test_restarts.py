"""However the daemon ends it comes back, and the sockets are there all the time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

import lockd_client
from lockd_client import LockError, _addresses, _opening
from support.daemon import DEADLINE_SECONDS
from support.idle import wait_until
from support.unit import CLIENT_SOCKET, Unit
from support.visitors import Visitors


def inode_of_socket(unit: Unit) -> int:
    return Path(unit.lab.path(CLIENT_SOCKET)).stat().st_ino


def restart(unit: Unit) -> None:
    unit.lab.systemctl("restart", unit.NAME)


def kill(unit: Unit) -> None:
    unit.signal("KILL")


def terminate(unit: Unit) -> None:
    """Exit status 0, which is no reason to stay away."""
    unit.signal("TERM")


@pytest.mark.parametrize("end", [restart, kill, terminate])
def test_clients_can_connect_throughout(unit: Unit, end: Callable[[Unit], None]) -> None:
    unit.lab.systemctl("start", unit.NAME)
    first, inode = unit.pid, inode_of_socket(unit)
    with Visitors(unit.lab.path(CLIENT_SOCKET)) as visitors:
        visitors.wait_for_more()
        end(unit)
        unit.wait_until_another_than(first)
        visitors.wait_for_more()
    assert visitors.refused == []
    assert inode_of_socket(unit) == inode
    assert unit.socket_states() == ["active", "active"]


class Programs:
    """Four that connect by the library and close, again and again, for as long as the block lasts."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._come_and_go, daemon=True) for _ in range(4)]
        self.served = 0
        self.errors: list[LockError] = []

    def wait_for_more(self) -> None:
        """Wait until somebody has been served who came after this call."""
        served = self.served + len(self._threads) + 1
        wait_until(lambda: self.served >= served, "programs are served")

    def _come_and_go(self) -> None:
        while not self._is_over.is_set():
            try:
                lockd_client.connect(self._path).close()
            except LockError as error:
                self.errors.append(error)
                self._is_over.wait(0.001)
            else:
                self.served += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._is_over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("end", [restart, kill])
def test_new_programs_see_no_error(unit: Unit, end: Callable[[Unit], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in the middle of connecting when the daemon ends is served by the next one."""
    # How long a program waits for that one is not the question here, and a busy machine takes its time to start it.
    monkeypatch.setattr(_opening, "ANSWER_SECONDS", DEADLINE_SECONDS)
    monkeypatch.setattr(_addresses, "BACKLOG_SECONDS", DEADLINE_SECONDS)
    unit.lab.systemctl("start", unit.NAME)
    with Programs(unit.lab.path(CLIENT_SOCKET)) as programs:
        for _ in range(4):
            programs.wait_for_more()
            pid = unit.pid
            end(unit)
            unit.wait_until_another_than(pid)
        programs.wait_for_more()
    assert [str(error) for error in programs.errors] == []


def test_a_moment_without_a_socket_would_be_seen(unit: Unit) -> None:
    """The control: the socket is what is restarted, and the daemon with it."""
    unit.lab.systemctl("start", unit.NAME)
    with Visitors(unit.lab.path(CLIENT_SOCKET)) as visitors:
        visitors.wait_for_more()
        unit.lab.systemctl("stop", "lockd.socket")
        visitors.wait_for_refusal()
        unit.lab.systemctl("start", unit.NAME)
        visitors.wait_for_more()
    assert {type(error) for error in visitors.refused} <= {FileNotFoundError, ConnectionRefusedError}


def test_everything_can_be_restarted_at_once(unit: Unit) -> None:
    with unit.client():
        first = unit.pid
    unit.lab.systemctl("restart", "lockd.socket", "lockd-admin.socket", unit.NAME)
    unit.wait_until_another_than(first)
    assert unit.socket_states() == ["active", "active"]
    with unit.client() as client:
        client.acquire(1, "db")


def test_the_watchdog_ends_a_daemon_that_is_stuck(unit: Unit) -> None:
    unit.edit("[Service]\nWatchdogSec=1s\n")
    unit.lab.systemctl("start", unit.NAME)
    first = unit.pid
    unit.signal("STOP")
    # Connected while nobody is at home.
    with unit.client() as client:
        client.acquire(1, "db")
    assert (unit.pid != first, unit.restarts) == (True, 1)
    log = unit.log
    assert "Watchdog timeout (limit 1s)!" in log
    # Where it was, for whoever wants to know why.
    assert "Fatal Python error: Aborted" in log
    assert "lockd/main.py" in log


def test_the_watchdog_leaves_an_idle_daemon_alone(unit: Unit) -> None:
    # A daemon that gets no turn for two thirds of that looks as if it were stuck: no machine is so busy.
    unit.edit("[Service]\nWatchdogSec=2s\n")
    unit.lab.systemctl("start", unit.NAME)
    first = unit.pid
    begin = unit.last_sign_of_life()
    # Longer than it may be silent.
    wait_until(lambda: unit.last_sign_of_life() > begin + 2.5, "the daemon gives signs of life")
    assert (unit.pid, unit.restarts) == (first, 0)


def test_a_daemon_that_cannot_start_does_not_take_its_sockets_along(unit: Unit) -> None:
    """It is tried more often in two seconds than the limits of a service and of a socket would allow by default."""
    unit.edit("[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=1ms\n")
    with Visitors(unit.lab.path(CLIENT_SOCKET)) as visitors:
        wait_until(lambda: unit.restarts >= 40, "systemd tries again and again")
        assert unit.socket_states() == ["active", "active"]
        unit.edit("")
        visitors.wait_for_more()
    assert visitors.refused == []
