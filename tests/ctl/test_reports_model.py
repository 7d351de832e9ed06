"""``lockctl list``, ``show`` and ``status``: the modes, the semaphores, the trees, and what has become of whom."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.daemon import Daemon
from support.lockctl import Lockctl
from support.raw import ACQUIRE, CONVERT, FOREVER, GRANTED, LOST, RELEASE, Raw, code_of

PAGE = (Path(__file__).parents[2] / "docs" / "lockctl.md").read_text()

#: Mode in the protocol, and for people.
WORDS = {"X": "exclusive", "SIX": "SIX", "U": "update", "S": "shared", "IX": "IX", "IS": "IS"}

Connect = Callable[[str], Raw]


@pytest.fixture
def connect(daemon: Daemon) -> Iterator[Connect]:
    """Connect as a program. What it has is free at the end of the test."""
    with ExitStack() as stack:
        yield lambda program: stack.enter_context(Raw.welcomed(daemon.client_socket, program, release_on_eof=True))


def cells(row: str) -> list[str]:
    """Return what stands in the columns of a row: they are two blanks apart."""
    return re.split(" {2,}", row.strip())


@pytest.mark.parametrize("mode", WORDS)
def test_each_mode_has_a_word_that_the_page_explains(lockctl: Lockctl, connect: Connect, name: str, mode: str) -> None:
    connect("holder").acquire(1, name, mode)
    heading, row = lockctl("list", name).out.splitlines()
    assert dict(zip(cells(heading), cells(row), strict=False))["MODE"] == WORDS[mode]
    title, _, heading, row = lockctl("show", name).out.splitlines()
    assert title == f'"{name}": 1 holder, 0 waiters'
    assert dict(zip(cells(heading), cells(row), strict=False))["MODE"] == WORDS[mode]
    assert f"\n| {WORDS[mode]} | " in PAGE

    [entry] = json.loads(lockctl("list", "--json", name).out)
    assert (entry["mode"], entry["permits"], entry["limit"]) == (mode, 0, 0)
    assert json.loads(lockctl("show", "--json", name).out)["holders"][0]["mode"] == mode


def test_the_page_says_who_goes_with_whom_as_the_daemon_has_it(connect: Connect, name: str) -> None:
    rows = {row[0]: row[2] for row in (line.strip("| ").split(" | ") for line in PAGE.splitlines()) if len(row) == 3}
    said = {word: rows[word] for word in WORDS.values()}
    assert said["IS"] == "all but exclusive"
    said["IS"] = ", ".join(word for word in WORDS.values() if word != "exclusive")
    holder, other = connect("holder"), connect("other")
    request = 0
    for held, word in WORDS.items():
        together = set()
        for wanted in WORDS:
            request += 2
            token = holder.acquire(request, name, held)
            answer = other.ask(ACQUIRE, request, 1, [[name, wanted]], 0, [])
            if answer[0] == GRANTED:
                together.add(WORDS[wanted])
                other.send(RELEASE, request + 1, answer[3], False)
                other.pong(request + 2)
            holder.send(RELEASE, request + 1, token, False)
            request += 1
            holder.pong(request + 1)
        assert together == set(said[word].split(", ")) - {"-"}, word


def test_a_semaphore_is_told_by_its_permits(lockctl: Lockctl, connect: Connect, name: str) -> None:
    one, other, waiter = connect("one"), connect("other"), connect("waiter")
    for peer, permits in ((one, 2), (other, 1)):
        assert peer.ask(ACQUIRE, 1, 1, [[name, permits, 5]], FOREVER, [])[0] == GRANTED
    waiter.send(ACQUIRE, 1, 1, [[name, 4, 5]], FOREVER, [])
    waiter.pong(2)
    _, row = lockctl("list", name).out.splitlines()
    assert cells(row)[:2] == [name, "3 of 5 permits"]
    title, _, _, first, second, _, _, waiting = lockctl("show", name).out.splitlines()
    assert title == f'"{name}": 3 of 5 permits taken, 2 holders, 1 waiter'
    assert ("  2 of 5 permits  " in first, "  1 of 5 permits  " in second) == (True, True)
    assert "  4 of 5 permits  " in waiting

    [entry] = json.loads(lockctl("list", "--json", name).out)
    assert (entry["mode"], entry["permits"], entry["limit"]) == ("", 3, 5)
    shown = json.loads(lockctl("show", "--json", name).out)
    assert (shown["permits"], shown["limit"]) == (3, 5)
    assert [row["permits"] for row in (*shown["holders"], *shown["waiters"])] == [2, 1, 4]


def test_a_semaphore_of_one(lockctl: Lockctl, connect: Connect, name: str) -> None:
    assert connect("one").ask(ACQUIRE, 1, 1, [[name, 1, 1]], FOREVER, [])[0] == GRANTED
    assert lockctl("show", name).out.startswith(f'"{name}": 1 of 1 permit taken, 1 holder, 0 waiters\n')


def test_a_conversion_is_among_the_waiters_in_front(lockctl: Lockctl, connect: Connect, name: str) -> None:
    one, other, writer = connect("one"), connect("other"), connect("writer")
    token = one.acquire(1, name, "S")
    other.acquire(1, name, "S")
    writer.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    writer.pong(2)
    one.send(CONVERT, 2, token, "X", FOREVER, [])
    one.pong(3)
    title, *_, first, second = lockctl("show", name).out.splitlines()
    assert title == f'"{name}": 2 holders, 2 waiters'
    assert (cells(first)[0], "  exclusive, from shared  " in first) == ("1", True)
    assert (cells(second)[0], "  exclusive  " in second) == ("2", True)
    waiters = json.loads(lockctl("show", "--json", name).out)["waiters"]
    assert [(row["program"], row["mode"], row["converts_from"]) for row in waiters] == [
        ("one", "X", "S"),
        ("writer", "X", ""),
    ]


def test_a_tree_is_shown_name_by_name(lockctl: Lockctl, connect: Connect, name: str) -> None:
    leaf = f"{name}/users/42"
    assert connect("one").ask(ACQUIRE, 1, 1, [[leaf, "X"]], FOREVER, [["tree", True]])[0] == GRANTED
    rows = [cells(row)[:2] for row in lockctl("list", name).out.splitlines()[1:]]
    assert rows == [[name, "IX"], [f"{name}/users", "IX"], [leaf, "exclusive"]]


def test_status_tells_of_deadlocks_leases_and_abandoned_names(lockctl: Lockctl, connect: Connect, name: str) -> None:
    before = json.loads(lockctl("status", "--json").out)
    peer, other = connect("one"), connect("other")
    # A deadlock of one.
    peer.acquire(1, name)
    assert code_of(peer.ask(ACQUIRE, 2, 1, [[name, "X"]], FOREVER, [])) == "deadlock"
    # A lease that is over at once, and is taken as soon as somebody waits.
    leased = f"{name} leased"
    assert peer.ask(ACQUIRE, 3, 1, [[leased, "X"]], FOREVER, [["lease", 0]])[0] == GRANTED
    token = other.acquire(1, leased)
    assert peer.receive()[0] == LOST
    after = json.loads(lockctl("status", "--json").out)
    rise = {"deadlocks_total": 1, "leases_taken_total": 1, "abandoned": 1, "reorders_total": 0}
    assert {key: after[key] - before[key] for key in rise} == rise

    # What administrators have taken away stands in a line of its own, if there was any.
    first, now, since, *_, deadlocks = lockctl("status").out.splitlines()
    assert first.startswith("lockd ")
    assert re.search(rf", {after['abandoned']} abandoned names?$", now)
    assert re.search(rf", {after['leases_taken_total']} leases? taken, ", since)
    resolved = f"{after['reorders_total']} resolved by another order of the waiters"
    assert deadlocks == f"deadlocks since the start: {after['deadlocks_total']} refused, {resolved}"

    # Whoever has had it exclusively and releases it in order has seen to it.
    other.send(RELEASE, 2, token, False)
    other.pong(3)
    assert json.loads(lockctl("status", "--json").out)["abandoned"] == before["abandoned"]
