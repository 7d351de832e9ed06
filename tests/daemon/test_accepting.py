"""lockd/listeners.py: how connections are taken, and what happens when there is no room for one more."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd.listeners import Listener, listen
from lockd.reactor import READABLE, Reactor


@pytest.fixture
def listener(runtime_dir: Path, closing: ExitStack) -> socket.socket:
    return closing.enter_context(listen(str(runtime_dir / "lockd.sock"), 0o600))


class Reception:
    """Takes the connections of a listener, for as long as there is room."""

    def __init__(self) -> None:
        self.room = 10**6
        self.taken: list[socket.socket] = []

    def welcome(self, connection: socket.socket) -> None:
        assert not connection.getblocking()
        if len(self.taken) == self.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.taken.append(connection)

    def close(self) -> None:
        for connection in self.taken:
            connection.close()


@pytest.fixture
def reception(closing: ExitStack) -> Reception:
    reception = Reception()
    closing.callback(reception.close)
    return reception


def _run(sock: socket.socket, reception: Reception, nursery: trio.Nursery, closing: ExitStack) -> list[float]:
    """Serve a listening socket, and return when each turn ended, as it goes on."""
    reactor = Reactor(trio.current_time)
    closing.callback(reactor.close)
    sock.setblocking(False)
    Listener(sock, reactor, reception.welcome)
    begin, turns = trio.current_time(), []

    def finish_turn() -> None:
        turns.append(trio.current_time() - begin)

    nursery.start_soon(reactor.run, finish_turn)
    return turns


async def test_more_connections_than_fit_into_a_turn_are_all_taken(
    listener: socket.socket, reception: Reception, nursery: trio.Nursery, closing: ExitStack, autojump_clock: MockClock
) -> None:
    for _ in range(200):
        closing.enter_context(socket.socket(socket.AF_UNIX)).connect(listener.getsockname())
    _run(listener, reception, nursery, closing)
    await wait_all_tasks_blocked()
    assert len(reception.taken) == 200


async def test_whoever_has_hung_up_already_is_taken_like_everybody(
    listener: socket.socket, reception: Reception, nursery: trio.Nursery, closing: ExitStack, autojump_clock: MockClock
) -> None:
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(listener.getsockname())
    _run(listener, reception, nursery, closing)
    await wait_all_tasks_blocked()
    assert [connection.recv(1) for connection in reception.taken] == [b""] * 3


async def test_where_there_is_no_room_for_one_more_the_rest_has_to_wait(
    listener: socket.socket,
    reception: Reception,
    nursery: trio.Nursery,
    closing: ExitStack,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    reception.room = 1
    guests = [closing.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(12)]
    for guest in guests:
        guest.settimeout(0)
        guest.connect(listener.getsockname())
    with caplog.at_level(logging.INFO, "lockd"):
        turns = _run(listener, reception, nursery, closing)
        await trio.sleep(0.55)
        # Asked for again every tenth of a second, and not in between.
        assert 6 <= len(turns) <= 16
        # The one who was turned away each time finds an end, the others have not been looked at.
        assert [_state(guest) for guest in guests] == ["waits"] + ["ended"] * 6 + ["waits"] * 5
        assert [record.getMessage() for record in caplog.records] == [
            "new connections have to wait: No space left on device"
        ]
    reception.room = 1000
    await trio.sleep(0.2)
    assert len(reception.taken) == 6


def _state(guest: socket.socket) -> str:
    try:
        assert guest.recv(1) == b""
    except BlockingIOError:
        return "waits"
    return "ended"


class FullTable:
    """A listening socket of a process that has no number left for a descriptor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.asked = 0
        self.is_full = True

    def fileno(self) -> int:
        return self._sock.fileno()

    def setblocking(self, flag: bool) -> None:
        self._sock.setblocking(flag)

    def accept(self) -> tuple[socket.socket, object]:
        self.asked += 1
        if self.is_full:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return self._sock.accept()


async def test_without_descriptors_it_is_told_now_and_then_and_tried_again(
    listener: socket.socket,
    reception: Reception,
    nursery: trio.Nursery,
    closing: ExitStack,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    table = FullTable(listener)
    guest = closing.enter_context(socket.socket(socket.AF_UNIX))
    guest.connect(listener.getsockname())
    with caplog.at_level(logging.INFO, "lockd"):
        _run(table, reception, nursery, closing)  # type: ignore[arg-type]  # A fake of it.
        await trio.sleep(25)
    assert 200 <= table.asked <= 260
    assert [record.getMessage() for record in caplog.records] == [
        "new connections have to wait: Too many open files"
    ] * 3
    table.is_full = False
    await trio.sleep(0.2)
    assert len(reception.taken) == 1


async def test_a_reactor_that_can_watch_no_more_still_watches_its_listeners(
    listener: socket.socket, reception: Reception, nursery: trio.Nursery, closing: ExitStack, autojump_clock: MockClock
) -> None:
    """What cannot be watched again would never be heard of again."""

    class Crowded(Reactor):
        room = 1

        def watch(self, descriptor: int, handler: Callable[[int], None], events: int = READABLE) -> None:
            self.room -= 1
            if self.room < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            super().watch(descriptor, handler, events)

    reactor = Crowded(trio.current_time)
    closing.callback(reactor.close)
    reception.room = 0
    guest = closing.enter_context(socket.socket(socket.AF_UNIX))
    Listener(listener, reactor, reception.welcome)
    nursery.start_soon(reactor.run, lambda: None)
    guest.connect(listener.getsockname())
    await trio.sleep(1)
    reception.room = 1000
    closing.enter_context(socket.socket(socket.AF_UNIX)).connect(listener.getsockname())
    await trio.sleep(1)
    assert len(reception.taken) == 1
