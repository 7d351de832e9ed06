"""The whole daemon on a machine that is short of something: no hold is lost, nobody is granted what another one has,
and it serves again when that is over.

In each run the same clients do the same things, and the n-th of certain calls fails: once, for a while, or until the
daemon is killed. With every n up to the first that there is not: the long tests. The others take a few on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import cache
from itertools import count
from typing import Any

import pytest

from lockd import driver
from lockd.connection import Connection
from lockd.core import events as e
from lockd.driver import Client, Driver
from lockd.keeper import Keeper
from lockd.listeners import Listener
from lockd.pidfds import found_again
from lockd.reactor import Reactor
from support.fault_cases import CASES, DURATIONS, Case, play
from support.faults_of_the_kernel import out_of_memory

#: Runs of each sort in the default tests.
_SAMPLES = 2

_SORTS = [(case, duration) for case in CASES for duration in DURATIONS]


@cache
def _calls(case: str) -> int:
    """Return how many calls could fail."""
    return play(CASES[case], DURATIONS["once"], 0).faults.calls


def _play_all(case: str, duration: str, numbers: Iterable[int]) -> None:
    """Have each of these calls fail, one in each run, until there is no such call."""
    for number in numbers:
        try:
            run = play(CASES[case], DURATIONS[duration], number)
        except AssertionError as violation:
            violation.add_note(f"{case}, {duration}, in call {number}")
            raise
        if not run.faults.failed:
            return


@pytest.mark.parametrize(("case", "duration"), _SORTS)
def test_no_hold_is_lost_or_granted_twice_and_it_serves_again(case: str, duration: str) -> None:
    """Rare calls, such as those at the start, come first, so the samples of the sorts begin at different places."""
    stride = max(_calls(case) // _SAMPLES, 1)
    first = 1 + _SORTS.index((case, duration)) * 7 % stride
    numbers = range(first, _calls(case) + 1, stride)
    assert len(numbers) >= _SAMPLES
    _play_all(case, duration, numbers)


@pytest.mark.long
@pytest.mark.parametrize(("case", "duration"), _SORTS)
def test_no_hold_is_lost_or_granted_twice_whichever_call_fails(case: str, duration: str) -> None:
    _play_all(case, duration, count(1))


@pytest.mark.parametrize("number", [3, 4])
def test_whoever_a_daemon_without_memory_has_just_let_in_is_let_in_again(number: int) -> None:
    """The first two descriptors that the daemon waits for are its listeners, then come its first clients."""
    run = play(Case(frozenset({"epoll_ctl"}), out_of_memory, may_end=True), DURATIONS["once"], number)
    assert run.ends == ["MemoryError()"]


def test_a_run_without_a_fault_has_all_in_it_that_can_fail() -> None:
    run = play(CASES["ENOMEM"], DURATIONS["once"], 0)
    assert not run.faults.failed
    assert not run.ends
    # Whoever has said BYE asks once more, and hears that there is no such session.
    refusals = [refusal for client in run.ground.clients for refusal in client.refusals]
    assert {refusal.partition(":")[0] for refusal in refusals} == {"session_lost"}
    # Four compactions at the least; a start, a restart in order, and two after a crash.
    assert run.compactions >= 4
    assert run.starts == 4


Plant = Callable[[pytest.MonkeyPatch], None]


def _answers_before_it_writes(patch: pytest.MonkeyPatch) -> None:
    write = Keeper.write
    patch.setattr(Keeper, "write", lambda keeper: write(keeper) or True)


def _forgets_what_it_could_not_write(patch: pytest.MonkeyPatch) -> None:
    write = Keeper.write

    def forgetful(keeper: Keeper) -> bool:
        if not write(keeper):
            keeper._journal._waiting.clear()
        return True

    patch.setattr(Keeper, "write", forgetful)


def _ends_who_is_away_when_nobody_can_be_let_in(patch: pytest.MonkeyPatch) -> None:
    drivers: list[Driver] = []
    make, pause = Driver.__init__, Listener._pause

    def remember(self: Driver, *arguments: Any) -> None:
        drivers.append(self)
        make(self, *arguments)

    def ungrateful(listener: Listener, error: OSError) -> None:
        pause(listener, error)
        for session in list(drivers[-1].manager.sessions.values()):
            if not session.is_attached:
                drivers[-1].apply(e.ProcessExited(session.id))

    patch.setattr(Driver, "__init__", remember)
    patch.setattr(Listener, "_pause", ungrateful)


def _never_lets_anybody_in_again(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Listener, "_pause", lambda listener, error: listener._reactor.rewatch(listener._sock.fileno(), 0))


def _swallows_an_answer_that_cannot_be_sent(patch: pytest.MonkeyPatch) -> None:
    offer = Connection._offer

    def careless(connection: Connection) -> None:
        end, connection_type = Connection.end, type(connection)
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(connection_type, "end", lambda self: end(self) if self._outbox else None)
            offer(connection)

    patch.setattr(Connection, "_offer", careless)


def _does_what_it_refuses(patch: pytest.MonkeyPatch) -> None:
    turn_away = Driver._turn_away

    def double_minded(self: Driver, client: Client, event: e.Request) -> bool:
        turn_away(self, client, event)
        return False

    patch.setattr(Driver, "_turn_away", double_minded)


def _takes_whom_it_cannot_look_for_for_dead(patch: pytest.MonkeyPatch) -> None:
    def short_sighted(pid: int, process: str) -> int | None:
        try:
            return found_again(pid, process)
        except OSError:
            return None

    patch.setattr(driver, "found_again", short_sighted)


def _leaves_a_descriptor_open(patch: pytest.MonkeyPatch) -> None:
    watch = Driver._watch

    def untidy(self: Driver, client: Client) -> None:
        try:
            watch(self, client)
        except OSError:
            os.dup(0)
            raise

    patch.setattr(Driver, "_watch", untidy)


def _goes_on_without_memory(patch: pytest.MonkeyPatch) -> None:
    handle_ready = Reactor._handle_ready

    def stubborn(reactor: Reactor, seconds: float) -> bool:
        try:
            return handle_ready(reactor, seconds)
        except MemoryError:
            return True

    patch.setattr(Reactor, "_handle_ready", stubborn)


@pytest.mark.parametrize(
    ("plant", "case", "duration", "first"),
    [
        (_answers_before_it_writes, "EROFS", "until it is killed", 17),
        (_forgets_what_it_could_not_write, "EROFS", "for a while", 17),
        (_ends_who_is_away_when_nobody_can_be_let_in, "EMFILE", "for a while", 26),
        (_never_lets_anybody_in_again, "EMFILE", "once", 78),
        (_swallows_an_answer_that_cannot_be_sent, "ENOBUFS", "once", 116),
        (_does_what_it_refuses, "EROFS", "for a while", 18),
        (_takes_whom_it_cannot_look_for_for_dead, "EMFILE", "once", 73),
        (_leaves_a_descriptor_open, "ENOSPC", "once", 22),
        (_goes_on_without_memory, "MemoryError", "once", 7),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_daemon_that_does_wrong_is_found_out(
    plant: Plant, case: str, duration: str, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that the tests above can fail. The calls before the first one that is played find nothing, or take longer."""
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        _play_all(case, duration, count(first))
