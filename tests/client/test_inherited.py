"""What the library makes of what its process held when it was another program."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import lockd_client
from lockd.core import events as e
from lockd.core.modes import Mode
from lockd_client import Client, DaemonUnavailable, Grant, HeldByEarlierProgram, ProtocolError, connect
from lockd_wire import messages as m
from support.interrupts import every_place
from support.judge import Judge
from support.scripted_daemon import ScriptedDaemon

LABELLED = e.NO_TERMS._replace(label="nightly run")


def ask(request: int, *items: e.Item, terms: e.Terms = LABELLED, tree: bool = False) -> e.Acquire:
    return e.Acquire(0, request, 1, items, terms, tree)


@pytest.fixture
def judge(daemon: ScriptedDaemon) -> Judge:
    daemon.limits = {"earlier_sessions": 1}
    return Judge(daemon)


@pytest.fixture
def client(daemon: ScriptedDaemon, judge: Judge) -> Iterator[Client]:
    with connect(daemon.path) as client:
        yield client


def test_usually_there_is_nothing_and_nobody_is_asked(daemon: ScriptedDaemon) -> None:
    with connect(daemon.path) as client:
        assert client.inherited() == []
        assert [type(message) for message in daemon.heard] == [m.Hello]


def test_the_shared_client_has_it_too(daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    with connect(daemon.path) as client:
        monkeypatch.setattr("lockd_client._default._default", client)
        assert lockd_client.inherited() == []


def test_grants_are_what_they_were(client: Client, daemon: ScriptedDaemon, judge: Judge) -> None:
    judge.leave_behind(
        ask(1, e.Item("db/users", Mode.EXCLUSIVE), e.Item("pool", e.Permits(2, 3)), tree=True),
        ask(2, e.Item("log", Mode.SHARED), terms=e.NO_TERMS._replace(is_reentrant=True)),
        ask(3, e.Item("log", Mode.SHARED), terms=e.NO_TERMS._replace(is_reentrant=True)),
    )
    tree, log = client.inherited()
    judge.assert_agrees(client)
    assert (tree.names, tree.mode, tree.label, tree.abandoned) == (("db/users", "pool"), "exclusive", "nightly run", ())
    assert (log.name, log.mode, log.label) == ("log", "shared", "")
    assert tree.token < log.token
    assert tree.is_held
    assert client.lock("db/users", tree=True).owned()
    with log:
        log.convert("exclusive")
    tree.release()
    judge.assert_agrees(client)
    assert judge.holdings() == {}
    # It is known by now that there is nothing left.
    asked = len(daemon.heard_of(m.Inherit))
    assert client.inherited() == []
    assert len(daemon.heard_of(m.Inherit)) == asked == 3


def test_whoever_would_wait_for_itself_is_told(client: Client, judge: Judge) -> None:
    judge.leave_behind(ask(1, e.Item("db", Mode.EXCLUSIVE)))
    with pytest.raises(HeldByEarlierProgram) as told:
        client.lock("db").acquire()
    sentence = str(told.value)
    assert sentence.startswith('"db" cannot be had: held by an earlier program of this process, pid 1 (earlier, "night')
    assert sentence.endswith("and would be as long as the process lives: inherited() takes it over")
    assert (told.value.name, [holder.program for holder in told.value.holders]) == ("db", ["earlier"])
    with pytest.raises(HeldByEarlierProgram, match='"a" and "db" cannot be had: "db" is held by'):
        client.lock_all("a", "db").acquire(blocking=False)
    judge.assert_agrees(client)
    for grant in client.inherited():
        grant.release()
    with client.lock("db", timeout=0):
        judge.assert_agrees(client)


def test_a_conversion_that_would_wait_for_itself(client: Client, judge: Judge) -> None:
    """The old mode is held."""
    judge.leave_behind(ask(1, e.Item("db", Mode.SHARED)))
    with client.lock("db", mode="shared") as grant:
        with pytest.raises(HeldByEarlierProgram):
            grant.convert("exclusive")
        assert grant.mode == "shared"
        judge.assert_agrees(client)
        for inherited in client.inherited():
            inherited.release()
        grant.convert("exclusive")


def test_another_connection_is_no_other_program(daemon: ScriptedDaemon) -> None:
    """All sessions of a program say the same of it, and those of another program something else."""
    with connect(daemon.path) as one, connect(daemon.path) as other:
        one.session()
        other.session()
        first, second = (hello.options["image"] for hello in daemon.heard_of(m.Hello))
        assert first == second
        assert isinstance(first, str)
        assert len(first) == 16


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (m.Failed(1, 1, "unavailable", "no room", {}), DaemonUnavailable),
        (m.Granted(1, 1, 7, {}), ProtocolError),
    ],
)
def test_what_goes_wrong_leaves_nothing(
    client: Client, daemon: ScriptedDaemon, answer: m.DaemonMessage, error: type[Exception]
) -> None:
    client.session()
    daemon.script = lambda session, message: [answer] if isinstance(message, m.Inherit) else None
    with pytest.raises(error):
        client.inherited()
    machine = client.session()._machine
    assert not machine.held
    assert not machine.requests


def test_a_restart_of_the_daemon(client: Client, daemon: ScriptedDaemon, judge: Judge) -> None:
    """The request is said again. By then it has been granted, or has not been heard."""
    judge.leave_behind(ask(1, e.Item("db", Mode.EXCLUSIVE)), ask(2, e.Item("log", Mode.EXCLUSIVE)))
    client.session()
    judge.afterwards = lambda message: daemon.hang_up(1) if daemon.heard_of(m.Inherit) == [message] else None
    held = client.inherited()
    assert [grant.name for grant in held] == ["db", "log"]
    judge.assert_agrees(client)
    for grant in held:
        grant.release()


# What the library had returned already when the interrupt came is nobody's, and says so when it is collected.
@pytest.mark.filterwarnings("ignore:the lock:ResourceWarning")
def test_interrupts(client: Client, judge: Judge) -> None:
    """Whatever was not returned has been released, or can be inherited still."""
    session = client.session()
    held: list[Grant] = []
    rest = 0
    judge.leave_behind(ask(1, e.Item("a", Mode.EXCLUSIVE)), ask(2, e.Item("b", Mode.SHARED)))
    for _ in every_place(lambda: held.extend(client.inherited()), step=13):
        judge.assert_agrees(client)
        assert len(judge.holdings()) == len(held)
        assert not held or len(held) == 2
        rest += not held
        for grant in (*held, *client.inherited()):
            grant.release()
        held.clear()
        judge.assert_agrees(client)
        assert client.lock("a").locked() is client.lock("b").locked() is False
        judge.leave_behind(ask(1, e.Item("a", Mode.EXCLUSIVE)), ask(2, e.Item("b", Mode.SHARED)))
        # As if this were the first time.
        session._spent = None
    assert rest > 10
