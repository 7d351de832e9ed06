"""Deadlocks between real processes, with bytes alone: who is told what, and who goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from support.daemon import Daemon
from support.elsewhere import Elsewhere
from support.raw import CONVERT, FOREVER, RELEASE, STATUS, STEPS, TRY, Raw

from .conftest import Connect

Start = Callable[[str], Elsewhere]


@pytest.fixture
def start(daemon: Daemon, closing: ExitStack) -> Start:
    """Start a process with a connection."""
    return lambda program: closing.enter_context(Elsewhere(daemon, program))


@pytest.fixture
def admin(daemon: Daemon, closing: ExitStack) -> Raw:
    return closing.enter_context(Raw.administrator(daemon.admin_socket))


def total(admin: Raw, request: int, key: str) -> int:
    """Ask for one of the daemon's counters."""
    count = admin.ask(STATUS, request)[2][key]
    assert isinstance(count, int)
    return count


def sides(step: dict[str, Any]) -> tuple[Any, ...]:
    """Return who waits in a step of a circle and who is in the way: pid, program, label and mode of each."""
    keys = ("pid", "program", "label", "mode")
    return tuple(step[key] for key in keys), tuple(step[f"blocker_{key}"] for key in keys)


@pytest.mark.parametrize("number", [2, 3])
def test_processes_that_wait_for_each_other_in_a_circle(start: Start, admin: Raw, name: str, number: int) -> None:
    before = total(admin, 1, "deadlocks_total")
    names = [f"{name} {place}" for place in range(number)]
    processes = [start(f"process {place}") for place in range(number)]
    tokens = [
        process.peer.take(1, [names[place], "X"], label=f"has {place}") for place, process in enumerate(processes)
    ]
    for place, process in enumerate(processes[:-1]):
        process.peer.queue_up(2, [names[place + 1], "S"], label=f"wants {place + 1}")
    last = processes[-1]
    last.peer.want(2, [names[0], "U"], label="wants 0")
    facts = last.peer.failed(2, "deadlock")

    assert facts.keys() == {"name", "cycle", "cycle_total"}
    assert (facts["name"], facts["cycle_total"]) == (names[0], number)
    # It begins with the request that was refused, and each step leads on from the one before.
    order = [number - 1, *range(number - 1)]
    assert [step["name"] for step in facts["cycle"]] == [names[(place + 1) % number] for place in order]
    assert [sides(step) for step in facts["cycle"]] == [
        (
            (processes[place].pid, f"process {place}", f"wants {after}", "U" if after == 0 else "S"),
            (processes[after].pid, f"process {after}", f"has {after}", "X"),
        )
        for place, after in ((place, (place + 1) % number) for place in order)
    ]
    for step in facts["cycle"]:
        assert step["seconds"] >= 0
        assert (step["uid"], step["blocker_uid"]) == (os.getuid(), os.getuid())
        assert (step["permits"], step["blocker_permits"], step["queued"]) == (0, 0, False)
    assert total(admin, 2, "deadlocks_total") == before + 1

    # What it held is still held, and the others go on as soon as it gives that up.
    assert last.peer.facts_of(3, names[-1])["holders"][0]["token"] == tokens[-1]
    last.peer.release(4, tokens[-1])
    for place in reversed(range(number - 1)):
        second = processes[place].peer.granted(2)
        processes[place].peer.release(4, second)
        processes[place].peer.release(5, tokens[place])


def test_the_sentence_names_the_processes(connect: Connect, start: Start, name: str) -> None:
    one, other = start("one"), connect("other")
    a, b = f"{name} a", f"{name} b"
    one.peer.take(1, [a, "X"])
    other.take(1, [b, "X"])
    one.peer.queue_up(2, [b, "X"])
    other.want(2, [a, "X"])
    sentence = other.receive()[4]
    for text in (f'"{a[:40]}', f"pid {one.pid} ", f"pid {os.getpid()} ", "wait for ever"):
        assert text in sentence


def test_a_try_closes_no_circle(start: Start, connect: Connect, name: str) -> None:
    one, other = start("one"), connect("other")
    a, b = f"{name} a", f"{name} b"
    one.peer.take(1, [a, "X"])
    other.take(1, [b, "X"])
    one.peer.queue_up(2, [b, "X"])
    other.want(2, [a, "X"], timeout=TRY)
    other.failed(2, "timeout")


def test_two_threads_of_one_process_are_two(connect: Connect, name: str) -> None:
    peer = connect()
    a, b = f"{name} a", f"{name} b"
    first = peer.take(1, [a, "X"], owner=1)
    peer.take(2, [b, "X"], owner=2)
    # That the second waits for the first is no circle, whatever else their process holds.
    peer.queue_up(3, [a, "X"], owner=2)
    peer.want(5, [b, "X"], owner=1)
    assert peer.failed(5, "deadlock")["cycle_total"] == 2
    peer.send(RELEASE, 6, first, False)
    peer.granted(3)


def test_of_a_long_circle_the_other_steps_are_told_ahead_and_the_sentence_fits(connect: Connect, name: str) -> None:
    peer = connect("p" * 64)
    names = [f"{number:02}{'日' * 84}" for number in range(12)]
    label = "\N{SOFT HYPHEN}" * 128
    for owner, each in enumerate(names):
        peer.take(owner + 1, [each, "SIX"], owner=owner, label=label)
    for owner, each in enumerate(names[1:]):
        peer.queue_up(100 + 2 * owner, [each, "SIX"], owner=owner, label=label)
    peer.want(200, [names[0], "SIX"], owner=11, label=label)
    steps, answer = peer.receive(), peer.receive()
    assert answer[3] == "deadlock"
    assert len(answer[4].encode()) <= 1024
    first = answer[5]["cycle"]
    assert (len(first), answer[5]["cycle_total"]) == (8, 12)
    assert len(first[0]["label"].encode()) <= 64
    assert (steps[:2], steps[3:5]) == ([STEPS, 0], [200, 8])
    # The same facts in the same order, but for what is waited for, and since when.
    assert [step[0] for step in steps[5]] == names[8:]
    who, is_queued = [*first[0].values()][1:13], False
    assert [(step[1:13], *step[14:]) for step in steps[5]] == [(who, is_queued)] * 4


