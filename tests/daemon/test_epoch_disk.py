"""The epoch rises, whatever the disk does: crashes in the middle of a write, loss of power, refusals of any kind."""

from __future__ import annotations

import itertools
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lockd.epoch import SLOT_BYTES, EpochError, EpochFile
from support.epochs import BOOT, NO_CLOCK, NOW, YEAR, file_with_epoch, stored_epoch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "epoch"


# A crash in the middle.


def test_a_crash_after_any_byte_of_either_write_leaves_the_old_epoch_or_the_new(path: Path) -> None:
    old = file_with_epoch(4, path)
    assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK) == 5
    new = path.read_bytes()
    path.write_bytes(old)
    seen = [stored_epoch(path)]
    with path.open("r+b", buffering=0) as disk:
        for byte in new:
            disk.write(bytes([byte]))
            seen.append(stored_epoch(path))
    # The first slot was still the old one, in whole or in part, and then it was the new one.
    assert seen == [4] * SLOT_BYTES + [5] * (SLOT_BYTES + 1)


class Disk:
    """Knows what may be on the disk if the power fails: what was fsynced, and of the rest nothing, all or the half."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        self.seen: set[bytes | None] = set()
        self.safe = {path.stat().st_ino: path.read_bytes()} if path.exists() else {}
        self.unsafe: dict[int, list[tuple[int, bytes]]] = {}
        # The files that the name may lead to, 0 for none.
        self.named = set(self.safe) or {0}
        pwrite, fsync, rename = os.pwrite, os.fsync, os.rename

        def written(descriptor: int, data: bytes, offset: int) -> int:
            count = pwrite(descriptor, data, offset)
            self.unsafe.setdefault(os.fstat(descriptor).st_ino, []).append((offset, data[:count]))
            self.seen |= self.possible()
            return count

        def synced(descriptor: int) -> None:
            fsync(descriptor)
            inode = os.fstat(descriptor).st_ino
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                self.named = {path.stat().st_ino}
            for offset, data in self.unsafe.pop(inode, []):
                self.safe[inode] = patched(self.safe.get(inode, b""), offset, data)
            self.seen |= self.possible()

        def renamed(source: str, target: str) -> None:
            rename(source, target)
            self.named.add(os.stat(target).st_ino)
            self.seen |= self.possible()

        monkeypatch.setattr(os, "pwrite", written)
        monkeypatch.setattr(os, "fsync", synced)
        monkeypatch.setattr(os, "rename", renamed)

    def possible(self) -> set[bytes | None]:
        """Return every content that the file may have if the power fails now; None if it may not be there."""
        contents: set[bytes | None] = {None} if 0 in self.named else set()
        for inode in self.named - {0}:
            writes = self.unsafe.get(inode, [])
            for parts in itertools.product((0, 0.5, 1), repeat=len(writes)):
                content = self.safe.get(inode, b"")
                for part, (offset, data) in zip(parts, writes, strict=True):
                    content = patched(content, offset, data[: int(len(data) * part)])
                contents.add(content)
        return contents


def patched(content: bytes, offset: int, data: bytes) -> bytes:
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


def epochs_in(contents: set[bytes | None], path: Path) -> set[int]:
    epochs = set()
    for content in contents:
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_bytes(content)
        record = EpochFile(path).stored()
        epochs.add(record.epoch if record else 0)
    return epochs


@pytest.mark.parametrize("old", [0, 4])
def test_an_epoch_that_is_given_out_survives_the_loss_of_power(
    path: Path, tmp_path: Path, old: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(old):
        EpochFile(path).raise_epoch(BOOT, NO_CLOCK)
    with monkeypatch.context() as patch:
        disk = Disk(path, patch)
        assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK) == old + 1
        left = disk.possible()
    assert epochs_in(left, tmp_path / "left") == {old + 1}
    assert epochs_in(disk.seen, tmp_path / "left") == {old, old + 1}


def test_what_a_crash_left_while_the_file_was_made_is_no_obstacle(path: Path) -> None:
    (path.parent / "epoch.new").write_bytes(b"half a")
    assert EpochFile(path).raise_epoch(BOOT, NOW) == YEAR
    assert os.listdir(path.parent) == ["epoch"]


# What the system refuses. Each happens for real.

RAISE = """
import os, resource, sys
from lockd.epoch import EpochError, EpochFile
path, *limits = sys.argv[1:]
for limit in limits:
    name, _, value = limit.partition("=")
    if name == "file_bytes_max":
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(value), int(value)))
    if name == "uid":
        os.setgroups([])
        os.setresgid(int(value), int(value), int(value))
        os.setresuid(int(value), int(value), int(value))
try:
    print(EpochFile(path).raise_epoch("0" * 32, 0.0))
except EpochError as error:
    print(error)
