"""lockd/directories.py: one daemon a directory, and no directory that is anybody else's."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

import pytest

from lockd.directories import DirectoryError, occupied
from support.permissions import SOMEBODY, needs_root, umask


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run"


def occupy(directory: Path, mode: int = 0o755) -> None:
    """Be the daemon of a directory for a moment."""
    with occupied(str(directory), mode, "runtime"):
        pass


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
@pytest.mark.parametrize("mode", [0o700, 0o755])
def test_a_directory_that_is_missing_is_made_with_its_mode(tmp_path: Path, mode: int, mask: int) -> None:
    """Whatever the umask: a runtime directory that nobody can enter would be of no use to the others."""
    directory = tmp_path / "a" / "b" / "run"
    with umask(mask):
        occupy(directory, mode)
    assert mode_of(directory) == mode
    assert mode_of(directory / "lock") == 0o600 & ~mask


def test_a_slash_at_the_end_changes_nothing(tmp_path: Path) -> None:
    with occupied(f"{tmp_path}/run/", 0o700, "runtime"):
        assert mode_of(tmp_path / "run") == 0o700


def test_a_directory_that_is_there_is_left_as_it_is(directory: Path) -> None:
    directory.mkdir(0o750)
    (directory / "other").write_text("precious")
    occupy(directory)
    assert mode_of(directory) == 0o750
    assert (directory / "other").read_text() == "precious"


def test_there_is_one_daemon_at_a_time(directory: Path) -> None:
    with occupied(str(directory), 0o755, "runtime"):
        before = sorted((path.name, path.read_bytes()) for path in directory.iterdir())
        told = rf"another lockd runs in the runtime directory {directory} \(pid {os.getpid()}\): stop that one first"
        with pytest.raises(DirectoryError, match=told):
            occupy(directory)
        assert sorted((path.name, path.read_bytes()) for path in directory.iterdir()) == before
    occupy(directory)


def test_the_lock_file_stays_the_same_file(directory: Path) -> None:
    occupy(directory)
    inode = (directory / "lock").stat().st_ino
    occupy(directory)
    assert (directory / "lock").stat().st_ino == inode


def test_the_pid_of_before_leaves_nothing_behind(directory: Path) -> None:
    directory.mkdir(0o755)
    (directory / "lock").write_text("1234567890\n")
    with (
        occupied(str(directory), 0o755, "runtime"),
        pytest.raises(DirectoryError, match=rf"\(pid {os.getpid()}\)"),
    ):
        occupy(directory)


def test_an_occupant_that_could_not_say_who_it_is(directory: Path) -> None:
    directory.mkdir(0o755)
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(DirectoryError, match=r"\(pid unknown\)"):
            occupy(directory)


def test_a_full_disk_is_no_reason_not_to_start(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pid is only a hint."""

    def full(descriptor: int, data: bytes, offset: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    occupy(directory)


def test_a_file_system_without_locks_is_no_place_for_a_daemon(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def without(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", without)
    with pytest.raises(DirectoryError, match="cannot be used: No locks available: choose another one"):
        occupy(directory)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o1777])
def test_a_directory_that_others_can_write_to_is_refused(directory: Path, mode: int) -> None:
    directory.mkdir()
    directory.chmod(mode)
    with pytest.raises(DirectoryError, match=f"with mode {mode:04o}: somebody else could put another daemon's socket"):
        occupy(directory)
    assert list(directory.iterdir()) == []


@needs_root
def test_somebody_elses_directory_is_refused(directory: Path) -> None:
    directory.mkdir(0o755)
    os.chown(directory, SOMEBODY, -1)
    with pytest.raises(DirectoryError, match=f"belongs to uid {SOMEBODY} with mode 0755"):
        occupy(directory)
    assert list(directory.iterdir()) == []


def test_a_link_leads_to_the_directory_that_counts(tmp_path: Path, directory: Path) -> None:
    """What systemd makes of /var/lib/lockd for a dynamic user is one."""
    target = tmp_path / "target"
    target.mkdir(0o700)
    directory.symlink_to(target)
    occupy(directory)
    target.chmod(0o777)
    with pytest.raises(DirectoryError, match="with mode 0777"):
        occupy(directory)


def test_what_is_no_directory_is_refused(directory: Path) -> None:
    directory.write_text("precious")
    with pytest.raises(DirectoryError, match=f"the runtime directory {directory} is not a directory"):
        occupy(directory)
    assert directory.read_text() == "precious"


@pytest.mark.parametrize(
    ("path", "cause"),
    [("/proc/lockd", "No such file or directory"), ("/dev/null/run", "Not a directory")],
)
def test_one_that_cannot_be_made_is_named_with_the_cause_and_the_way_out(path: str, cause: str) -> None:
    told = f"^the state directory {path} cannot be used: {cause}: choose another one with --state-dir$"
    with pytest.raises(DirectoryError, match=told), occupied(path, 0o755, "state"):
        pass


def test_a_link_in_the_place_of_the_lock_file_is_not_followed(tmp_path: Path, directory: Path) -> None:
    directory.mkdir(0o755)
    (directory / "lock").symlink_to(tmp_path / "target")
    with pytest.raises(DirectoryError, match="cannot be used"):
        occupy(directory)
    assert not (tmp_path / "target").exists()


def test_what_goes_wrong_inside_is_not_the_directorys_fault(directory: Path) -> None:
    with pytest.raises(FileNotFoundError), occupied(str(directory), 0o755, "runtime"):
        open(directory / "nothing").close()
    occupy(directory)
