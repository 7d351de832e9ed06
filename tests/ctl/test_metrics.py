"""``lockctl metrics`` and ``lockctl lock-order``, as a process beside a real daemon."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

from lockd.ctl import statuses
from lockd_client import AdminClient, Client, connect
from support.daemon import Daemon
from support.lockctl import Lockctl


def test_metrics_are_printed(lockctl: Lockctl, daemon: Daemon, client: Client, name: str) -> None:
    with client.lock(name):
        outcome = lockctl("metrics")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert "# TYPE lockd_holds gauge" in lines
    assert 'lockd_build_info{version="' in outcome.out
    assert any(line.startswith("process_resident_memory_bytes ") for line in lines)
    with AdminClient(daemon.admin_socket) as admin:
        assert [line.split()[0] for line in admin.metrics().splitlines()] == [line.split()[0] for line in lines]


def test_a_file_is_replaced_whatever_it_was_and_everybody_may_read_it(lockctl: Lockctl, tmp_path: Path) -> None:
    path, other = tmp_path / "lockd.prom", tmp_path / "other"
    other.write_text("other")
    path.symlink_to(other)
    old = os.umask(0o077)
    try:
        outcome = lockctl("metrics", "--textfile", str(path))
    finally:
        os.umask(old)
    assert outcome == (0, "", "")
    assert path.read_text().endswith("\n")
    assert "lockd_holds " in path.read_text()
    assert stat.S_IMODE(path.lstat().st_mode) == 0o644
    # It was replaced, not written through.
    assert other.read_text() == "other"
    assert sorted(os.listdir(tmp_path)) == ["lockd.prom", "other"]


def test_a_file_that_cannot_be_written_stays_as_it_was(lockctl: Lockctl, tmp_path: Path) -> None:
    (tmp_path / "lockd.prom").mkdir()
    outcome = lockctl("metrics", "--textfile", str(tmp_path / "lockd.prom"))
    assert outcome.status == statuses.NOT_WRITTEN
    assert "cannot be written" in outcome.err
    assert os.listdir(tmp_path) == ["lockd.prom"]
    outcome = lockctl("metrics", "--textfile", str(tmp_path / "nowhere" / "lockd.prom"))
    assert outcome.status == statuses.NOT_WRITTEN


def test_without_a_daemon_the_old_file_stays(lockctl: Lockctl, tmp_path: Path) -> None:
    path = tmp_path / "lockd.prom"
    path.write_text("old")
    outcome = lockctl("metrics", "--admin-socket", str(tmp_path / "nobody"), "--textfile", str(path))
    assert outcome.status == statuses.UNAVAILABLE
    assert path.read_text() == "old"


def test_lock_order(lockctl: Lockctl, daemon: Daemon, client: Client, name: str) -> None:
    one, other = f"{name} one", f"{name} other"
    with client.lock(one, label="first"), client.lock(other):
        pass
    with connect(daemon.client_socket, program="another") as another, another.lock(other), another.lock(one):
        pass
    outcome = lockctl("lock-order")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    [place] = [at for at, line in enumerate(lines) if one in line and "the test" in line]
    assert lines[place].startswith(f'pid {os.getpid()} (the test) had "{one}" ("first") and wanted "{other}", ')
    assert lines[place + 1].startswith(f'  but pid {os.getpid()} (another) had "{other}" and wanted "{one}", ')
    rows = json.loads(lockctl("lock-order", "--json").out)
    [row] = [row for row in rows if row["first"]["held"] == one]
    assert (row["first"]["held_label"], row["second"]["held"], row["second"]["wanted"]) == ("first", other, one)


def test_a_daemon_that_has_seen_none_says_so(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        assert lockctl("lock-order").out == "no two names were taken in opposite orders\n"
        assert lockctl("lock-order", "--json").out == "[]\n"
