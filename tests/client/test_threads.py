"""Threads share one connection: whoever waits reads for all, and leaves that to another when he goes."""

from __future__ import annotations

import signal
import threading

import pytest

from lockd_client import Client, DeadlockDetected, Lock, LockTimeout
from lockd_client._machine import Machine
from lockd_client._pending import Pending
from lockd_client._waiting import Waiting
from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.scripted_daemon import PATIENCE_SECONDS, ScriptedDaemon
from support.signals import handled


class Waiter(threading.Thread):
    """A thread that acquires a lock and remembers how it went."""

    def __init__(self, handle: Lock) -> None:
        super().__init__(daemon=True)
        self.handle = handle
        self.outcome: object = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self.handle.acquire()
        except Exception as error:
            self.outcome = error

    def result(self) -> object:
        self.join(PATIENCE_SECONDS)
        assert not self.is_alive(), "still waits"
        return self.outcome


def waiters(client: Client, daemon: ScriptedDaemon, *names: str) -> list[Waiter]:
    """Have a thread wait for each name, in this order."""
    started = []
    for number, name in enumerate(names, start=len(daemon.queue) + 1):
        started.append(Waiter(client.lock(name)))
        daemon.wait_for_waiters(number)
    return started


def finish(waiter: Waiter) -> None:
    assert waiter.result() is True
    waiter.handle.release()


def test_the_answer_of_a_thread_that_does_not_read(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    daemon.hold("b")
    reader, sleeper = waiters(client, daemon, "a", "b")
    daemon.release("b")
    finish(sleeper)
    daemon.release("a")
    finish(reader)


def test_the_reader_leaves_the_role_to_another(client: Client, daemon: ScriptedDaemon) -> None:
    names = "abcde"
    for name in names:
        daemon.hold(name)
    waiting = waiters(client, daemon, *names)
    for name, waiter in zip(names, waiting, strict=True):
        daemon.release(name)
        finish(waiter)
    daemon.wait_until_idle()


def test_answers_for_several_threads_at_once(client: Client, daemon: ScriptedDaemon) -> None:
    for name in "abc":
        daemon.hold(name)
    waiting = waiters(client, daemon, *"abc")
    requests = [message.id for message in daemon.heard_of(m.Acquire)]
    daemon.send(1, b"".join(encode(m.Granted(number, number, 100 + number, {})) for number in reversed(requests)))
    for waiter in waiting:
        finish(waiter)


def test_a_thread_that_comes_later_talks_while_another_reads(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    (reader,) = waiters(client, daemon, "a")
    for _ in range(10):
        with client.lock("b", timeout=0):
            assert client.lock("b").locked()
    with pytest.raises(LockTimeout):
        client.lock("a", timeout=0).__enter__()
    daemon.release("a")
    finish(reader)


def test_who_leaves_twice_leaves_the_role_of_another_alone(
    client: Client, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An interrupt may come when the answer is there and the role has passed on. Two who read would take each other's
    bytes."""
    for name in "ab":
        daemon.hold(name)
    settle = Machine.settle
    others: list[Waiter] = []

    def interrupted(machine: Machine, pending: Pending) -> None:
        monkeypatch.setattr(Machine, "settle", settle)
        others.extend(waiters(client, daemon, "a"))
        raise KeyboardInterrupt

    monkeypatch.setattr(Machine, "settle", interrupted)
    with pytest.raises(KeyboardInterrupt):
        client.lock("c").locked()

    others.extend(waiters(client, daemon, "b"))
    requests = [asked.request for asked in daemon.queue]
    daemon.send(1, b"".join(encode(m.Granted(number, number, 100 + number, {})) for number in requests))
    for other in others:
        finish(other)


def test_an_answer_whose_bringer_is_interrupted(
    client: Client, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He has put it down and not yet woken the one who waits for it."""
    for name in "ab":
        daemon.hold(name)
    wake = Waiting.wake
    others: list[Waiter] = []

    def interrupted(waiting: Waiting) -> bool:
        monkeypatch.setattr(Waiting, "wake", wake)
        raise KeyboardInterrupt

    def come_later() -> None:
        daemon.wait_for_waiters(1)
        others.extend(waiters(client, daemon, "b"))
        monkeypatch.setattr(Waiting, "wake", interrupted)
        daemon.release("b")

    thread = threading.Thread(target=come_later)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        client.lock("a").acquire()
    thread.join(PATIENCE_SECONDS)
    (other,) = others
    finish(other)


def test_two_threads_on_one_handle_exclude_each_other(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    inside, most = [], 0

    def work() -> None:
        nonlocal most
        for _ in range(50):
            with handle:
                inside.append(1)
                most = max(most, len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert most == 1
    daemon.wait_until_idle()


def test_all_waiters_are_told_that_the_client_was_closed(client: Client, daemon: ScriptedDaemon) -> None:
    for name in "abc":
        daemon.hold(name)
    waiting = waiters(client, daemon, *"abc")
    client.close()
    assert [str(waiter.result()) for waiter in waiting] == [
        "this client was closed, and all that it held was released"
    ] * 3


def test_a_signal_handler_may_release_while_its_thread_waits(client: Client, daemon: ScriptedDaemon) -> None:
    mine, other = client.lock("mine"), client.lock("other")
    mine.acquire()
    daemon.hold("other")
    daemon.script = lambda session, message: (
        daemon.release("other") if type(message) is m.Release and message.token else None
    )
    with handled(signal.SIGUSR1, lambda: daemon.wait_for_waiters(1), mine.release), other:
        pass
    daemon.wait_until_idle()


def test_a_signal_handler_that_would_wait_for_the_thread_it_interrupts_is_told_so(
    client: Client, daemon: ScriptedDaemon
) -> None:
    outcome: list[str] = []

    def acquire() -> None:
        try:
            client.lock("b").acquire()
        except DeadlockDetected as error:
            outcome.append(str(error))
        daemon.release("a")

    daemon.hold("a")
    with handled(signal.SIGUSR1, lambda: daemon.wait_for_waiters(1), acquire), client.lock("a"):
        pass
    assert outcome == [
        "a signal handler asked for a lock while the thread that it interrupted was talking to lockd, and would wait "
        "for itself: release locks in a signal handler, but take them elsewhere"
    ]
    daemon.wait_until_idle()