def test_a_circle_through_a_queue(start: Start, name: str) -> None:
    """One waits for nothing that the other holds, but behind somebody who does. Both want to write, so that no other
    order of the queue helps."""
    one, other, between = start("one"), start("other"), start("between")
    log, db = f"{name} log", f"{name} db"
    one.peer.take(1, [log, "X"])
    other.peer.take(1, [db, "S"])
    between.peer.queue_up(1, [db, "X"])
    one.peer.queue_up(2, [db, "X"])
    other.peer.want(2, [log, "S"])
    facts = other.peer.failed(2, "deadlock")
    assert [(step["pid"], step["name"], step["blocker_pid"]) for step in facts["cycle"]] == [
        (other.pid, log, one.pid),
        (one.pid, db, other.pid),
    ]


def test_a_waiter_in_the_way_is_a_step_that_is_queued(start: Start, name: str) -> None:
    """In the way is not only what is held: a conversion stands before all who come later, and cannot be moved."""
    one, converting, other = start("one"), start("converting"), start("other")
    log, db = f"{name} log", f"{name} db"
    one.peer.take(1, [db, "S"])
    token = converting.peer.take(1, [db, "S"], label="reads and writes")
    other.peer.take(1, [log, "X"])
    converting.peer.send(CONVERT, 2, token, "X", FOREVER, [])
    converting.peer.pong(3)
    one.peer.queue_up(2, [log, "X"])
    other.peer.want(2, [db, "S"])
    facts = other.peer.failed(2, "deadlock")
    assert [(step["name"], *sides(step), step["queued"]) for step in facts["cycle"]] == [
        (db, (other.pid, "other", "", "S"), (converting.pid, "converting", "reads and writes", "X"), True),
        (db, (converting.pid, "converting", "reads and writes", "X"), (one.pid, "one", "", "S"), False),
        (log, (one.pid, "one", "", "X"), (other.pid, "other", "", "X"), False),
    ]


def test_what_only_the_order_of_a_queue_would_make_a_deadlock_of_is_none(connect: Connect, name: str) -> None:
    one, other, large = connect("one"), connect("other"), connect("large")
    log, pool = f"{name} log", f"{name} pool"
    one.take(1, [pool, 2, 3])
    other.take(1, [log, "X"])
    large.queue_up(1, [pool, 3, 3])
    one.queue_up(2, [log, "X"])
    # The permit that is left would be for the large request, which waits for one, which waits for this owner.
    other.want(2, [pool, 1, 3])
    other.granted(2)


def test_a_circle_that_another_order_of_the_waiters_resolves(start: Start, admin: Raw, name: str) -> None:
    """Two readers of two names each wait only behind a writer, who waits for the other reader."""
    before = total(admin, 1, "reorders_total"), total(admin, 2, "deadlocks_total")
    one, other, first, second = (start(program) for program in ("one", "other", "first", "second"))
    a, b = f"{name} a", f"{name} b"
    mine, its = one.peer.take(1, [a, "S"]), other.peer.take(1, [b, "S"])
    first.peer.queue_up(1, [a, "X"])
    second.peer.queue_up(1, [b, "X"])
    one.peer.queue_up(2, [b, "S"])
    # It is let in before the writer, and nobody is refused.
    other.peer.want(2, [a, "S"])
    further = other.peer.granted(2)
    assert (total(admin, 3, "reorders_total"), total(admin, 4, "deadlocks_total")) == (before[0] + 1, before[1])
    # Everybody comes to a turn.
    other.peer.release(3, further)
    other.peer.release(4, its)
    second.peer.release(3, second.peer.granted(1))
    one.peer.release(4, one.peer.granted(2))
    one.peer.release(5, mine)
    first.peer.granted(1)


def test_permits_that_somebody_else_will_bring_back_are_no_deadlock(start: Start, name: str) -> None:
    one, other, third = start("one"), start("other"), start("third")
    log, pool = f"{name} log", f"{name} pool"
    one.peer.take(1, [pool, 1, 2])
    token = third.peer.take(1, [pool, 1, 2])
    other.peer.take(1, [log, "X"])
    one.peer.queue_up(2, [log, "X"])
    other.peer.queue_up(2, [pool, 1, 2])
    third.peer.release(2, token)
    other.peer.granted(2)


def test_permits_that_nobody_will_bring_back_are(start: Start, name: str) -> None:
    one, other = start("one"), start("other")
    log, pool = f"{name} log", f"{name} pool"
    one.peer.take(1, [pool, 2, 2])
    other.peer.take(1, [log, "X"])
    one.peer.queue_up(2, [log, "X"])
    other.peer.want(2, [pool, 1, 2])
    first, second = other.peer.failed(2, "deadlock")["cycle"]
    assert (first["permits"], first["blocker_permits"], first["mode"]) == (1, 2, "")
    assert (second["mode"], second["permits"]) == ("X", 0)


def test_an_owner_that_wants_permits_back_from_itself(connect: Connect, name: str) -> None:
    peer = connect()
    peer.take(1, [name, 2, 3])
    peer.want(2, [name, 2, 3])
    assert peer.failed(2, "deadlock")["cycle_total"] == 1
    assert [entry["permits"] for entry in peer.facts_of(3, name)["holders"]] == [2]
