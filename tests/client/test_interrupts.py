"""A KeyboardInterrupt anywhere in a call leaves nothing held, nothing waiting, and the stream intact."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import lockd_client
from lockd_client import Client, Lock, LockTimeout
from lockd_client._session import Session
from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.interrupts import every_place
from support.scripted_daemon import PATIENCE_SECONDS, ScriptedDaemon
from support.signals import handled, interrupt


def settle(client: Client, handle: Lock) -> bool:
    """Give back what the handle knows to be held, and return whether there was anything.

    The call that follows shows that the connection still works, and when it is answered, the daemon has heard all that
    was said before it.
    """
    was_held = handle.grant is not None
    if was_held:
        handle.release()
    assert client.lock("other").locked() is False
    return was_held


def in_pieces(daemon: ScriptedDaemon) -> None:
    """Have the daemon answer as if a network were in between: every frame in two pieces."""

    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage]:
        for answer in daemon.answer(session, message):
            frame = encode(answer)
            daemon.send(session, frame[:7])
            daemon.send(session, frame[7:])
        return []

    daemon.script = script


def test_with(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")

    def work() -> None:
        with handle:
            pass

    left_held = 0
    for place in every_place(work):
        left_held += settle(client, handle)
        assert not daemon.holders, place
        assert not daemon.queue, place
    assert place > 500
    # Between the end of the block and the first line of `__exit__` nothing can be done, and nothing is lost: the handle
    # knows that it holds the lock.
    assert left_held < 40


def test_answers_that_come_in_pieces(client: Client, daemon: ScriptedDaemon) -> None:
    in_pieces(daemon)
    handle = client.lock("a")

    def work() -> None:
        with handle:
            pass

    for place in every_place(work, step=3):
        settle(client, handle)
        assert not daemon.holders, place


def test_acquire_and_release(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")

    def work() -> None:
        handle.acquire(timeout=5)
        handle.release()

    for place in every_place(work, step=3):
        settle(client, handle)
        assert not daemon.holders, place


def test_a_refusal(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    handle = client.lock("a", timeout=0)

    def work() -> None:
        assert not handle.acquire()
        with pytest.raises(LockTimeout):
            handle.__enter__()

    for place in every_place(work, step=11):
        assert not settle(client, handle)
        assert not daemon.queue, place


# What nobody has got yet, and what was interrupted while it was closed, says so when it is collected.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_connect(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    # Python drops an interrupt that comes in a finalizer, and pytest would keep what was being finalized.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)

    def work() -> None:
        lockd_client.connect(daemon.path).close()

    for _ in every_place(work, step=7):
        daemon.wait_until(lambda: not daemon.connections)


def test_a_question(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    for _ in every_place(handle.locked, step=3):
        settle(client, handle)


@pytest.fixture
def reader(client: Client, daemon: ScriptedDaemon) -> Iterator[threading.Thread]:
    """A thread that waits for a lock, and so reads for all."""
    daemon.hold("theirs")
    handle = client.lock("theirs")

    def acquire_and_release() -> None:
        with handle:
            pass

    thread = threading.Thread(target=acquire_and_release)
    thread.start()
    daemon.wait_for_waiters(1)
    yield thread
    daemon.release("theirs")
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    daemon.wait_until_idle()


@pytest.mark.usefixtures("reader")
def test_while_another_thread_reads(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")

    def work() -> None:
        with handle:
            pass

    for place in every_place(work, step=5):
        settle(client, handle)
        assert set(daemon.holders) == {"theirs"}, place
        assert len(daemon.queue) == 1, place


def acquire_and_be_interrupted(handle: Lock, daemon: ScriptedDaemon, waiters: int) -> None:
    """Press Ctrl-C as soon as so many wait."""
    with (
        pytest.raises(KeyboardInterrupt),
        handled(signal.SIGINT, lambda: daemon.wait_for_waiters(waiters), interrupt),
    ):
        handle.acquire()


def test_a_blocked_acquire(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    handle = client.lock("a")
    for _ in range(20):
        acquire_and_be_interrupted(handle, daemon, 1)
        assert not settle(client, handle)
        assert not daemon.queue


@pytest.mark.usefixtures("reader")
def test_a_blocked_acquire_of_a_thread_that_does_not_read(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    handle = client.lock("a")
    acquire_and_be_interrupted(handle, daemon, 2)
    assert not settle(client, handle)
    daemon.wait_for_waiters(1)
    daemon.release("a")


def test_the_reader_is_interrupted_and_another_reads_on(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("mine")
    daemon.hold("theirs")
    other = client.lock("theirs")
    outcome: list[bool] = []

    def acquire() -> None:
        daemon.wait_for_waiters(1)
        outcome.append(other.acquire())

    thread = threading.Thread(target=acquire)
    thread.start()
    acquire_and_be_interrupted(client.lock("mine"), daemon, 2)
    daemon.release("theirs")
    thread.join(PATIENCE_SECONDS)
    assert outcome == [True]
    other.release()
    daemon.release("mine")
    daemon.wait_until_idle()


@pytest.mark.filterwarnings("ignore:the lock:ResourceWarning")  # A grant that is left to be collected says so.
@pytest.mark.parametrize("again_after", [1, 10, 40, 120, 300])
def test_interrupted_again_while_it_cleans_up(client: Client, daemon: ScriptedDaemon, again_after: int) -> None:
    """Whatever the second interrupt prevents, the next call makes up for."""
    handle = client.lock("a")

    def work() -> None:
        with handle:
            pass

    for place in every_place(work, step=11, again_after=again_after):
        settle(client, handle)
        assert not daemon.holders, place
        assert not daemon.queue, place


@pytest.mark.usefixtures("reader")
def test_interrupted_again_while_another_thread_reads(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    for place in every_place(handle.locked, step=11, again_after=60):
        settle(client, handle)
        assert len(daemon.queue) == 1, place


@pytest.mark.filterwarnings("ignore:the lock:ResourceWarning")
def test_the_instrument_catches_a_careless_library(client: Client, daemon: ScriptedDaemon, monkeypatch: Any) -> None:
    """Without the taking back, some interrupt leaves the lock held."""
    monkeypatch.setattr(Session, "abandon", lambda session, waiting: session._machine.settle(waiting))
    handle = client.lock("a")
    leaks = 0
    for _ in every_place(handle.acquire, step=5):
        settle(client, handle)
        leaks += bool(daemon.holders)
        for name in list(daemon.holders):
            daemon.release(name)
    assert leaks
