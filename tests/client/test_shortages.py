"""A machine that is short of descriptors or of memory: calls say so, and everything goes on when there is enough."""

from __future__ import annotations

import errno
import itertools
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

import lockd_client
from lockd_client import DaemonUnavailable, LockError, _pauses, _setbacks
from lockd_client._addresses import connected_transport
from lockd_client._setbacks import Setbacks
from lockd_wire import messages as m
from support.idle import wait_until
from support.scripted_daemon import ScriptedDaemon
from support.shortages import SHORTAGES, Shortage

#: A call says of either that it could not do what was asked.
TOLD = (LockError, MemoryError)


@pytest.fixture(params=SHORTAGES)
def shortage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Shortage:
    # As often as the threads would try at first, for the whole test.
    monkeypatch.setattr(_pauses, "_LONGEST_SECONDS", 0.01)
    monkeypatch.setattr(_setbacks, "PAUSE_SECONDS", 0.01)
    return Shortage(SHORTAGES[request.param], monkeypatch)


def test_any_call_fails_in_connecting(shortage: Shortage, daemon: ScriptedDaemon) -> None:
    for n in itertools.count(1):
        shortage.begin(n)
        try:
            client = lockd_client.connect(daemon.path)
        except TOLD:
            assert shortage.end()
            assert shortage.open_connections() == 0
            continue
        was_met = shortage.end()
        assert shortage.open_connections() == 1
        client.close()
        if not was_met:
            break
    assert n > 5


@contextmanager
def without_standard_input() -> Iterator[None]:
    spare = os.dup(0)
    os.close(0)
    try:
        yield
    finally:
        os.dup2(spare, 0)
        os.close(spare)


def test_any_call_fails_where_a_standard_stream_is_closed(shortage: Shortage, runtime_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(runtime_dir / "s"))
        listener.listen(100)
        with without_standard_input():
            for n in itertools.count(1):
                shortage.begin(n)
                try:
                    transport = connected_transport(str(runtime_dir / "s"), "LOCKD_SOCKET")
                except TOLD:
                    assert shortage.end()
                    assert shortage.open_connections() == 0
                    continue
                assert not shortage.end()
                assert (transport.number > 2, shortage.open_connections()) == (True, 1)
                transport.close()
                break
    # The socket, its way of waiting, connecting, another number for it, and what it is.
    assert n > 6


def test_any_call_fails_in_connecting_again(shortage: Shortage, daemon: ScriptedDaemon) -> None:
    with lockd_client.connect(daemon.path) as client:
        handle = client.lock("a")
        handle.acquire()
        for n in itertools.count(1):
            daemon.stop()
            client.session().look()
            assert client.session().is_down
            daemon.start()
            shortage.begin(n)
            try:
                assert handle.locked()
            except MemoryError:
                assert shortage.end()
            else:
                # That there are no descriptors has not been told: it is tried again, and there are.
                if not shortage.end():
                    break
            assert handle.locked()
            assert shortage.open_connections() == 1
        assert n > 5
        assert len(daemon.heard_of(m.Hello)) == 1
        handle.release()
        daemon.wait_until_idle()


def test_any_call_of_the_thread_that_watches_fails(shortage: Shortage, daemon: ScriptedDaemon) -> None:
    def has_resumed(times: int) -> bool:
        return len(daemon.heard_of(m.Resume)) >= times

    with lockd_client.connect(daemon.path, watch=True) as client:
        handle = client.lock("a")
        handle.acquire()
        for n in itertools.count(1):
            resumed = len(daemon.heard_of(m.Resume))
            shortage.begin(n)
            daemon.restart()
            daemon.wait_until(partial(has_resumed, resumed + 1))
            wait_until(lambda: not client.session().is_down, "it is connected again")
            if not shortage.end():
                break
        assert n > 5
        unread_release(daemon)
        handle.release()
        daemon.wait_until_idle()


def unread_release(daemon: ScriptedDaemon) -> None:
    """Have the daemon be killed before it has read a release; after that it is as usual."""

    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage] | None:
        if not isinstance(message, m.Release):
            return None
        daemon.script = lambda session, message: None
        daemon.hang_up(session)
        return []

    daemon.script = script


@pytest.mark.parametrize("watch", [False, True])
def test_a_shortage_for_a_while(shortage: Shortage, daemon: ScriptedDaemon, watch: bool) -> None:
    """What is owed is told in the end, though nobody calls any more."""
    with lockd_client.connect(daemon.path, watch=watch, reconnect_timeout=0) as client:
        handle, other = client.lock("a"), client.lock("b")
        handle.acquire()
        other.acquire()
        daemon.stop()
        shortage.begin_for_good()
        handle.release()
        with pytest.raises(TOLD):
            client.lock("c").acquire()
        calls = shortage.calls
        # Whoever has a thread for it goes on trying.
        wait_until(lambda: shortage.calls > calls + 3, "somebody tries again")
        assert shortage.open_connections() <= 1
        daemon.start()
        shortage.end()
        daemon.wait_until(lambda: set(daemon.holders) == {"b"})
        assert other.grant is not None
        assert not other.grant.lost
        assert shortage.open_connections() == 1
    daemon.wait_until_idle()


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("EMFILE", "this process has as many files open as it may have. Close some, or raise its limit"),
        ("ENFILE", "this machine has as many files open as it may have. Close some, or raise fs.file-max"),
        ("ENOMEM", "this machine is out of memory"),
    ],
)
def test_it_says_what_there_is_too_little_of(
    name: str, sentence: str, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    shortage = Shortage(SHORTAGES[name], monkeypatch)
    shortage.begin(1)
    with pytest.raises(DaemonUnavailable) as raised:
        lockd_client.connect(daemon.path)
    assert str(raised.value).startswith(f"lockd at {daemon.path} cannot be reached: {sentence}")


def test_a_socket_that_is_not_open_to_others_yet(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that starts makes it for itself alone at first."""
    shortage = Shortage(lambda: PermissionError(errno.EACCES, "Permission denied"), monkeypatch)
    with lockd_client.connect(daemon.path) as client, client.lock("a"):
        daemon.restart()
        client.session().look()
        # The socket, its way of waiting, and then to connect it.
        shortage.begin(3)
        assert client.lock("a").locked()
        assert shortage.end()


# What nobody has foreseen


class Clock:
    """Sleeps in no time."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_setbacks, "time", clock)
    return clock


def raising(error: Exception) -> Callable[[], bool]:
    def step() -> bool:
        raise error

    return step


def test_a_thread_outlives_it_and_it_is_shown_once(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[object] = []
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, trace: shown.append(error))
    setbacks, error = Setbacks(), ValueError("a mistake of the library")
    assert all(setbacks.outlive(raising(each)) for each in (MemoryError(), error, error, KeyError()))
    assert shown == [error]
    assert clock.slept == [_setbacks.PAUSE_SECONDS] * 4
    assert setbacks.outlive(lambda: True)
    assert not setbacks.outlive(lambda: False)
    assert len(clock.slept) == 4


def test_a_hook_that_raises_ends_no_thread(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def hook(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(sys, "excepthook", hook)
    assert Setbacks().outlive(raising(ValueError()))
    assert clock.slept == [_setbacks.PAUSE_SECONDS]
