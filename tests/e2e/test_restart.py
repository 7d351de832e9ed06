"""What a daemon knew, the next one knows: by bytes, with daemons that are killed and daemons that end in order."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack
from typing import Any

import pytest

from lockd_client import AdminClient
from support.daemon import Daemon, command
from support.elsewhere import Elsewhere
from support.raw import (
    ACQUIRE,
    DONE,
    FAILED,
    GRANTED,
    HELLO,
    RELEASE,
    RESUME,
    STATUS,
    TRY,
    WELCOME,
    Raw,
    code_of,
)

from .conftest import Connect

each_end = pytest.mark.parametrize("end", ["kill", "stop"])


def restart(daemon: Daemon, end: str = "kill") -> None:
    """End the daemon and start another one in its place."""
    getattr(daemon, end)()
    daemon.start()


def resume(stack: ExitStack, daemon: Daemon, peer: Raw) -> Raw:
    """Connect anew with the session of ``peer``."""
    return stack.enter_context(Raw.resumed(daemon.client_socket, peer.session))


@pytest.fixture
def others(daemon: Daemon, closing: ExitStack) -> list[Elsewhere]:
    """Three other processes with a session each."""
    return [closing.enter_context(Elsewhere(daemon, program)) for program in ("first", "second", "third")]


def resumed_elsewhere(other: Elsewhere, request: int, name: str) -> None:
    """Have another process take up its session, and ask for the name again that it was waiting for."""
    other("old = peer; peer = Raw.resumed(path, old.session)")
    other.peer.want(request, [name, "X"])
    other.peer.pong(request + 1)


@each_end
def test_holders_and_waiters_are_there_still_and_in_their_order(
    end: str, daemon: Daemon, connect: Connect, others: list[Elsewhere], closing: ExitStack, name: str
) -> None:
    holder = connect()
    token = holder.acquire(1, name)
    for other in others:
        other.peer.queue_up(1, [name, "X"])
    restart(daemon, end)

    holder = resume(closing, daemon, holder)
    assert holder.covered == 1
    facts = holder.facts_of(2, name)
    assert [(each["token"], each["pid"], each["attached"]) for each in facts["holders"]] == [(token, os.getpid(), True)]
    assert facts["waiters_total"] == 3
    # In whichever order they come back, they are served in the order in which they had come.
    for other in reversed(others):
        resumed_elsewhere(other, 1, name)
    holder.release(3, token)
    tokens = [token]
    for other in others:
        tokens.append(other.peer.granted(1))
        other.peer.release(3, tokens[-1])
    assert tokens == sorted(set(tokens))


@each_end
def test_nobody_else_gets_in_between(
    end: str, daemon: Daemon, connect: Connect, others: list[Elsewhere], closing: ExitStack, name: str
) -> None:
    """The holder does nothing at all. The next daemon knows it is there, and that it lives."""
    token = connect().acquire(1, name)
    restart(daemon, end)
    with Raw.welcomed(daemon.client_socket) as late:
        late.want(1, [name, "X"], timeout=TRY)
        [entry] = late.failed(1, "timeout")["holders"]
    assert (entry["token"], entry["pid"], entry["attached"]) == (token, os.getpid(), False)


def test_a_holder_that_dies_while_there_is_no_daemon_holds_nothing(
    daemon: Daemon, others: list[Elsewhere], name: str
) -> None:
    dead, alive, _ = others
    dead.peer.acquire(1, f"{name} of the dead")
    token = alive.peer.acquire(1, f"{name} of the living")
    daemon.kill()
    dead.kill()
    daemon.start()
    with Raw.welcomed(daemon.client_socket) as other:
        other.want(1, [f"{name} of the dead", "X"], timeout=TRY)
        answer = other.receive()
        assert answer[:2] == [GRANTED, 1]
        assert [(left["pid"], left["program"]) for left in answer[4]["abandoned"]] == [(dead.pid, "first")]
        [entry] = other.facts_of(2, f"{name} of the living")["holders"]
        assert (entry["token"], entry["attached"]) == (token, False)
    with AdminClient(daemon.admin_socket) as admin:
        over, *_ = admin.history(f"{name} of the dead")
    assert (over["what"], over["pid"]) == ("abandoned", dead.pid)


def test_a_deadline_runs_on(daemon: Daemon, connect: Connect, closing: ExitStack, name: str) -> None:
    holder, waiter = connect(), connect()
    holder.acquire(1, name)
    waiter.queue_up(1, [name, "X"], timeout=0.5)
    restart(daemon)
    waiter = resume(closing, daemon, waiter)
    waiter.want(1, [name, "X"], timeout=0.5)
    assert waiter.failed(1, "timeout")["waited_seconds"] >= 0.5


def test_tokens_and_sessions_go_on_rising(daemon: Daemon, connect: Connect, name: str) -> None:
    before = connect()
    token = before.acquire(1, name)
    restart(daemon)
    after = connect()
    assert after.welcome[5] == before.welcome[5]
    assert after.session > before.session
    assert after.acquire(1, f"{name} again") > token


# Who may resume


def test_the_session_of_another_process_is_nobodys(
    daemon: Daemon, connect: Connect, others: list[Elsewhere], name: str
) -> None:
    owner, thief = connect(), others[0]
    token = owner.acquire(1, name)
    thief("other = Raw(path)")
    assert thief(f"code_of(other.ask({RESUME}, 0, 'lockd', 1, {owner.session}))".replace("code_of", "list")) == [
        FAILED,
        0,
        0,
        "session_lost",
        "there is no such session of this process: it has ended, and holds nothing any more",
        {},
    ]
    # The connection is as new.
    assert thief(f"other.ask({HELLO}, 0, 'lockd', 1, 'thief', [])[0]") == WELCOME
    [entry] = owner.facts_of(2, name)["holders"]
    assert (entry["token"], entry["attached"]) == (token, True)


@pytest.mark.parametrize("is_restarted", [False, True])
def test_nor_is_it_the_forked_childs(daemon: Daemon, is_restarted: bool, others: list[Elsewhere], name: str) -> None:
    parent = others[0]
    token = parent.peer.acquire(1, name)
    child = parent.fork()
    if is_restarted:
        restart(daemon)
    assert child(f"Raw(path).ask({RESUME}, 0, 'lockd', 1, peer.session)[3]") == "session_lost"
    parent("peer = Raw.resumed(path, peer.session)")
    parent.peer.release(2, token)


def test_a_session_that_has_ended_is_nobodys(daemon: Daemon, connect: Connect, closing: ExitStack) -> None:
    gone = connect()
    gone.close()
    peer = closing.enter_context(Raw(daemon.client_socket))
    while code_of(peer.ask(RESUME, 0, "lockd", 1, gone.session)) != "session_lost":
        # Until the daemon has seen the end of the connection.
        pass
    peer.send(HELLO, 0, "lockd", 1, "test", [])
    assert peer.receive()[0] == WELCOME


def test_an_older_connection_is_cut_first(daemon: Daemon, connect: Connect, closing: ExitStack, name: str) -> None:
    older = connect()
    token = older.acquire(1, name)
    newer = resume(closing, daemon, older)
    assert newer.covered == 1
    assert older.is_ended()
    newer.release(2, token)


def test_resume_goes_first_or_not_at_all(connect: Connect) -> None:
    peer = connect()
    peer.send(RESUME, 0, "lockd", 1, peer.session)
    assert code_of(peer.receive()) == "protocol"
    assert peer.is_ended()


# What was sent and not read


def test_what_had_arrived_before_sigterm_takes_effect(
    daemon: Daemon, connect: Connect, closing: ExitStack, name: str
) -> None:
    holder, other = connect(), connect()
    other.acquire(1, f"{name} of the other")
    token = holder.acquire(1, name)
    daemon.suspend()
    holder.send(RELEASE, 2, token, False)
    other.want(2, [f"{name} too", "X"])
    daemon.send_signal(signal.SIGTERM)
    daemon.send_signal(signal.SIGCONT)
    # Its last answer comes before the end.
    other.granted(2)
    assert other.is_ended()
    os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)
    assert daemon.stop() == 0
    daemon.start()
    resume(closing, daemon, other).take(3, [name, "X"])


def test_what_sigkill_kept_from_being_read_is_repeated(
    daemon: Daemon, connect: Connect, closing: ExitStack, name: str
) -> None:
    holder = connect()
    token = holder.acquire(1, name)
    daemon.suspend()
    holder.send(RELEASE, 2, token, False)
    restart(daemon)
    holder = resume(closing, daemon, holder)
    assert holder.covered == 1
    with Raw.welcomed(daemon.client_socket) as other:
        assert other.facts_of(1, name)["holders_total"] == 1
    assert holder.ask(RELEASE, 2, token, True)[:2] == [DONE, 2]
    assert holder.facts_of(3, name)["holders_total"] == 0


# What is lost


def trouble(daemon: Daemon) -> str:
    with Raw.administrator(daemon.admin_socket) as admin:
        text = admin.ask(STATUS, 1)[2]["trouble"]
    assert isinstance(text, str)
    return text


def wanted(peer: Raw, name: str) -> list[Any]:
    return peer.ask(ACQUIRE, 1, 1, [[name, "X"]], TRY, [])


def test_without_its_journal_nothing_is_pretended(
    daemon: Daemon, connect: Connect, closing: ExitStack, name: str
) -> None:
    assert trouble(daemon) == ""
    holder = connect()
    token = holder.acquire(1, name)
    daemon.kill()
    (daemon.runtime_dir / "journal").unlink()
    daemon.start()
    assert "whoever held locks has lost them" in daemon.log
    assert "although a daemon has run since this machine started" in trouble(daemon)
    status = subprocess.run([command("lockctl"), "status"], env=daemon.environment(), capture_output=True, text=True)
    assert status.stdout.splitlines()[-1].startswith("DEGRADED: there is no journal ")
    peer = closing.enter_context(Raw(daemon.client_socket))
    assert code_of(peer.ask(RESUME, 0, "lockd", 1, holder.session)) == "session_lost"
    welcome = peer.ask(HELLO, 0, "lockd", 1, "test", [])
    assert welcome[5] > holder.welcome[5]
    refused = wanted(peer, name)
    assert code_of(refused) == "unavailable"
    assert "nothing is granted for another" in refused[4]

    # A crash does not make it shorter, nor does it raise the epoch again.
    restart(daemon)
    again = connect()
    assert again.welcome[5] == welcome[5]
    assert code_of(wanted(again, name)) == "unavailable"
    assert token >> 32 < welcome[5]


def test_another_boot_is_no_loss(
    daemon: Daemon, connect: Connect, closing: ExitStack, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = connect()
    token = holder.acquire(1, name) if trouble(daemon) == "" else 0
    daemon.kill()
    monkeypatch.setenv("LOCKD_BOOT_ID", os.urandom(16).hex())
    daemon.start()
    assert trouble(daemon) == ""
    peer = closing.enter_context(Raw(daemon.client_socket))
    assert code_of(peer.ask(RESUME, 0, "lockd", 1, holder.session)) == "session_lost"
    assert peer.ask(HELLO, 0, "lockd", 1, "test", [])[0] == WELCOME
    assert peer.acquire(1, name) > token
