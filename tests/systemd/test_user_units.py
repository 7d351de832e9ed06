"""The daemon of a user, under a service manager of that user's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from support.idle import wait_until
from support.permissions import SOMEBODY
from support.systemd_lab import SystemdLab

HOME: Final = "/run/home"
RUNTIME: Final = f"/run/user/{SOMEBODY}"

#: What a machine has for everybody who logs in, as far as it matters here.
MANAGER: Final = f"""
[Service]
Type=notify
User=somebody
Delegate=yes
Environment=HOME={HOME} XDG_RUNTIME_DIR={RUNTIME}
Environment=SYSTEMD_UNIT_PATH=/usr/local/lib/systemd/user:/usr/lib/systemd/user
ExecStart=/lib/systemd/systemd --user --unit=basic.target
"""


class User:
    """Somebody who is logged in."""

    def __init__(self, lab: SystemdLab) -> None:
        self._lab = lab

    def run(self, *command: str) -> str:
        """Run a command as this user."""
        user = ("setpriv", f"--reuid={SOMEBODY}", f"--regid={SOMEBODY}", "--clear-groups")
        return self._lab.run(*user, "env", f"HOME={HOME}", f"XDG_RUNTIME_DIR={RUNTIME}", *command)

    def property(self, name: str) -> str:
        """Return what the service manager says about the daemon."""
        return self.run("systemctl", "--user", "show", "--value", f"--property={name}", "lockd.service")


@pytest.fixture
def user(lab: SystemdLab) -> Iterator[User]:
    """Somebody on a machine that has no daemon of its own."""
    lab.write("/run/sysusers.conf", f"u somebody {SOMEBODY}\n")
    lab.run("systemd-sysusers", "/run/sysusers.conf")
    lab.run("install", "--directory", "--owner=somebody", "--group=somebody", "--mode=0700", HOME, RUNTIME)
    lab.run("rm", "-rf", "/run/lockd")
    lab.write("/run/systemd/system/manager.service", MANAGER)
    lab.systemctl("daemon-reload")
    lab.systemctl("start", "manager.service")
    yield User(lab)
    lab.systemctl("stop", "manager.service")
    lab.run("systemd-tmpfiles", "--create", "--prefix=/run/lockd")


def test_a_user_has_a_daemon_of_their_own(user: User) -> None:
    user.run("systemctl", "--user", "start", "lockd.socket", "lockd-admin.socket")
    assert user.run("/opt/lockd/bin/lockctl", "run", "db", "--", "echo", "under the lock") == "under the lock"
    # It serves before systemd has taken note that it does.
    wait_until(lambda: user.property("ActiveState") == "active", "systemd knows that it runs")
    first = user.property("MainPID")
    user.run("systemctl", "--user", "reload", "lockd")
    user.run("systemctl", "--user", "kill", "--signal=KILL", "lockd")
    wait_until(lambda: user.property("MainPID") not in ("0", first), "systemd has started another daemon")
    assert f"pid {user.property('MainPID')}" in " ".join(user.run("/opt/lockd/bin/lockctl", "status").split())


def test_but_not_beside_the_one_of_the_machine(user: User, lab: SystemdLab) -> None:
    lab.run("systemd-tmpfiles", "--create", "--prefix=/run/lockd")
    user.run("systemctl", "--user", "start", "lockd.service")
    assert (user.property("ActiveState"), user.property("ConditionResult")) == ("inactive", "no")
