"""A client that is closed leaves nothing held, whenever the daemon is killed: what ends a connection is no answer."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable

import pytest

import lockd_client
from lockd_client import Client, Lock
from lockd_wire import messages as m
from support.idle import wait_until
from support.interrupts import every_place
from support.scripted_daemon import Answers, ScriptedDaemon

#: What is said by somebody who leaves.
FAREWELL = m.Release | m.Cancel | m.Bye

Script = Callable[[int, m.ClientMessage], Answers | None]


def is_heard(client: Client) -> bool:
    """Whether the client is certain that the daemon has heard it, and no thread is left."""
    assert client._session is not None
    channel = client._session._channel
    return not channel._is_leaving and not channel._settler.is_running


def deaf(daemon: ScriptedDaemon) -> Script:
    """As a daemon that is killed before it has read what somebody says who leaves; until he comes back."""

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if daemon.heard_of(m.Resume):
            return None
        if isinstance(message, m.Bye):
            daemon.hang_up(session)
        return [] if isinstance(message, FAREWELL) else None

    return script


def holding(daemon: ScriptedDaemon) -> tuple[Client, Lock]:
    """Return a client and a lock that it holds."""
    client = lockd_client.connect(daemon.path)
    handle = client.lock("a")
    handle.acquire()
    return client, handle


@pytest.fixture(params=["held", "released"])
def closing(request: pytest.FixtureRequest, daemon: ScriptedDaemon) -> tuple[Client, Lock]:
    """A client that has something to leave: a grant, or a release that is not read."""
    client, handle = holding(daemon)
    daemon.script = deaf(daemon)
    if request.param == "released":
        handle.release()
    return client, handle


def test_a_daemon_that_dies_before_it_has_heard(closing: tuple[Client, Lock], daemon: ScriptedDaemon) -> None:
    client, _handle = closing
    client.close()
    daemon.wait_until(lambda: len(daemon.heard_of(m.Bye)) == 2)
    wait_until(lambda: is_heard(client), "the client is certain")
    assert "a" not in daemon.holders
    assert len(daemon.heard_of(m.Hello)) == len(daemon.heard_of(m.Resume)) == 1


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_same_for_what_nobody_has_closed(daemon: ScriptedDaemon) -> None:
    client, handle = holding(daemon)
    daemon.script = deaf(daemon)
    del client, handle
    gc.collect()
    daemon.wait_until(lambda: len(daemon.heard_of(m.Bye)) == 2)
    daemon.wait_until_idle()


def test_a_daemon_that_is_stopped_and_then_killed(
    closing: tuple[Client, Lock], daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockd_client._channel, "CLOSE_SECONDS", 0.01)
    daemon.script = lambda session, message: [] if isinstance(message, FAREWELL) else None
    client, _handle = closing
    client.close()
    assert not is_heard(client)
    daemon.stop()
    daemon.script = lambda session, message: None
    daemon.start()
    daemon.wait_until(lambda: "a" not in daemon.holders)


def test_a_daemon_that_dies_between_the_answer_and_goodbye(daemon: ScriptedDaemon) -> None:
    """What was confirmed is free, and a session that has nothing ends by itself. Nobody has to come back."""
    client, _handle = holding(daemon)
    daemon.script = lambda session, message: daemon.hang_up(session) if isinstance(message, m.Bye) else None
    client.close()
    assert is_heard(client)
    assert not daemon.holders
    assert not daemon.heard_of(m.Resume)


def test_a_daemon_that_dies_when_it_has_done_it_and_not_answered(daemon: ScriptedDaemon) -> None:
    """The next one does not know the session, and that is an answer as well: no other session is opened."""
    client, _handle = holding(daemon)

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if isinstance(message, m.Release):
            daemon.answer(session, message)
            return []
        return None

    daemon.script = script
    client.close()
    daemon.wait_until(lambda: bool(daemon.heard_of(m.Resume)))
    wait_until(lambda: is_heard(client), "the client is certain")
    assert len(daemon.heard_of(m.Hello)) == 1
    assert len(daemon.heard_of(m.Bye)) == 1


def test_what_was_inherited_and_not_told_of_ends_with_the_session_alone(daemon: ScriptedDaemon) -> None:
    """It cannot be released, so the answer proves too little."""
    daemon.limits = {"earlier_sessions": 1}
    client = lockd_client.connect(daemon.path)

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if isinstance(message, m.Inherit):
            return [m.Failed(message.id, message.id, "storage", "not now", {})]
        if isinstance(message, m.Bye) and not daemon.heard_of(m.Resume):
            daemon.hang_up(session)
            return []
        return None

    daemon.script = script
    with pytest.raises(lockd_client.LockError):
        client.inherited()
    client.close()
    wait_until(lambda: is_heard(client), "the client is certain")
    assert len(daemon.heard_of(m.Bye)) == 2


def test_goodbye_does_not_wait_for_the_answer(daemon: ScriptedDaemon) -> None:
    client, _handle = holding(daemon)
    unanswered: list[m.Release] = []

    def script(session: int, message: m.ClientMessage) -> Answers | None:
        if isinstance(message, m.Release) and message.confirm:
            unanswered.append(message)
            return []
        if isinstance(message, m.Bye):
            for release in unanswered:
                daemon.say(session, m.Done(release.id, release.id))
        return None

    daemon.script = script
    client.close()
    assert unanswered
    assert is_heard(client)
    assert not daemon.heard_of(m.Resume)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("is_closed_again", "again_after"), [(True, 0), (False, 0), (False, 30)])
def test_an_interrupt_anywhere(
    daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch, again_after: int, is_closed_again: bool
) -> None:
    """Whoever has interrupted `close` calls it again, or forgets the client: either is enough."""
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: None)
    now = [holding(daemon)]
    for _ in every_place(lambda: now[0][0].close(), step=29, again_after=again_after):
        if is_closed_again:
            now[0][0].close()
            daemon.wait_until_idle()
        now.clear()
        gc.collect()
        daemon.wait_until_idle()
        now.append(holding(daemon))
    now[0][0].close()
