"""Who may connect: what the socket units say, and what the daemon makes of it."""

from __future__ import annotations

import subprocess

from support.permissions import SOMEBODY
from support.unit import Unit

LOCKCTL = "/opt/lockd/bin/lockctl"


def as_somebody(unit: Unit, *command: str, group: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command as an ordinary user, who may be in one more group."""
    groups = "--clear-groups" if group is None else f"--groups={group}"
    return unit.lab.attempt("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", groups, *command)


def test_the_group_of_clients_may_take_locks(unit: Unit) -> None:
    done = as_somebody(unit, LOCKCTL, "run", "db", "--", "echo", "under the lock", group="lockd-clients")
    assert (done.stdout, done.stderr, done.returncode) == ("under the lock\n", "", 0)


def test_nobody_else_may(unit: Unit) -> None:
    done = as_somebody(unit, LOCKCTL, "run", "db", "--", "echo", "under the lock")
    assert done.stdout == ""
    words = "this user may not connect to lockd at /run/lockd/lockd.sock: members of the group lockd-clients may"
    assert words in done.stderr
    assert done.returncode != 0
    assert unit.state == "inactive"


def test_the_admin_socket_is_for_root(unit: Unit) -> None:
    assert unit.lab.attempt(LOCKCTL, "list").returncode == 0
    for group in ("lockd-clients", "lockd"):
        done = as_somebody(unit, LOCKCTL, "list", group=group)
        assert "this user may not connect to lockd at /run/lockd/admin.sock: only uid 0 may" in done.stderr
        assert done.returncode != 0


def test_who_is_let_in_by_the_socket_still_has_to_be_an_administrator(unit: Unit) -> None:
    unit.lab.write("/etc/systemd/system/lockd-admin.socket.d/test.conf", "[Socket]\nSocketMode=0666\n")
    unit.lab.systemctl("daemon-reload")
    unit.lab.systemctl("restart", "lockd-admin.socket")
    try:
        done = as_somebody(unit, LOCKCTL, "list")
        assert f"uid {SOMEBODY} is no administrator of this daemon (admin_socket.uids)" in done.stderr
        unit.configure(f"[admin_socket]\nuids = [{SOMEBODY}]\n")
        unit.lab.systemctl("restart", unit.NAME)
        assert as_somebody(unit, LOCKCTL, "list").returncode == 0
    finally:
        unit.lab.run("rm", "-r", "/etc/systemd/system/lockd-admin.socket.d")
        unit.lab.systemctl("daemon-reload")
