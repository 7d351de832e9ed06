"""The sockets are there before the daemon, and the daemon is there when it is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.raw import Raw
from support.unit import ADMIN_SOCKET, CLIENT_SOCKET, Unit


def test_the_first_client_starts_the_daemon(unit: Unit) -> None:
    assert (unit.state, unit.socket_states()) == ("inactive", ["active", "active"])
    with unit.client() as client:
        client.acquire(1, "db")
        # systemd knows more than that a process runs.
        assert unit.state == "active"
        assert unit.lab.property(unit.NAME, "StatusText").startswith("serving; epoch ")


def test_so_does_the_first_administrator(unit: Unit) -> None:
    status = unit.lab.run("/opt/lockd/bin/lockctl", "status")
    assert f"pid {unit.pid}" in " ".join(status.split())


def test_after_a_stop_the_next_client_starts_another(unit: Unit) -> None:
    with unit.client():
        first = unit.pid
        unit.lab.systemctl("stop", unit.NAME)
    assert (unit.state, unit.socket_states()) == ("inactive", ["active", "active"])
    assert "stopping on SIGTERM" in unit.log
    with unit.client():
        assert unit.pid not in (0, first)


def test_who_stops_the_sockets_stops_everything(unit: Unit) -> None:
    with unit.client():
        pass
    unit.lab.systemctl("stop", "lockd.socket")
    assert unit.state == "inactive"
    with pytest.raises(FileNotFoundError):
        Raw(unit.lab.path(CLIENT_SOCKET))
    unit.lab.systemctl("start", unit.NAME)
    assert unit.socket_states() == ["active", "active"]
    with unit.client():
        pass


def test_what_it_leaves_on_the_disk_is_its_own(unit: Unit) -> None:
    uid = int(unit.lab.run("id", "--user", "lockd"))
    unit.lab.systemctl("start", unit.NAME)
    # It serves when that command ends, so whoever is ordered after it can take locks.
    assert f"(pid {unit.pid}, epoch " in unit.log
    assert f"listens on {CLIENT_SOCKET} and, for administrators, on {ADMIN_SOCKET}" in unit.log
    unit.lab.systemctl("stop", unit.NAME)
    for directory in ("/run/lockd-state", "/var/lib/lockd"):
        path = Path(unit.lab.path(directory))
        assert (path.stat().st_uid, path.stat().st_mode & 0o777) == (uid, 0o700)
        assert {entry.stat().st_mode & 0o777 for entry in path.iterdir()} == {0o600}
        assert {entry.stat().st_uid for entry in path.iterdir()} == {uid}
    # Where the programs of the machine look for it, nobody but root can put anything.
    run = Path(unit.lab.path("/run/lockd"))
    assert (run.stat().st_uid, run.stat().st_mode & 0o777) == (0, 0o755)
