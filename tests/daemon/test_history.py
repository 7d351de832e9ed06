"""HISTORY: how what was held and waited for has ended, and who holds and waits now."""

from __future__ import annotations

import os
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from lockd.core.happenings import Happening
from lockd.onlookers.history import KEPT
from lockd_wire import messages as m
from lockd_wire.limits import ROWS_MAX
from support.protocol_page import read_page
from support.shell import Peer, Shell, Start, acquire


async def history(peer: Peer, name: str = "db") -> list[dict[str, Any]]:
    """Ask for all pages."""
    rows: list[dict[str, Any]] = []
    cursor: int | None = 0
    while cursor is not None:
        [page] = await peer.asks(m.History(1, name, cursor))
        assert len(page.rows) <= ROWS_MAX
        rows += page.rows
        cursor = page.cursor
    return rows


async def take(peer: Peer, request: int, name: str = "db") -> None:
    """Take a lock and give it back."""
    [token] = await peer.granted(acquire(request, name))
    assert await peer.asks(m.Release(request + 1, token, False)) == []


async def test_a_row_tells_all_of_a_request(shell: Shell, autojump_clock: MockClock) -> None:
    first, second, admin = await shell.welcomed("one"), await shell.welcomed("two"), await shell.administrator()
    [held] = await first.granted(acquire(1, label="nightly"))
    assert await second.asks(acquire(1, mode="S")) == []
    await trio.sleep(3)
    first.says(m.Release(2, held, False))
    [granted] = await second.hears()
    await trio.sleep(4)
    second.says(m.Release(2, granted.token, False))
    await trio.sleep(5)
    who = {"name": "db", "pid": os.getpid(), "uid": os.getuid(), "permits": 0}
    assert await history(admin) == [
        {
            **{**who, "program": "one", "label": "nightly", "mode": "X", "what": "released", "ago_seconds": 9},
            **{"token": held, "waited_seconds": 0, "held_seconds": 3},
        },
        {
            **{**who, "program": "two", "label": "", "mode": "S", "what": "released", "ago_seconds": 5},
            **{"token": granted.token, "waited_seconds": 3, "held_seconds": 4},
        },
    ]


async def test_what_is_over_comes_before_what_is(shell: Shell, autojump_clock: MockClock) -> None:
    peer, other, admin = await shell.welcomed(), await shell.welcomed(), await shell.administrator()
    await take(peer, 1)
    await peer.granted(acquire(3))
    assert await other.asks(acquire(1, timeout=2), acquire(2, owner=2)) == []
    await trio.sleep(5)
    rows = await history(admin)
    assert [(row["what"], row["waited_seconds"], row["held_seconds"], row["ago_seconds"]) for row in rows] == [
        ("released", 0, 0, 5),
        ("timed out", 2, None, 3),
        ("granted", 0, 0, 5),
        ("queued", 0, None, 5),
    ]


@pytest.mark.parametrize(
    ("name", "whats"),
    [("a", ["released"]), ("b", ["released"]), ("tree/leaf", ["released"]), ("tree", []), ("pool", ["abandoned"])],
)
async def test_each_name_that_was_asked_for_has_its_own(
    shell: Shell, name: str, whats: list[str], autojump_clock: MockClock
) -> None:
    peer, gone, admin = await shell.welcomed(), await shell.welcomed(release_on_eof=True), await shell.administrator()
    tokens = await peer.granted(
        m.Acquire(1, 1, (("a", "X"), ("b", "S")), None, {}),
        m.Acquire(2, 1, (("tree/leaf", "X"),), None, {"tree": True}),
    )
    await gone.granted(m.Acquire(1, 1, (("pool", 2, 3),), None, {}))
    peer.says(*(m.Release(3 + number, token, False) for number, token in enumerate(tokens)))
    gone.hangs_up()
    rows = await history(admin, name)
    assert [row["what"] for row in rows] == whats
    assert [(row["mode"], row["permits"]) for row in rows] in ([("X", 0)], [("S", 0)], [("", 2)], [])


async def test_a_conversion_tells_the_new_mode(shell: Shell, autojump_clock: MockClock) -> None:
    peer, admin = await shell.welcomed(), await shell.administrator()
    [token] = await peer.granted(acquire(1))
    await peer.asks(m.Convert(2, token, "S", 0, {}), m.Release(3, token, False))
    assert [(row["what"], row["mode"]) for row in await history(admin)] == [("converted", "S"), ("released", "S")]


async def test_of_a_busy_name_the_latest_are_kept(shell: Shell, autojump_clock: MockClock) -> None:
    peer, admin = await shell.welcomed(), await shell.administrator()
    tokens = []
    for request in range(1, 10 * KEPT, 2):
        [token] = await peer.granted(acquire(request))
        tokens.append(token)
        peer.says(m.Release(request + 1, token, False))
        if request % 7 == 0:
            kept = [row["token"] for row in await history(admin)]
            assert min(KEPT, len(tokens)) <= len(kept) <= 2 * KEPT
            assert kept == tokens[-len(kept) :]


async def test_a_quiet_name_is_remembered_beside_a_busy_one(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(diagnostics__history_names_max="4")
    peer, admin = await shell.welcomed(), await shell.administrator()
    await take(peer, 1, "quiet")
    for request in range(3, 100, 2):
        await take(peer, request, "busy")
    assert [row["what"] for row in await history(admin, "quiet")] == ["released"]
    # Until as many others were in use as there is room for.
    for number in range(3):
        await take(peer, 1001 + 4 * number, f"other {number}")
        await take(peer, 1003 + 4 * number, "busy")
    assert await history(admin, "quiet") == []
    assert len(await history(admin, "busy")) >= KEPT
    assert len(await history(admin, "other 2")) == 1


async def test_a_daemon_that_is_to_remember_nothing_says_so(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(diagnostics__history_names_max="0")
    peer, admin = await shell.welcomed(), await shell.administrator()
    await take(peer, 1)
    words = "the daemon was told to remember nothing (diagnostics.history_names_max)"
    assert await admin.asks(m.History(4, "db", 0)) == [m.AdminFailed(4, "unavailable", words)]


def test_the_page_of_the_protocol_has_all_that_can_happen() -> None:
    _, _, table = read_page().partition("| what | it became of a request |\n|---|---|\n")
    rows = [line.split("|")[1].strip(" `") for line in table.partition("\n\n")[0].splitlines()]
    assert rows == [happening.value for happening in Happening]


async def test_a_name_that_cannot_be(shell: Shell, autojump_clock: MockClock) -> None:
    admin = await shell.administrator()
    [failed] = await admin.asks(m.History(4, "\x1b", 0))
    assert (failed.id, failed.code) == (4, "bad_request")


async def test_the_longest_page_fits_into_a_frame(shell: Shell, autojump_clock: MockClock) -> None:
    name, label = "é" * 127 + "n", "\U0001f512" * 64
    peer, admin = await shell.welcomed("p" * 64), await shell.administrator()
    for request in range(1, 2 * ROWS_MAX, 2):
        [token] = await peer.granted(acquire(request, name, label=label))
        peer.says(m.Release(request + 1, token, False))
    [page] = await admin.asks(m.History(1, name, 0))
    assert len(page.rows) == ROWS_MAX
