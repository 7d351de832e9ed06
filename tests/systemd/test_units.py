"""The unit files: systemd finds nothing wrong with them, and they take away what the daemon does not need."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.sources import REPOSITORY
from support.systemd_lab import SystemdLab

INSTALLED = "/usr/local/lib/systemd"
UNITS = ("lockd.service", "lockd.socket", "lockd-admin.socket")

#: Of 10. What is left on systemd 252: that it sees the root directory of the machine, processes, users, and a clock.
EXPOSURE_MAX = 0.5


def verify(lab: SystemdLab, folder: str) -> tuple[int, str]:
    """Return what ``systemd-analyze verify`` has to say about units. It reports unknown options, but succeeds."""
    scope = ["--user"] if folder.endswith("/user") else []
    done = lab.attempt(
        *("env", "XDG_RUNTIME_DIR=/run"),
        *("systemd-analyze", "verify", *scope, "--man=no", *(f"{folder}/{unit}" for unit in UNITS)),
    )
    return done.returncode, done.stderr


def exposure(unit: Path, lab: SystemdLab) -> float:
    """Return how much ``systemd-analyze security`` thinks a service could do."""
    told = lab.run("systemd-analyze", "security", "--offline=true", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", told)
    assert found is not None, told
    return float(found[1])


@pytest.mark.parametrize("scope", ["system", "user"])
def test_systemd_finds_nothing_wrong_with_them(lab: SystemdLab, scope: str) -> None:
    assert verify(lab, f"{INSTALLED}/{scope}") == (0, "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WatchdogSec=10s", "WatchdogSecs=10s"),
        ("/opt/lockd/bin/lockd serve", "/opt/lockd/bin/lock serve"),
        ("Type=notify", "Type=notified"),
    ],
)
def test_a_mistake_would_be_found(lab: SystemdLab, old: str, new: str) -> None:
    for unit in UNITS:
        text = (REPOSITORY / "systemd" / "system" / unit).read_text("utf-8")
        lab.write(f"/run/broken/{unit}", text.replace(old, new))
    status, told = verify(lab, "/run/broken")
    assert "lockd.service" in told, status


def test_the_daemon_is_left_with_little(lab: SystemdLab) -> None:
    unit = "systemd/system/lockd.service"
    assert exposure(Path("/opt/source") / unit, lab) <= EXPOSURE_MAX
    # The control: without one of the larger restrictions it is more.
    text = (REPOSITORY / unit).read_text("utf-8")
    lab.write("/run/broken/lockd.service", text.replace("PrivateNetwork=yes\n", ""))
    assert exposure(Path("/run/broken/lockd.service"), lab) > EXPOSURE_MAX
