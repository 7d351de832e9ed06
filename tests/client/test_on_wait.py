"""Who asked for it is told what a request has to wait for, in the thread that waits, and may do anything there."""

from __future__ import annotations

import threading

import pytest

from lockd_client import Client, Lock, LockTimeout
from lockd_client._wait import Wait
from lockd_client._waiting import Waiting
from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.judge import Judge
from support.scripted_daemon import PATIENCE_SECONDS, ScriptedDaemon


def in_thread(handle: Lock) -> threading.Thread:
    """Take a lock and give it back in another thread."""

    def work() -> None:
        with handle:
            pass

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def finish(thread: threading.Thread) -> None:
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive(), "still waits"


def test_it_is_told_in_the_thread_that_waits(mine: Client, judge: Judge) -> None:
    give_back = judge.hold("a")
    told: list[tuple[int, Wait]] = []

    def tell(wait: Wait) -> None:
        told.append((threading.get_ident(), wait))
        give_back()

    with mine.lock("a", on_wait=tell):
        pass
    ((thread, wait),) = told
    assert thread == threading.get_ident()
    assert (wait.name, wait.position, wait.waiters_total, wait.holders_total) == ("a", 1, 1, 1)
    assert wait.holders[0].program == "others"
    assert str(wait).startswith('waiting for "a": held exclusively by pid 1 (others')
    assert str(wait).endswith("; 1st in the queue")
    assert repr(wait) == f"<Wait {wait}>"


def test_who_need_not_wait_is_told_nothing(mine: Client, judge: Judge) -> None:
    told: list[Wait] = []
    with mine.lock("a", on_wait=told.append):
        pass
    judge.assert_agrees(mine)
    judge.hold("a")
    assert mine.lock("a", on_wait=told.append).acquire(blocking=False) is False
    assert not told


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_what_it_raises_ends_the_wait(mine: Client, judge: Judge) -> None:
    give_back = judge.hold("a")

    def refuse(wait: Wait) -> None:
        raise ZeroDivisionError

    handle = mine.lock("a", on_wait=refuse)
    for call in (handle.acquire, handle.__enter__):
        with pytest.raises(ZeroDivisionError):
            call()
        judge.assert_agrees(mine)
    give_back()
    with handle:
        pass


def test_granted_meanwhile_and_refused_all_the_same(mine: Client, judge: Judge) -> None:
    give_back = judge.hold("a")

    def refuse(wait: Wait) -> None:
        give_back()
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        mine.lock("a", on_wait=refuse).acquire()
    judge.assert_agrees(mine)


def test_it_may_take_other_locks(mine: Client, judge: Judge) -> None:
    give_back = judge.hold("a")
    give_back_b = judge.hold("b")

    def take(wait: Wait) -> None:
        with mine.lock("c"), mine.lock("b", on_wait=lambda wait: give_back_b()):
            assert mine.lock("c").owned()
        with pytest.raises(LockTimeout), mine.lock("a", timeout=0):
            pass
        give_back()

    with mine.lock("a", on_wait=take) as grant:
        grant.check()
    judge.assert_agrees(mine)


def test_other_threads_go_on_meanwhile(mine: Client, judge: Judge, daemon: ScriptedDaemon) -> None:
    give_back = judge.hold("a")
    give_back_b = judge.hold("b")

    def let_the_other_one_through(wait: Wait) -> None:
        other = in_thread(mine.lock("b"))
        daemon.wait_until(lambda: judge.waiting() == 2)
        give_back_b()
        finish(other)
        give_back()

    with mine.lock("a", on_wait=let_the_other_one_through):
        pass
    judge.assert_agrees(mine)


def test_other_threads_go_on_when_their_reader_leaves_meanwhile(
    mine: Client, judge: Judge, daemon: ScriptedDaemon
) -> None:
    """The one who is busy has slept before, so that it looks as if he still did."""
    given_back = {name: judge.hold(name) for name in "abx"}
    reader = in_thread(mine.lock("x"))
    daemon.wait_until(lambda: judge.waiting() == 1)

    def let_the_others_through(wait: Wait) -> None:
        other = in_thread(mine.lock("b"))
        daemon.wait_until(lambda: judge.waiting() == 3)
        for name, thread in (("x", reader), ("b", other)):
            given_back[name]()
            finish(thread)
        given_back["a"]()

    with mine.lock("a", on_wait=let_the_others_through):
        pass
    judge.assert_agrees(mine)


def test_who_is_busy_is_not_woken() -> None:
    waiting = Waiting()
    waiting.prepare_to_sleep()
    waiting.is_busy = True
    assert waiting.wake() is False
    waiting.is_busy = False
    assert waiting.wake() is True
    assert waiting.wake() is False


def test_news_that_come_with_the_answer_are_no_news(client: Client, daemon: ScriptedDaemon) -> None:
    def script(session: int, message: m.ClientMessage) -> list[m.DaemonMessage] | None:
        if not isinstance(message, m.Acquire):
            return None
        granted = m.Granted(message.id, message.id, 7, {})
        daemon.send(session, encode(m.Waiting(0, 0, message.id, {})) + encode(granted))
        return []

    daemon.script = script
    told: list[Wait] = []
    with client.lock("a", on_wait=told.append):
        assert not told


@pytest.mark.parametrize(
    "facts", [{}, {"name": 5, "holders": 7, "holders_total": "many", "position": ()}, {"holders": ({}, {"pid": "x"})}]
)
def test_malformed_facts_do_no_harm(facts: m.Facts) -> None:
    wait = Wait(facts)
    assert str(wait).startswith('waiting for "')
    assert wait.holders_total == len(wait.holders)
