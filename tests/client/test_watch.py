"""A client with `watch=True` notices by itself that the daemon has gone, and comes back as soon as there is another."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from weakref import ref

import pytest

import lockd_client
from lockd_client import Client, NotOwner, _pauses, _watcher
from lockd_client._pauses import Pauses
from lockd_client._watcher import Watcher
from lockd_wire import messages as m
from support.scripted_daemon import PATIENCE_SECONDS, Answers, ScriptedDaemon
from support.signals import handled


@pytest.fixture
def watched(daemon: ScriptedDaemon) -> Iterator[Client]:
    with lockd_client.connect(daemon.path, program="test", watch=True) as connected:
        yield connected


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors for whose end a thread has begun to wait so far, one for each time."""
    begun: list[int] = []
    wait_for_end = _watcher._wait_for_end

    def noted(number: int) -> None:
        begun.append(number)
        wait_for_end(number)

    monkeypatch.setattr(_watcher, "_wait_for_end", noted)
    return begun


def watcher_of(client: Client) -> Watcher:
    """Return the thread of a client, which keeps nothing alive."""
    watcher = client.session()._channel._watcher
    assert watcher is not None
    return watcher


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something of which nobody is told."""
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < give_up_at
        os.sched_yield()


def unread(daemon: ScriptedDaemon) -> None:
    """Have the daemon be killed before it has read a release; after that it is as usual."""

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if not isinstance(message, m.Release):
            return None
        daemon.script = lambda session, message: None
        daemon.hang_up(session)
        return []

    daemon.script = script


def test_an_unread_release_takes_effect_by_itself(watched: Client, daemon: ScriptedDaemon) -> None:
    handle = watched.lock("a")
    handle.acquire()
    unread(daemon)
    handle.release()
    daemon.wait_until_idle()
    assert [type(message) for message in daemon.heard[2:]] == [m.Release, m.Resume, m.Release]


def test_without_it_at_the_next_call(client: Client, daemon: ScriptedDaemon) -> None:
    """Nobody is there who could do anything before: there is no thread."""
    handle = client.lock("a")
    handle.acquire()
    unread(daemon)
    handle.release()
    daemon.wait_until(lambda: not daemon.connections)
    channel = client.session()._channel
    assert channel._watcher is None
    assert not channel._settler.is_running
    assert set(daemon.holders) == {"a"}
    assert not daemon.heard_of(m.Resume)
    assert handle.locked() is False
    assert not daemon.holders


def test_a_daemon_that_is_away_for_a_while(watched: Client, daemon: ScriptedDaemon) -> None:
    handle = watched.lock("a")
    handle.acquire()
    daemon.stop()
    daemon.start()
    daemon.wait_until(lambda: len(daemon.heard_of(m.Resume)) == 1)
    handle.release()
    daemon.wait_until_idle()
    assert len(daemon.heard_of(m.Resume)) == 1


def test_what_is_released_and_closed_meanwhile(watched: Client, daemon: ScriptedDaemon) -> None:
    first, second = watched.lock("a"), watched.lock("b")
    first.acquire()
    second.acquire()
    daemon.stop()
    first.release()
    watched.close()
    daemon.start()
    daemon.wait_until_idle()


def test_a_loss_is_noticed_without_a_look(watched: Client, daemon: ScriptedDaemon) -> None:
    handle = watched.lock("a")
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    daemon.stop()
    daemon.forget()
    daemon.start()
    # This alone asks nobody.
    wait_until(lambda: not grant.is_held)
    assert grant.lost


def test_nothing_but_the_end_of_the_connection_wakes_it(
    sleeps: list[int], watched: Client, daemon: ScriptedDaemon
) -> None:
    wait_until(lambda: len(sleeps) == 1)
    handle = watched.lock("a")
    for _ in range(100):
        with handle:
            pass
        assert handle.locked() is False
    daemon.say(1, m.YieldRequested(0, 0, 99, {}))
    assert handle.locked() is False
    assert len(sleeps) == 1
    daemon.hang_up(1)
    wait_until(lambda: len(sleeps) == 2)


def test_a_thread_that_reads_is_left_to_notice_it(sleeps: list[int], watched: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    handle = watched.lock("a")
    thread = threading.Thread(target=handle.acquire)
    thread.start()
    daemon.wait_for_waiters(1)
    daemon.restart()
    daemon.wait_until(lambda: len(daemon.heard_of(m.Resume)) == 1)
    daemon.release("a")
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    handle.release()
    daemon.wait_until_idle()
    assert len(daemon.heard_of(m.Resume)) == 1
    # And the new connection has its watcher.
    daemon.hang_up(1)
    daemon.wait_until(lambda: len(daemon.heard_of(m.Resume)) == 2)


def test_it_waits_in_peace_for_a_thread_that_is_about_to_notice_it(
    sleeps: list[int], watched: Client, daemon: ScriptedDaemon
) -> None:
    """Such as one that is kept by a signal handler."""
    daemon.hold("a")
    wait_until(lambda: len(sleeps) == 1)
    handle = watched.lock("a")
    watcher = watcher_of(watched)

    def be_kept() -> None:
        daemon.hang_up(1)
        wait_until(lambda: not watcher.polls)
        assert watcher._gate.locked()
        assert len(sleeps) == 1

    def let_go() -> None:
        daemon.wait_until(lambda: len(daemon.heard) == 4)
        daemon.release("a")

    with handled(signal.SIGUSR1, lambda: daemon.wait_for_waiters(1), be_kept):
        thread = threading.Thread(target=let_go)
        thread.start()
        handle.acquire()
    thread.join(PATIENCE_SECONDS)
    handle.release()
    wait_until(lambda: len(sleeps) == 2)


def test_callbacks_are_called_as_ever(watched: Client, daemon: ScriptedDaemon) -> None:
    before = watcher_of(watched)
    called = threading.Event()
    handle = watched.lock("a", on_yield=lambda grant: called.set())
    handle.acquire()
    token = daemon.holders["a"].token
    daemon.restart()
    daemon.wait_until(lambda: len(daemon.heard_of(m.Resume)) == 1)
    # One thread has taken the place of the other.
    wait_until(lambda: not before.is_alive)
    assert watcher_of(watched).is_alive
    daemon.say(1, m.YieldRequested(0, 0, token, {}))
    assert called.wait(PATIENCE_SECONDS)
    handle.release()


def test_it_ends_with_the_client(daemon: ScriptedDaemon) -> None:
    with lockd_client.connect(daemon.path, watch=True) as client:
        watcher = watcher_of(client)
        assert watcher.is_alive
    wait_until(lambda: not watcher.is_alive)


@pytest.mark.parametrize("is_away", [False, True])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_it_keeps_no_client_alive(daemon: ScriptedDaemon, is_away: bool) -> None:
    client = lockd_client.connect(daemon.path, watch=True)
    session, watcher = ref(client.session()), watcher_of(client)
    if is_away:
        daemon.stop()
    del client
    # It may be in the middle of an attempt.
    wait_until(lambda: gc.collect() >= 0 and session() is None)
    wait_until(lambda: not watcher.is_alive)


PROGRAM = """
import sys, lockd_client
client = lockd_client.connect(watch=True)
client.lock("a").acquire(); print(flush=True)
sys.stdin.readline()
"""


@pytest.mark.parametrize("is_away", [False, True])
def test_it_keeps_no_program_alive(daemon: ScriptedDaemon, is_away: bool) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LOCKD_SOCKET": str(daemon.path)},
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        if is_away:
            daemon.stop()
        assert process.communicate(b"\n", timeout=PATIENCE_SECONDS) == (b"", b"")
        assert process.returncode == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_child_has_none(watched: Client, daemon: ScriptedDaemon) -> None:
    handle = watched.lock("a")
    handle.acquire()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(NotOwner):
                handle.release()
            status = 0 if len(os.listdir("/proc/self/task")) == 1 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    daemon.restart()
    daemon.wait_until(lambda: len(daemon.heard_of(m.Resume)) == 1)
    handle.release()
    daemon.wait_until_idle()


def test_descriptors_are_closed_under_it(sleeps: list[int], watched: Client, daemon: ScriptedDaemon) -> None:
    """The next call makes another connection, which gets the same number, and that one is watched."""
    number = watched.fileno()
    wait_until(lambda: len(sleeps) == 1)
    os.close(number)
    assert watched.lock("a").locked() is False
    assert len(daemon.heard_of(m.Hello)) + len(daemon.heard_of(m.Resume)) > 1
    handle = watched.lock("a")
    handle.acquire()
    unread(daemon)
    handle.release()
    daemon.wait_until_idle()


class Kept:
    """Keeps the first thread that is about to wait for the end of its connection."""

    def __init__(self) -> None:
        self.is_about_to, self.may_wait = threading.Event(), threading.Event()
        self._wait_for_end = _watcher._wait_for_end

    def __call__(self, number: int) -> None:
        if not self.is_about_to.is_set():
            self.is_about_to.set()
            assert self.may_wait.wait(PATIENCE_SECONDS)
        self._wait_for_end(number)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(_watcher, "_wait_for_end", kept)
    return kept


def test_its_number_goes_to_nobody_before_it_has_woken_up(kept: Kept, daemon: ScriptedDaemon) -> None:
    """It would wait for whatever has the number by then, and for good: poll looks numbers up as it wakes."""
    with lockd_client.connect(daemon.path, watch=True) as client:
        number, watcher = client.fileno(), watcher_of(client)
        inode = os.fstat(number).st_ino
        assert kept.is_about_to.wait(PATIENCE_SECONDS)
        daemon.hang_up(1)
        # Over another connection.
        assert client.lock("a").locked() is False
        assert os.fstat(number).st_ino == inode
        kept.may_wait.set()
        wait_until(lambda: not watcher.is_alive)
        # The last who needed it has closed it.
        with suppress(OSError):
            assert os.fstat(number).st_ino != inode


def test_a_descriptor_that_goes_before_it_is_waited_for(kept: Kept, daemon: ScriptedDaemon) -> None:
    """Another thread gives the connection up, and the program's next file gets the number, which says nothing."""
    ours, theirs = socket.socketpair()
    with lockd_client.connect(daemon.path, watch=True) as client:
        handle, number, watcher = client.lock("a"), client.fileno(), watcher_of(client)
        handle.acquire()
        assert kept.is_about_to.wait(PATIENCE_SECONDS)
        daemon.stop()
        client.session().look()
        assert client.session().is_down
        os.dup2(ours.fileno(), number)
        ours.close()
        kept.may_wait.set()
        daemon.start()
        assert handle.locked()
        unread(daemon)
        handle.release()
        daemon.wait_until_idle()
        assert watcher_of(client) is not watcher
        # The one that was kept waits for what is not ours. It would do so for as long as that is open.
        theirs.close()
        wait_until(lambda: not watcher.is_alive)
        os.close(number)


