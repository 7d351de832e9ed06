"""lockd/reactor.py: who is called, when, and in which turn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd.reactor import READABLE, WRITABLE, Reactor

FOR_EVER = None


class Pipe:
    """Something to be ready."""

    def __init__(self) -> None:
        self.read_end, self._write_end = os.pipe()

    def fill(self) -> None:
        os.write(self._write_end, b"x")

    def drain(self) -> None:
        os.read(self.read_end, 1)

    def close(self) -> None:
        os.close(self.read_end)
        os.close(self._write_end)


@pytest.fixture
def reactor() -> Iterator[Reactor]:
    reactor = Reactor(trio.current_time)
    yield reactor
    reactor.close()


@pytest.fixture
def pipe(closing: ExitStack) -> Callable[[], Pipe]:
    def pipe() -> Pipe:
        pipe = Pipe()
        closing.callback(pipe.close)
        return pipe

    return pipe


def nothing_due() -> None:
    return FOR_EVER


async def test_whoever_is_ready_is_called_for_as_long_as_it_is(
    reactor: Reactor, pipe: Callable[[], Pipe], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    full, empty, calls = pipe(), pipe(), []

    def ready(mask: int) -> None:
        calls.append(mask)
        if len(calls) == 3:
            full.drain()

    reactor.watch(full.read_end, ready)
    reactor.watch(empty.read_end, ready)
    full.fill()
    nursery.start_soon(reactor.run, nothing_due)
    await wait_all_tasks_blocked()
    assert calls == [READABLE, READABLE, READABLE]


async def test_other_events_can_be_asked_for_and_none(
    reactor: Reactor, pipe: Callable[[], Pipe], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    one = pipe()
    calls: list[int] = []
    one.fill()
    reactor.watch(one.read_end, calls.append, WRITABLE)
    nursery.start_soon(reactor.run, nothing_due)
    await wait_all_tasks_blocked()
    assert calls == []

    def ready(mask: int) -> None:
        calls.append(mask)
        reactor.rewatch(one.read_end, 0)

    reactor.forget(one.read_end)
    reactor.watch(one.read_end, ready)
    await wait_all_tasks_blocked()
    assert calls == [READABLE]


async def test_whoever_is_forgotten_in_a_turn_is_not_called_in_it(
    reactor: Reactor, pipe: Callable[[], Pipe], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    pipes, calls = [pipe(), pipe()], []

    def handler(me: Pipe, other: Pipe) -> Callable[[int], None]:
        def ready(mask: int) -> None:
            calls.append(me)
            me.drain()
            reactor.forget(other.read_end)

        return ready

    for me, other in (pipes, reversed(pipes)):
        me.fill()
        reactor.watch(me.read_end, handler(me, other))
    nursery.start_soon(reactor.run, nothing_due)
    await wait_all_tasks_blocked()
    assert len(calls) == 1


async def test_a_number_that_was_reused_in_a_turn_is_only_a_hint(
    reactor: Reactor, pipe: Callable[[], Pipe], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A handler may be called for what was ready before it came. It must not believe it (see `Reactor`)."""
    first, second, calls = pipe(), Pipe(), []
    number = second.read_end

    def first_is_ready(mask: int) -> None:
        first.drain()
        reactor.forget(number)
        second.close()
        empty = pipe()
        assert empty.read_end == number, "the kernel gives the lowest free number"
        os.set_blocking(number, False)
        reactor.watch(number, reused_is_ready)

    def reused_is_ready(mask: int) -> None:
        with pytest.raises(BlockingIOError):
            os.read(number, 1)
        calls.append(mask)

    for one, handler in ((first, first_is_ready), (second, calls.append)):
        one.fill()
        reactor.watch(one.read_end, handler)
    nursery.start_soon(reactor.run, nothing_due)
    await wait_all_tasks_blocked()
    assert calls == [READABLE]


async def test_more_descriptors_than_fit_into_a_turn_all_have_theirs(
    reactor: Reactor, nursery: trio.Nursery, autojump_clock: MockClock, closing: ExitStack
) -> None:
    calls, turns = [], 0
    numbers = [os.eventfd(1) for _ in range(700)]

    def handler(number: int) -> Callable[[int], None]:
        def ready(mask: int) -> None:
            calls.append(number)
            reactor.rewatch(number, 0)

        return ready

    for number in numbers:
        closing.callback(os.close, number)
        reactor.watch(number, handler(number))

    def finish_turn() -> None:
        nonlocal turns
        turns += 0 < len(calls) < len(numbers)
        return FOR_EVER

    nursery.start_soon(reactor.run, finish_turn)
    await wait_all_tasks_blocked()
    assert sorted(calls) == numbers
    assert turns == 1


