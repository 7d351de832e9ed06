"""Who asked for it is called when a grant is lost or somebody waits for it: by a thread that keeps nothing alive."""

from __future__ import annotations

import gc
import os
import sys
import threading
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from weakref import ref

import pytest

import lockd_client
from lockd_client import Client, Grant, LockLost, NotOwner, _watcher
from support.judge import Judge
from support.scripted_daemon import PATIENCE_SECONDS, ScriptedDaemon

Calls = SimpleQueue[tuple[str, Any]]


@pytest.fixture
def calls() -> Calls:
    return SimpleQueue()


def noted(calls: Calls, **terms: Any) -> dict[str, Any]:
    """Return terms by which all calls are noted."""
    return {
        "lease": 1,
        "on_yield": lambda grant: calls.put(("yield", grant)),
        "on_lost": lambda grant: calls.put(("lost", grant)),
        **terms,
    }


def taken(client: Client, name: str = "a", **terms: Any) -> Grant:
    """Take a lock and return a grant that nobody else has."""
    return client.lock(name, **terms).__enter__()


def next_of(calls: Calls) -> tuple[str, Any]:
    return calls.get(timeout=PATIENCE_SECONDS)


def threads() -> set[str]:
    return set(os.listdir("/proc/self/task"))


def wait_for_threads(daemon: ScriptedDaemon, number: int) -> None:
    """Wait until there are no more than so many."""
    daemon.wait_until(lambda: _settled(lambda: len(threads()) <= number))


def _settled(is_so: Any) -> bool:
    # Nobody is told of the end of a thread.
    for _ in range(100_000):
        if is_so():
            return True
        os.sched_yield()
    return False


@pytest.fixture
def busy(request: pytest.FixtureRequest, mine: Client, judge: Judge, daemon: ScriptedDaemon) -> Any:
    """If asked for, a thread that waits for a lock and so reads for all."""
    if not request.param:
        yield None
        return
    give_back = judge.hold("busy")
    thread = threading.Thread(target=lambda: mine.lock("busy").__enter__().release())
    thread.start()
    daemon.wait_until(lambda: judge.waiting() == 1)
    yield thread
    give_back()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


nobody_reads = pytest.param(False, id="while nobody reads")
somebody_reads = pytest.param(True, id="while a thread reads")
either = pytest.mark.parametrize("busy", [nobody_reads, somebody_reads], indirect=True)


@either
@pytest.mark.parametrize("when", ["before", "after"])
def test_called_when_somebody_waits_and_when_it_is_lost(
    mine: Client, judge: Judge, calls: Calls, busy: object, when: str
) -> None:
    grant = taken(mine, **noted(calls))
    judge.want("a")
    assert next_of(calls) == ("yield", grant)
    assert grant.is_held
    judge.pass_time(2)
    assert next_of(calls) == ("lost", grant)
    with pytest.raises(LockLost, match='"a" is no longer held: the lease had run out when somebody else wanted it'):
        grant.release()
    with pytest.raises(NotOwner):
        grant.release()


@pytest.mark.parametrize("busy", [somebody_reads], indirect=True)
def test_a_reader_that_comes_when_the_watcher_already_waits(
    mine: Client, judge: Judge, daemon: ScriptedDaemon, calls: Calls, busy: object
) -> None:
    """And one that goes: somebody is always there to hear of it."""
    for _ in range(10):
        grant = taken(mine, **noted(calls))
        give_back = judge.hold("b")
        thread = threading.Thread(target=lambda: mine.lock("b").__enter__().release())
        thread.start()
        give_up = judge.want("a")
        assert next_of(calls) == ("yield", grant)
        give_back()
        thread.join(PATIENCE_SECONDS)
        judge.pass_time(2)
        assert next_of(calls) == ("lost", grant)
        with pytest.raises(LockLost):
            grant.release()
        give_up()


