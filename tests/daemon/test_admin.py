"""lockd/admin/: what administrators are told, and that nobody else gets near it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd import __version__
from lockd.admin import paging
from lockd_wire import messages as m
from lockd_wire.codec import encode
from lockd_wire.errors import LocalWireError
from lockd_wire.limits import ELEMENTS_MAX, FRAME_BYTES_MAX, ROWS_MAX, UINT_MAX
from lockd_wire.names import fault_of_name
from support.shell import Peer, Shell, acquire

HELLO = m.AdminHello(0, "lockd-admin", 1)
OWN: dict[str, m.Scalar] = {"pid": os.getpid(), "uid": os.getuid()}
#: Rows of one page, if they are short.
PAGE = ELEMENTS_MAX
NO_PERMITS: dict[str, m.Scalar] = {"permits": 0, "limit": 0}


async def test_hello_is_answered_with_version_and_release(shell: Shell, autojump_clock: MockClock) -> None:
    peer = shell.connect_admin()
    assert await peer.asks(m.AdminHello(7, "lockd-admin", 1)) == [m.AdminWelcome(7, 1, __version__)]


@pytest.mark.parametrize(
    ("first", "answer"),
    [
        (HELLO._replace(magic="lockd"), (0, "protocol", 'ADMIN_HELLO does not begin with "lockd-admin"')),
        (HELLO._replace(id=5, version=2), (5, "version", "the daemon speaks version 1 of the protocol and not 2")),
        (m.Status(1), (0, "protocol", "the first message, and no other, has to be ADMIN_HELLO")),
    ],
)
async def test_a_hello_that_cannot_be_is_refused(
    shell: Shell, first: m.AdminRequest, answer: tuple[int, str, str], autojump_clock: MockClock
) -> None:
    peer = shell.connect_admin()
    assert await peer.asks(first, m.Status(9)) == [m.AdminFailed(*answer)]
    assert peer.is_ended


async def test_a_second_hello_is_refused(shell: Shell, autojump_clock: MockClock) -> None:
    peer = await shell.administrator()
    words = "the first message, and no other, has to be ADMIN_HELLO"
    assert await peer.asks(HELLO, m.Status(1)) == [m.AdminFailed(0, "protocol", words)]
    assert peer.is_ended


async def test_hello_is_waited_for_five_seconds(shell: Shell, autojump_clock: MockClock) -> None:
    peer = shell.connect_admin()
    await trio.sleep(5.1)
    assert await peer.hears() == [m.AdminFailed(0, "protocol", "no HELLO came within 5 seconds")]
    assert peer.is_ended


async def test_status_of_a_daemon_that_has_done_something(shell: Shell, autojump_clock: MockClock) -> None:
    one, other = await shell.welcomed(), await shell.welcomed()
    [token, _] = await one.granted(acquire(1), acquire(2, "log", "S"))
    other.says(acquire(1), acquire(2, timeout=0), acquire(3, timeout=2), acquire(4), m.Cancel(5, 4))
    one.says(acquire(3))
    await trio.sleep(10)
    one.hangs_up()
    peer = await shell.administrator()
    [report] = await peer.asks(m.Status(3))
    assert report.id == 3
    assert report.facts == {
        **{
            "release": __version__,
            "version": 1,
            "pid": os.getpid(),
            "epoch": token >> 32,
            "uptime_seconds": 10,
            "supervised": False,
            "trouble": "",
        },
        **{"sessions": 2, "detached": 1, "names": 2, "grants": 2, "waiters": 1},
        **{"granted_total": 2, "timeouts_total": 2, "cancels_total": 1, "deadlocks_total": 1, "deaths_total": 0},
        **{"abandoned": 0, "reorders_total": 0, "leases_taken_total": 0, "breaks_total": 0, "kills_total": 0},
    }


async def test_status_counts_leases_reorderings_and_what_was_abandoned(shell: Shell, autojump_clock: MockClock) -> None:
    one, second, third = await shell.welcomed(), await shell.welcomed(), await shell.welcomed()
    await one.granted(acquire(1, "leased")._replace(options={"lease": 1}), acquire(2, "a", "S"))
    await third.granted(acquire(1, "b"))
    # The third waits behind the second, which waits for the first, which would wait for the third.
    assert await second.asks(acquire(1, "leased"), acquire(2, "a", owner=2)) == []
    assert await third.asks(acquire(2, "a", "S")) == []
    one.says(acquire(3, "b"))
    await trio.sleep(2)
    status = await shell.status()
    assert (status["abandoned"], status["leases_taken_total"]) == (1, 1)
    assert (status["reorders_total"], status["deadlocks_total"]) == (1, 0)


async def test_semaphores_are_told_of_by_their_permits(shell: Shell, autojump_clock: MockClock) -> None:
    holder, waiter = await shell.welcomed("holder"), await shell.welcomed("waiter")
    [token] = await holder.granted(m.Acquire(1, 1, (("pool", 2, 3),), None, {}))
    assert await waiter.asks(m.Acquire(1, 1, (("pool", 3, 3),), None, {})) == []
    await trio.sleep(4)
    peer = await shell.administrator()
    rows, report = await peer.asks(m.List(1, "", 0, {}), m.Show(2, "pool"))
    held: dict[str, m.Scalar] = {
        **{**OWN, "program": "holder", "label": "", "mode": "", "permits": 2, "held_seconds": 4},
        **{"token": token, "attached": True},
    }
    waits: dict[str, m.Scalar] = {
        **{**OWN, "program": "waiter", "label": "", "mode": "", "permits": 3, "position": 1, "waited_seconds": 4},
        **{"converts_from": "", "deadline_seconds": None, "attached": True},
    }
    taken: dict[str, m.Scalar] = {"permits": 2, "limit": 3}
    assert rows.rows == (
        {
            **{"name": "pool", "mode": "", "holders_total": 1, "waiters_total": 1, "longest_wait_seconds": 4},
            **taken,
            "holder": held,
        },
    )
    assert report.facts == {
        **{"name": "pool", **taken, "holders": (held,), "holders_total": 1},
        **{"waiters": (waits,), "waiters_total": 1, "abandoned": None},
    }


async def test_list_tells_of_each_name_who_has_it_and_who_wants_it(shell: Shell, autojump_clock: MockClock) -> None:
    writer, reader = await shell.welcomed("writer"), await shell.welcomed("reader")
    [token] = await writer.granted(acquire(1, label="nightly"))
    await trio.sleep(2)
    [shared, _] = await reader.granted(acquire(1, "log", "S"), acquire(2, "log", "S", owner=2))
    reader.says(acquire(3))
    await trio.sleep(1)
    reader.says(acquire(4, mode="S"))
    await trio.sleep(2)
    peer = await shell.administrator()
    [rows] = await peer.asks(m.List(1, "", 0, {}))
    assert rows == m.Rows(
        1,
        (
            {
                **{"name": "db", "mode": "X", "holders_total": 1, "waiters_total": 2, "longest_wait_seconds": 3},
                **NO_PERMITS,
                "holder": {
                    **OWN,
                    **{"program": "writer", "label": "nightly", "mode": "X", "permits": 0, "held_seconds": 5},
                    **{"token": token, "attached": True},
                },
            },
            {
                **{"name": "log", "mode": "S", "holders_total": 2, "waiters_total": 0, "longest_wait_seconds": 0},
                **NO_PERMITS,
                "holder": {
                    **OWN,
                    **{"program": "reader", "label": "", "mode": "S", "permits": 0, "held_seconds": 3},
                    **{"token": shared, "attached": True},
                },
            },
        ),
        None,
    )


async def test_list_of_a_name_that_only_a_detached_session_wants(shell: Shell, autojump_clock: MockClock) -> None:
    holder, gone = await shell.welcomed(), await shell.welcomed()
    [token] = await holder.granted(acquire(1))
    assert await gone.asks(acquire(1)) == []
    gone.hangs_up()
    await trio.sleep(5)
    holder.says(m.Release(2, token, False))
    peer = await shell.administrator()
    [rows] = await peer.asks(m.List(1, "", 0, {}))
    assert rows.rows == (
        {
            **{"name": "db", "mode": "", "holders_total": 0, "waiters_total": 1, "longest_wait_seconds": 5},
            **NO_PERMITS,
            "holder": None,
        },
    )


async def test_list_can_be_asked_for_a_prefix(shell: Shell, autojump_clock: MockClock) -> None:
    holder, peer = await shell.welcomed(), await shell.administrator()
    await holder.granted(acquire(1, "db/a"), acquire(2, "db/b"), acquire(3, "d"), acquire(4, "x/db/"))
    for prefix, names in (("db/", ["db/a", "db/b"]), ("", ["db/a", "db/b", "d", "x/db/"]), ("none", [])):
        [rows] = await peer.asks(m.List(1, prefix, 0, {}))
        assert [row["name"] for row in rows.rows] == names


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["young", "old", "wanted", "waited for"]),
        ({"held": True}, ["young", "old", "wanted"]),
        ({"held": False, "contended": False}, ["young", "old", "wanted", "waited for"]),
        ({"contended": True}, ["wanted", "waited for"]),
        ({"contended": True, "held": True}, ["wanted"]),
        ({"older_than": 1.5}, ["old", "wanted"]),
        ({"older_than": 1000}, []),
    ],
)
async def test_list_can_be_asked_for_some_names(
    shell: Shell, options: dict[str, m.Scalar], names: list[str], autojump_clock: MockClock
) -> None:
    one, other = await shell.welcomed(), await shell.welcomed()
    [_, _, token] = await one.granted(acquire(1, "old"), acquire(2, "wanted"), acquire(3, "waited for"))
    await other.granted(acquire(1, "x"))
    assert await other.asks(acquire(2, "wanted"), acquire(3, "waited for")) == []
    other.hangs_up()
    await trio.sleep(3)
    one.says(m.Release(4, token, False), acquire(5, "young"))
    await trio.sleep(1)
    peer = await shell.administrator()
    [rows] = await peer.asks(m.List(1, "", 0, options))
    assert sorted(row["name"] for row in rows.rows if row["name"] != "x") == sorted(names)
    [rows] = await peer.asks(m.List(2, "w", 0, options))
    assert sorted(row["name"] for row in rows.rows) == sorted(name for name in names if name[0] == "w")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"helt": True}, '"helt" is not an option of LIST, which has held, contended, older_than'),
        ({"\x1b": 1}, '"\\x1b" is not an option of LIST, which has held, contended, older_than'),
        ({"held": 1}, "held has to be true or false"),
        ({"contended": "yes"}, "contended has to be true or false"),
        ({"older_than": True}, "older_than has to be a number of seconds, and not below 0"),
        ({"older_than": -1}, "older_than has to be a number of seconds, and not below 0"),
        ({"older_than": None}, "older_than has to be a number of seconds, and not below 0"),
    ],
)
async def test_an_option_that_cannot_be_is_refused(
    shell: Shell, options: dict[str, m.Scalar], sentence: str, autojump_clock: MockClock
) -> None:
    peer = await shell.administrator()
    refused, status = await peer.asks(m.List(1, "", 0, options), m.Status(2))
    assert refused == m.AdminFailed(1, "bad_request", sentence)
    assert status.id == 2


async def pages(peer: Peer, page: Callable[[int], m.AdminRequest]) -> list[m.Rows]:
    """Read all pages, the first with the cursor 0 and each next one with the cursor of the one before."""
    read: list[m.Rows] = []
    cursor: int | None = 0
    while cursor is not None:
        [rows] = await peer.asks(page(cursor))
        read.append(rows)
        cursor = rows.cursor
    return read


@pytest.mark.parametrize("total", [0, 1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE + 2])
async def test_list_comes_in_pages(shell: Shell, total: int, autojump_clock: MockClock) -> None:
    holder, peer = await shell.welcomed(), await shell.administrator()
    names = [f"name/{number}" for number in range(total)]
    await holder.granted(*[acquire(number + 1, name) for number, name in enumerate(names)])
    read = await pages(peer, lambda cursor: m.List(1, "", cursor, {}))
    assert [row["name"] for rows in read for row in rows.rows] == names
    assert len(read) == max((total + PAGE - 1) // PAGE, 1)


async def test_a_page_has_as_many_rows_as_fit(shell: Shell, autojump_clock: MockClock) -> None:
    holder, peer = await shell.welcomed("p" * 64), await shell.administrator()
    names = [f"{number:03}" + "n" * 252 for number in range(3 * PAGE)]
    await holder.granted(*[acquire(number, name, label="l" * 256) for number, name in enumerate(names, 1)])
    read = await pages(peer, lambda cursor: m.List(1, "", cursor, {}))
    assert [row["name"] for rows in read for row in rows.rows] == names
    [length] = {len(rows.rows) for rows in read[:-1]}
    assert ROWS_MAX <= length < PAGE
    one_more = read[0]._replace(rows=(*read[0].rows, read[1].rows[0]))
    with pytest.raises(LocalWireError, match="a frame has at most"):
        encode(one_more)


async def test_no_page_takes_long_however_much_is_passed_over(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(paging, "_SLOTS_MAX", 4)
    holder, peer = await shell.welcomed(), await shell.administrator()
    names = [*(f"a{number}" for number in range(10)), "b", *(f"c{number}" for number in range(5))]
    await holder.granted(*[acquire(number, name) for number, name in enumerate(names, 1)])
    read = await pages(peer, lambda cursor: m.List(1, "b", cursor, {}))
    assert [[row["name"] for row in rows.rows] for rows in read] == [[], [], ["b"], []]
    read = await pages(peer, lambda cursor: m.List(1, "", cursor, {}))
    assert [row["name"] for rows in read for row in rows.rows] == names


async def test_what_comes_and_goes_between_two_pages(shell: Shell, autojump_clock: MockClock) -> None:
    holder, peer = await shell.welcomed(), await shell.administrator()
    names = [f"name/{number:02}" for number in range(2 * PAGE)]
    tokens = await holder.granted(*[acquire(number + 1, name) for number, name in enumerate(names)])
    [first] = await peer.asks(m.List(1, "", 0, {}))
    holder.says(m.Release(100, tokens[0], False), m.Release(101, tokens[-1], False))
    holder.says(acquire(102, "new"), acquire(103, "newer"))
    [second] = await peer.asks(m.List(2, "", first.cursor, {}))
    # What was there all the time is on one of them; the slots of the others were used again.
    assert [row["name"] for rows in (first, second) for row in rows.rows] == [*names[:-1], "new"]
    assert second.cursor is None
    # A request with cursor 0 starts anew.
    [again] = await peer.asks(m.List(3, "", 0, {}))
    assert [row["name"] for row in again.rows] == ["newer", *names[1:PAGE]]


@pytest.mark.parametrize("cursor", [1, 8, 10**6, UINT_MAX])
async def test_a_cursor_that_nobody_gave_out_leads_nowhere(
    shell: Shell, cursor: int, autojump_clock: MockClock
) -> None:
    peer = await shell.administrator()
    await shell.welcomed()
    assert await peer.asks(m.List(1, "", cursor, {}), m.Sessions(2, cursor)) == [
        m.Rows(1, (), None),
        m.Rows(2, (), None),
    ]


async def test_two_lists_can_be_read_side_by_side(shell: Shell, autojump_clock: MockClock) -> None:
    holder = await shell.welcomed()
    others = [await shell.welcomed() for _ in range(PAGE)]
    await holder.granted(*[acquire(number, f"name/{number}") for number in range(1, PAGE + 2)])
    peer, another = await shell.administrator(), await shell.administrator()
    [names] = await peer.asks(m.List(1, "", 0, {}))
    [sessions] = await peer.asks(m.Sessions(2, 0))
    [theirs] = await another.asks(m.List(1, "", 0, {}))
    [names_on] = await peer.asks(m.List(3, "", names.cursor, {}))
    [sessions_on] = await peer.asks(m.Sessions(4, sessions.cursor))
    [theirs_on] = await another.asks(m.List(2, "", theirs.cursor, {}))
    assert [len(rows.rows) for rows in (names_on, sessions_on, theirs_on)] == [1, 1, 1]
    assert len(others) + 1 == len(sessions.rows) + len(sessions_on.rows)


async def test_sessions_tells_who_is_there(shell: Shell, autojump_clock: MockClock) -> None:
    one = await shell.welcomed("one")
    await trio.sleep(4)
    other = await shell.welcomed("other")
    await one.granted(acquire(1), acquire(2, "log"))
    assert await other.asks(acquire(1)) == []
    one.hangs_up()
    await trio.sleep(1)
    peer = await shell.administrator()
    [rows] = await peer.asks(m.Sessions(1, 0))
    first = rows.rows[0]["session"]
    everybody = {**OWN, "gid": os.getgid()}
    assert rows == m.Rows(
        1,
        (
            {
                **{"session": first, **everybody, "program": "one", "attached": False},
                **{"grants": 2, "waiting": 0, "age_seconds": 5},
            },
            {
                **{"session": first + 1, **everybody, "program": "other", "attached": True},
                **{"grants": 0, "waiting": 1, "age_seconds": 1},
            },
        ),
        None,
    )


async def test_sessions_come_in_pages(shell: Shell, autojump_clock: MockClock) -> None:
    for _ in range(2 * PAGE + 1):
        await shell.welcomed()
    peer = await shell.administrator()
    read = await pages(peer, lambda cursor: m.Sessions(1, cursor))
    ids = [row["session"] for rows in read for row in rows.rows]
    assert len(set(ids)) == len(ids) == 2 * PAGE + 1
    assert len(read) == 3


async def test_show_tells_all_about_a_name(shell: Shell, autojump_clock: MockClock) -> None:
    reader, writer, gone = await shell.welcomed("reader"), await shell.welcomed("writer"), await shell.welcomed("gone")
    [first, second] = await reader.granted(acquire(1, mode="S"), acquire(2, mode="S", owner=2, label="two"))
    assert await gone.asks(acquire(1, timeout=60)) == []
    await trio.sleep(1)
    assert await writer.asks(acquire(1, timeout=30, label="update"), acquire(2, mode="S")) == []
    gone.hangs_up()
    await trio.sleep(5)
    peer = await shell.administrator()
    [report] = await peer.asks(m.Show(1, "db"))
    lock: dict[str, m.Scalar] = {**OWN, "permits": 0}
    held: dict[str, m.Scalar] = {**lock, "program": "reader", "mode": "S", "held_seconds": 6, "attached": True}
    lock["converts_from"] = ""
    waits: dict[str, m.Scalar] = {**lock, "program": "writer", "attached": True, "waited_seconds": 5}
    assert report == m.Report(
        1,
        {
            **{"name": "db", **NO_PERMITS},
            "holders": ({**held, "label": "", "token": first}, {**held, "label": "two", "token": second}),
            "holders_total": 2,
            "waiters": (
                # It is the first in line and others may pass it, so that it is nobody's predecessor.
                {
                    **{**lock, "program": "gone", "label": "", "mode": "X", "position": 1, "waited_seconds": 6},
                    **{"deadline_seconds": 54, "attached": False},
                },
                {**waits, "label": "update", "mode": "X", "position": 1, "deadline_seconds": 25},
                {**waits, "label": "", "mode": "S", "position": 2, "deadline_seconds": None},
            ),
            "waiters_total": 3,
            "abandoned": None,
        },
    )


async def test_conversions_stand_before_the_queue(shell: Shell, autojump_clock: MockClock) -> None:
    one, other, writer = await shell.welcomed("one"), await shell.welcomed("other"), await shell.welcomed("writer")
    [token] = await one.granted(acquire(1, mode="S", label="reads"))
    await other.granted(acquire(1, mode="S"))
    assert await writer.asks(acquire(1)) == []
    await trio.sleep(3)
    assert await one.asks(m.Convert(2, token, "X", None, {})) == []
    await trio.sleep(1)
    peer = await shell.administrator()
    shown = await peer.asks(m.Show(1, "db"), m.List(2, "", 0, {}))
    waiting = [(row["program"], row["mode"], row["converts_from"], row["position"]) for row in _waiters(shown[0])]
    assert waiting == [("one", "X", "S", 1), ("writer", "X", "", 2)]
    assert [row["label"] for row in _waiters(shown[0])] == ["reads", ""]
    [row] = shown[1].rows
    assert (row["mode"], row["waiters_total"], row["longest_wait_seconds"]) == ("S", 2, 4)

    # Nobody is there any more for the one who converts: others may pass, and it keeps its place all the same.
    one.hangs_up()
    await trio.sleep(5)
    shown = await peer.asks(m.Show(3, "db"), m.List(4, "", 0, {}))
    waiting = [(row["program"], row["mode"], row["converts_from"], row["position"]) for row in _waiters(shown[0])]
    assert waiting == [("one", "X", "S", 1), ("writer", "X", "", 1)]
    assert shown[1].rows[0]["longest_wait_seconds"] == 9


async def test_a_name_on_which_there_is_nothing_but_a_conversion_has_a_longest_wait(
    shell: Shell, autojump_clock: MockClock
) -> None:
    one, other = await shell.welcomed(), await shell.welcomed()
    [token] = await one.granted(acquire(1, mode="S"))
    await other.granted(acquire(1, mode="S"))
    assert await one.asks(m.Convert(2, token, "X", None, {})) == []
    await trio.sleep(7)
    peer = await shell.administrator()
    [rows] = await peer.asks(m.List(1, "", 0, {}))
    assert rows.rows[0]["longest_wait_seconds"] == 7


def _waiters(report: m.Report) -> tuple[dict[str, m.Scalar], ...]:
    waiters = report.facts["waiters"]
    assert isinstance(waiters, tuple)
    return waiters


async def test_a_name_that_nobody_has_is_no_unknown_name(shell: Shell, autojump_clock: MockClock) -> None:
    peer = await shell.administrator()
    nobody: m.Facts = {"name": "db", "holders": (), "holders_total": 0, "waiters": (), "waiters_total": 0}
    nobody |= {"abandoned": None, **NO_PERMITS}
    assert await peer.asks(m.Show(1, "db")) == [m.Report(1, nobody)]


async def test_a_name_that_cannot_be_is_refused_and_the_next_question_answered(
    shell: Shell, autojump_clock: MockClock
) -> None:
    peer = await shell.administrator()
    name = "two\nlines"
    refused = m.AdminFailed(1, "bad_request", f'the name "two\\x0alines" {fault_of_name(name)}')
    first, second = await peer.asks(m.Show(1, name), m.Status(2))
    assert first == refused
    assert second.id == 2


@pytest.mark.parametrize(("held", "wanted"), [(("IX",), ("SIX",)), ((62_500, 10**6), (10**6, 10**6))])
async def test_the_longest_of_everything_fits_into_every_answer(
    shell: Shell, held: tuple[Any, ...], wanted: tuple[Any, ...], autojump_clock: MockClock
) -> None:
    """An answer that does not fit into a frame would be a bug, and bugs end the daemon."""
    program, label = "日" * 21, "\N{SOFT HYPHEN}" * 128
    names = [f"{number:02}" + "日" * 84 for number in range(2 * ROWS_MAX)]
    is_lock = held == ("IX",)
    if is_lock:
        gone = await shell.welcomed(program, release_on_eof=True)
        await gone.granted(acquire(1, names[0], label=label))
        gone.hangs_up()
    peers = [await shell.welcomed(program) for _ in range(2 * ROWS_MAX)]
    for peer in peers:
        peer.says(*[m.Acquire(at, 1, ((name, *held),), None, {"label": label}) for at, name in enumerate(names, 1)])
    await wait_all_tasks_blocked()
    for peer in peers:
        peer.says(*[m.Acquire(at, 2, ((name, *wanted),), 1e9, {"label": label}) for at, name in enumerate(names, 100)])
    await trio.sleep(100)
    asking = await shell.administrator()
    questions: list[m.Message] = [
        m.List(UINT_MAX, "", 0, {}),
        m.Sessions(UINT_MAX, 0),
        m.Show(UINT_MAX, names[0]),
        m.Status(UINT_MAX),
        m.Graph(UINT_MAX, 0),
    ]
    answers = await asking.asks(*questions)
    assert [type(answer) for answer in answers] == [m.Rows, m.Rows, m.Report, m.Report, m.Rows]
    rows, show = answers[0], answers[2].facts
    assert len(rows.rows) >= ROWS_MAX
    assert (len(show["holders"]), len(show["waiters"])) == (ROWS_MAX, ROWS_MAX)
    assert (show["abandoned"] is None) == (not is_lock)
    assert (show["holders_total"], show["waiters_total"]) == (2 * ROWS_MAX, 2 * ROWS_MAX)
    for answer in (rows, answers[2], answers[4]):
        assert len(encode(answer)) > FRAME_BYTES_MAX // 2, "the control: it is near the bound"


async def test_show_tells_who_left_a_name_half_done(shell: Shell, autojump_clock: MockClock) -> None:
    gone = await shell.welcomed("importer", release_on_eof=True)
    await gone.granted(acquire(1, label="half way"))
    gone.hangs_up()
    await trio.sleep(3)
    peer = await shell.administrator()
    [report] = await peer.asks(m.Show(1, "db"))
    assert report.facts["holders_total"] == 0
    assert report.facts["abandoned"] == {
        **OWN,
        **{"name": "db", "program": "importer", "label": "half way", "ago_seconds": 3},
    }


async def test_graph_tells_who_waits_for_whom(shell: Shell, autojump_clock: MockClock) -> None:
    holder, second, third = (
        await shell.welcomed("holder"),
        await shell.welcomed("second"),
        await shell.welcomed("third"),
    )
    await holder.granted(acquire(1, mode="S", label="backup"), acquire(2, "free"))
    await trio.sleep(2)
    assert await second.asks(acquire(1, owner=7)) == []
    await trio.sleep(1)
    assert await third.asks(acquire(1, mode="S")) == []
    peer = await shell.administrator()
    [sessions, rows] = await peer.asks(m.Sessions(1, 0), m.Graph(2, 0))
    ids = {row["program"]: row["session"] for row in sessions.rows}
    one: dict[str, m.Scalar] = {**OWN, "owner": 1, "permits": 0, "attached": True, "label": ""}
    waits = {**one, "session": ids["second"], "owner": 7, "program": "second", "mode": "X", "seconds": 1}
    name: dict[str, m.Scalar] = {"name": "db", "limit": 0, "holders_total": 1, "waiters_total": 2}
    assert rows == m.Rows(
        2,
        (
            {
                **{**name, "held": True, "waiter": waits},
                "blocker": {
                    **{**one, "session": ids["holder"], "program": "holder", "label": "backup"},
                    **{"mode": "S", "seconds": 3},
                },
            },
            {
                **{**name, "held": False, "blocker": waits},
                "waiter": {**one, "session": ids["third"], "program": "third", "mode": "S", "seconds": 0},
            },
        ),
        None,
    )


async def test_the_graph_of_many_waiters_comes_in_pages(shell: Shell, autojump_clock: MockClock) -> None:
    holder, waiter, peer = await shell.welcomed(), await shell.welcomed(), await shell.administrator()
    names = [f"name/{number}" for number in range(5)]
    await holder.granted(*[acquire(number, name) for number, name in enumerate(names, 1)])
    for place in range(30):
        waiter.says(*[acquire(1 + 5 * place + at, name, owner=1 + 5 * place + at) for at, name in enumerate(names)])
        await wait_all_tasks_blocked()
    read = await pages(peer, lambda cursor: m.Graph(1, cursor))
    rows_read: list[dict[str, Any]] = [row for rows in read for row in rows.rows]
    edges = [(row["name"], row["waiter"]["owner"], row["held"]) for row in rows_read]
    assert len(read) > 5
    assert len(edges) == len(set(edges)) == 5 * (30 + 29)
