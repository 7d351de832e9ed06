"""A release that waits until the daemon has done it, whatever happens to the daemon meanwhile."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

import lockd_client
from lockd_client import (
    AccessDenied,
    Client,
    DaemonUnavailable,
    DeadlockDetected,
    Grant,
    Lock,
    LockLost,
    NotOwner,
    ProtocolError,
)
from lockd_wire import messages as m
from support.interrupts import every_place
from support.judge import Judge
from support.scripted_daemon import PATIENCE_SECONDS, Answers, ScriptedDaemon
from support.signals import handled

#: Bytecodes from one interrupt to the next.
STEP = int(os.environ.get("INTERRUPTS_STEP", "23"))


@pytest.fixture
def hasty(daemon: ScriptedDaemon) -> Iterator[Client]:
    """A client that gives up at once."""
    with lockd_client.connect(daemon.path, program="test", reconnect_timeout=0) as connected:
        yield connected


def taken(handle: Lock) -> Grant:
    handle.acquire()
    assert handle.grant is not None
    return handle.grant


def is_question(message: m.ClientMessage) -> bool:
    return isinstance(message, m.Release) and message.confirm


def test_it_returns_when_the_daemon_has_answered(client: Client, daemon: ScriptedDaemon) -> None:
    asked: list[tuple[int, int]] = []

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if not is_question(message):
            return None
        asked.append((session, message.id))
        return []

    daemon.script = script
    handle = client.lock("a")
    grant = taken(handle)
    returned = threading.Event()

    def release() -> None:
        handle.release(confirm=True)
        returned.set()

    thread = threading.Thread(target=release)
    thread.start()
    daemon.wait_until(lambda: bool(asked))
    assert not daemon.holders
    assert not returned.is_set()
    [(session, request)] = asked
    daemon.say(session, m.Done(request, request))
    thread.join(PATIENCE_SECONDS)
    assert returned.is_set()
    assert [release.token for release in daemon.heard_of(m.Release)] == [grant.token, 0]
    assert handle.grant is None


@pytest.mark.parametrize("of", ["handle", "grant"])
def test_without_it_nothing_is_asked(client: Client, daemon: ScriptedDaemon, of: str) -> None:
    handle = client.lock("a")
    grant = taken(handle)
    (handle if of == "handle" else grant).release()
    daemon.wait_until_idle()
    assert not any(map(is_question, daemon.heard))


def killed(daemon: ScriptedDaemon, at: Callable[[m.ClientMessage], bool], *, has_read: bool) -> None:
    """Have the daemon be killed once, by such a message: before it has read it, or when it has not answered yet."""

    def dead(session: int, message: m.ClientMessage) -> Answers | None:
        # What had come in one piece with the last message is not read any more.
        if not isinstance(message, m.Resume):
            return []
        daemon.script = lambda session, message: None
        return None

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if not at(message):
            return None
        daemon.script = dead
        if has_read:
            daemon.answer(session, message)
            daemon.covered[session] = message.id
        daemon.hang_up(session)
        return []

    daemon.script = script


@pytest.mark.parametrize("has_read", [False, True], ids=["unread", "unanswered"])
@pytest.mark.parametrize("at", [lambda message: isinstance(message, m.Release), is_question], ids=["release", "answer"])
def test_it_is_done_when_it_returns(
    client: Client, daemon: ScriptedDaemon, at: Callable[[m.ClientMessage], bool], has_read: bool
) -> None:
    handle = client.lock("a")
    handle.acquire()
    killed(daemon, at, has_read=has_read)
    handle.release(confirm=True)
    assert not daemon.holders
    assert len(daemon.heard_of(m.Resume)) == 1


def test_a_session_that_held_nothing_more_has_ended_meanwhile(client: Client, daemon: ScriptedDaemon) -> None:
    """As the next daemon does with a session that has released all and is not connected: that is no loss."""

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if not is_question(message) or len(daemon.heard_of(m.Hello)) > 1:
            return None
        daemon.covered.clear()
        daemon.hang_up(session)
        return []

    daemon.script = script
    taken(client.lock("a")).release(confirm=True)
    assert len(daemon.heard_of(m.Hello)) == 2


@pytest.mark.parametrize("keeps", [False, True], ids=["with nothing else", "with something else"])
def test_the_daemon_loses_its_state_meanwhile(client: Client, daemon: ScriptedDaemon, keeps: bool) -> None:
    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if isinstance(message, m.Hello):
            daemon.covered[session] = 0
            return [m.Welcome(0, 0, 1, session, 2, {}, ())]
        if is_question(message) and len(daemon.heard_of(m.Resume)) == 0:
            daemon.forget()
            daemon.hang_up(session)
            return []
        return None

    grant = taken(client.lock("a"))
    other = taken(client.lock("b")) if keeps else None
    daemon.script = script
    with pytest.raises(LockLost, match="has lost its state"):
        grant.release(confirm=True)
    assert not grant.is_held
    with pytest.raises(NotOwner if other is None else LockLost):
        grant.release()


def test_it_was_lost_while_there_was_no_daemon(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.stop()
    daemon.forget()
    daemon.start()
    with pytest.raises(LockLost, match="has lost its state, or has ended this session"):
        handle.release(confirm=True)


def test_it_was_taken_by_its_lease(mine: Client, judge: Judge) -> None:
    grant = taken(mine.lock("a", lease=1))
    judge.want("a")
    judge.pass_time(2)
    with pytest.raises(LockLost, match="the lease had run out"):
        grant.release(confirm=True)
    assert judge.holdings() == {}


@pytest.mark.parametrize("of", ["handle", "grant"])
def test_it_was_released_before(client: Client, of: str) -> None:
    handle = client.lock("a")
    grant = taken(handle)
    grant.release(confirm=True)
    with pytest.raises(NotOwner):
        (handle if of == "handle" else grant).release(confirm=True)


def test_it_waits_for_a_daemon_that_is_away(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.stop()
    thread = threading.Thread(target=lambda: handle.release(confirm=True))
    thread.start()
    daemon.start()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert not daemon.holders


def test_after_reconnect_timeout_it_is_owed(hasty: Client, daemon: ScriptedDaemon) -> None:
    handle = hasty.lock("a")
    grant = taken(handle)
    daemon.stop()
    with pytest.raises(DaemonUnavailable, match="what it has released is released then"):
        handle.release(confirm=True)
    assert not grant.is_held
    assert handle.grant is None
    assert "a" in daemon.holders
    daemon.start()
    daemon.wait_until_idle()


def test_turned_away_it_is_owed(client: Client, daemon: ScriptedDaemon) -> None:
    grant = taken(client.lock("a"))
    daemon.script = lambda session, message: (
        [m.Failed(0, 0, "access_denied", "not you", {})] if isinstance(message, m.Resume) else None
    )
    daemon.restart()
    with pytest.raises(AccessDenied):
        grant.release(confirm=True)
    assert not grant.is_held
    daemon.script = lambda session, message: None
    daemon.wait_until_idle()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (lambda request: m.Failed(request, 0, "unavailable", "not now", {}), DaemonUnavailable),
        (lambda request: m.Ticket(request, 0, "t"), ProtocolError),
    ],
)
def test_an_answer_that_is_none(
    client: Client, daemon: ScriptedDaemon, answer: Callable[[int], m.DaemonMessage], error: type[Exception]
) -> None:
    grant = taken(client.lock("a"))
    daemon.script = lambda session, message: [answer(message.id)] if is_question(message) else None
    with pytest.raises(error):
        grant.release(confirm=True)
    assert not daemon.holders
    assert client.lock("b").locked() is False


def test_one_entry_less(mine: Client, judge: Judge) -> None:
    handle = mine.rlock("a")
    token = taken(handle).token
    handle.acquire()
    assert judge.holdings()[token][0] == 2
    handle.release(confirm=True)
    assert judge.holdings()[token][0] == 1
    handle.release(confirm=True)
    assert judge.holdings() == {}


@pytest.mark.parametrize(
    "made",
    [
        lambda client: client.rwlock("a").read(),
        lambda client: client.semaphore("a", 3, permits=2),
        lambda client: client.lock_all("a", ("b", "shared"), ("c", 1, 2)),
    ],
    ids=["rwlock", "semaphore", "lock_all"],
)
def test_whatever_was_granted(mine: Client, judge: Judge, made: Callable[[Client], Lock]) -> None:
    handle = made(mine)
    handle.acquire()
    assert judge.holdings()
    handle.release(confirm=True)
    assert judge.holdings() == {}


def test_what_was_handed_over_stays_where_it_is(mine: Client, theirs: Client, judge: Judge) -> None:
    grant = taken(mine.lock("a"))
    adopted = theirs.adopt(grant.handover())
    grant.release(confirm=True)
    assert set(judge.holdings(2)) == {adopted.token}
    adopted.release(confirm=True)
    assert judge.holdings(2) == {}


def test_a_signal_handler_does_not_wait_for_what_it_interrupted(client: Client, daemon: ScriptedDaemon) -> None:
    held, wanted = client.lock("a"), client.lock("b")
    held.acquire()
    daemon.hold("b")
    errors: list[DeadlockDetected] = []

    def release() -> None:
        try:
            held.release(confirm=True)
        except DeadlockDetected as error:
            errors.append(error)
        daemon.release("b")

    with handled(signal.SIGUSR1, lambda: daemon.wait_for_waiters(1), release):
        wanted.acquire()
    assert len(errors) == 1
    wanted.release()
    daemon.wait_until_idle()


# An interrupt anywhere in it: the lock is released all the same.


def releases_in_spite_of_interrupts(
    client: Client, daemon: ScriptedDaemon, before: Callable[[], None], *, step: int, again_after: int = 0
) -> tuple[int, int]:
    """Interrupt a release at every place. Return how far it came, and how often the lock was held still.

    Before the first line of `release` nothing can be done, and nothing is lost: the handle knows that it is held.
    """
    handle = client.lock("a")
    handle.acquire()

    def release() -> None:
        before()
        handle.release(confirm=True)

    left_held = place = 0
    for place in every_place(release, step=step, again_after=again_after):
        left_held += handle.grant is not None
        if handle.grant is not None:
            handle.release()
        # When this is answered, the daemon has heard all that was said before it.
        assert client.lock("other").locked() is False
        assert not daemon.holders, place
        assert not daemon.queue, place
        handle.acquire()
    handle.release()
    return place, left_held


def nothing() -> None:
    """Nothing happens."""


def test_interrupted_anywhere(client: Client, daemon: ScriptedDaemon) -> None:
    place, left_held = releases_in_spite_of_interrupts(client, daemon, nothing, step=3)
    assert place > 500
    assert left_held < 10


@pytest.mark.parametrize("again_after", [1, 10, 40, 120])
def test_interrupted_again_while_it_cleans_up(client: Client, daemon: ScriptedDaemon, again_after: int) -> None:
    place, _ = releases_in_spite_of_interrupts(client, daemon, nothing, step=STEP, again_after=again_after)
    assert place > 500


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_interrupted_anywhere_while_it_reconnects(
    client: Client, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Python drops an interrupt that comes in a finalizer, that of the old connection for instance.
    monkeypatch.setattr("sys.unraisablehook", lambda unraisable: None)
    place, left_held = releases_in_spite_of_interrupts(client, daemon, lambda: daemon.hang_up(1), step=STEP)
    assert place > 1000
    assert left_held < 10


def test_the_instrument_catches_a_careless_library(
    client: Client, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that gives the lock up only when there has been no interrupt."""
    monkeypatch.setattr(Grant, "release_after_all", lambda grant: None)
    monkeypatch.setattr(Lock, "_give_back_after_all", lambda handle, grant: None)
    _, left_held = releases_in_spite_of_interrupts(client, daemon, nothing, step=3)
    assert left_held > 20
