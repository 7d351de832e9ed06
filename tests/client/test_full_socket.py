"""A daemon that reads nothing: the socket is full, and no release waits for it."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import lockd_client
from lockd_client import Client
from lockd_wire import messages as m
from lockd_wire.codec import TO_DAEMON, encode
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX
from support.scripted_daemon import PATIENCE_SECONDS, scripted_daemon

COUNT = 1500


class Stopped:
    """A daemon that has welcomed a client and granted it much, and then reads only when it is told to."""

    def __init__(self, path: Path) -> None:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._decoder = FrameDecoder(FRAME_BYTES_MAX)
        self.heard: list[m.ClientMessage] = []
        self.connected = threading.Event()
        threading.Thread(target=self._grant, daemon=True).start()

    def _grant(self) -> None:
        self._connection, _ = self._listener.accept()
        self._connection.settimeout(PATIENCE_SECONDS)
        while sum(type(message) is m.Acquire for message in self.heard) < COUNT:
            for message in self.read():
                answer = m.Welcome(0, 0, 1, 1, 1, {}, ()) if type(message) is m.Hello else None
                self._connection.sendall(encode(answer or m.Granted(message.id, 0, message.id, {})))
        self.connected.set()

    def read(self) -> list[m.ClientMessage]:
        self._decoder.receive_data(self._connection.recv(100_000))
        messages = []
        while (body := self._decoder.peek()) is not None:
            messages.append(TO_DAEMON.decode(body))
            self._decoder.advance()
        self.heard += messages
        return messages

    def read_until(self, kind: type[m.ClientMessage], count: int) -> None:
        while sum(type(message) is kind for message in self.heard) < count:
            self.read()

    def answer(self, message: m.DaemonMessage) -> None:
        self._connection.sendall(encode(message))

    def stop(self) -> None:
        self._connection.close()
        self._listener.close()


@pytest.fixture
def stopped(runtime_dir: Path) -> Iterator[Stopped]:
    daemon = Stopped(runtime_dir / "s")
    yield daemon
    daemon.stop()


@pytest.fixture
def holder(runtime_dir: Path, stopped: Stopped, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    # This daemon never hangs up.
    monkeypatch.setattr(lockd_client._channel, "CLOSE_SECONDS", 0.01)
    with lockd_client.connect(runtime_dir / "s") as client:
        yield client


def full_of_releases(client: Client, stopped: Stopped) -> None:
    """Hold many locks and release them all while the daemon reads nothing."""
    handles = [client.lock(f"n{number}") for number in range(COUNT)]
    for handle in handles:
        handle.acquire()
    assert stopped.connected.wait(PATIENCE_SECONDS)
    for handle in handles:
        handle.release()


def released(stopped: Stopped) -> list[int]:
    return [message.token for message in stopped.heard if type(message) is m.Release]


def test_releases_wait_for_nothing_and_arrive_without_another_call(holder: Client, stopped: Stopped) -> None:
    full_of_releases(holder, stopped)
    stopped.read_until(m.Release, COUNT)
    assert released(stopped) == list(range(1, COUNT + 1))


def still_tries(client: Client) -> bool:
    session = client._session
    assert session is not None
    return session._channel._settler.is_running


def test_a_thread_goes_on_trying_until_all_is_settled(holder: Client, stopped: Stopped, runtime_dir: Path) -> None:
    full_of_releases(holder, stopped)
    assert still_tries(holder)
    stopped.stop()
    with scripted_daemon(runtime_dir / "s") as daemon:
        daemon.covered[7] = 3
        daemon.wait_until(lambda: len(daemon.heard_of(m.Release)) == COUNT)
        give_up_at = time.monotonic() + PATIENCE_SECONDS
        while still_tries(holder):
            assert time.monotonic() < give_up_at
            os.sched_yield()


def test_an_acquire_waits_for_room_and_comes_behind_the_releases(holder: Client, stopped: Stopped) -> None:
    full_of_releases(holder, stopped)
    handle = holder.lock("a")
    waiting = threading.Thread(target=handle.acquire)
    waiting.start()
    stopped.read_until(m.Acquire, COUNT + 1)
    assert len(released(stopped)) == COUNT
    last = stopped.heard[-1]
    stopped.answer(m.Granted(last.id, 0, 9999, {}))
    waiting.join(PATIENCE_SECONDS)
    assert handle.grant is not None
    handle.release()
    stopped.read_until(m.Release, COUNT + 1)


def test_goodbye_arrives_as_well(holder: Client, stopped: Stopped) -> None:
    full_of_releases(holder, stopped)
    holder.close()
    stopped.read_until(m.Bye, 1)
    # Behind the releases comes the question whether they were heard.
    assert released(stopped) == [*range(1, COUNT + 1), 0]
