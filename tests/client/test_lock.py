"""A `Lock` does what those who know `threading.Lock` expect, and a `Grant` knows what it is."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

import lockd_client
from lockd_client import (
    BadRequest,
    Client,
    DeadlockDetected,
    Grant,
    Lock,
    LockError,
    LockLost,
    LockTimeout,
    NotOwner,
    QuotaExceeded,
    SessionLost,
)
from lockd_wire import messages as m
from support.scripted_daemon import ScriptedDaemon


def test_acquire_and_release(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a", label="why")
    assert handle.acquire() is True
    (asked,) = daemon.heard_of(m.Acquire)
    assert asked == m.Acquire(1, asked.owner, (("a", "X"),), None, {"label": "why"})
    assert handle.locked()
    handle.release()
    daemon.wait_until_idle()
    assert len(daemon.heard_of(m.Release)) == 1
    assert not handle.locked()


def test_with_gives_the_grant(client: Client, daemon: ScriptedDaemon) -> None:
    with client.lock("a", label="why") as grant:
        assert (grant.token, grant.name, grant.names, grant.mode, grant.label) == (1, "a", ("a",), "exclusive", "why")
        assert grant.is_held
        assert not grant.lost
        grant.check()
    daemon.wait_until_idle()
    assert not grant.is_held


def test_release_waits_for_nothing(client: Client, daemon: ScriptedDaemon) -> None:
    """The daemon answers nothing to it, and the library does not ask."""
    with client.lock("a"):
        pass
    daemon.wait_until_idle()
    assert [type(message) for message in daemon.heard] == [m.Hello, m.Acquire, m.Release]


@pytest.mark.parametrize("kind", [threading.Lock, lambda: None])
def test_the_arguments_are_those_of_threading_lock(kind: Any, client: Client, daemon: ScriptedDaemon) -> None:
    """The same calls and the same answers, first from the original."""
    lock = kind() or client.lock("a")
    assert lock.acquire() is True
    lock.release()
    assert lock.acquire(False) is True
    for refused in ({"blocking": False}, {"timeout": 0}, {"blocking": True, "timeout": 0}):
        assert other_thread(lambda refused=refused: lock.acquire(**refused)) is False
    lock.release()
    assert lock.acquire(timeout=3.5) is True
    lock.release()
    for mistaken in ({"blocking": False, "timeout": 1}, {"timeout": -2}, {"timeout": -0.5}, {"timeout": float("nan")}):
        with pytest.raises(ValueError, match=r"."):
            lock.acquire(**mistaken)
    with pytest.raises(RuntimeError):
        lock.release()


def other_thread(call: Any) -> object:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize(
    ("made_with", "asked_with", "sent"),
    [
        ({}, {}, None),
        ({"timeout": 5}, {}, 5),
        ({"timeout": 5}, {"timeout": -1}, 5),
        ({"timeout": 5}, {"timeout": None}, None),
        ({"timeout": 5}, {"timeout": 2.5}, 2.5),
        ({"timeout": 5}, {"blocking": False}, 0),
        ({"timeout": None}, {}, None),
        ({"timeout": 0}, {}, 0),
        ({}, {"timeout": float("inf")}, None),
        ({}, {"timeout": 1e12}, None),
    ],
)
def test_timeouts(client: Client, daemon: ScriptedDaemon, made_with: Any, asked_with: Any, sent: float | None) -> None:
    handle = client.lock("a", **made_with)
    handle.acquire(**asked_with)
    (asked,) = daemon.heard_of(m.Acquire)
    assert asked.timeout == sent
    handle.release()


def test_acquire_says_false_where_with_raises(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    handle = client.lock("a", timeout=0)
    assert handle.acquire() is False
    with pytest.raises(LockTimeout), handle:
        pytest.fail("the block may not run")
    assert handle.grant is None


@pytest.mark.parametrize("mode", ["exclusive", "X", "shared", "S"])
def test_modes(client: Client, daemon: ScriptedDaemon, mode: str) -> None:
    with client.lock("a", mode=mode) as grant:
        assert grant.mode == {"X": "exclusive", "S": "shared"}.get(mode, mode)
    (asked,) = daemon.heard_of(m.Acquire)
    assert asked.items == (("a", mode[0].upper().replace("E", "X")),)


def test_rwlock(client: Client, daemon: ScriptedDaemon) -> None:
    data = client.rwlock("a", timeout=3, label="why")
    with data.read() as reading:
        assert reading.mode == "shared"
    with data.write() as writing:
        assert writing.mode == "exclusive"
    first, second = daemon.heard_of(m.Acquire)
    assert [message[2:] for message in (first, second)] == [
        ((("a", "S"),), 3, {"label": "why"}),
        ((("a", "X"),), 3, {"label": "why"}),
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": ""}, 'the name "" is empty'),
        ({"name": "a\nb"}, 'the name "a\\\\nb" has a control character'),
        ({"name": "x" * 256}, 'the name "x{57}..." is 256 bytes long'),
        ({"name": "\udce9"}, "surrogate"),
        ({"name": "e\u0301"}, "normal form C"),
        ({"name": 5}, "the name of a lock is a text, not int"),
        ({"name": b"a"}, "the name of a lock is a text, not bytes"),
        ({"name": "a", "label": "x" * 257}, "the label"),
        ({"name": "a", "mode": "readonly"}, "'readonly' is no mode of a lock"),
        ({"name": "a", "mode": None}, "None is no mode of a lock"),
    ],
)
def test_a_mistake_is_told_where_it_is_made(client: Client, arguments: Any, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        client.lock(**arguments)
    if "mode" not in arguments:
        with pytest.raises(BadRequest, match=sentence):
            client.rwlock(**arguments)


def test_a_timeout_that_cannot_be_is_told_at_once(client: Client) -> None:
    with pytest.raises(ValueError, match="a timeout is a number of seconds from 0 on, or -1 for no limit: not -3"):
        client.lock("a", timeout=-3)


def test_released_twice(client: Client) -> None:
    handle = client.lock("a")
    with pytest.raises(NotOwner, match='"a" is not held through this handle'):
        handle.release()
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    grant.release()
    for again in (grant.release, grant.check):
        with pytest.raises(NotOwner, match='"a" is not held: this grant was released before'):
            again()
    assert handle.grant is None


def test_released_inside_with(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    with pytest.raises(NotOwner), handle:
        handle.release()

    def release_and_fail() -> None:
        with handle:
            handle.release()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        release_and_fail()
    assert raised.value.__notes__ == ['When the lock was to be released: "a" is not held through this handle']
    daemon.wait_until_idle()


def test_any_thread_may_release(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    other_thread(handle.acquire)
    handle.release()
    daemon.wait_until_idle()


def test_every_thread_is_an_owner_of_its_own(client: Client, daemon: ScriptedDaemon) -> None:
    handles = [client.lock("a"), client.lock("b")]
    for handle in handles:
        handle.acquire()
        handle.release()
    for handle in handles:
        other_thread(handle.acquire)
        handle.release()
    owners = [asked.owner for asked in daemon.heard_of(m.Acquire)]
    assert owners[0] == owners[1]
    assert len(set(owners)) == 3


def test_a_shared_handle_gives_each_thread_its_own_grant_back(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.script = grant_everything
    handle = client.lock("a", mode="shared")
    handle.acquire()
    own = handle.grant
    other_thread(handle.acquire)
    assert own is not None
    assert handle.grant is own
    handle.release()
    assert (own.is_held, handle.locked()) == (False, False)
    latest = handle.grant
    assert latest is not None
    handle.release()
    assert not latest.is_held
    assert repr(handle) == '<lockd_client.Lock "a" shared, not held>'
    client.lock("b").locked()
    assert [released.token for released in daemon.heard_of(m.Release)] == [own.token, latest.token]


def grant_everything(session: int, message: m.ClientMessage) -> list[m.DaemonMessage] | None:
    if type(message) is m.Acquire:
        return [m.Granted(message.id, message.id, 100 + message.id, {})]
    return None


def test_a_lock_pickles_as_a_handle_that_is_not_held(module: Client, daemon: ScriptedDaemon) -> None:
    with lockd_client.lock("a", mode="shared", timeout=3, label="why") as grant:
        handle = lockd_client.lock("a", mode="shared", timeout=3, label="why")
        for twin in (pickle.loads(pickle.dumps(handle)), copy.copy(handle), copy.deepcopy(handle)):
            assert isinstance(twin, Lock)
            assert (twin.name, twin.mode, twin.grant) == ("a", "shared", None)
            assert twin.acquire(blocking=False) is False
        for refuse in (pickle.dumps, copy.copy):
            with pytest.raises(TypeError, match='the grant of "a" belongs to this process'):
                refuse(grant)
    twin = pickle.loads(pickle.dumps(lockd_client.rwlock("a", timeout=3, label="why")))
    with twin.read():
        pass
    asked = daemon.heard_of(m.Acquire)[-1]
    assert asked[2:] == ((("a", "S"),), 3, {"label": "why"})


def test_what_they_say_they_are(client: Client) -> None:
    handle = client.lock("a\u00a0b", mode="shared", label="why")
    assert repr(handle) == '<lockd_client.Lock "a\\xa0b" shared, not held>'
    with handle as grant:
        assert repr(handle) == '<lockd_client.Lock "a\\xa0b" shared, held, token 1>'
        assert repr(grant) == '<lockd_client.Grant "a\\xa0b" shared, held, token 1, label "why">'
    assert repr(grant) == '<lockd_client.Grant "a\\xa0b" shared, not held, token 1, label "why">'
    assert repr(client.rwlock("a")) == '<lockd_client.RWLock "a">'
    assert repr(client).endswith("lockd.sock, connected>")
    assert repr(Client(None, None)) == "<lockd_client.Client, not connected yet>"


def test_owned(client: Client, daemon: ScriptedDaemon) -> None:
    exclusive, shared = client.lock("a"), client.lock("a", mode="shared")
    assert not exclusive.owned()
    with exclusive:
        assert client.lock("a").owned()
        assert shared.owned()
        assert not client.lock("b").owned()
        assert other_thread(exclusive.owned) is False
    with shared:
        assert shared.owned()
        assert not exclusive.owned()
    assert not shared.owned()


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("quota", QuotaExceeded),
        ("bad_request", BadRequest),
        ("unavailable", lockd_client.DaemonUnavailable),
        ("deadlock", DeadlockDetected),
        ("something new", LockError),
    ],
)
def test_a_refusal_leaves_the_session_as_it_was(
    client: Client, daemon: ScriptedDaemon, code: str, error: type[LockError]
) -> None:
    daemon.script = lambda session, message: (
        [m.Failed(message.id, message.id, code, "it said so", {})] if type(message) is m.Acquire else None
    )
    handle = client.lock("a")
    for call in (handle.acquire, handle.__enter__):
        with pytest.raises(error) as raised:
            call()
        assert type(raised.value) is error
    assert not handle.locked()
    assert daemon.heard_of(m.Cancel) == []


def test_the_daemon_goes_away_under_a_holder_and_forgets(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    daemon.stop()
    daemon.forget()
    daemon.start()
    assert grant.lost
    assert not grant.is_held
    assert handle.grant is None
    for call in (grant.check, grant.release, handle.release):
        with pytest.raises(LockLost, match=r'"a": the daemon at .* has lost its state, or has ended this session'):
            call()
    assert grant.lost
    with pytest.raises(SessionLost):
        client.lock("b").acquire()


def test_what_a_with_block_raised_is_not_hidden_by_the_loss(client: Client, daemon: ScriptedDaemon) -> None:
    def lose_and_fail() -> None:
        with client.lock("a") as grant:
            daemon.stop()
            daemon.forget()
            daemon.start()
            assert grant.lost
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as raised:
        lose_and_fail()
    assert raised.value.__notes__[0].startswith('When the lock was to be released: "a": the daemon at')


def test_the_client_of_the_module_opens_another_session(module: Client, daemon: ScriptedDaemon) -> None:
    handle = lockd_client.lock("a")
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    daemon.stop()
    daemon.forget()
    daemon.start()
    assert grant.lost
    with pytest.raises(LockLost):
        handle.release()
    with handle as another:
        assert not another.lost
    assert len(daemon.heard_of(m.Hello)) == 2


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff\xff", b"\0\0\0\1\xc1"])
def test_nonsense_from_the_daemon_ends_the_session_but_loses_nothing(
    client: Client, daemon: ScriptedDaemon, garbage: bytes
) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.send(1, garbage)
    with pytest.raises(lockd_client.ProtocolError, match="sent what is not its protocol"):
        handle.locked()
    assert isinstance(handle.grant, Grant)
    assert not handle.grant.lost
    with pytest.raises(
        lockd_client.DaemonUnavailable, match="It keeps what this process holds until the process exits"
    ):
        handle.release()


def test_the_daemon_ends_the_connection_with_a_word(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    daemon.say(1, m.Failed(0, 0, "protocol", "you\x1b said it wrong", {}))
    daemon.hang_up(1)
    with pytest.raises(lockd_client.ProtocolError, match=r"the daemon refused: you\\x1b said it wrong. It keeps what"):
        handle.locked()
    assert handle.grant is not None


@pytest.mark.parametrize(("asked", "answered"), [(m.Acquire, m.Done), (m.Query, m.Granted), (m.Acquire, m.State)])
def test_an_answer_of_the_wrong_kind(
    client: Client, daemon: ScriptedDaemon, asked: type[m.ClientMessage], answered: Any
) -> None:
    fields: dict[type, tuple[Any, ...]] = {m.Done: (0,), m.Granted: (0, 5, {}), m.State: (0, {})}
    daemon.script = lambda session, message: (
        [answered(message.id, *fields[answered])] if type(message) is asked else None
    )
    handle = client.lock("a")
    with pytest.raises(lockd_client.ProtocolError, match="an answer that does not belong to the request"):
        (handle.acquire if asked is m.Acquire else handle.locked)()
