"""lockd/server.py: start and end, and what there is room for."""

from __future__ import annotations

import errno
import logging
import os
import resource
import signal
import socket
import stat
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd import peers, server
from lockd.core.bounds import Quotas
from lockd.directories import DirectoryError
from lockd.listeners import ListenError
from lockd.reactor import READABLE, Reactor
from lockd_wire import messages as m
from support.shell import Shell, Start, acquire, hello, start_shell


class CrowdedReactor(Reactor):
    """One that can watch no more than a number of descriptors at a time."""

    room = 10**6

    def watch(self, descriptor: int, handler: Callable[[int], None], events: int = READABLE) -> None:
        if len(self._handlers) >= type(self).room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().watch(descriptor, handler, events)


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> type[CrowdedReactor]:
    class Mine(CrowdedReactor):
        pass

    monkeypatch.setattr(server, "Reactor", Mine)
    return Mine


def modes(shell: Shell) -> list[int]:
    return [stat.S_IMODE(os.stat(path).st_mode) for path in (shell.client_socket, shell.admin_socket)]


async def test_it_says_where_it_listens(
    start: Start, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    with caplog.at_level(logging.INFO, "lockd"):
        shell = await start()
    told = caplog.messages[-1]
    assert f"(pid {os.getpid()}, epoch " in told
    assert told.endswith(f"listens on {shell.client_socket} and, for administrators, on {shell.admin_socket}")
    assert modes(shell) == [0o600, 0o600]


async def test_the_client_socket_has_the_mode_that_was_configured(start: Start, autojump_clock: MockClock) -> None:
    assert modes(await start(client_socket__mode="0666")) == [0o666, 0o600]


async def test_a_second_daemon_in_one_directory_says_who_is_the_first(
    shell: Shell, nursery: trio.Nursery, closing: ExitStack, tmp_path: Path, autojump_clock: MockClock
) -> None:
    def contents() -> dict[str, tuple[int, float]]:
        paths = [path for path in shell.directory.rglob("*") if path.is_file() or path.is_socket()]
        return {str(path): (path.stat().st_ino, path.stat().st_mtime) for path in paths}

    holder = await shell.welcomed()
    await holder.granted(acquire(1))
    before = contents()
    # Two locks, two sockets, the epoch and the journal.
    assert len(before) == 6
    with pytest.raises(DirectoryError, match=rf"another lockd runs in the runtime directory .*\(pid {os.getpid()}\)"):
        await start_shell(shell.directory, nursery, closing)
    with pytest.raises(DirectoryError, match=rf"another lockd runs in the state directory .*\(pid {os.getpid()}\)"):
        await start_shell(shell.directory, nursery, closing, runtime_dir=str(tmp_path / "other"))
    assert contents() == before
    assert sorted(path.name for path in (tmp_path / "other").iterdir()) == ["lock"]
    assert not holder.is_ended
    assert (await shell.status())["grants"] == 1


async def test_what_stands_in_the_way_of_a_socket_is_named(
    runtime_dir: Path, nursery: trio.Nursery, closing: ExitStack, autojump_clock: MockClock
) -> None:
    (runtime_dir / "run").mkdir(0o700)
    (runtime_dir / "run" / "admin.sock").write_text("precious")
    with pytest.raises(ListenError, match=r"admin\.sock exists and is no socket"):
        await start_shell(runtime_dir, nursery, closing)
    # The directories are free again, and the socket that was made is a dead one.
    (runtime_dir / "run" / "admin.sock").unlink()
    await start_shell(runtime_dir, nursery, closing)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_in_order(
    runtime_dir: Path,
    closing: ExitStack,
    number: signal.Signals,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    before = set(os.listdir("/proc/self/fd"))
    with caplog.at_level(logging.INFO, "lockd"):
        async with trio.open_nursery() as nursery:
            shell = await start_shell(runtime_dir, nursery, closing)
            silent, client, admin = shell.connect(), await shell.welcomed(), await shell.administrator()
            # What was asked for in the last turn is answered.
            client.says(acquire(1))
            await wait_all_tasks_blocked()
            os.kill(os.getpid(), number)
    assert caplog.messages[-2:] == [f"stopping on {number.name}", "stopped"]
    assert [type(answer) for answer in client.has_heard()] == [m.Granted]
    assert [peer.has_heard() for peer in (silent, client, admin)] == [[], [], []]
    assert [peer.is_ended for peer in (silent, client, admin)] == [True, True, True]
    for peer in (silent, client, admin):
        peer.hangs_up()
    assert set(os.listdir("/proc/self/fd")) <= before
    # Nobody listens, and the next daemon can take its place.
    async with trio.open_nursery() as nursery:
        with socket.socket(socket.AF_UNIX) as sock, pytest.raises(ConnectionRefusedError):
            sock.connect(shell.client_socket)
        await start_shell(runtime_dir, nursery, closing)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("is_kept", [True, False], ids=["with the journal", "without"])
async def test_a_new_daemon_gives_greater_tokens(
    is_kept: bool, runtime_dir: Path, closing: ExitStack, autojump_clock: MockClock
) -> None:
    tokens, sessions = [], []
    for number in range(3):
        async with trio.open_nursery() as nursery:
            shell = await start_shell(runtime_dir, nursery, closing, sessions__state_loss_delay_seconds="0")
            peer = shell.connect()
            welcome, granted = await peer.asks(hello(), acquire(1, f"name {number}"))
            tokens.append(granted.token)
            sessions.append(welcome.session)
            nursery.cancel_scope.cancel()
        if not is_kept:
            (runtime_dir / "run" / "journal").unlink()
    assert tokens == sorted(set(tokens))
    assert sessions == sorted(set(sessions))
    assert len({token >> 32 for token in tokens}) == (1 if is_kept else 3)


@pytest.mark.parametrize("room", [2, 3, 4])
async def test_where_no_more_can_be_watched_nothing_is_half_done(
    start: Start,
    crowded: type[CrowdedReactor],
    room: int,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    """For the listeners there is room; then for neither connection nor process; for the connection; for both."""
    shell = await start()
    crowded.room = room
    before = len(os.listdir("/proc/self/fd"))
    peer = shell.connect()
    peer.says(hello())
    if room == 3:
        [failed] = await peer.hears()
        words = "the daemon cannot watch one more process at the moment (No space left on device): try again later"
        assert failed == m.Failed(0, 0, "unavailable", words, {})
        assert caplog.messages[-1] == f"no session for pid {os.getpid()}: No space left on device"
    else:
        assert [type(answer) for answer in await peer.hears()] == [m.Welcome] * (room == 4)
    assert peer.is_ended == (room < 4)
    peer.hangs_up()
    await trio.sleep(1)
    assert len(os.listdir("/proc/self/fd")) == before
    # When there is room again all is as before.
    crowded.room = 10**6
    await (await shell.welcomed()).granted(acquire(1))
    assert (await shell.status())["sessions"] == 1


async def test_a_refused_session_leaves_no_descriptor_behind(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(quotas__sessions_max="1", quotas__sessions_per_uid_max="1")
    await shell.welcomed()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        peer = shell.connect()
        assert [answer.code for answer in await peer.asks(hello())] == ["quota"]
        peer.hangs_up()
    assert len(os.listdir("/proc/self/fd")) == before


async def test_without_a_descriptor_for_its_process_a_session_is_refused(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    def full(connection: object) -> peers.Identity:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        patch.setattr(peers, "identify", full)
        peer = shell.connect()
        [failed] = await peer.asks(hello())
    assert (failed.code, peer.is_ended) == ("unavailable", True)
    assert "Too many open files" in failed.sentence
    await shell.welcomed()


@pytest.mark.parametrize(
    ("descriptors", "wanted", "affordable"),
    [
        (10**6, (10_000, 5_000), (10_000, 5_000)),
        (20_256, (10_000, 5_000), (10_000, 5_000)),
        (20_254, (10_000, 5_000), (9_999, 4_999)),
        (4096, (10_000, 5_000), (1920, 960)),
        (1024, (10_000, 5_000), (384, 192)),
        # One user may have all of them, or a few.
        (4096, (10_000, 10_000), (1920, 1920)),
        (4096, (10_000, 2), (1920, 2)),
        (4096, (1_000, 1_000), (1_000, 1_000)),
        (0, (10_000, 5_000), (1, 1)),
    ],
)
def test_there_are_no_more_sessions_than_descriptors(
    descriptors: int, wanted: tuple[int, int], affordable: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "lockd"):
        assert server._affordable(Quotas(*wanted), descriptors) == Quotas(*affordable)
    told = f"there are descriptors for {affordable[0]} sessions, and not for {wanted[0]} (quotas.sessions_max)"
    assert [message.startswith(told) for message in caplog.messages] == [True] * (wanted != affordable)


async def test_as_many_descriptors_are_taken_as_there_can_be(shell: Shell, autojump_clock: MockClock) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert soft == hard


async def test_a_limit_that_cannot_be_raised_is_lived_with(
    start: Start, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    def forbidden(kind: int, limits: tuple[int, int]) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(resource, "setrlimit", forbidden)
    await (await start()).welcomed()


async def test_the_system_refuses_a_group_that_is_not_there(
    runtime_dir: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """It was there when the configuration was read."""
    shell = Shell(runtime_dir, ExitStack())
    config = shell.config(client_socket__group="root", client_socket__mode="0660")

    def gone(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr("grp.getgrnam", gone)
    with pytest.raises(ListenError, match='there is no group "root"'):
        await nursery.start(partial(server.serve, config, clock=trio.current_time))
