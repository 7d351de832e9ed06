"""lockd/ctl/units.py, on a made-up /proc."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from lockd.ctl.units import add_units, unit_of

V1 = """\
12:pids:/system.slice/reports.service
3:cpu,cpuacct:/elsewhere.service
1:name=systemd:/system.slice/reports.service
0::/system.slice/other.service
"""

CASES = [
    ("0::/system.slice/reports.service\n", "reports.service"),
    ("0::/system.slice/reports.service/worker/3\n", "reports.service"),
    ("0::/user.slice/user-1000.slice/session-3.scope\n", "session-3.scope"),
    ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/app-editor@1.service\n", "app-editor@1.service"),
    ("0::/system.slice/dev\\x2ddisk.service\n", "dev\\x2ddisk.service"),
    (V1, "reports.service"),
    ("1:name=systemd:/\n0::/system.slice/reports.service\n", "reports.service"),
    ("12:pids:/system.slice/reports.service\n", None),
    ("0::/\n", None),
    ("0::/docker/0123456789abcdef\n", None),
    ("0::/system.slice\n", None),
    ("0::/system.slice/a:b.service\n", "a:b.service"),
    ("", None),
    ("what is this?\n", None),
]


def write_cgroup(proc: Path, pid: int, text: str | bytes) -> None:
    (proc / str(pid)).mkdir()
    (proc / str(pid) / "cgroup").write_bytes(text.encode() if isinstance(text, str) else text)


@pytest.mark.parametrize(("text", "unit"), CASES)
def test_the_unit_is_the_nearest_one(text: str, unit: str | None, tmp_path: Path) -> None:
    write_cgroup(tmp_path, 42, text)
    assert unit_of(42, str(tmp_path)) == unit


def test_a_process_that_is_gone_or_cannot_be_seen_has_none(tmp_path: Path) -> None:
    (tmp_path / "43").mkdir()
    write_cgroup(tmp_path, 0, "0::/system.slice/reports.service\n")
    assert [unit_of(pid, str(tmp_path)) for pid in (42, 43, 0, -1)] == [None] * 4


def test_whatever_bytes_there_are(tmp_path: Path) -> None:
    write_cgroup(tmp_path, 42, b"0::/system.slice/caf\xe9.service\n")
    assert unit_of(42, str(tmp_path)) == "caf\ufffd.service"


def test_each_process_is_looked_at_once(tmp_path: Path) -> None:
    write_cgroup(tmp_path, 42, "0::/system.slice/reports.service\n")
    rows: list[dict[str, Any]] = [{"pid": 42}, {"pid": 43}, {"pid": 42}]
    add_units(rows, str(tmp_path))
    assert [row["unit"] for row in rows] == ["reports.service", None, "reports.service"]


def test_the_real_proc_can_be_read() -> None:
    """Where this runs nobody knows: it may be of a unit."""
    unit = unit_of(os.getpid())
    assert unit is None or unit.endswith((".service", ".scope"))
