"""The daemon is killed and comes back: nothing is lost, nothing is done twice, and calls notice a pause."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import lockd_client
from lockd_client import (
    AccessDenied,
    Client,
    DaemonUnavailable,
    LockError,
    LockLost,
    LockTimeout,
    NotOwner,
    ProtocolError,
    SessionLost,
)
from lockd_wire import messages as m
from support.interrupts import every_place
from support.scripted_daemon import PATIENCE_SECONDS, ScriptedDaemon

#: Bytecodes from one interrupt to the next.
STEP = int(os.environ.get("INTERRUPTS_STEP", "23"))


@pytest.fixture
def hasty(daemon: ScriptedDaemon) -> Iterator[Client]:
    """A client that gives up at once."""
    with lockd_client.connect(daemon.path, program="test", reconnect_timeout=0) as connected:
        yield connected


def unread(daemon: ScriptedDaemon, *kinds: type[m.ClientMessage]) -> None:
    """Have the daemon be killed before it has read such a message; after that it is as usual."""

    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage] | None:
        if isinstance(message, kinds):
            daemon.script = lambda session, message: None
            daemon.hang_up(session)
            return []
        return None

    daemon.script = script


def unanswered(daemon: ScriptedDaemon, kind: type[m.ClientMessage]) -> None:
    """Have the daemon be killed when such a message has had its effect, and nobody was told."""

    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage] | None:
        if isinstance(message, kind):
            daemon.script = lambda session, message: None
            daemon.answer(session, message)
            daemon.covered[session] = message.id
            daemon.hang_up(session)
            return []
        return None

    daemon.script = script


#: `unread` or `unanswered`.
Kill = Callable[[ScriptedDaemon, type[m.ClientMessage]], None]


def requests(daemon: ScriptedDaemon) -> list[int]:
    return [message.id for message in daemon.heard if message.id]


@pytest.mark.parametrize("killed", [unread, unanswered])
def test_a_grant_whose_answer_was_lost(client: Client, daemon: ScriptedDaemon, killed: Kill) -> None:
    killed(daemon, m.Acquire)
    with client.lock("a") as grant:
        assert daemon.holders["a"].token == grant.token
        assert requests(daemon) == [1, 1]
    daemon.wait_until_idle()
    assert len(daemon.heard_of(m.Hello)) == 1


def test_a_question_whose_answer_was_lost(client: Client, daemon: ScriptedDaemon) -> None:
    unanswered(daemon, m.Query)
    assert client.lock("a").locked() is False
    assert requests(daemon) == [1, 1]


@pytest.mark.parametrize(("killed", "times"), [(unread, 2), (unanswered, 1)])
def test_a_release_is_said_again_unless_it_is_covered(
    client: Client, daemon: ScriptedDaemon, killed: Kill, times: int
) -> None:
    handle = client.lock("a")
    handle.acquire()
    killed(daemon, m.Release)
    handle.release()
    daemon.wait_until(lambda: not daemon.connections)
    assert client.lock("b").locked() is False
    assert not daemon.holders
    assert len(daemon.heard_of(m.Release)) == times
    # Said again it has the number that it had, and what comes after it has greater ones.
    assert requests(daemon) == [1, *[2] * times, 3]


def test_a_request_waits_on(client: Client, daemon: ScriptedDaemon) -> None:
    """Two threads wait, one of which reads for both; the request of neither is made a second time."""
    daemon.hold("a")
    daemon.hold("b")
    tokens: list[int] = []

    def wait(name: str) -> None:
        with client.lock(name) as grant:
            tokens.append(grant.token)

    threads = [threading.Thread(target=wait, args=(name,)) for name in "ab"]
    for number, thread in enumerate(threads, start=1):
        thread.start()
        daemon.wait_for_waiters(number)
    expected = {asked.token for asked in daemon.queue}
    daemon.restart()
    daemon.wait_until(lambda: len(requests(daemon)) == 4)
    assert len(daemon.queue) == 2
    for name in "ba":
        daemon.release(name)
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
    assert set(tokens) == expected


def test_on_wait_is_called_once(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    waits: list[str] = []

    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage] | None:
        if not isinstance(message, m.Acquire):
            return None
        daemon.answer(session, message)
        daemon.say(session, m.Waiting(0, 0, message.id, {"name": "a"}))
        if len(requests(daemon)) == 1:
            daemon.hang_up(session)
        else:
            daemon.release("a")
        return []

    daemon.script = script
    with client.lock("a", on_wait=lambda wait: waits.append(wait.name)):
        assert len(waits) <= 1
        assert requests(daemon) == [1, 1]


def test_a_thread_settles_what_is_released_meanwhile(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.stop()
    handle.release()
    assert "a" in daemon.holders
    daemon.start()
    daemon.wait_until_idle()


def test_a_client_that_is_closed_meanwhile_gives_everything_back(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.stop()
    client.close()
    with pytest.raises(SessionLost, match="this client was closed"):
        client.lock("b").acquire()
    daemon.start()
    daemon.wait_until(lambda: bool(daemon.heard_of(m.Bye)))
    daemon.wait_until_idle()


def test_whoever_waits_for_the_daemon_is_told_that_the_client_was_closed(
    client: Client, daemon: ScriptedDaemon
) -> None:
    daemon.hold("a")
    errors: list[str] = []

    def wait() -> None:
        try:
            client.lock("a").acquire()
        except SessionLost as error:
            errors.append(str(error))

    thread = threading.Thread(target=wait)
    thread.start()
    daemon.wait_for_waiters(1)
    daemon.stop()
    client.close()
    thread.join(PATIENCE_SECONDS)
    assert errors == ["this client was closed, and all that it held was released"]


def test_after_reconnect_timeout_nothing_is_lost(hasty: Client, daemon: ScriptedDaemon) -> None:
    handle = hasty.lock("a")
    handle.acquire()
    daemon.stop()
    for call in (hasty.lock("b").acquire, handle.locked):
        with pytest.raises(DaemonUnavailable, match=r"tried for 0 s\. The session goes on as soon as"):
            call()
    assert handle.grant is not None
    handle.grant.check()
    daemon.start()
    assert hasty.lock("b").locked() is False
    assert set(daemon.holders) == {"a"}
    handle.release()
    daemon.wait_until_idle()


def test_all_who_wait_give_up(hasty: Client, daemon: ScriptedDaemon) -> None:
    """One after the other would take the last one a multiple of the time."""
    errors: list[DaemonUnavailable] = []

    def wait(name: str) -> None:
        try:
            hasty.lock(name).acquire()
        except DaemonUnavailable as error:
            errors.append(error)

    threads = []
    for number, name in enumerate("abc", start=1):
        daemon.hold(name)
        threads.append(threading.Thread(target=wait, args=(name,)))
        threads[-1].start()
        daemon.wait_for_waiters(number)
    daemon.stop()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert len(errors) == 3
    # What was asked for is taken back as soon as that is possible.
    daemon.start()
    daemon.wait_until(lambda: not daemon.queue)


def test_turned_away_in_the_middle(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.script = lambda session, message: (
        [m.Failed(0, 0, "access_denied", "not you", {})] if isinstance(message, m.Resume) else None
    )
    daemon.restart()
    with pytest.raises(AccessDenied):
        handle.locked()
    assert handle.grant is not None
    daemon.script = lambda session, message: None
    assert handle.locked()
    handle.release()
    daemon.wait_until_idle()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (m.Failed(0, 0, "access_denied", "not you", {}), AccessDenied),
        (m.Failed(0, 0, "version", "only 2", {}), ProtocolError),
        (m.Welcome(0, 0, 2, 1, 1, {}, ()), ProtocolError),
    ],
)
def test_a_thread_that_is_turned_away_ends_the_session(
    client: Client, daemon: ScriptedDaemon, answer: m.DaemonMessage, error: type[LockError]
) -> None:
    """It would try for ever, and nobody would be told."""
    handle, kept = client.lock("a"), client.lock("b")
    handle.acquire()
    kept.acquire()
    daemon.stop()
    daemon.script = lambda session, message: [answer] if isinstance(message, m.Resume) else None
    handle.release()
    session = client.session()
    daemon.start()
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while session.end is None or session._channel._settler.is_running:
        assert time.monotonic() < give_up_at
        time.sleep(0.001)
    assert len(daemon.heard_of(m.Resume)) == 1
    with pytest.raises(error, match="It keeps what this process holds until the process exits"):
        client.lock("c").acquire()
    with pytest.raises(DaemonUnavailable, match="It keeps what this process holds until the process exits"):
        kept.release()


def test_a_daemon_that_never_answers_keeps_nobody(
    hasty: Client, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lockd_client import _opening

    monkeypatch.setattr(_opening, "RESUME_SECONDS", 0.01)
    daemon.script = lambda session, message: [] if isinstance(message, m.Resume) else None
    daemon.restart()
    with pytest.raises(DaemonUnavailable, match="has not answered as lockd does"):
        hasty.lock("a").acquire()
    daemon.script = lambda session, message: None
    assert hasty.lock("a").locked() is False


def test_a_timeout_is_the_daemons_also_behind_a_restart(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    daemon.restart()
    with pytest.raises(LockTimeout):
        client.lock("a", timeout=0).__enter__()


def forgotten(daemon: ScriptedDaemon) -> None:
    daemon.stop()
    daemon.forget()
    daemon.start()


def test_forgotten_with_nothing_is_no_loss(client: Client, daemon: ScriptedDaemon) -> None:
    with client.lock("a"):
        pass
    forgotten(daemon)
    with client.lock("a"):
        assert len(daemon.heard_of(m.Hello)) == 2
    assert requests(daemon) == sorted(requests(daemon))


def test_forgotten_with_a_grant_is_the_end(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    forgotten(daemon)
    with pytest.raises(LockLost, match="has lost its state, or has ended this session"):
        grant.check()
    with pytest.raises(SessionLost):
        client.lock("b").acquire()
    assert len(daemon.heard_of(m.Hello)) == 1


@pytest.mark.filterwarnings("ignore:the lock:ResourceWarning")  # A grant that is left to be collected says so.
@pytest.mark.parametrize(("step", "again_after"), [(STEP, 0), (4 * STEP, 10), (4 * STEP, 150)])
def test_interrupted_anywhere_while_it_reconnects(
    client: Client, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch, step: int, again_after: int
) -> None:
    # Python drops an interrupt that comes in a finalizer, that of the old connection for instance.
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    handle, kept = client.lock("a"), client.lock("kept")
    kept.acquire()
    session = client.session()

    def work() -> None:
        with handle:
            pass

    number = 0

    def work_after_a_hang_up() -> None:
        daemon.hang_up(1)
        work()

    for number in every_place(work_after_a_hang_up, step=step, again_after=again_after):
        if handle.grant is not None:
            handle.release()
        assert kept.locked(), number
        assert client.lock("other").locked() is False
        daemon.wait_until(lambda: set(daemon.holders) == {"kept"} and not daemon.queue)
    assert number > 1000
    assert client.session() is session
    kept.release()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_while_the_daemon_is_away(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    daemon.stop()
    assert not grant.lost
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(NotOwner):
                grant.check()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    daemon.start()
    handle.release()
    daemon.wait_until_idle()


def test_exit_while_a_thread_settles_is_silent(daemon: ScriptedDaemon) -> None:
    program = (
        "import lockd_client, os, sys\n"
        "handle = lockd_client.lock('a'); handle.acquire(); print(flush=True); sys.stdin.readline(); handle.release()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "LOCKD_SOCKET": str(daemon.path)},
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        daemon.stop()
        assert child.communicate(b"\n", timeout=PATIENCE_SECONDS) == (b"", b"")
        assert child.returncode == 0


def test_a_watcher_notices_by_itself(client: Client, daemon: ScriptedDaemon) -> None:
    called = threading.Event()
    handle = client.lock("a", on_yield=lambda grant: called.set())
    handle.acquire()
    daemon.restart()
    daemon.wait_until(lambda: bool(daemon.heard_of(m.Resume)))
    daemon.say(1, m.YieldRequested(0, 0, daemon.holders["a"].token, {}))
    assert called.wait(PATIENCE_SECONDS)
    handle.release()
    daemon.wait_until_idle()


def test_no_thread_is_left_over(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.stop()
    handle.release()
    daemon.start()
    daemon.wait_until_idle()
    settler = client.session()._channel._settler
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while settler.is_running:
        assert time.monotonic() < give_up_at
        os.sched_yield()