async def test_a_turn_ends_behind_all_its_handlers(
    reactor: Reactor, pipe: Callable[[], Pipe], nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    story = []

    def finish_turn() -> None:
        story.append("finish")
        return FOR_EVER

    def handler(one: Pipe) -> Callable[[int], None]:
        def ready(mask: int) -> None:
            one.drain()
            story.append("handle")

        return ready

    for _ in range(2):
        one = pipe()
        one.fill()
        reactor.watch(one.read_end, handler(one))
    nursery.start_soon(reactor.run, finish_turn)
    await wait_all_tasks_blocked()
    assert story[:4] == ["finish", "handle", "handle", "finish"]


async def test_timers_are_called_in_the_order_in_which_they_are_due(
    reactor: Reactor, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    called: list[tuple[str, float]] = []
    begin = trio.current_time()

    def note(name: str) -> Callable[[], None]:
        return lambda: called.append((name, trio.current_time() - begin))

    def make_one() -> None:
        reactor.call_at(begin + 15, note("made by a timer"))

    reactor.call_at(begin + 20, note("late"))
    reactor.call_at(begin + 10, note("early"))
    reactor.call_at(begin + 20, note("late too"))
    reactor.call_at(begin + 5, make_one)
    nursery.start_soon(reactor.run, nothing_due)
    await trio.sleep(30)
    assert reactor._timers_live == len(reactor._timers) == 0
    assert called == [("early", 10), ("made by a timer", 15), ("late", 20), ("late too", 20)]


async def test_a_cancelled_timer_is_not_called(
    reactor: Reactor, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    called: list[str] = []
    begin = trio.current_time()
    cancelled = reactor.call_at(begin + 1, lambda: called.append("cancelled"))
    kept = reactor.call_at(begin + 2, lambda: called.append("kept"))
    cancelled.cancel()
    nursery.start_soon(reactor.run, nothing_due)
    await trio.sleep(10)
    assert called == ["kept"]
    # No harm is done by these.
    cancelled.cancel()
    kept.cancel()
    assert reactor._timers_live == len(reactor._timers) == 0
    reactor.call_at(begin + 11, lambda: called.append("later"))
    await trio.sleep(1)
    await trio.sleep(10)
    assert called == ["kept"], "nobody has told the reactor to look: a turn does"


async def test_cancelled_timers_do_not_pile_up(reactor: Reactor) -> None:
    """Each HELLO and each frame that comes in two pieces makes a timer, and hardly any is ever due."""
    kept = [reactor.call_at(trio.current_time() + 60, lambda: None) for _ in range(10)]
    for _ in range(10_000):
        reactor.call_at(trio.current_time() + 60, lambda: None).cancel()
    assert len(reactor._timers) < 200
    for timer in kept:
        timer.cancel()
    for _ in range(100):
        reactor.call_at(trio.current_time() + 60, lambda: None).cancel()
    assert len(reactor._timers) < 100


async def test_it_wakes_when_the_end_of_a_turn_said_that_something_is_due(
    reactor: Reactor, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    begin = trio.current_time()
    ended = []

    def finish_turn() -> float:
        now = trio.current_time() - begin
        ended.append(now)
        return begin + next(due for due in (3, 7, 1000) if due > now)

    nursery.start_soon(reactor.run, finish_turn)
    await trio.sleep(10)
    assert ended == [0, 3, 7]


async def test_a_suspension_of_the_machine_is_noticed_within_a_minute(
    nursery: trio.Nursery, autojump_clock: MockClock, closing: ExitStack
) -> None:
    """CLOCK_BOOTTIME goes on while the machine sleeps, and the clock by which trio waits does not."""
    suspended_seconds = 0.0
    reactor = Reactor(lambda: trio.current_time() + suspended_seconds)
    closing.callback(reactor.close)
    called = []
    begin = trio.current_time()
    reactor.call_at(reactor.clock() + 3600, lambda: called.append(trio.current_time() - begin))
    nursery.start_soon(reactor.run, nothing_due)
    await trio.sleep(30)
    suspended_seconds = 4000.0
    await trio.sleep(100)
    assert called == [60]


async def test_with_nothing_to_do_it_does_not_wake(
    reactor: Reactor, nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    turns = 0

    def finish_turn() -> None:
        nonlocal turns
        turns += 1
        return FOR_EVER

    nursery.start_soon(reactor.run, finish_turn)
    await trio.sleep(86400)
    assert turns == 1


async def test_it_can_be_cancelled_though_there_is_always_something_to_do(
    reactor: Reactor, pipe: Callable[[], Pipe], autojump_clock: MockClock
) -> None:
    one = pipe()
    calls: list[int] = []
    one.fill()
    reactor.watch(one.read_end, calls.append)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reactor.run, nothing_due)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert 0 < len(calls) < 1000


async def test_a_bug_in_a_handler_is_not_survived(
    reactor: Reactor, pipe: Callable[[], Pipe], autojump_clock: MockClock
) -> None:
    one = pipe()
    one.fill()

    def bug(mask: int) -> None:
        raise ZeroDivisionError

    reactor.watch(one.read_end, bug)
    with pytest.raises(ZeroDivisionError):
        await reactor.run(nothing_due)
