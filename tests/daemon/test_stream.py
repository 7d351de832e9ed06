"""WATCH: what happens is told as it happens, the daemon waits for nobody, and what is not told is counted."""

from __future__ import annotations

import errno
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from lockd.admin.connection import AdminConnection
from lockd.connection import Connection
from lockd.onlookers.stream import EVENTS_MAX, PERIOD_SECONDS, Batch, Watch
from lockd_wire import messages as m
from lockd_wire.limits import ROWS_MAX
from support.faults_of_the_kernel import Faults, refused
from support.shell import Peer, Shell, acquire, kinds

TOLD: dict[str, m.Scalar] = {"events_max": EVENTS_MAX, "period_seconds": PERIOD_SECONDS}


async def watching(shell: Shell, prefix: str = "") -> Peer:
    """Connect as an administrator who watches."""
    admin = await shell.administrator()
    assert await admin.asks(m.Watch(7, prefix)) == [m.Report(7, {**TOLD})]
    return admin


async def told(admin: Peer) -> list[tuple[str, str]]:
    """Let some time pass and return what was told then: what, and of which name."""
    await trio.sleep(2 * PERIOD_SECONDS)
    rows = rows_of(await admin.hears())
    return [(row["what"], row["name"]) for row in rows]


def rows_of(messages: list[Any]) -> list[dict[str, Any]]:
    """Return the rows of messages of which none says that something was missed."""
    assert {message.missed for message in messages} <= {0}
    return [row for message in messages for row in message.rows]


async def test_an_event_is_told_in_the_turn_in_which_it_happens(shell: Shell, autojump_clock: MockClock) -> None:
    admin, peer = await watching(shell), await shell.welcomed("shop")
    [token] = await peer.granted(acquire(1, label="order 17"))
    [happened] = admin.has_heard()
    assert (happened.id, happened.missed) == (7, 0)
    [row] = happened.rows
    assert (row["what"], row["name"], row["program"], row["label"]) == ("granted", "db", "shop", "order 17")
    assert (row["token"], row["ago_seconds"], row["waited_seconds"], row["held_seconds"]) == (token, 0, 0, 0)


async def test_a_contention_from_its_beginning_to_its_end(shell: Shell, autojump_clock: MockClock) -> None:
    admin, holder, waiter = await watching(shell), await shell.welcomed("a"), await shell.welcomed("b")
    [token] = await holder.granted(acquire(1))
    await waiter.asks(acquire(1), acquire(2, timeout=0, owner=2))
    await trio.sleep(3)
    holder.says(m.Release(2, token, False))
    await waiter.hears()
    waiter.says(m.Bye(3))
    await trio.sleep(1)
    rows = rows_of(await admin.hears())
    assert [(row["what"], row["program"], row["waited_seconds"], row["held_seconds"]) for row in rows] == [
        ("granted", "a", 0, 0),
        ("queued", "b", 0, None),
        ("timed out", "b", 0, None),
        ("released", "a", 0, 3),
        ("granted", "b", 3, 0),
        ("released", "b", 3, 0),
    ]


async def test_only_names_with_the_prefix_that_were_asked_for_are_told(shell: Shell, autojump_clock: MockClock) -> None:
    admin, everything, peer = await watching(shell, "a/"), await watching(shell), await shell.welcomed()
    await peer.granted(
        m.Acquire(1, 1, (("a/1", "X"), ("b/1", "X"), ("a/2", "X")), None, {}),
        m.Acquire(2, 1, (("a/3/x", "X"),), None, {"tree": True}),
    )
    assert await told(admin) == [("granted", "a/1"), ("granted", "a/2"), ("granted", "a/3/x")]
    assert [name for _, name in await told(everything)] == ["a/1", "b/1", "a/2", "a/3/x"]


async def test_other_questions_may_be_asked_and_a_second_watch_is_refused(
    shell: Shell, autojump_clock: MockClock
) -> None:
    admin, peer = await watching(shell), await shell.welcomed()
    await peer.granted(acquire(1))
    answers = await admin.asks(m.Show(8, "db"), m.Watch(9, ""))
    assert kinds(answers) == ["Happened", "Report", "AdminFailed"]
    assert (answers[2].id, answers[2].code) == (9, "bad_request")
    peer.says(m.Bye(2))
    assert await told(admin) == [("released", "db")]


