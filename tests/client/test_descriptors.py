"""A program closes descriptors that are not its own, and the next file it opens gets the number of the connection."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import lockd_client
from lockd_client import Client, Lock
from lockd_client._transport import Transport
from lockd_wire import messages as m
from support.scripted_daemon import PATIENCE_SECONDS, ScriptedDaemon


class Stranger:
    """A file of the program's own at the number that was the connection's."""

    def __init__(self, number: int, path: Path) -> None:
        self._number = number
        own = os.open(path, os.O_RDWR | os.O_CREAT)
        os.write(own, b"content")
        os.lseek(own, 2, os.SEEK_SET)
        os.dup2(own, number)
        os.close(own)

    def is_untouched(self) -> bool:
        at = os.lseek(self._number, 0, os.SEEK_CUR)
        return (at, os.pread(self._number, 100, 0)) == (2, b"content")

    def close(self) -> None:
        os.close(self._number)


class StrangeSocket:
    """A socket of the program's own at the number that was the connection's, with something in it to be read."""

    def __init__(self, number: int, path: Path) -> None:
        self._number = number
        self._other, own = socket.socketpair()
        os.dup2(own.fileno(), number)
        own.close()
        self._other.send(b"for the program")
        self._other.setblocking(False)

    def is_untouched(self) -> bool:
        try:
            self._other.recv(1)
        except BlockingIOError:
            return socket.socket(fileno=os.dup(self._number)).recv(100, socket.MSG_PEEK) == b"for the program"
        return False

    def close(self) -> None:
        os.close(self._number)
        self._other.close()


class Nothing:
    """Nobody has taken the number yet."""

    def __init__(self, number: int, path: Path) -> None:
        os.close(number)

    def is_untouched(self) -> bool:
        # The next connection may have the number.
        return True

    def close(self) -> None:
        pass


strangers = pytest.mark.parametrize("kind", [Stranger, StrangeSocket, Nothing])


@strangers
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # The copy that looks into a stranger.
def test_not_a_byte_goes_into_or_out_of_what_took_the_number(
    client: Client, daemon: ScriptedDaemon, tmp_path: Path, kind: type[Stranger]
) -> None:
    """What is held stays held, and everything goes on over another connection."""
    calls: list[Callable[[Lock], object]] = [Lock.release, Lock.locked, lambda lock: client.lock("b").locked()]
    for call in calls:
        handle = client.lock("a")
        handle.acquire()
        token = daemon.holders["a"].token
        stranger = kind(client.fileno(), tmp_path / "file")
        call(handle)
        assert stranger.is_untouched()
        if call is not Lock.release:
            assert handle.grant is not None
            assert (handle.grant.token, handle.grant.lost) == (token, False)
            handle.release()
        daemon.wait_until(lambda: "a" not in daemon.holders)
        assert stranger.is_untouched()
        stranger.close()
    assert len(daemon.heard_of(m.Hello)) == 1
    assert len(daemon.heard_of(m.Resume)) == 3


@strangers
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_goodbye_goes_over_another_connection(
    client: Client, daemon: ScriptedDaemon, tmp_path: Path, kind: type[Stranger]
) -> None:
    handle = client.lock("a")
    handle.acquire()
    stranger = kind(client.fileno(), tmp_path / "file")
    client.close()
    assert stranger.is_untouched()
    stranger.close()
    daemon.wait_until_idle()


def test_the_client_of_the_module_keeps_its_session(module: Client, daemon: ScriptedDaemon, tmp_path: Path) -> None:
    """A second session would wait for what the first one holds until the process exits."""
    handle = lockd_client.lock("a")
    handle.acquire()
    stranger = Stranger(module.fileno(), tmp_path / "file")
    with lockd_client.lock("b", timeout=0):
        assert daemon.holders["a"].session == daemon.holders["b"].session
    handle.release()
    assert stranger.is_untouched()
    stranger.close()
    assert len(daemon.heard_of(m.Hello)) == 1


def wait_until_it_reads(thread: threading.Thread) -> None:
    """Wait until a thread is in the system call, and not on the way to it: nobody but the kernel knows."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    place = Path(f"/proc/self/task/{thread.native_id}/wchan")
    while "unix_stream" not in (where := place.read_text()):
        if where == "0" and not os.access("/proc/kallsyms", os.R_OK):
            pytest.skip("this kernel does not tell where a thread waits")
        assert time.monotonic() < give_up_at
        os.sched_yield()


def test_a_waiter_gets_its_answer_and_keeps_what_it_got(client: Client, daemon: ScriptedDaemon, tmp_path: Path) -> None:
    """The system keeps a socket alive for those who are reading from it."""
    daemon.hold("a")
    handle = client.lock("a")
    waiting = threading.Thread(target=handle.acquire)
    waiting.start()
    daemon.wait_for_waiters(1)
    wait_until_it_reads(waiting)
    stranger = Stranger(client.fileno(), tmp_path / "file")
    daemon.release("a")
    waiting.join(PATIENCE_SECONDS)
    assert handle.grant is not None
    handle.release()
    daemon.wait_until_idle()
    assert stranger.is_untouched()
    stranger.close()


def test_collecting_a_grant_touches_nothing(client: Client, tmp_path: Path) -> None:
    handle = client.lock("a")
    handle.acquire()
    stranger = Stranger(client.fileno(), tmp_path / "file")
    with pytest.warns(ResourceWarning):
        del handle
    assert stranger.is_untouched()
    client.close()
    assert stranger.is_untouched()
    stranger.close()


@pytest.mark.parametrize("end", [Transport.close, Transport.drop_copy, Transport.__del__])
def test_no_end_of_a_transport_closes_the_number_of_another(tmp_path: Path, end: Callable[[Transport], None]) -> None:
    import _socket

    ours, theirs = socket.socketpair()
    transport = Transport(_socket.socket(fileno=ours.detach()))
    stranger = Stranger(transport.number, tmp_path / "file")
    end(transport)
    del transport
    assert stranger.is_untouched()
    stranger.close()
    theirs.close()


def test_a_number_is_kept_as_long_as_a_thread_waits_by_it() -> None:
    import _socket

    ours, theirs = socket.socketpair()
    with theirs:
        transport = Transport(_socket.socket(fileno=ours.detach()))
        inode = os.fstat(transport.number).st_ino
        transport.begin_to_wait(1)
        transport.begin_to_wait(2)
        assert transport.close()
        # That the connection has ended is known at once.
        assert theirs.recv(1) == b""
        transport.end_of_wait(1)
        assert os.fstat(transport.number).st_ino == inode
        transport.end_of_wait(2)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(transport.number)


@pytest.mark.parametrize("wait", [Transport.wait_for_room, lambda transport: transport.wait_for_hang_up(60)])
def test_whoever_waits_says_so(wait: Callable[[Transport], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """And closes what was given up meanwhile."""
    import _socket

    ours, theirs = socket.socketpair()
    with theirs:
        transport = Transport(_socket.socket(fileno=ours.detach()))
        check = transport.check

        def given_up_behind_it() -> None:
            check()
            monkeypatch.setattr(transport, "check", check)
            assert transport.close()
            os.fstat(transport.number)

        monkeypatch.setattr(transport, "check", given_up_behind_it)
        wait(transport)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(transport.number)
