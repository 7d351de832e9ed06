"""The daemon as a service of the systemd that `support.systemd_lab` runs."""

from __future__ import annotations

from typing import Final

from .idle import wait_until
from .raw import Raw
from .systemd_lab import SystemdLab

DROP_INS: Final = "/etc/systemd/system/lockd.service.d"

CLIENT_SOCKET: Final = "/run/lockd/lockd.sock"
ADMIN_SOCKET: Final = "/run/lockd/admin.sock"


class Unit:
    """``lockd.service`` and its two sockets."""

    NAME: Final = "lockd.service"

    def __init__(self, lab: SystemdLab) -> None:
        self.lab = lab
        self._cursor = lab.cursor()

    @property
    def state(self) -> str:
        """What systemd calls its state: active, inactive, activating, reloading."""
        return self.lab.property(self.NAME, "ActiveState")

    @property
    def pid(self) -> int:
        """Its process inside, or 0."""
        return int(self.lab.property(self.NAME, "MainPID"))

    @property
    def restarts(self) -> int:
        """How often systemd has started it again by itself."""
        return int(self.lab.property(self.NAME, "NRestarts"))

    @property
    def log(self) -> str:
        """What it, and systemd about it, has written to the journal since the test began."""
        return self.lab.journal(self.NAME, self._cursor)

    def socket_states(self) -> list[str]:
        """What systemd calls the states of the sockets."""
        return [self.lab.property(name, "ActiveState") for name in ("lockd.socket", "lockd-admin.socket")]

    def configure(self, text: str) -> None:
        """Write its configuration file."""
        self.lab.write("/etc/lockd/lockd.toml", text)

    def edit(self, text: str) -> None:
        """Change the unit for this test, as "systemctl edit" does."""
        self.lab.write(f"{DROP_INS}/test.conf", text)
        self.lab.systemctl("daemon-reload")

    def signal(self, name: str, pid: int | None = None) -> None:
        """Send its process a signal."""
        self.lab.run("kill", f"-{name}", str(pid or self.pid))

    def client(self) -> Raw:
        """Connect from outside, whether the daemon runs or not, and say HELLO."""
        client = Raw.welcomed(self.lab.path(CLIENT_SOCKET))
        # It serves before systemd has taken note that it does.
        wait_until(lambda: self.state == "active", "systemd knows that it runs")
        return client

    def last_sign_of_life(self) -> float:
        """Return when the watchdog last heard of the daemon, in seconds since the machine started."""
        return int(self.lab.property(self.NAME, "WatchdogTimestampMonotonic")) / 1e6

    def wait_until_another_than(self, pid: int) -> None:
        """Wait until a process other than this one serves."""
        wait_until(lambda: self.state == "active" and self.pid not in (0, pid), "systemd has started another daemon")