async def test_what_is_too_much_is_counted_and_the_next_period_is_told_again(
    shell: Shell, autojump_clock: MockClock
) -> None:
    admin, peer = await watching(shell), await shell.welcomed()
    many = 3 * EVENTS_MAX
    peer.says(*(acquire(request, f"name/{request}", timeout=0) for request in range(1, 2 * many, 2)))
    await trio.sleep(2 * PERIOD_SECONDS)
    await peer.hears()
    await peer.granted(acquire(1000, "later"))
    await trio.sleep(PERIOD_SECONDS)
    heard = await admin.hears()
    assert all(len(message.rows) <= ROWS_MAX for message in heard)
    names = [row["name"] for message in heard for row in message.rows]
    missed = sum(message.missed for message in heard)
    assert names[-1] == "later"
    # What came first, and then nothing for the rest of that time.
    assert EVENTS_MAX < len(names) - 1 < 2 * EVENTS_MAX
    assert names[:-1] == [f"name/{request}" for request in range(1, 2 * len(names) - 2, 2)]
    assert len(names) + missed == many + 1


async def test_a_watcher_that_reads_nothing_is_not_waited_for_and_is_told_how_much_it_missed(
    shell: Shell, autojump_clock: MockClock
) -> None:
    admin, peer = await watching(shell), await shell.welcomed()
    happened = 0
    # Until the buffers of the kernel are full, and far beyond.
    for round in range(15):
        first = 1 + 1000 * round
        await peer.granted(*(acquire(first + number, f"{first + number:0200}") for number in range(EVENTS_MAX)))
        happened += EVENTS_MAX
        await trio.sleep(2 * PERIOD_SECONDS)
    assert not admin.is_ended
    names: list[str] = []
    missed = 0
    while heard := await admin.hears():
        for message in heard:
            if message.missed:
                missed += message.missed
                names.append("missed")
            names += [row["name"] for row in message.rows]
        await trio.sleep(2 * PERIOD_SECONDS)
    assert missed > EVENTS_MAX
    assert names.count("missed") < 3
    told_of = [name for name in names if name != "missed"]
    assert told_of == sorted(told_of)
    assert len(told_of) + missed == happened
    # It is up to date again.
    await peer.granted(acquire(10**6, "at last"))
    assert await told(admin) == [("granted", "at last")]


async def test_nothing_is_told_that_is_not_written_down(shell: Shell, autojump_clock: MockClock) -> None:
    admin, peer = await watching(shell), await shell.welcomed()
    faults = Faults(("pwrite",), refused(errno.EROFS), 1, is_lasting=True)
    with faults.installed():
        assert await peer.asks(acquire(1)) == []
        await trio.sleep(1)
        # Questions are answered.
        assert kinds(await admin.asks(m.Status(8))) == ["Report"]
        faults.end()
        await trio.sleep(1)
    assert kinds(await peer.hears()) == ["Granted"]
    assert await told(admin) == [("granted", "db")]


async def test_whoever_hangs_up_watches_no_more(shell: Shell, autojump_clock: MockClock) -> None:
    admin, other, peer = await watching(shell), await watching(shell), await shell.welcomed()
    await peer.granted(acquire(1))
    # Something is left for the next period, and a timer with it.
    peer.says(m.Bye(2))
    await admin.hears()
    admin.hangs_up()
    assert await told(other) == [("granted", "db"), ("released", "db")]
    next_one = await watching(shell)
    await (await shell.welcomed()).granted(acquire(1))
    assert await told(next_one) == await told(other) == [("granted", "db")]


def _tells_before_it_is_written_down(patch: pytest.MonkeyPatch) -> None:
    def at_once(watch: Watch) -> None:
        mark = watch._wake
        assert isinstance(mark, partial)
        mark.args[0].flush()

    patch.setattr(Watch, "_wake_when_due", at_once)


def _goes_on_when_nobody_reads(patch: pytest.MonkeyPatch) -> None:
    def flush(admin: AdminConnection) -> None:
        while (happened := admin._desk.happened()) is not None:
            Connection.send(admin, happened)
        Connection.flush(admin)

    patch.setattr(AdminConnection, "flush", flush)


def _forgets_what_was_missed(patch: pytest.MonkeyPatch) -> None:
    def take(watch: Watch) -> Batch | None:
        batch = actual(watch)
        return batch and batch._replace(missed=0)

    actual = Watch.take
    patch.setattr(Watch, "take", take)


@pytest.mark.parametrize(
    ("break_it", "finds"),
    [
        (_tells_before_it_is_written_down, test_nothing_is_told_that_is_not_written_down),
        (
            _goes_on_when_nobody_reads,
            test_a_watcher_that_reads_nothing_is_not_waited_for_and_is_told_how_much_it_missed,
        ),
        (_forgets_what_was_missed, test_what_is_too_much_is_counted_and_the_next_period_is_told_again),
    ],
)
async def test_a_daemon_that_does_wrong_is_found_out(
    shell: Shell,
    monkeypatch: pytest.MonkeyPatch,
    break_it: Callable[[pytest.MonkeyPatch], None],
    finds: Callable[[Shell, MockClock], Awaitable[None]],
    autojump_clock: MockClock,
) -> None:
    """So that the tests above can fail."""
    break_it(monkeypatch)
    with pytest.raises(AssertionError):
        await finds(shell, autojump_clock)
