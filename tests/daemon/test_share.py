"""lockd/admin/share.py: administrators take little from those who work, and get all that nobody else wants."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd import server
from lockd.admin import answers
from lockd.admin.share import Share
from lockd_wire import messages as m
from support.shell import acquire, start_shell


class Daemon:
    """Two clocks, and somebody who works by them."""

    def __init__(self) -> None:
        self.now = 100.0
        self.worked = 5.0
        self.share = Share(lambda: self.now, lambda: self.worked)

    def passes(self, seconds: float, *, at_work: float) -> None:
        """Let time pass, some of it at work for others."""
        self.now += seconds
        self.worked += at_work

    def answers(self, seconds: float) -> None:
        """Answer a question that takes so long."""

        def answer() -> None:
            self.worked += seconds
            self.now += seconds

        self.share.take(answer)

    def is_busy(self) -> None:
        """Be at work for others for a while, so that it is known, and made good what was taken before."""
        for _ in range(20):
            self.passes(0.5, at_work=0.4)
            self.share.pause_seconds()


def test_single_questions_are_answered_at_once() -> None:
    daemon = Daemon()
    daemon.is_busy()
    for _ in range(10):
        assert daemon.share.pause_seconds() == 0
        daemon.answers(0.001)
        daemon.passes(0.1, at_work=0.09)


def test_while_others_work_questions_get_a_fiftieth_of_the_time() -> None:
    daemon = Daemon()
    daemon.is_busy()
    began_at, answered = daemon.now, 0
    while daemon.now < began_at + 100:
        pause = daemon.share.pause_seconds()
        daemon.passes(pause, at_work=0.8 * pause)
        if not pause:
            daemon.answers(0.001)
            answered += 1
    # And what there was in advance.
    assert answered * 0.001 == pytest.approx(0.02 * 100 + 0.02, rel=0.02)


def test_where_nobody_works_questions_get_all_of_it() -> None:
    daemon = Daemon()
    paused = 0.0
    for _ in range(5000):
        while pause := daemon.share.pause_seconds():
            paused += pause
            daemon.passes(pause, at_work=0.0)
        daemon.answers(0.001)
        # As long as it takes whoever asks to ask again.
        daemon.passes(0.001, at_work=0.0)
    # Until it was seen that nobody works.
    assert 0 < paused < 0.2


def test_what_nobody_else_wanted_was_free() -> None:
    """Whoever has asked much while there was time for it does not wait for that when there is none any more."""
    daemon = Daemon()
    daemon.passes(0.2, at_work=0.0)
    for _ in range(5000):
        assert daemon.share.pause_seconds() == 0
        daemon.answers(0.001)
        daemon.passes(0.001, at_work=0.0)
    daemon.is_busy()
    assert daemon.share.pause_seconds() == 0


def test_the_time_of_many_administrators_is_counted_as_one() -> None:
    """What one has taken, the next has to wait for."""
    daemon = Daemon()
    daemon.is_busy()
    daemon.answers(0.03)
    assert daemon.share.pause_seconds() == pytest.approx(0.03 / 0.02 - 1.0, abs=0.1)


def test_nobody_waits_longer_than_whoever_asks_has_patience() -> None:
    daemon = Daemon()
    daemon.is_busy()
    daemon.answers(10.0)
    assert daemon.share.pause_seconds() <= 1.0


async def test_whoever_asks_much_is_answered_later(
    runtime_dir: Path, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question stays in the socket until it is answered, and a hang-up in between does no harm."""
    monkeypatch.setattr(server, "Share", lambda clock, worked: SlowShare(clock, lambda: 0.0))
    with ExitStack() as stack:
        shell = await start_shell(runtime_dir, nursery, stack)
        admin, other = await shell.administrator(), await shell.administrator()
        await trio.sleep(1.0)
        admin.says(m.Status(1), m.Status(2))
        other.says(m.Status(1))
        await trio.sleep(1.5)
        assert admin.has_heard() == other.has_heard() == []
        other.hangs_up()
        await trio.sleep(1.0)
        assert [report.id for report in admin.has_heard()] == [1, 2]
        nursery.cancel_scope.cancel()


async def test_a_rest_is_one_rest_whatever_happens_in_it(
    runtime_dir: Path, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that were left unread leave in between, which has the socket watched anew. And then the peer goes."""
    monkeypatch.setattr(server, "Share", lambda clock, worked: SlowShare(clock, lambda: 0.0))
    with ExitStack() as stack:
        shell = await start_shell(runtime_dir, nursery, stack)
        admin = await shell.administrator()
        admin.says(*(m.Status(number) for number in range(1, 601)))
        await wait_all_tasks_blocked()
        await trio.sleep(1.0)
        admin.says(m.Status(601))
        await wait_all_tasks_blocked()
        # More than the socket holds was waiting.
        first = admin.has_heard()
        rest = await admin.hears()
        assert rest
        assert [report.id for report in first + rest] == list(range(1, 601))
        admin.hangs_up()
        await trio.sleep(5.0)
        assert (await shell.status())["sessions"] == 0
        nursery.cancel_scope.cancel()


async def test_whoever_hangs_up_is_not_answered_and_what_it_wanted_changed_is_changed(
    runtime_dir: Path, nursery: trio.Nursery, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise all that it had asked would be answered at once, to nobody, however busy the daemon is."""
    monkeypatch.setattr(server, "Share", lambda clock, worked: SlowShare(clock, lambda: 0.0))
    asked: list[object] = []
    monkeypatch.setitem(cast(dict[Any, Any], answers.ANSWERS), m.Status, lambda desk, request: asked.append(request))
    with ExitStack() as stack:
        shell = await start_shell(runtime_dir, nursery, stack)
        admin, holder = await shell.administrator(), await shell.welcomed()
        [token] = await holder.granted(acquire(1))
        await trio.sleep(1.0)
        admin.says(*(m.Status(number) for number in range(1, 101)))
        admin.says(m.Break(101, "db", 0, "it hangs", {}))
        await wait_all_tasks_blocked()
        admin.hangs_up()
        assert [lost.token for lost in await holder.hears()] == [token]
        assert asked == []
        nursery.cancel_scope.cancel()


class SlowShare(Share):
    """Has everybody wait from the first to the third second."""

    def pause_seconds(self) -> float:
        return max(3.0 - trio.current_time(), 0.0) if trio.current_time() >= 1.0 else 0.0
