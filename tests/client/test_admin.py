"""The admin client against a peer that gives the answers that the test gives it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lockd_client import (
    AccessDenied,
    AdminClient,
    BadRequest,
    DaemonUnavailable,
    LockError,
    LockLost,
    ProtocolError,
)
from lockd_client import _admin as admin_module
from lockd_client._ends import loss
from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.admin_peer import Answer, Peer


@pytest.fixture
def peer(runtime_dir: Path) -> Iterator[Peer]:
    running = Peer(runtime_dir / "admin.sock")
    yield running
    running.stop()


@pytest.fixture
def admin(peer: Peer) -> Iterator[AdminClient]:
    with AdminClient(peer.path) as connected:
        yield connected


def test_status(peer: Peer, admin: AdminClient) -> None:
    peer.answers.append(m.Report(2, {"sessions": 5}))
    assert admin.status() == {"sessions": 5}
    assert peer.heard == [m.AdminHello(1, "lockd-admin", 1), m.Status(2)]


def test_pages(peer: Peer, admin: AdminClient) -> None:
    peer.answers += [
        m.Rows(2, ({"name": "a1"}, {"name": "a2"}), 17),
        m.Rows(3, (), 23),
        m.Rows(4, ({"name": "a3"},), None),
    ]
    assert [row["name"] for row in admin.names("a")] == ["a1", "a2", "a3"]
    assert peer.heard[1:] == [m.List(2, "a", 0, {}), m.List(3, "a", 17, {}), m.List(4, "a", 23, {})]


def test_some_names(peer: Peer, admin: AdminClient) -> None:
    peer.answers += [m.Rows(2, (), None)] * 2
    assert list(admin.names(held=True, contended=True, older_than=60)) == []
    assert peer.heard[1] == m.List(2, "", 0, {"held": True, "contended": True, "older_than": 60})
    peer.answers[:] = [m.AdminFailed(3, "bad_request", "no such option")]
    with pytest.raises(BadRequest, match="no such option"):
        list(admin.names("a", older_than=0))
    assert peer.heard[2] == m.List(3, "a", 0, {"older_than": 0})


def test_graph(peer: Peer, admin: AdminClient) -> None:
    peer.answers += [m.Rows(2, ({"name": "a"},), 320), m.Rows(3, ({"name": "b"},), None)]
    assert [row["name"] for row in admin.graph()] == ["a", "b"]
    assert peer.heard[1:] == [m.Graph(2, 0), m.Graph(3, 320)]


def test_sessions(peer: Peer, admin: AdminClient) -> None:
    peer.answers.append(m.Rows(2, ({"session": 9},), None))
    assert list(admin.sessions()) == [{"session": 9}]
    assert peer.heard[1:] == [m.Sessions(2, 0)]


def test_history(peer: Peer, admin: AdminClient) -> None:
    peer.answers += [m.Rows(2, ({"what": "released"},), 8), m.Rows(3, ({"what": "granted"},), None)]
    assert [row["what"] for row in admin.history("a")] == ["released", "granted"]
    assert peer.heard[1:] == [m.History(2, "a", 0), m.History(3, "a", 8)]
    with pytest.raises(BadRequest):
        admin.history("")


def test_watch(peer: Peer, admin: AdminClient) -> None:
    told: list[m.Message] = [
        m.Report(2, {"events_max": 100}),
        m.Happened(2, 0, ({"what": "queued"}, {"what": "granted"})),
        m.Happened(2, 17, ({"what": "released"},)),
        m.Happened(2, 3, ()),
    ]
    peer.answers.append(b"".join(map(encode, told)))
    events = admin.watch("a/")
    # It watches from the call on, whenever the first event is asked for.
    assert peer.heard[1:] == [m.Watch(2, "a/")]
    with pytest.raises(DaemonUnavailable, match="is for watching: make another AdminClient"):
        admin.status()
    assert [next(events) for _ in range(5)] == [
        {"what": "queued"},
        {"what": "granted"},
        {"what": "missed", "missed": 17},
        {"what": "released"},
        {"what": "missed", "missed": 3},
    ]
    peer.hang_up()
    with pytest.raises(DaemonUnavailable, match="has hung up"):
        next(events)
    with pytest.raises(DaemonUnavailable, match="has ended"):
        admin.status()


@pytest.mark.parametrize("answer", [m.Happened(3, 0, ()), m.Rows(2, (), None), m.AdminFailed(0, "protocol", "what?")])
def test_a_watcher_is_told_something_else(peer: Peer, admin: AdminClient, answer: m.AdminReply) -> None:
    peer.answers.append(encode(m.Report(2, {})) + encode(answer))
    events = admin.watch()
    with pytest.raises(ProtocolError):
        next(events)


def test_whoever_stops_watching_hangs_up(peer: Peer, admin: AdminClient) -> None:
    peer.answers.append(encode(m.Report(2, {})) + encode(m.Happened(2, 1, ())))
    events = admin.watch()
    next(events)
    del events
    peer.is_over.wait(30)
    with pytest.raises(DaemonUnavailable, match="has ended"):
        admin.status()


def test_show(peer: Peer, admin: AdminClient) -> None:
    peer.answers.append(m.Report(2, {"name": "a", "holders": ()}))
    assert admin.show("a") == {"name": "a", "holders": ()}
    with pytest.raises(BadRequest, match='the name "a\\\\nb" has a control character'):
        admin.show("a\nb")


def test_where_it_looks(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCKD_SOCKET", str(peer.path.with_name("lockd.sock")))
    AdminClient().close()
    assert peer.heard == [m.AdminHello(1, "lockd-admin", 1)]


def test_no_daemon(runtime_dir: Path) -> None:
    with pytest.raises(DaemonUnavailable, match="set LOCKD_ADMIN_SOCKET to the socket of the one that runs"):
        AdminClient(runtime_dir / "admin.sock")


FAILURES: list[tuple[list[Answer], type[LockError], str]] = [
    ([m.AdminFailed(0, "access_denied", "not for you")], AccessDenied, "the daemon refused: not for you"),
    ([m.AdminFailed(1, "version", "only 2")], ProtocolError, "the daemon refused: only 2"),
    ([], DaemonUnavailable, "has hung up without an answer"),
    ([b"HTTP/1.1 400 Bad Request\r\n\r\n"], ProtocolError, "is not lockd's admin socket: a frame announces"),
    ([m.Report(1, {})], ProtocolError, "is not lockd's admin socket: a Report is no answer to this question"),
    ([m.AdminWelcome(7, 1, "")], ProtocolError, "a AdminWelcome is no answer to this question"),
]


@pytest.mark.parametrize(("answers", "error", "sentence"), FAILURES)
def test_failures(peer: Peer, answers: list[Answer], error: type[LockError], sentence: str) -> None:
    peer.answers = answers
    with pytest.raises(error, match=sentence):
        AdminClient(peer.path)


def test_a_daemon_that_does_not_answer(peer: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin_module, "ANSWER_SECONDS", 0.05)
    peer.answers = [b"\0"]
    with pytest.raises(DaemonUnavailable, match=r"has not answered for 0\.05 s"):
        AdminClient(peer.path)


def test_any_failure_ends_the_conversation(peer: Peer, admin: AdminClient) -> None:
    peer.answers.append(m.AdminFailed(2, "unavailable", "not now"))
    with pytest.raises(DaemonUnavailable, match="the daemon refused: not now"):
        admin.status()
    with pytest.raises(DaemonUnavailable, match="this conversation with lockd has ended"):
        admin.status()


def close_descriptor(admin: AdminClient, tmp_path: Path) -> None:
    own = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.dup2(own, admin._transport.number)
    os.close(own)


def fork(admin: AdminClient, tmp_path: Path) -> None:
    admin.after_fork_in_child()


@pytest.mark.parametrize("mishap", [close_descriptor, fork])
def test_the_connection_is_gone(
    admin: AdminClient, tmp_path: Path, mishap: Callable[[AdminClient, Path], None]
) -> None:
    number = admin._transport.number
    mishap(admin, tmp_path)
    with pytest.raises(DaemonUnavailable):
        admin.status()
    if mishap is close_descriptor:
        assert (tmp_path / "file").read_bytes() == b""
        os.close(number)


def test_a_break(peer: Peer, admin: AdminClient) -> None:
    peer.answers += [m.Report(2, {"grants": (), "grants_total": 0}), m.Report(3, {"grants_total": 1})]
    assert admin.break_("a", reason="it hangs") == {"grants": (), "grants_total": 0}
    answer = admin.break_(token=7, reason="it hangs", all_of_them=True, dry_run=True, kill=True, up_to=9)
    assert answer == {"grants_total": 1}
    options: dict[str, m.Scalar] = {"all": True, "dry_run": True, "kill": True, "up_to": 9}
    assert peer.heard[1:] == [m.Break(2, "a", 0, "it hangs", {}), m.Break(3, "", 7, "it hangs", options)]


def test_a_break_that_cannot_be(admin: AdminClient) -> None:
    with pytest.raises(BadRequest, match="is empty"):
        admin.break_(reason="it hangs")
    with pytest.raises(BadRequest, match="has a control character"):
        admin.break_("a", reason="\x1b[31m")


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("broken", "a is no longer held: an administrator has taken it away"),
        ("broken: it: hangs", "a is no longer held: an administrator has taken it away: it: hangs"),
        ("broken: \x1b[31m", "a is no longer held: an administrator has taken it away: \\x1b[31m"),
        ("eaten: by mice", "a is no longer held: it was taken away: eaten: by mice"),
    ],
)
def test_what_the_holder_is_told(reason: str, sentence: str) -> None:
    """Also of a reason that a later daemon has."""
    error = loss("a", reason)
    assert isinstance(error, LockLost)
    assert str(error) == sentence