# How often it tries


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_pauses, "monotonic", clock)
    return clock


def test_soon_at_first_and_then_once_a_second(clock: Clock) -> None:
    pauses = Pauses()
    lengths = []
    for _ in range(9):
        assert pauses.is_over()
        assert not pauses.is_over()
        lengths.append(pauses.seconds_left())
        clock.now += lengths[-1]
    assert lengths == pytest.approx([0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1, 1])
    clock.now += 1.5
    # Nobody has tried for a while: it is another daemon that is away.
    assert pauses.is_over()
    assert pauses.seconds_left() == pytest.approx(0.01)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[Watcher]:
    """The threads that have looked after something so far, one for each time."""
    done: list[Watcher] = []
    step = Watcher._step

    def noted(watcher: Watcher) -> bool:
        goes_on = step(watcher)
        done.append(watcher)
        return goes_on

    monkeypatch.setattr(Watcher, "_step", noted)
    return done


def test_a_daemon_that_hangs_up_each_time(
    clock: Clock, steps: list[Watcher], watched: Client, daemon: ScriptedDaemon
) -> None:
    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if isinstance(message, m.Resume):
            daemon.say(session, m.Welcome(0, 0, 1, session, 1, {}, ()))
            daemon.hang_up(session)
            return []
        return None

    def has_hung_up(times: int) -> bool:
        return len(daemon.heard_of(m.Resume)) == times and not daemon.connections

    def has_looked(times: int) -> bool:
        return len(steps) >= times

    daemon.script = script
    daemon.hang_up(1)
    for attempts in (1, 2, 3):
        daemon.wait_until(partial(has_hung_up, attempts))
        wait_until(lambda: watched.session().is_down)
        # It goes on looking at the clock, by which it is not time yet.
        looked = len(steps)
        wait_until(partial(has_looked, looked + 4))
        assert len(daemon.heard_of(m.Resume)) == attempts
        clock.now += 0.5
    daemon.script = lambda session, message: None
    clock.now += 1
    daemon.wait_until(lambda: bool(daemon.connections))
