"""lockd/peers.py: who is there, by the kernel's word, on kernels old and new."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lockd import peers, pidfds
from lockd.peers import Identity, PeerGone, identify, short_name
from lockd.pidfds import has_exited
from support.permissions import SOMEBODY, effective_uid, groups, needs_root

SO_PEERPIDFD, SO_PEERGROUPS = 77, 59


@pytest.fixture
def listener(runtime_dir: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime_dir / "socket"))
        listener.listen()
        yield listener


@pytest.fixture
def accepted(listener: socket.socket, closing: ExitStack) -> Callable[[], socket.socket]:
    def accepted() -> socket.socket:
        closing.enter_context(socket.socket(socket.AF_UNIX)).connect(listener.getsockname())
        return closing.enter_context(listener.accept()[0])

    return accepted


class OlderKernel:
    """A connection on a kernel without SO_PEERPIDFD, or one that has it and no answer."""

    def __init__(self, pid: int, error: int) -> None:
        self._pid = pid
        self._error = error

    def getsockopt(self, level: int, option: int, size: int = 0) -> bytes:
        if option in (SO_PEERPIDFD, SO_PEERGROUPS):
            raise OSError(self._error, os.strerror(self._error))
        return self._pid.to_bytes(4, "little") + (1000).to_bytes(4, "little") + (1001).to_bytes(4, "little")


def on_older_kernel(pid: int, error: int = errno.ENOPROTOOPT) -> Identity:
    return identify(OlderKernel(pid, error))  # type: ignore[arg-type]  # As far as it is asked.


def test_the_kernel_says_who_it_is(accepted: Callable[[], socket.socket], closing: ExitStack) -> None:
    pid, uid, gid, pidfd, process = identify(accepted())
    assert (pid, uid, gid) == (os.getpid(), os.geteuid(), os.getegid())
    assert pidfd is not None
    closing.callback(os.close, pidfd)
    assert not os.get_inheritable(pidfd)
    assert process == pidfds.process_of(pidfd, pid) != ""
    assert not has_exited(pidfd)


@needs_root
def test_the_uid_is_the_one_of_connect(
    accepted: Callable[[], socket.socket], runtime_dir: Path, closing: ExitStack
) -> None:
    runtime_dir.chmod(0o711)
    (runtime_dir / "socket").chmod(0o666)
    with effective_uid(SOMEBODY):
        connection = accepted()
    assert peers.credentials(connection)[1] == SOMEBODY
    identity = identify(connection)
    assert identity.uid == SOMEBODY
    assert identity.pidfd is not None
    closing.callback(os.close, identity.pidfd)


@needs_root
def test_the_groups_are_those_of_connect(accepted: Callable[[], socket.socket]) -> None:
    with groups(7, 54321, 54322, 65534):
        peer = accepted()
    assert peers.groups(peer) == {7, 54321, 54322}
    with groups(65534):
        peer = accepted()
    assert peers.groups(peer) == set()


@needs_root
def test_of_somebody_in_too_many_groups_the_first_is_known(accepted: Callable[[], socket.socket]) -> None:
    with groups(7, *range(1000, 1257)):
        peer = accepted()
    assert peers.groups(peer) == {7}
    with groups(7, *range(1000, 1256)):
        peer = accepted()
    assert peers.groups(peer) == {7, *range(1000, 1256)}


@pytest.mark.parametrize("error", [errno.ENOPROTOOPT, errno.ENOMEM])
def test_a_kernel_that_does_not_tell_the_groups(error: int) -> None:
    peer: Any = OlderKernel(os.getpid(), error)
    if error == errno.ENOPROTOOPT:
        assert peers.groups(peer) == {1001}
    else:
        with pytest.raises(OSError, match=os.strerror(error)):
            peers.groups(peer)


def test_a_process_that_has_exited_is_seen(closing: ExitStack) -> None:
    process = closing.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE))
    pidfd = os.pidfd_open(process.pid)
    closing.callback(os.close, pidfd)
    assert not has_exited(pidfd)
    process.kill()
    # Dead, and nobody has asked for its exit status yet: a zombie.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert has_exited(pidfd)
    process.wait()
    assert has_exited(pidfd)


CONNECT_AND_EXIT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def test_a_peer_that_is_dead_already(listener: socket.socket, closing: ExitStack) -> None:
    subprocess.run([sys.executable, "-c", CONNECT_AND_EXIT, listener.getsockname()], check=True)
    connection = closing.enter_context(listener.accept()[0])
    try:
        pidfd = identify(connection).pidfd
    except PeerGone:
        # Before 6.16 the kernel has forgotten it.
        return
    assert pidfd is not None
    closing.callback(os.close, pidfd)
    assert has_exited(pidfd)


def test_an_older_kernel_is_asked_by_number(closing: ExitStack) -> None:
    for error in (errno.ENOPROTOOPT, errno.EINVAL, errno.ENODATA):
        pid, uid, gid, pidfd, _ = on_older_kernel(os.getpid(), error)
        assert (pid, uid, gid) == (os.getpid(), 1000, 1001)
        assert pidfd is not None
        closing.callback(os.close, pidfd)
        assert not has_exited(pidfd)


def test_a_number_that_nobody_has_any_more_is_a_peer_that_is_gone() -> None:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(PeerGone):
        on_older_kernel(process.pid)


def test_without_pidfds_it_cannot_be_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(pid: int) -> int:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(os, "pidfd_open", none)
    assert on_older_kernel(os.getpid()) == Identity(os.getpid(), 1000, 1001, None)


def test_a_peer_of_a_foreign_namespace_has_no_number_to_ask_for() -> None:
    assert on_older_kernel(0) == Identity(0, 1000, 1001, None)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_when_descriptors_have_run_out_nothing_is_pretended(error: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is not watched would be a weaker one, for no reason that its client has given."""
    with pytest.raises(OSError, match=os.strerror(error)):
        on_older_kernel(os.getpid(), error)

    def full(pid: int) -> int:
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, "pidfd_open", full)
    with pytest.raises(OSError, match=os.strerror(error)):
        on_older_kernel(os.getpid())


FOREIGN_NAMESPACE = """
import os, socket, sys
sys.path.insert(0, sys.argv[1])
from lockd import peers, pidfds
connection = socket.socket(fileno=int(sys.argv[2]))
pid, uid, gid, pidfd, _ = peers.identify(connection)
print(pid, uid, pidfd is not None and not pidfds.has_exited(pidfd))
"""


@needs_root
def test_a_peer_of_a_foreign_namespace_can_be_watched_all_the_same(accepted: Callable[[], socket.socket]) -> None:
    """It has no number here, and a pidfd needs none."""
    connection = accepted()
    command = ["unshare", "--pid", "--fork", sys.executable, "-c", FOREIGN_NAMESPACE]
    told = subprocess.run(
        [*command, str(Path(peers.__file__).parent.parent), str(connection.fileno())],
        pass_fds=[connection.fileno()],
        stdout=subprocess.PIPE,
        check=True,
    ).stdout.decode()
    assert told == f"0 {os.getuid()} {_has_peerpidfd(connection)}\n"


def _has_peerpidfd(connection: socket.socket) -> bool:
    try:
        os.close(connection.getsockopt(socket.SOL_SOCKET, SO_PEERPIDFD))
    except OSError:
        return False
    return True


def test_short_names() -> None:
    assert short_name(os.getpid()) == Path("/proc/self/comm").read_text().removesuffix("\n")
    assert short_name(0) == ""