"""


def raised_in_a_process(path: Path, **limits: int) -> str:
    command = [sys.executable, "-c", RAISE, str(path), *(f"{name}={value}" for name, value in limits.items())]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()


def test_a_file_that_may_not_grow_is_not_left_behind_half_made(path: Path) -> None:
    for limit in (0, 4096, 8191):
        assert raised_in_a_process(path, file_bytes_max=limit) == (
            f"the epoch file {path} cannot be written: File too large: raise the limit of the size of files (ulimit -f,"
            " or LimitFSIZE= in the unit)"
        )
        assert os.listdir(path.parent) == []
    assert raised_in_a_process(path, file_bytes_max=8192) == "1"


@pytest.mark.parametrize("limit", [0, 10, 4095])
def test_a_write_that_fails_leaves_the_old_epoch(path: Path, limit: int) -> None:
    file_with_epoch(4, path)
    assert "cannot be written: File too large" in raised_in_a_process(path, file_bytes_max=limit)
    assert stored_epoch(path) == 4
    assert raised_in_a_process(path) == "5"


def test_a_second_write_that_fails_leaves_the_new_epoch_and_no_two_daemons_have_the_same(path: Path) -> None:
    file_with_epoch(4, path)
    assert "cannot be written: File too large" in raised_in_a_process(path, file_bytes_max=5000)
    assert stored_epoch(path) == 5
    assert raised_in_a_process(path) == "6"


@pytest.mark.parametrize(("torn", "epoch"), [(0, 5), (1, 4)])
def test_the_damaged_slot_is_written_first(path: Path, torn: int, epoch: int) -> None:
    """Else a crash, or a failure as here of all writes to slot 1, could cost the one that is whole."""
    written = file_with_epoch(4, path)
    damaged = bytearray(written)
    damaged[torn * SLOT_BYTES] ^= 1
    path.write_bytes(damaged)
    assert "cannot be written: File too large" in raised_in_a_process(path, file_bytes_max=4096)
    assert stored_epoch(path) == epoch


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("x")
    for name, sentence in [
        (
            "missing/epoch",
            "written: No such file or directory: see that its directory is there, or choose another directory",
        ),
        ("folder", "read: Is a directory: choose another directory"),
        ("file/epoch", "read: Not a directory: choose another directory"),
    ]:
        path = tmp_path / name
        with pytest.raises(EpochError) as caught:
            EpochFile(path).raise_epoch(BOOT, NOW)
        assert str(caught.value) == f"the epoch file {path} cannot be {sentence} with --state-dir"


def test_a_file_that_belongs_to_somebody_else_is_named(runtime_dir: Path) -> None:
    path = runtime_dir / "epoch"
    EpochFile(path).raise_epoch(BOOT, NO_CLOCK)
    runtime_dir.chmod(0o755)
    # Root may read everything, and so becomes somebody else.
    somebody = {"uid": 12345} if os.getuid() == 0 else {}
    sentence = (
        "Permission denied: let the daemon's user read and write it, or choose another directory with --state-dir"
    )
    for mode, done in [(0o000, "read"), (0o444, "written")]:
        path.chmod(mode)
        assert raised_in_a_process(path, **somebody) == f"the epoch file {path} cannot be {done}: {sentence}"
    path.chmod(0o600)
    assert stored_epoch(path) == 1


def in_a_mount_namespace(script: str, folder: Path) -> str:
    """Run a shell script as root of a mount namespace, or as what passes for it in a user namespace."""
    unshare = ["unshare", "--mount"] if os.getuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this kernel or container lets this user have no mount namespace")
    command = [*unshare, "sh", "-euc", script, "sh", str(folder), sys.executable, RAISE]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def test_a_full_disk(tmp_path: Path) -> None:
    """The first time there has to be room; from then on a full disk is no obstacle."""
    said = in_a_mount_namespace(
        """
        mount -t tmpfs -o size=64k none "$1"
        dd if=/dev/zero of="$1/everything" bs=4k 2>/dev/null || true
        "$2" -c "$3" "$1/epoch"
        ls "$1"
        rm "$1/everything"
        "$2" -c "$3" "$1/epoch"
        dd if=/dev/zero of="$1/everything" bs=4k 2>/dev/null || true
        "$2" -c "$3" "$1/epoch"
        """,
        tmp_path,
    )
    assert said.splitlines() == [
        f"the epoch file {tmp_path}/epoch cannot be written: No space left on device: make room on its file system",
        "everything",
        "1",
        "2",
    ]


def test_a_disk_that_cannot_be_written(tmp_path: Path) -> None:
    said = in_a_mount_namespace(
        """
        mount -t tmpfs -o size=64k none "$1"
        "$2" -c "$3" "$1/epoch"
        mount -o remount,ro,size=64k none "$1"
        "$2" -c "$3" "$1/epoch"
        rm -f "$1/epoch" 2>/dev/null || true
        "$2" -c "$3" "$1/other"
        mount -o remount,rw,size=64k none "$1"
        "$2" -c "$3" "$1/epoch"
        """,
        tmp_path,
    )
    sentence = "Read-only file system: mount its file system for writing, or choose another directory with --state-dir"
    assert said.splitlines() == [
        "1",
        f"the epoch file {tmp_path}/epoch cannot be written: {sentence}",
        f"the epoch file {tmp_path}/other cannot be written: {sentence}",
        "2",
    ]
