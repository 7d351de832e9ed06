"""lockd/driver.py: in which order things happen, and what the end of one means for the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd import peers, server
from lockd.core import events as e
from lockd.core import requests
from lockd.core.bounds import STEPS_NAMED_MAX
from lockd.core.manager import LockManager
from lockd.driver import Driver
from lockd.keeper import Keeper
from lockd.reactor import Reactor
from lockd_wire import messages as m
from support.shell import Shell, Start, acquire, hello, kinds, start_shell


async def test_each_is_answered_in_the_order_in_which_things_get_settled(
    shell: Shell, autojump_clock: MockClock
) -> None:
    one, other = await shell.welcomed(), await shell.welcomed()
    [token] = await other.granted(acquire(1, "log"))
    answers = await one.asks(acquire(1, "log"), acquire(2, "db"), m.Query(3, "db"), acquire(4, "log", timeout=0))
    assert [answer.id for answer in answers] == [2, 3, 4]
    # All of them had taken effect by then, the one that waits, too.
    assert [answer.covered for answer in answers] == [2, 3, 4]
    other.says(m.Release(2, token, False))
    [granted] = await one.hears()
    assert (granted.id, granted.covered) == (1, 4)


async def test_whoever_came_first_goes_first(shell: Shell, autojump_clock: MockClock) -> None:
    holder, *waiters = [await shell.welcomed() for _ in range(4)]
    [token] = await holder.granted(acquire(1))
    for waiter in waiters:
        waiter.says(acquire(1))
        await wait_all_tasks_blocked()
    holder.says(m.Release(2, token, False))
    for place, waiter in enumerate(waiters):
        [granted] = await waiter.hears()
        assert [await other.hears() for other in waiters[place + 1 :]] == [[]] * (2 - place)
        waiter.says(m.Release(2, granted.token, False))


async def test_a_timeout_runs_out_by_itself(shell: Shell, autojump_clock: MockClock) -> None:
    holder, waiter = await shell.welcomed("holder"), await shell.welcomed()
    [token] = await holder.granted(acquire(1, label="nightly"))
    waiter.says(acquire(1, timeout=5), acquire(2, timeout=2.5))
    await trio.sleep(2.4)
    assert await waiter.hears() == []
    await trio.sleep(0.2)
    [failed] = await waiter.hears()
    assert (failed.id, failed.code, failed.facts["position"], failed.facts["waited_seconds"]) == (2, "timeout", 2, 2.5)
    await trio.sleep(2.5)
    [failed] = await waiter.hears()
    assert (failed.id, failed.covered, failed.facts["position"], failed.facts["waited_seconds"]) == (1, 2, 1, 5)
    assert failed.facts["holders"] == (
        {
            **{"pid": os.getpid(), "uid": os.getuid(), "program": "holder", "label": "nightly", "mode": "X"},
            **{"permits": 0, "held_seconds": 5, "token": token, "attached": True},
        },
    )
    # Nothing is left behind.
    holder.says(m.Release(2, token, False))
    assert await waiter.hears() == []
    status = await shell.status()
    assert (status["waiters"], status["names"], status["timeouts_total"]) == (0, 0, 2)


async def test_bye_frees_everything_and_ends_the_connection(shell: Shell, autojump_clock: MockClock) -> None:
    leaving, waiter = await shell.welcomed(), await shell.welcomed()
    await leaving.granted(acquire(1), acquire(2, "log"))
    assert await waiter.asks(acquire(1), acquire(2, "log")) == []
    # What follows BYE is nobody's any more.
    assert await leaving.asks(m.Bye(3), acquire(4, "more")) == []
    assert leaving.is_ended
    assert kinds(await waiter.hears()) == ["Granted", "Granted"]
    status = await shell.status()
    assert (status["sessions"], status["grants"]) == (1, 2)


def closing_a_circle(steps: int, name: Callable[[int], str], label: str = "") -> list[m.ClientMessage]:
    """Return requests of one process, the last of which closes a circle of so many of its threads."""
    asked: list[m.ClientMessage] = [
        acquire(owner, name(owner), owner=owner, label=label) for owner in range(1, steps + 1)
    ]
    for owner in range(1, steps + 1):
        asked.append(acquire(steps + owner, name(owner % steps + 1), owner=owner, label=label))
    return asked


def steps_told(heard: list[Any]) -> tuple[int, int]:
    """Return how many steps were told in these messages, one behind the other, and how many there are."""
    failed = heard[-1]
    assert isinstance(failed, m.Failed)
    facts: dict[str, Any] = failed.facts
    told = len(facts["cycle"])
    for steps in heard[:-1]:
        assert isinstance(steps, m.Steps)
        assert (steps.request, steps.position, steps.covered) == (failed.id, told, failed.covered)
        told += len(steps.steps)
    return told, facts["cycle_total"]


@pytest.mark.parametrize("steps", [1, 2, 8, 9, 20, 21, STEPS_NAMED_MAX, STEPS_NAMED_MAX + 1])
async def test_every_step_of_a_circle_is_told(shell: Shell, autojump_clock: MockClock, steps: int) -> None:
    """Up to the bound, which is said to be one."""
    peer = await shell.welcomed("a program")
    *waits, closes = closing_a_circle(steps, "name {}".format)
    await peer.asks(*waits)
    heard = await peer.asks(closes)
    while not isinstance(heard[-1], m.Failed):
        heard += await peer.hears()
    assert steps_told(heard) == (min(steps, STEPS_NAMED_MAX), steps)


async def test_nobody_is_cut_off_for_being_told_of_a_circle(start: Start, autojump_clock: MockClock) -> None:
    """Of what there is no room for in the outbox, it is told how much it is."""
    shell = await start(connections__outbox_bytes_max="16384")
    peer = await shell.welcomed("p" * 64)
    *waits, closes = closing_a_circle(100, lambda owner: f"{owner} ".ljust(255, "n"), label="l" * 256)
    again = [acquire(201, "1 ".ljust(255, "n"), owner=100), acquire(202, "1 ".ljust(255, "n"), owner=100)]
    # All three refusals come in one turn, and the first of them leaves room for the others.
    await peer.asks(*waits)
    heard = await peer.asks(closes, *again)
    assert kinds(heard) == ["Steps", "Failed", "Failed", "Failed"]
    assert steps_told(heard[:2]) == (20, 100)
    assert [steps_told([failed]) for failed in heard[2:]] == [(8, 100), (8, 100)]
    assert not peer.is_ended


async def test_a_detached_waiter_holds_the_others_up_for_two_seconds(shell: Shell, autojump_clock: MockClock) -> None:
    holder, gone, last = await shell.welcomed(), await shell.welcomed(), await shell.welcomed()
    [token] = await holder.granted(acquire(1))
    assert await gone.asks(acquire(1)) + await last.asks(acquire(1)) == []
    gone.hangs_up()
    await wait_all_tasks_blocked()
    holder.says(m.Release(2, token, False))
    await trio.sleep(1.9)
    assert await last.hears() == []
    await trio.sleep(0.2)
    assert kinds(await last.hears()) == ["Granted"]
    assert (await shell.status())["waiters"] == 1


async def test_a_process_that_cannot_be_watched_loses_its_session_with_its_connection(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(peers, "identify", lambda connection: peers.Identity(0, os.getuid(), os.getgid(), None))
    holder, waiter = await shell.welcomed(), await shell.welcomed()
    await holder.granted(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    holder.hangs_up()
    assert kinds(await waiter.hears()) == ["Granted"]


async def test_a_peer_that_is_gone_before_it_is_identified(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    def gone(connection: object) -> peers.Identity:
        raise peers.PeerGone

    monkeypatch.setattr(peers, "identify", gone)
    peer = shell.connect()
    assert (await peer.asks(hello(), acquire(1)), peer.is_ended) == ([], True)
    assert (await shell.status())["sessions"] == 0


async def test_the_end_of_one_may_give_the_others_something_to_say(shell: Shell, autojump_clock: MockClock) -> None:
    """A chain: each that is cut off within a turn frees what the next one waits for, all in the same turn."""
    chain = [await shell.welcomed(release_on_eof=True) for _ in range(5)]
    for place, peer in enumerate(chain):
        await peer.granted(acquire(1, f"name/{place}"))
        if place:
            assert await peer.asks(acquire(2, f"name/{place - 1}")) == []
    for peer in chain[:-1]:
        peer.sends(bytes(4))
    assert kinds(await chain[-1].hears()) == ["Granted"]
    assert (await shell.status())["sessions"] == 1


async def test_several_names_are_one_grant_that_can_be_converted(shell: Shell, autojump_clock: MockClock) -> None:
    holder, other = await shell.welcomed(), await shell.welcomed()
    [token] = await holder.granted(m.Acquire(1, 1, (("a", "X"), ("pool", 1, 1)), None, {}))
    assert await other.asks(acquire(1, "a", "S")) == []
    assert await holder.asks(m.Convert(2, token, "S", None, {})) == [m.Granted(2, 2, token, {})]
    assert kinds(await other.hears()) == ["Granted"]
    # All or nothing, and then the old mode is still held.
    [failed] = await holder.asks(m.Convert(3, token, "X", 0, {}))
    assert (failed.id, failed.code, failed.facts["name"]) == (3, "timeout", "a")
    [state] = await other.asks(m.Query(2, "a"))
    assert [entry["mode"] for entry in state.facts["holders"]] == ["S", "S"]


async def test_whoever_wants_to_know_is_told_what_happens_behind_it_and_before_it(
    shell: Shell, autojump_clock: MockClock
) -> None:
    holder, waiter = await shell.welcomed("holder"), await shell.welcomed()
    [token] = await holder.granted(acquire(1)._replace(options={"yield": True, "lease": 3}))
    [waiting] = await waiter.asks(acquire(1)._replace(options={"wait_notice": True}))
    assert (type(waiting), waiting.id, waiting.covered, waiting.request) == (m.Waiting, 0, 1, 1)
    assert (waiting.facts["name"], waiting.facts["position"]) == ("db", 1)
    assert [entry["program"] for entry in waiting.facts["holders"]] == ["holder"]
    [asked] = await holder.hears()
    assert (type(asked), asked.id, asked.covered, asked.token) == (m.YieldRequested, 0, 1, token)
    assert (asked.facts["name"], asked.facts["waiters_total"]) == ("db", 1)
    await trio.sleep(3)
    assert await holder.hears() == [m.Lost(0, 1, token, "lease")]
    [granted] = await waiter.hears()
    assert granted.token > token
    assert [(entry["name"], entry["program"]) for entry in granted.facts["abandoned"]] == [("db", "holder")]


async def test_a_grant_changes_hands_by_a_ticket(shell: Shell, autojump_clock: MockClock) -> None:
    maker, heir = await shell.welcomed(), await shell.welcomed()
    [token] = await maker.granted(acquire(1))
    [made] = await maker.asks(m.HandOver(2, token))
    assert (type(made), made.id, made.covered) == (m.Ticket, 2, 2)
    assert await heir.asks(m.Adopt(1, 1, made.ticket)) == [
        m.Granted(1, 1, token, {"items": ({"name": "db", "mode": "X", "permits": 0, "limit": 0},), "label": ""})
    ]
    assert await maker.hears() == [m.Lost(0, 2, token, "handed_over")]
    # It works once.
    [refused] = await heir.asks(m.Adopt(2, 1, made.ticket))
    assert (refused.id, refused.code) == (2, "not_owner")


async def test_a_change_of_the_order_is_logged(
    shell: Shell, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    one, second, third = await shell.welcomed(), await shell.welcomed(), await shell.welcomed()
    await one.granted(acquire(1, "a", "S"))
    await third.granted(acquire(1, "b"))
    assert await second.asks(acquire(1, "a")) + await third.asks(acquire(2, "a", "S")) == []
    with caplog.at_level("INFO", "lockd"):
        assert await one.asks(acquire(2, "b")) == []
    # It would have waited for the second, which waits for the first, which waits for it.
    assert kinds(await third.hears()) == ["Granted"]
    pid = f"pid {os.getpid()}"
    assert caplog.messages == [
        f'moved a waiter ahead of its turn to end a deadlock: {pid} waits for "b" exclusively, and {pid} holds it '
        f'exclusively; {pid} waits for "a" shared, and {pid} waits before it; {pid} waits for "a" exclusively, and '
        f"{pid} holds it shared"
    ]


async def test_a_bug_of_our_own_ends_the_daemon(
    runtime_dir: Path, closing: ExitStack, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """Never half alive: what has gone wrong once cannot be trusted with locks."""

    def bug(*arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(requests, "HANDLERS", {**requests.HANDLERS, e.Query: bug})
    with pytest.RaisesGroup(ZeroDivisionError, flatten_subgroups=True):
        async with trio.open_nursery() as nursery:
            shell = await start_shell(runtime_dir, nursery, closing)
            holder, asking = await shell.welcomed(), await shell.welcomed()
            await holder.granted(acquire(1))
            asking.says(m.Query(1, "db"))
            await trio.sleep_forever()
    for peer in (holder, asking):
        assert (peer.has_heard(), peer.is_ended) == ([], True)


async def test_onlookers_are_told_what_becomes_of_requests(
    runtime_dir: Path, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, int, float]] = []

    class DriverWithAnOnlooker(Driver):
        def __init__(self, manager: LockManager, reactor: Reactor, keeper: Keeper) -> None:
            super().__init__(manager, reactor, keeper)
            self.onlookers.append(
                lambda happened, now: told.extend((happening.value, request.id, now) for happening, request in happened)
            )

    monkeypatch.setattr(server, "Driver", DriverWithAnOnlooker)
    with ExitStack() as stack:
        shell = await start_shell(runtime_dir, nursery, stack)
        peer = await shell.welcomed()
        [token] = await peer.granted(acquire(1))
        now = trio.current_time()
        peer.says(m.Release(2, token, False), acquire(3), acquire(4))
        await peer.hears()
        happenings = [(happening, number) for happening, number, _ in told]
        assert happenings == [("granted", 1), ("released", 1), ("granted", 3), ("deadlocked", 4)]
        assert {at for _, _, at in told} == {now}
        nursery.cancel_scope.cancel()
