"""lockd/listeners.py: how a socket comes to be, who may use it at every moment, and what happens without room."""

from __future__ import annotations

import grp
import os
import socket
import stat
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from lockd import listeners
from lockd.listeners import ListenError, listen
from support.permissions import SOMEBODY, needs_root, umask

Listen = Callable[..., socket.socket]


@pytest.fixture
def path(runtime_dir: Path) -> Path:
    return runtime_dir / "lockd.sock"


@pytest.fixture
def make(path: Path, closing: ExitStack) -> Listen:
    def make(mode: int = 0o600, gid: int | None = None) -> socket.socket:
        return closing.enter_context(listen(str(path), mode, gid))

    return make


def connected(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except ConnectionRefusedError:
            return False
        return True


def seen_between_calls(path: Path, make: Callable[[], object]) -> list[tuple[int, int]]:
    """Return mode and group of ``path`` as they were after each call into the system that ``make`` did, once for each
    change."""
    seen: list[tuple[int, int]] = []

    def look(frame: object, event: str, argument: object) -> None:
        if event == "c_return" and path.exists():
            status = path.stat()
            now = (stat.S_IMODE(status.st_mode), status.st_gid)
            if now not in seen[-1:]:
                seen.append(now)

    sys.setprofile(look)
    try:
        make()
    finally:
        sys.setprofile(None)
    return seen


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_the_mode_is_what_was_asked_for_and_never_wider_before(path: Path, make: Listen, mode: int, mask: int) -> None:
    with umask(mask):
        seen = seen_between_calls(path, lambda: make(mode))
    own = os.getegid()
    first = 0o600 & ~mask
    assert seen == [(first, own), (mode, own)][first == mode :]


@needs_root
def test_the_group_is_given_before_it_is_let_in(path: Path, make: Listen) -> None:
    group = grp.getgrall()[-1].gr_gid
    with umask(0):
        seen = seen_between_calls(path, lambda: make(0o660, group))
    assert seen == [(0o600, os.getegid()), (0o600, group), (0o660, group)]


def test_the_look_between_calls_sees_a_moment_of_wrong_permissions(path: Path, closing: ExitStack) -> None:
    """The control: what everybody does first, and what is wrong for a moment."""

    def make() -> None:
        listener = closing.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen()
        os.chmod(path, 0o600)

    with umask(0o022):
        assert seen_between_calls(path, make) == [(0o755, os.getegid()), (0o600, os.getegid())]


def test_a_socket_that_a_dead_daemon_left_is_replaced(path: Path, make: Listen) -> None:
    make().close()
    assert not connected(path)
    make()
    assert connected(path)


def test_a_living_daemons_socket_is_left_alone(path: Path, make: Listen) -> None:
    living = make()
    inode = path.stat().st_ino
    with pytest.raises(ListenError, match=r"a daemon listens on .* already: stop that one first"):
        make()
    assert path.stat().st_ino == inode
    assert connected(path)
    # One connection is that of the other daemon, which has looked whether somebody is there.
    for _ in range(2):
        living.accept()[0].close()


def test_a_living_daemon_with_a_full_backlog_is_left_alone(path: Path, make: Listen, closing: ExitStack) -> None:
    living = closing.enter_context(socket.socket(socket.AF_UNIX))
    living.bind(str(path))
    living.listen(0)
    waiting = closing.enter_context(socket.socket(socket.AF_UNIX))
    waiting.connect(str(path))
    with pytest.raises(ListenError, match="already"):
        make()
    assert path.exists()


@pytest.mark.parametrize("kind", ["file", "directory", "link", "dangling link", "pipe"])
def test_what_is_no_socket_is_left_alone(path: Path, make: Listen, kind: str, tmp_path: Path) -> None:
    target = tmp_path / "target"
    match kind:
        case "file":
            path.write_text("precious")
        case "directory":
            path.mkdir()
        case "link":
            target.write_text("precious")
            path.symlink_to(target)
        case "dangling link":
            path.symlink_to(target)
        case "pipe":
            os.mkfifo(path)
    before = path.lstat()
    with pytest.raises(ListenError, match="exists and is no socket: move it out of the way"):
        make()
    assert (path.lstat().st_ino, path.lstat().st_mode) == (before.st_ino, before.st_mode)
    assert not target.exists() or target.read_text() == "precious"


@needs_root
def test_somebody_elses_socket_is_left_alone(path: Path, make: Listen) -> None:
    make().close()
    os.chown(path, SOMEBODY, -1)
    with pytest.raises(ListenError, match=f"belongs to uid {SOMEBODY}: it is not this daemon's to replace"):
        make()
    assert path.exists()


def test_a_socket_of_another_kind_is_left_alone(path: Path, make: Listen, closing: ExitStack) -> None:
    datagrams = closing.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    datagrams.bind(str(path))
    with pytest.raises(ListenError, match="cannot listen on"):
        make()
    assert path.exists()


def test_a_path_that_is_too_long_is_refused(runtime_dir: Path) -> None:
    path = f"{runtime_dir}/{'n' * 107}"
    with pytest.raises(ListenError, match="is longer than the 107 bytes that the kernel allows: choose a shorter"):
        listen(path, 0o600)
    # In bytes, not in characters.
    room = 107 - len(f"{runtime_dir}/")
    with pytest.raises(ListenError, match="longer"):
        listen(f"{runtime_dir}/{'é' * (room // 2 + 1)}", 0o600)
    listen(f"{runtime_dir}/{'n' * room}", 0o600).close()


def test_a_directory_that_is_not_there_is_named(runtime_dir: Path) -> None:
    path = f"{runtime_dir}/no/lockd.sock"
    with pytest.raises(ListenError, match=f"cannot listen on {path}: No such file or directory"):
        listen(path, 0o600)


def test_no_descriptors_can_be_passed(path: Path, make: Listen, closing: ExitStack) -> None:
    """The kernel would close them inside of recv(), and closing can be made to take as long as an attacker likes."""
    listener = make()
    if not _can_refuse_descriptors():
        pytest.skip("this kernel is older than 6.16")
    sender = closing.enter_context(socket.socket(socket.AF_UNIX))
    sender.connect(str(path))
    accepted = closing.enter_context(listener.accept()[0])
    with pytest.raises(PermissionError):
        socket.send_fds(sender, [b"x"], [sender.fileno()])
    # The control: a listener like any other lets them through.
    plain, other = socket.socketpair()
    with plain, other:
        socket.send_fds(plain, [b"x"], [plain.fileno()])
        _, descriptors, _, _ = socket.recv_fds(other, 1, 1)
        os.close(descriptors[0])
    accepted.close()


def _can_refuse_descriptors() -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.setsockopt(socket.SOL_SOCKET, listeners._SO_PASSRIGHTS, 0)
        except OSError:
            return False
        return True


def test_a_kernel_that_cannot_refuse_descriptors_is_put_up_with(
    path: Path, make: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_SO_PASSRIGHTS", 9999)
    make()
    assert connected(path)