def test_the_watcher_sleeps_over_data_that_somebody_else_has_read(
    mine: Client, judge: Judge, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system wakes it for what is still there when it comes to look, and not for what was."""
    sleeps, wake = threading.Event(), threading.Event()

    def sleep_on(number: int) -> None:
        sleeps.set()
        wake.wait(PATIENCE_SECONDS)

    monkeypatch.setattr(_watcher, "_wait_for_data", sleep_on)
    grant = taken(mine, **noted(calls))
    assert sleeps.wait(PATIENCE_SECONDS)
    judge.want("a")
    judge.pass_time(2)
    assert grant.lost
    assert {next_of(calls)[0], next_of(calls)[0]} == {"yield", "lost"}
    wake.set()
    with pytest.raises(LockLost):
        grant.release()


def test_called_while_the_holder_is_told_to_wait(mine: Client, judge: Judge, calls: Calls) -> None:
    """Nobody reads while a callback of a wait runs, but for the watcher."""
    grant = taken(mine, **noted(calls))
    give_back = judge.hold("b")

    def wait_for_the_call(wait: object) -> None:
        judge.want("a")
        assert next_of(calls) == ("yield", grant)
        give_back()

    with mine.lock("b", on_wait=wait_for_the_call):
        pass
    grant.release()


def test_a_notice_right_behind_the_grant(mine: Client, judge: Judge, calls: Calls) -> None:
    give_back = judge.hold("a")
    judge_waits: list[Any] = []

    def let_go(wait: object) -> None:
        judge_waits.append(judge.want("a"))
        give_back()

    grant = taken(mine, **noted(calls, on_wait=let_go))
    assert next_of(calls) == ("yield", grant)
    grant.release()


def test_each_is_called_once(mine: Client, judge: Judge, daemon: ScriptedDaemon, calls: Calls) -> None:
    grant = taken(mine, **noted(calls))
    judge.want("a")
    assert next_of(calls)[0] == "yield"
    judge.pass_time(2)
    assert next_of(calls) == ("lost", grant)
    daemon.stop()
    other = ref(grant)
    assert grant.lost
    with pytest.raises(Empty):
        calls.get(block=False)
    del grant
    assert other() is None or not other().is_held  # type: ignore[union-attr]  # looked at just before


def test_what_a_callback_raises_is_shown_and_the_next_one_called(
    mine: Client, judge: Judge, calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: SimpleQueue[type[BaseException]] = SimpleQueue()
    monkeypatch.setattr(sys, "excepthook", lambda kind, error, traceback: shown.put(kind))

    def fail(grant: Grant) -> None:
        raise {"a": ZeroDivisionError, "b": SystemExit}[grant.name]

    grants = [taken(mine, name, on_yield=fail) for name in "ab"]
    last = taken(mine, "c", **noted(calls))
    for name, error in (("a", ZeroDivisionError), ("b", SystemExit)):
        judge.want(name)
        assert shown.get(timeout=PATIENCE_SECONDS) is error
    judge.want("c")
    assert next_of(calls) == ("yield", last)
    for grant in (*grants, last):
        grant.release()


def test_a_callback_may_use_the_client(mine: Client, judge: Judge, calls: Calls) -> None:
    def give_way(grant: Grant) -> None:
        grant.release()
        with mine.lock("b") as other:
            calls.put(("gave way", other.is_held))

    grant = taken(mine, on_yield=give_way)
    judge.want("a")
    assert next_of(calls) == ("gave way", True)
    assert not grant.is_held


def be_forgotten(daemon: ScriptedDaemon) -> None:
    """Have the daemon come back without anything that it knew."""
    daemon.stop()
    daemon.forget()
    daemon.start()


def test_the_end_of_the_daemon_is_told_for_every_grant(
    mine: Client, daemon: ScriptedDaemon, judge: Judge, calls: Calls
) -> None:
    grants = [taken(mine, name, **noted(calls)) for name in "abc"]
    silent = taken(mine, "d")
    be_forgotten(daemon)
    assert {grant.name for _, grant in (next_of(calls) for _ in grants)} == {"a", "b", "c"}
    for grant in (*grants, silent):
        with pytest.raises(LockLost):
            grant.check()


def test_the_end_of_the_daemon_is_told_while_a_thread_reads(
    mine: Client, daemon: ScriptedDaemon, judge: Judge, calls: Calls
) -> None:
    judge.hold("busy")
    failed: Calls = SimpleQueue()

    def wait() -> None:
        try:
            mine.lock("busy").acquire()
        except lockd_client.SessionLost as error:
            failed.put(("lost", error))

    threading.Thread(target=wait).start()
    daemon.wait_until(lambda: judge.waiting() == 1)
    grant = taken(mine, **noted(calls))
    be_forgotten(daemon)
    assert next_of(calls) == ("lost", grant)
    assert next_of(failed)[0] == "lost"


def test_without_callbacks_there_is_no_thread(mine: Client, judge: Judge, daemon: ScriptedDaemon) -> None:
    before = threads()
    with mine.lock("a", lease=3, label="why"), mine.rlock("b"), mine.semaphore("c", 3):
        assert threads() <= before


def test_there_is_one_thread_and_it_ends_with_the_client(
    mine: Client, judge: Judge, daemon: ScriptedDaemon, calls: Calls
) -> None:
    before = len(threads())
    grants = [taken(mine, name, **noted(calls)) for name in "abc"]
    assert len(threads()) == before + 1
    mine.close()
    wait_for_threads(daemon, before)
    assert not grants[0].lost
    with pytest.raises(Empty):
        calls.get(block=False)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_thread_keeps_neither_grant_nor_client_alive(daemon: ScriptedDaemon, judge: Judge, calls: Calls) -> None:
    before = len(threads())
    client = lockd_client.connect(daemon.path)
    called = threading.Event()
    grant = taken(client, lease=1, on_yield=lambda grant: called.set())
    judge.want("a")
    assert called.wait(PATIENCE_SECONDS)
    session = ref(client.session())
    grants = [ref(grant)]
    del grant
    # The thread may still be on its way out of the callback.
    assert _settled(lambda: gc.collect() >= 0 and grants[0]() is None)
    judge.afterwards = lambda message: None
    del client
    assert _settled(lambda: gc.collect() >= 0 and session() is None)
    daemon.wait_until(lambda: not daemon.connections)
    wait_for_threads(daemon, before)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_fork_under_a_watcher(mine: Client, judge: Judge, daemon: ScriptedDaemon, calls: Calls) -> None:
    grant = taken(mine, **noted(calls))
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with pytest.raises(NotOwner):
                grant.check()
            with lockd_client.connect(daemon.path) as own:
                inherited = threads()
                with own.lock("b", on_yield=print):
                    status = 0 if len(threads()) == len(inherited) + 1 else 2
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    judge.want("a")
    assert next_of(calls) == ("yield", grant)
    grant.release()


def test_descriptors_are_closed_under_a_watcher(
    mine: Client, judge: Judge, daemon: ScriptedDaemon, calls: Calls, tmp_path: Path
) -> None:
    """The number of the connection is another file's then. The daemon keeps what is held, so nothing is lost."""
    grant = taken(mine, **noted(calls))
    number = mine.fileno()
    stranger = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    os.dup2(stranger, number)
    os.close(stranger)
    judge.want("a")
    # The thread may still wait for what comes over the old connection. Any call makes a new one.
    with mine.lock("b"):
        pass
    assert (os.fstat(number).st_size, os.lseek(number, 0, os.SEEK_CUR)) == (0, 0)
    assert not grant.lost
    grant.release()
    os.close(number)
