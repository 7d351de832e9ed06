"""A KeyboardInterrupt anywhere in a conversion, a hand-over and so on: the daemon holds what the program knows of."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

import lockd_client
from lockd.core.modes import Mode
from lockd_client import Client, Grant, Lock
from lockd_client._machine import Machine
from lockd_wire import messages as m
from support.interrupts import every_place
from support.judge import Judge
from support.scripted_daemon import ScriptedDaemon


def taken(handle: Lock) -> Grant:
    handle.acquire()
    assert handle.grant is not None
    return handle.grant


CONVERSIONS = [("shared", "exclusive"), ("exclusive", "shared"), ("shared", "IX"), ("update", "SIX")]


@pytest.mark.parametrize(("before", "mode"), CONVERSIONS)
def test_a_conversion(mine: Client, judge: Judge, before: str, mode: str) -> None:
    grant = taken(mine.lock("a", mode=before))
    for place in every_place(lambda: grant.convert(mode), step=11):
        judge.assert_agrees(mine)
        assert grant.mode in (before, mode), place
        grant.convert(before)
    assert place > 100
    grant.release()


def test_a_conversion_of_several_modes(mine: Client, judge: Judge) -> None:
    handle = mine.lock_all(("a", "shared"), ("b", "IX"), ("p", 1, 2))
    for _ in every_place(lambda: taken(handle).convert("SIX"), step=11):
        judge.assert_agrees(mine)
        while handle.grant is not None:
            handle.release()


def test_a_conversion_that_waits(mine: Client, judge: Judge) -> None:
    """The other reader goes when it has heard that this one wants to write."""
    leave: list[Callable[[], None]] = []

    def go(message: m.ClientMessage) -> None:
        if isinstance(message, m.Convert) and message.timeout is None and leave:
            leave.pop()()

    grant = taken(mine.lock("a", mode="shared"))
    judge.afterwards = go
    for _ in every_place(lambda: grant.convert("exclusive"), step=7):
        judge.assert_agrees(mine)
        while leave:
            leave.pop()()
        grant.convert("shared")
        leave.append(judge.hold("a", Mode.SHARED))
    grant.release()


def test_a_conversion_that_is_refused(mine: Client, judge: Judge) -> None:
    grant = taken(mine.lock("a", mode="shared"))
    leave = judge.hold("a", Mode.SHARED)

    def work() -> None:
        with pytest.raises(lockd_client.LockTimeout):
            grant.convert("exclusive", timeout=0)

    for _ in every_place(work, step=19):
        judge.assert_agrees(mine)
        assert grant.mode == "shared"
    leave()
    grant.release()


def test_interrupted_while_another_thread_reads(mine: Client, judge: Judge, daemon: ScriptedDaemon) -> None:
    leave = judge.hold("busy")
    busy = mine.lock("busy")
    reader = threading.Thread(target=busy.acquire)
    reader.start()
    daemon.wait_until(lambda: judge.waiting() == 1)
    grant = taken(mine.lock("a", mode="shared"))
    for _ in every_place(lambda: grant.convert("exclusive"), step=7):
        assert mine.lock("nothing").locked() is False
        assert judge.holdings()[grant.token][1] == (("a", "S" if grant.mode == "shared" else "X"),)
        grant.convert("shared")
    leave()
    reader.join()
    busy.release()
    judge.assert_agrees(mine)
    grant.release()


def test_an_upgrade(mine: Client, judge: Judge) -> None:
    grant = taken(mine.lock("a", mode="update"))

    def work() -> None:
        with grant.upgraded():
            pass

    upgraded = 0
    for _ in every_place(work, step=11):
        judge.assert_agrees(mine)
        # As with every `with`: between the end of the block and the first line of `__exit__` nothing can be done.
        upgraded += grant.mode != "update"
        grant.convert("update")
    assert upgraded < 20
    grant.release()


@pytest.mark.parametrize("again_after", [1, 15, 60, 200])
def test_an_upgrade_that_is_interrupted_again_while_it_cleans_up(mine: Client, judge: Judge, again_after: int) -> None:
    grant = taken(mine.lock("a", mode="update"))

    def work() -> None:
        with grant.upgraded():
            pass

    for _ in every_place(work, step=19, again_after=again_after):
        judge.assert_agrees(mine)
        grant.convert("update")
    grant.release()


def test_a_hand_over(mine: Client, theirs: Client, judge: Judge) -> None:
    handle = mine.lock("a")
    tickets: list[str] = []
    for _ in every_place(lambda: tickets.append(taken(handle).handover()), step=11):
        judge.assert_agrees(mine)
        if tickets:
            theirs.adopt(tickets.pop()).release()
            judge.assert_agrees(theirs, 2)
        if handle.grant is not None:
            handle.release()
        judge.assert_agrees(mine)
        assert judge.holdings() == {}


# What the library had returned already when the interrupt came is nobody's, and says so when it is collected.
@pytest.mark.filterwarnings("ignore:the lock:ResourceWarning")
def test_an_adoption(mine: Client, theirs: Client, judge: Judge) -> None:
    handle = theirs.lock("a")
    adopted: list[Grant] = []
    tickets = [taken(handle).handover()]
    for _ in every_place(lambda: adopted.extend(map(mine.adopt, tickets[-1:])), step=11):
        judge.assert_agrees(mine)
        judge.assert_agrees(theirs, 2)
        assert len(judge.holdings()) == len(adopted)
        for grant in adopted:
            grant.release()
        adopted.clear()
        if handle.grant is not None:
            handle.release()
        tickets.append(taken(handle).handover())
    assert len(tickets) > 20
    handle.release()


# What the library had returned already when the interrupt came is nobody's, and says so when it is collected.
@pytest.mark.filterwarnings("ignore:the lock:ResourceWarning")
def test_an_adoption_within_one_process(mine: Client, judge: Judge) -> None:
    handle = mine.lock("a")
    adopted: list[Grant] = []
    for _ in every_place(lambda: adopted.append(mine.adopt(taken(handle).handover())), step=17):
        judge.assert_agrees(mine)
        for grant in adopted:
            grant.check()
            grant.release()
        adopted.clear()
        if handle.grant is not None:
            handle.release()
        judge.assert_agrees(mine)
        assert judge.holdings() == {}


def test_re_entry(mine: Client, judge: Judge) -> None:
    handle = mine.rlock("a")

    def work() -> None:
        with handle:
            handle.acquire()
            handle.release()

    for _ in every_place(work, step=13):
        judge.assert_agrees(mine)
        while handle.grant is not None:
            handle.release()
        judge.assert_agrees(mine)
        assert judge.holdings() == {}


def test_several_names(mine: Client, judge: Judge) -> None:
    handle = mine.lock_all("a", ("b", "shared"), ("p", 2, 5), tree=True, label="why")

    def work() -> None:
        with handle:
            pass

    for _ in every_place(work, step=11):
        judge.assert_agrees(mine)
        if handle.grant is not None:
            handle.release()


def test_a_wait_of_which_the_program_is_told(mine: Client, judge: Judge) -> None:
    """It asks something else meanwhile, and so does it again what it is told."""
    leave: list[Callable[[], None]] = []

    def go(message: m.ClientMessage) -> None:
        if isinstance(message, m.Query) and message.name == "question" and leave:
            leave.pop()()

    judge.afterwards = go
    told: list[str] = []

    def ask(wait: object) -> None:
        told.append(str(wait))
        with another:
            assert mine.lock("question").locked() is False

    # An interrupt before the first line of its __exit__ leaves it held, and the handle knows.
    another = mine.lock("another")
    handle = mine.lock("a", on_wait=ask)

    def work() -> None:
        with handle:
            pass

    for _ in every_place(work, step=37):
        while leave:
            leave.pop()()
        for each in (handle, another):
            if each.grant is not None:
                each.release()
        judge.assert_agrees(mine)
        leave.append(judge.hold("a"))
    assert len(told) > 10


@pytest.mark.parametrize("broken", ["fall_back", "_lower"])
def test_the_instrument_catches_a_library_that_does_not_fall_back(
    mine: Client, judge: Judge, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    monkeypatch.setattr(Machine, broken, lambda *arguments: None)
    grants = [taken(mine.lock("a", mode="shared"))]
    caught = 0
    for _ in every_place(lambda: grants[0].convert("exclusive"), step=7):
        try:
            judge.assert_agrees(mine)
            caught += grants[0].mode != "shared"
        except AssertionError:
            caught += 1
        grants.pop().release()
        mine.session()._machine.conversions.clear()
        grants.append(taken(mine.lock("a", mode="shared")))
    assert caught
    grants.pop().release()
