"""``systemctl reload`` ends when the daemon has read its configuration, and fails if that has a mistake in it."""

from __future__ import annotations

from pathlib import Path

from support.idle import wait_until
from support.raw import Raw, code_of, hello
from support.unit import CLIENT_SOCKET, Unit

ONE_SESSION = "[quotas]\nsessions_max = 1\nsessions_per_uid_max = 1\n"


def test_what_was_changed_is_in_force_when_it_ends(unit: Unit) -> None:
    with unit.client():
        pid = unit.pid
        unit.configure(ONE_SESSION)
        unit.lab.systemctl("reload", unit.NAME)
        with Raw(unit.lab.path(CLIENT_SOCKET)) as second:
            second.send_bytes(hello())
            assert code_of(second.receive()) == "quota"
        unit.configure("")
        unit.lab.systemctl("reload", unit.NAME)
        with unit.client():
            pass
    assert (unit.state, unit.pid) == ("active", pid)
    assert unit.lab.property(unit.NAME, "StatusText") == "serving; the configuration was read again: no problems"


def test_it_lasts_as_long_as_the_daemon_takes(unit: Unit) -> None:
    unit.lab.systemctl("start", unit.NAME)
    pid, state = unit.pid, Path(unit.lab.path("/run/lockd-state"))
    unit.signal("STOP", pid)
    unit.lab.systemctl("reload", "--no-block", unit.NAME)
    # From here on nothing but the daemon's answer is missing.
    wait_until(lambda: bool(list(state.glob("reload.*"))), "an answer is waited for")
    assert unit.state == "reloading"
    unit.signal("CONT", pid)
    wait_until(lambda: unit.state == "active", "the reload ends")
    assert "the configuration was read again: no problems" in unit.log
    assert list(state.glob("*reload.*")) == []


def test_it_fails_with_what_is_wrong(unit: Unit) -> None:
    with unit.client() as client:
        pid = unit.pid
        unit.configure("[quotas]\nsessions_max = 0\n")
        assert unit.lab.attempt("systemctl", "reload", unit.NAME).returncode == 1
        assert "lockd.toml: quotas.sessions_max is 0: a whole number from 1 to 1000000 is allowed." in unit.log
        unit.configure("[sessions]\nresume_window_seconds = 3\n")
        assert unit.lab.attempt("systemctl", "reload", unit.NAME).returncode == 1
        assert "sessions.resume_window_seconds was changed, and applies when the daemon is restarted" in unit.log
        # It serves as if nothing had happened.
        client.acquire(1, "db")
    assert (unit.state, unit.pid) == ("active", pid)
