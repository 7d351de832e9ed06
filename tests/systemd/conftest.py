"""What the tests under a real systemd share: one that runs, with the units as they are installed."""

from __future__ import annotations

import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.sources import REPOSITORY
from support.systemd_lab import SystemdLab, leave_out, why_not
from support.unit import DROP_INS, Unit

#: A program of ours, as far as anybody can tell. The unit hides homes and temporary files, which is where the Python of
#: the tests, its libraries and these sources may be, so it finds all of them below /opt.
_PROGRAM = """#!/bin/sh
export LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/source:/opt/source/client:/opt/packages
exec /opt/python/bin/python{version} -c 'import sys; from {module} import main; sys.exit(main())' "$@"
"""


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SystemdLab]:
    """A systemd that all tests share."""
    missing = why_not()
    if missing is not None:
        leave_out(missing)
    binds = {
        "/opt/python": Path(sys.base_prefix),
        "/opt/packages": Path(sysconfig.get_path("platlib")),
        "/opt/source": REPOSITORY,
        "/opt/lockd": _installation(tmp_path_factory.mktemp("opt")),
    }
    with SystemdLab(binds) as lab:
        lab.run("make", "--directory=/opt/source", "install-units")
        lab.run("systemd-sysusers")
        lab.run("systemd-tmpfiles", "--create", "--prefix=/run/lockd")
        lab.systemctl("daemon-reload")
        yield lab


@pytest.fixture
def unit(lab: SystemdLab) -> Iterator[Unit]:
    """The unit of the daemon, as on a machine that has just started: both sockets listen, nobody has connected."""
    unit = Unit(lab)
    lab.systemctl("start", "lockd.socket", "lockd-admin.socket")
    yield unit
    lab.systemctl("stop", "lockd.socket", "lockd-admin.socket", "lockd.service")
    lab.run("rm", "-rf", "/etc/lockd", "/run/lockd-state", "/var/lib/lockd", DROP_INS)
    lab.systemctl("daemon-reload")


def _installation(directory: Path) -> Path:
    """Make the programs that "make install" would make."""
    directory.chmod(0o755)
    (directory / "bin").mkdir()
    for program, module in {"lockd": "lockd.main", "lockctl": "lockd.ctl.main"}.items():
        path = directory / "bin" / program
        path.write_text(_PROGRAM.format(version=sysconfig.get_python_version(), module=module))
        path.chmod(0o755)
    return directory
