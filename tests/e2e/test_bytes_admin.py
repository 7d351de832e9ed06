"""docs/protocol.md, section 6, with bytes alone: no library of ours on this side."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lockd import __version__
from support.daemon import Daemon
from support.permissions import SOMEBODY, effective_uid, needs_root
from support.raw import (
    ACQUIRE,
    ADMIN_FAILED,
    ADMIN_HELLO,
    ADMIN_WELCOME,
    CONVERT,
    FOREVER,
    GRAPH,
    HAPPENED,
    HELLO,
    HISTORY,
    LIST,
    METRICS,
    ORDERS,
    QUERY,
    RELEASE,
    REPORT,
    ROWS,
    SESSIONS,
    SHOW,
    STATUS,
    WATCH,
    Raw,
    code_of,
)

from .conftest import Connect


@pytest.fixture
def admin(daemon: Daemon, closing: ExitStack) -> Raw:
    return closing.enter_context(Raw.administrator(daemon.admin_socket))


def test_admin_hello(daemon: Daemon, closing: ExitStack) -> None:
    peer = closing.enter_context(Raw(daemon.admin_socket))
    assert peer.ask(ADMIN_HELLO, 3, "lockd-admin", 1) == [ADMIN_WELCOME, 3, 1, __version__]


@pytest.mark.parametrize(
    ("first", "id", "code"),
    [
        ((ADMIN_HELLO, 3, "lockd", 1), 0, "protocol"),
        ((ADMIN_HELLO, 3, "lockd-admin", 2), 3, "version"),
        ((STATUS, 3), 0, "protocol"),
        ((HELLO, 0, "lockd", 1, "", []), 0, "protocol"),
        ((QUERY, 1, "db"), 0, "protocol"),
    ],
)
def test_an_admin_hello_that_is_refused(
    daemon: Daemon, closing: ExitStack, first: tuple[object, ...], id: int, code: str
) -> None:
    peer = closing.enter_context(Raw(daemon.admin_socket))
    kind, told, why, sentence = peer.ask(*first)
    assert (kind, told, why) == (ADMIN_FAILED, id, code)
    assert sentence
    assert peer.is_ended()


@pytest.mark.parametrize(
    "question",
    [
        (ADMIN_HELLO, 1, "lockd-admin", 1),
        (STATUS, 1),
        (LIST, 1, "", 0, []),
        (SHOW, 1, "db"),
        (SESSIONS, 1, 0),
        (GRAPH, 1, 0),
        *[(HISTORY, 1, "db", 0), (WATCH, 1, "")],
        (METRICS, 1, 0),
        (ORDERS, 1, 0),
    ],
)
def test_a_question_of_administrators_is_unknown_to_the_client_socket(
    connect: Connect, question: tuple[object, ...]
) -> None:
    peer = connect()
    assert code_of(peer.ask(*question)) == "protocol"
    assert peer.is_ended()


@needs_root
def test_others_are_turned_away(runtime_dir: Path, closing: ExitStack) -> None:
    runtime_dir.chmod(0o711)
    with Daemon(runtime_dir) as daemon:
        assert Path(daemon.admin_socket).stat().st_mode & 0o777 == 0o600
        with effective_uid(SOMEBODY), pytest.raises(PermissionError):
            Raw(daemon.admin_socket)
        # Whatever the permissions: the daemon looks for itself.
        Path(daemon.admin_socket).chmod(0o666)
        with effective_uid(SOMEBODY):
            peer = closing.enter_context(Raw(daemon.admin_socket))
        kind, id, code, sentence = peer.receive()
        assert (kind, id, code) == (ADMIN_FAILED, 0, "access_denied")
        assert str(SOMEBODY) in sentence
        assert peer.is_ended()


def test_status(daemon: Daemon, connect: Connect, admin: Raw, name: str) -> None:
    before = admin.ask(STATUS, 1)[2]
    holder, waiter = connect(), connect()
    token = holder.acquire(1, name)
    waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    waiter.pong(2)
    kind, id, facts = admin.ask(STATUS, 2)
    assert (kind, id) == (REPORT, 2)
    assert list(facts) == [
        *("release", "version", "pid", "epoch", "uptime_seconds", "supervised", "trouble"),
        *("sessions", "detached", "names", "grants", "waiters"),
        *("abandoned", "granted_total", "timeouts_total", "cancels_total", "deadlocks_total", "reorders_total"),
        *("leases_taken_total", "breaks_total", "deaths_total", "kills_total"),
    ]
    assert (facts["release"], facts["version"], facts["pid"]) == (__version__, 1, daemon.pid)
    assert facts["epoch"] == token >> 32
    rise = {"sessions": 2, "names": 1, "grants": 1, "waiters": 1, "granted_total": 1, "detached": 0}
    assert {key: facts[key] - before[key] for key in rise} == rise
    assert facts["uptime_seconds"] > before["uptime_seconds"] > 0


def test_list(connect: Connect, admin: Raw, name: str) -> None:
    holder, waiter = connect("holder"), connect()
    token = holder.acquire(1, name)
    waiter.send(ACQUIRE, 1, 1, [[name, "S"]], FOREVER, [])
    waiter.pong(2)
    kind, id, [row], cursor = admin.ask(LIST, 1, name, 0, [])
    assert (kind, id, cursor) == (ROWS, 1, None)
    assert row.pop("longest_wait_seconds") >= 0
    assert row["holder"].pop("held_seconds") >= 0
    assert row == {
        **{"name": name, "mode": "X", "permits": 0, "limit": 0, "holders_total": 1, "waiters_total": 1},
        "holder": {
            **{"pid": os.getpid(), "uid": os.getuid(), "program": "holder", "label": "", "mode": "X"},
            **{"permits": 0, "token": token, "attached": True},
        },
    }


def test_pages(connect: Connect, admin: Raw, name: str) -> None:
    holder = connect()
    names = [f"{name} {number:02}" for number in range(100)]
    for request, each in enumerate(names, start=1):
        holder.acquire(request, each)
    read = []
    cursor: int | None = 0
    while cursor is not None:
        kind, _, page, cursor = admin.ask(LIST, 1, name, cursor, [])
        assert (kind, len(page) <= 32) == (ROWS, True)
        read += [row["name"] for row in page]
    assert sorted(read) == names


def test_filters(connect: Connect, admin: Raw, name: str) -> None:
    holder, waiter = connect(), connect()
    for request, each in enumerate((f"{name} 1", f"{name} 2"), start=1):
        holder.acquire(request, each)
    waiter.queue_up(1, [f"{name} 2", "X"])
    for number, (options, numbers) in enumerate(
        [
            ([], ["1", "2"]),
            ([["held", True], ["older_than", 0]], ["1", "2"]),
            ([["contended", True]], ["2"]),
            ([["older_than", 3600]], []),
        ]
    ):
        rows = admin.ask(LIST, number, name, 0, options)[2]
        assert sorted(row["name"][-1] for row in rows) == numbers
    kind, id, code, sentence = admin.ask(LIST, 9, name, 0, [["older", 1]])
    assert (kind, id, code) == (ADMIN_FAILED, 9, "bad_request")
    assert sentence == '"older" is not an option of LIST, which has held, contended, older_than'
    assert admin.ask(STATUS, 10)[0] == REPORT


def test_graph(connect: Connect, admin: Raw, name: str) -> None:
    holder, waiter, behind = connect("holder"), connect("waiter"), connect("behind")
    holder.acquire(1, name, "S")
    waiter.queue_up(1, [name, "X"])
    behind.queue_up(1, [name, "S"])
    rows: list[dict[str, Any]] = []
    cursor: int | None = 0
    while cursor is not None:
        kind, id, page, cursor = admin.ask(GRAPH, 3, cursor)
        assert (kind, id) == (ROWS, 3)
        rows += [row for row in page if row["name"] == name]
    assert [(row["waiter"]["program"], row["blocker"]["program"], row["held"]) for row in rows] == [
        ("waiter", "holder", True),
        ("behind", "waiter", False),
    ]
    assert list(rows[0]) == ["name", "limit", "holders_total", "waiters_total", "held", "waiter", "blocker"]
    assert (
        list(rows[0]["waiter"])
        == list(rows[0]["blocker"])
        == [
            *("session", "owner", "pid", "uid", "program", "label", "mode", "permits", "seconds", "attached"),
        ]
    )
    assert (rows[0]["waiter"]["mode"], rows[0]["blocker"]["mode"], rows[0]["limit"]) == ("X", "S", 0)


def test_show(connect: Connect, admin: Raw, name: str) -> None:
    nothing = {"holders": [], "holders_total": 0, "waiters": [], "waiters_total": 0, "abandoned": None}
    nobody = {"name": name, "permits": 0, "limit": 0, **nothing}
    assert admin.ask(SHOW, 1, name) == [REPORT, 1, nobody]
    holder, waiter = connect("holder"), connect("waiter")
    token = holder.acquire(1, name)
    waiter.send(ACQUIRE, 1, 1, [[name, "S"]], 3600, [["label", "report"]])
    waiter.send(ACQUIRE, 2, 2, [[name, "X"]], FOREVER, [])
    waiter.pong(3)
    facts = admin.ask(SHOW, 2, name)[2]
    assert (facts["holders_total"], facts["waiters_total"], facts["holders"][0]["token"]) == (1, 2, token)
    one, two = facts["waiters"]
    assert one.pop("waited_seconds") >= two.pop("waited_seconds") >= 0
    assert 0 < one.pop("deadline_seconds") <= 3600
    who = {"pid": os.getpid(), "uid": os.getuid(), "program": "waiter", "attached": True}
    who |= {"permits": 0, "converts_from": ""}
    assert one == {**who, "label": "report", "mode": "S", "position": 1}
    assert two == {**who, "label": "", "mode": "X", "position": 2, "deadline_seconds": None}


def test_a_semaphore(connect: Connect, admin: Raw, name: str) -> None:
    holder, waiter = connect(), connect()
    holder.take(1, [name, 2, 5])
    holder.take(2, [name, 1, 5])
    waiter.queue_up(1, [name, 4, 5])
    [row] = admin.ask(LIST, 1, name, 0, [])[2]
    facts = admin.ask(SHOW, 2, name)[2]
    for table in (row, facts):
        assert (table["permits"], table["limit"]) == (3, 5)
    assert (row["mode"], row["holder"]["mode"], row["holder"]["permits"]) == ("", "", 2)
    assert [entry["permits"] for entry in (*facts["holders"], *facts["waiters"])] == [2, 1, 4]


def test_a_conversion_that_waits(connect: Connect, admin: Raw, name: str) -> None:
    one, other, third = connect("one"), connect("other"), connect("third")
    token = one.take(1, [name, "S"])
    other.take(1, [name, "S"])
    third.queue_up(1, [name, "IX"])
    one.send(CONVERT, 2, token, "X", FOREVER, [])
    one.pong(3)
    waiters = admin.ask(SHOW, 1, name)[2]["waiters"]
    assert [(row["program"], row["mode"], row["converts_from"], row["position"]) for row in waiters] == [
        ("one", "X", "S", 1),
        ("third", "IX", "", 2),
    ]


def test_show_of_a_name_that_cannot_be(admin: Raw) -> None:
    kind, id, code, sentence = admin.ask(SHOW, 1, "\x1b[31m")
    assert (kind, id, code) == (ADMIN_FAILED, 1, "bad_request")
    assert sentence.isprintable()
    assert admin.ask(STATUS, 2)[0] == REPORT


def test_history(connect: Connect, admin: Raw, name: str) -> None:
    assert admin.ask(HISTORY, 1, name, 0) == [ROWS, 1, [], None]
    holder = connect("holder")
    token = holder.acquire(1, name)
    holder.send(RELEASE, 2, token, False)
    holder.pong(3)
    kind, id, [row], cursor = admin.ask(HISTORY, 2, name, 0)
    assert (kind, id, cursor) == (ROWS, 2, None)
    assert min(row.pop("ago_seconds"), row.pop("held_seconds")) >= 0
    assert row == {
        **{"name": name, "what": "released", "pid": os.getpid(), "uid": os.getuid(), "program": "holder", "label": ""},
        **{"mode": "X", "permits": 0, "token": token, "waited_seconds": 0},
    }
    assert admin.ask(HISTORY, 3, "\x1b[31m", 0)[:3] == [ADMIN_FAILED, 3, "bad_request"]


def test_watch(connect: Connect, admin: Raw, name: str) -> None:
    kind, id, facts = admin.ask(WATCH, 4, name)
    assert (kind, id, list(facts)) == (REPORT, 4, ["events_max", "period_seconds"])
    holder = connect("holder")
    token = holder.acquire(1, name)
    kind, id, missed, [row] = admin.receive()
    assert (kind, id, missed) == (HAPPENED, 4, 0)
    assert row.pop("ago_seconds") >= 0
    assert row == {
        **{"name": name, "what": "granted", "pid": os.getpid(), "uid": os.getuid(), "program": "holder", "label": ""},
        **{"mode": "X", "permits": 0, "token": token, "waited_seconds": 0, "held_seconds": 0},
    }
    holder.send(RELEASE, 2, token, False)
    _, _, _, [row] = admin.receive()
    assert (row["what"], row["token"]) == ("released", token)


def test_sessions(connect: Connect, admin: Raw, name: str) -> None:
    holder, waiter = connect(name[:30] + " one"), connect(name[:30] + " two")
    holder.acquire(1, name)
    waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    waiter.pong(2)
    rows: list[dict[str, Any]] = []
    cursor: int | None = 0
    while cursor is not None:
        kind, _, page, cursor = admin.ask(SESSIONS, 1, cursor)
        assert (kind, len(page) <= 32) == (ROWS, True)
        rows += page
    one, two = (row for row in rows if row["program"].startswith(name[:30]))
    # Each is as old as it was when its own page was made, so the ages of two pages cannot be compared.
    assert min(one.pop("age_seconds"), two.pop("age_seconds")) >= 0
    assert one.pop("session") < two.pop("session")
    who = {"pid": os.getpid(), "uid": os.getuid(), "gid": os.getgid(), "attached": True}
    assert one == {**who, "program": f"{name[:30]} one", "grants": 1, "waiting": 0}
    assert two == {**who, "program": f"{name[:30]} two", "grants": 0, "waiting": 1}


def test_metrics(connect: Connect, admin: Raw, name: str) -> None:
    connect().acquire(1, name)
    pieces: list[str] = []
    cursor: int | None = 0
    while cursor is not None:
        kind, id, rows, cursor = admin.ask(METRICS, 7, cursor)
        assert (kind, id, {key for row in rows for key in row}) == (ROWS, 7, {"text"})
        assert len(rows) <= 8
        pieces += [row["text"] for row in rows]
    lines = "".join(pieces).splitlines()
    assert "# TYPE lockd_holds gauge" in lines
    [holds] = [line for line in lines if line.startswith("lockd_holds ")]
    assert float(holds.split()[1]) >= 1


def test_names_in_opposite_orders(connect: Connect, admin: Raw, name: str) -> None:
    for program, names in (("one", (f"{name} a", f"{name} b")), ("other", (f"{name} b", f"{name} a"))):
        peer = connect(program)
        tokens = [peer.acquire(request, each) for request, each in enumerate(names, start=1)]
        for request, token in enumerate(tokens, start=3):
            peer.send(RELEASE, request, token, False)
        peer.pong(5)
    rows: list[dict[str, Any]] = []
    cursor: int | None = 0
    while cursor is not None:
        kind, _, page, cursor = admin.ask(ORDERS, 1, cursor)
        assert (kind, len(page) <= 4) == (ROWS, True)
        rows += page
    [row] = [row for row in rows if row["first"]["held"].startswith(name)]
    assert row["first"].pop("ago_seconds") >= row["second"].pop("ago_seconds") >= 0
    who = {"pid": os.getpid(), "uid": os.getuid(), "held_label": "", "wanted_label": ""}
    assert row == {
        "first": {**who, "program": "one", "held": f"{name} a", "wanted": f"{name} b"},
        "second": {**who, "program": "other", "held": f"{name} b", "wanted": f"{name} a"},
    }
