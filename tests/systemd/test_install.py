"""``make install-units``: what lands where, and that nothing is left when it is taken away."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.daemon import DEADLINE_SECONDS
from support.sources import REPOSITORY

INSTALLED = [
    *("sysusers.d/lockd.conf", "systemd/system/lockd-admin.socket", "systemd/system/lockd.service"),
    *("systemd/system/lockd.socket", "systemd/user/lockd-admin.socket", "systemd/user/lockd.service"),
    *("systemd/user/lockd.socket", "tmpfiles.d/lockd.conf"),
]


def make(*arguments: str) -> None:
    subprocess.run(["make", *arguments], cwd=REPOSITORY, check=True, timeout=DEADLINE_SECONDS, capture_output=True)


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_units_are_installed_and_removed(tmp_path: Path) -> None:
    make("install-units", f"DESTDIR={tmp_path}", "PREFIX=/srv/lockd")
    folder = tmp_path / "usr" / "local" / "lib"
    assert files(folder) == sorted(INSTALLED)
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()} == {0o644}
    for scope in ("system", "user"):
        unit = (folder / "systemd" / scope / "lockd.service").read_text("utf-8")
        source = (REPOSITORY / "systemd" / scope / "lockd.service").read_text("utf-8")
        assert "ExecStart=/srv/lockd/bin/lockd serve\n" in unit
        assert unit == source.replace("/opt/lockd/", "/srv/lockd/")
    (program := tmp_path / "program").mkdir()
    make("uninstall", f"DESTDIR={tmp_path}", f"PREFIX={program}")
    assert files(tmp_path) == []
    assert not program.exists()
