"""Finding the daemon, opening and ending a session, and every way in which that can fail: one clear sentence each."""

from __future__ import annotations

import grp
import os
import pickle
import socket
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import lockd_client
from lockd_client import AccessDenied, BadRequest, Client, DaemonUnavailable, LockError, ProtocolError, SessionLost
from lockd_client import _addresses as addresses
from lockd_client import _opening as opening
from lockd_client._program import introduction
from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.scripted_daemon import ScriptedDaemon


def sentence_of(error: type[LockError], path: Path) -> str:
    """Try to connect, and return what the failure says, with the path left out."""
    with pytest.raises(error) as raised:
        lockd_client.connect(path)
    return str(raised.value).replace(str(path), "PATH")


@contextmanager
def listening(path: Path, kind: socket.SocketKind = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as listener:
        listener.bind(str(path))
        if kind == socket.SOCK_STREAM:
            listener.listen(0)
        yield listener


def test_no_socket(runtime_dir: Path) -> None:
    assert sentence_of(DaemonUnavailable, runtime_dir / "lockd.sock") == (
        "there is no lockd at PATH: no such socket. Start one with `lockd serve`, or set LOCKD_SOCKET to the socket of "
        "the one that runs"
    )


def test_no_directory_where_anybody_could_make_one(runtime_dir: Path) -> None:
    runtime_dir.chmod(0o1777)
    assert sentence_of(DaemonUnavailable, runtime_dir / "lockd" / "s").startswith("there is no lockd at PATH: no such")


def test_a_socket_that_a_daemon_left_behind(runtime_dir: Path) -> None:
    with listening(runtime_dir / "s"):
        pass
    assert sentence_of(DaemonUnavailable, runtime_dir / "s").startswith(
        "no lockd listens at PATH: the daemon that made the socket is gone. Start one"
    )


def test_a_file_that_is_no_socket(runtime_dir: Path) -> None:
    (runtime_dir / "s").write_text("")
    assert sentence_of(DaemonUnavailable, runtime_dir / "s").startswith(
        "there is no lockd at PATH: that is not a socket"
    )


def test_a_socket_of_another_kind(runtime_dir: Path) -> None:
    with listening(runtime_dir / "s", socket.SOCK_DGRAM):
        assert "that is a socket of another kind" in sentence_of(DaemonUnavailable, runtime_dir / "s")


def test_something_in_the_path_is_no_directory(runtime_dir: Path) -> None:
    (runtime_dir / "file").write_text("")
    assert "cannot be reached: Not a directory" in sentence_of(DaemonUnavailable, runtime_dir / "file" / "s")


def test_a_path_longer_than_an_address(runtime_dir: Path) -> None:
    path = runtime_dir / ("x" * 200)
    assert sentence_of(DaemonUnavailable, path) == (
        f"the path of lockd's socket is {len(str(path))} bytes long (PATH), and a socket's address has room for 107: "
        "set LOCKD_SOCKET to a shorter one"
    )


def test_a_directory_in_which_anybody_could_have_put_a_socket(runtime_dir: Path) -> None:
    runtime_dir.chmod(0o777)
    sentence = sentence_of(DaemonUnavailable, runtime_dir / "s")
    assert sentence.startswith("the socket PATH is not to be trusted: ")


def as_nobody(action: Callable[[], None]) -> None:
    """Do something in a child that has no rights, and fail if it raises."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody without rights")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(65_534)
            os.setuid(65_534)
            action()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0


def test_a_socket_that_this_user_may_not_connect_to(daemon: ScriptedDaemon) -> None:
    daemon.path.parent.chmod(0o755)
    sentences: list[str] = []

    def look() -> None:
        daemon.path.stat()
        sentences.append(sentence_of(AccessDenied, daemon.path))
        assert sentences[-1] == expected

    daemon.path.chmod(0o600)
    expected = (
        "this user may not connect to lockd at PATH: only uid 0 may. Ask whoever runs lockd to open it to a group"
    )
    as_nobody(look)
    daemon.path.chmod(0o660)
    group = grp.getgrgid(os.getgid()).gr_name
    expected = (
        f"this user may not connect to lockd at PATH: members of the group {group} may. Join it, and log in again"
    )
    as_nobody(look)


def test_a_directory_that_this_user_may_not_enter(daemon: ScriptedDaemon) -> None:
    daemon.path.parent.chmod(stat.S_IRWXU)

    def look() -> None:
        assert "is closed to it. Ask whoever runs lockd for membership" in sentence_of(AccessDenied, daemon.path)

    as_nobody(look)


def test_a_full_backlog(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "BACKLOG_SECONDS", 0.05)
    with listening(runtime_dir / "s"), socket.socket(socket.AF_UNIX) as first:
        first.connect(str(runtime_dir / "s"))
        assert sentence_of(DaemonUnavailable, runtime_dir / "s") == (
            "lockd at PATH has not accepted a connection for 0.05 s: its queue of new ones is full"
        )


def test_something_that_does_not_answer(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ANSWER_SECONDS", 0.05)
    with listening(runtime_dir / "s"):
        assert sentence_of(DaemonUnavailable, runtime_dir / "s") == (
            "something listens at PATH, but has not answered as lockd does for 0.05 s: it is stopped or very busy, or "
            "no lockd"
        )


def hang_up(daemon: ScriptedDaemon, times: float) -> None:
    """Have the daemon be killed so many times before it answers, and its socket be kept by a service manager."""

    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage] | None:
        if len(daemon.heard) > times:
            return None
        daemon.hang_up(session)
        return []

    daemon.script = script


def test_a_daemon_that_is_killed_before_it_answers(daemon: ScriptedDaemon) -> None:
    hang_up(daemon, 2)
    with lockd_client.connect(daemon.path) as client, client.lock("a"):
        assert len(daemon.heard_of(m.Hello)) == 3
        daemon.wait_until(lambda: len(daemon.connections) == 1)


def test_something_that_hangs_up_each_time(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "ANSWER_SECONDS", 0.1)
    hang_up(daemon, float("inf"))
    assert sentence_of(DaemonUnavailable, daemon.path) == (
        "something listens at PATH, but hangs up each time before it answers as lockd does. This was tried for 0.1 s"
    )
    # The pauses are 0.01 s, 0.02 s, 0.04 s, and the next would be too long.
    assert len(daemon.heard_of(m.Hello)) <= 4


def test_a_daemon_that_is_killed_and_does_not_come_back(daemon: ScriptedDaemon) -> None:
    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage]:
        daemon.path.unlink()
        daemon.hang_up(session)
        return []

    daemon.script = script
    assert sentence_of(DaemonUnavailable, daemon.path).startswith("there is no lockd at PATH: no such socket.")


@pytest.mark.parametrize(
    "greeting", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\2ab", encode(m.Done(5, 5)), encode(m.State(0, 0, {}))]
)
def test_something_that_speaks_otherwise(daemon: ScriptedDaemon, greeting: bytes) -> None:
    daemon.greeting = greeting
    assert sentence_of(ProtocolError, daemon.path).startswith("what answers at PATH is no lockd: ")


REFUSALS = [
    (
        "version",
        ProtocolError,
        "lockd at PATH does not speak version 1 of the protocol, which is all that this library",
    ),
    ("access_denied", AccessDenied, "the daemon refused: it said so"),
    ("quota", lockd_client.QuotaExceeded, "the daemon refused: it said so"),
    ("unavailable", DaemonUnavailable, "the daemon refused: it said so"),
    ("something new", LockError, "the daemon refused: it said so"),
]


@pytest.mark.parametrize(("code", "error", "sentence"), REFUSALS)
def test_a_daemon_that_refuses(daemon: ScriptedDaemon, code: str, error: type[LockError], sentence: str) -> None:
    daemon.greeting = encode(m.Failed(0, 0, code, "it said so", {}))
    assert sentence_of(error, daemon.path).startswith(sentence)


def test_a_daemon_of_another_version(daemon: ScriptedDaemon) -> None:
    daemon.script = lambda session, message: [m.Welcome(0, 0, 2, 1, 1, {}, ())]
    assert sentence_of(ProtocolError, daemon.path) == (
        "lockd at PATH speaks version 2 of the protocol, and this library version 1"
    )


def test_the_session_is_opened_with_the_program_of_the_caller(daemon: ScriptedDaemon) -> None:
    with lockd_client.connect(daemon.path, program="nightly"):
        assert daemon.heard == [introduction("nightly")]


def test_a_program_that_cannot_be(daemon: ScriptedDaemon) -> None:
    with pytest.raises(BadRequest, match="the program"):
        lockd_client.connect(daemon.path, program="a\nb")


def test_close_frees_everything_before_it_returns(daemon: ScriptedDaemon) -> None:
    client = lockd_client.connect(daemon.path)
    handle = client.lock("a")
    handle.acquire()
    client.close()
    assert not daemon.holders
    assert type(daemon.heard[-1]) is m.Bye
    with pytest.raises(SessionLost, match="this client was closed"):
        handle.acquire()
    with pytest.raises(lockd_client.NotOwner, match="this client was closed, and all that it held was released"):
        handle.release()
    client.close()
    assert repr(client) == f"<lockd_client.Client at {daemon.path}, not connected>"


def test_close_does_not_wait_for_a_daemon_that_hangs(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lockd_client._channel, "CLOSE_SECONDS", 0.01)
    daemon.script = lambda session, message: [] if type(message) is m.Bye else None
    lockd_client.connect(daemon.path).close()


def test_the_module_has_one_session_that_is_opened_on_first_use(module: Client, daemon: ScriptedDaemon) -> None:
    handle = lockd_client.lock("a")
    assert daemon.heard == []
    with handle, lockd_client.rwlock("b").read():
        assert len(daemon.heard_of(m.Hello)) == 1


def test_a_client_of_ones_own_does_not_pickle(client: Client) -> None:
    for thing in (client, client.lock("a"), client.rwlock("a")):
        with pytest.raises(TypeError, match=r"What lockd_client\.lock returns can"):
            pickle.dumps(thing)


def test_a_client_that_is_forgotten_warns_and_leaves(daemon: ScriptedDaemon) -> None:
    client = lockd_client.connect(daemon.path)
    with pytest.warns(ResourceWarning, match="was never closed"):
        del client
    daemon.wait_until(lambda: not daemon.connections)


def test_the_connection_is_not_inherited_by_programs_that_are_started(client: Client) -> None:
    assert not os.get_inheritable(client.fileno())


def test_the_connection_does_not_take_the_place_of_a_standard_stream(daemon: ScriptedDaemon) -> None:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.close(0)
            os.close(2)
            status = 0 if lockd_client.connect(daemon.path).fileno() > 2 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
