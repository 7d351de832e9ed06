"""A forked child has no session, no socket and no grant of its parent, and can have its own."""

from __future__ import annotations

import os
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn
from weakref import ref

import pytest

import lockd_client
from lockd_client import Client, Lock, NotOwner, _forks
from lockd_wire import messages as m
from support.scripted_daemon import ScriptedDaemon

# Python 3.12 warns of a fork in a process with threads, of which the scripted daemon has some. That is what is tested.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def in_child(action: Callable[[], object]) -> None:
    """Fork, run ``action`` in the child, and fail if it raises there."""
    child = os.fork()
    if child == 0:
        _run_and_exit(action)
    assert os.waitpid(child, 0)[1] == 0, "see what the child wrote"


def _run_and_exit(action: Callable[[], object]) -> NoReturn:
    status = 1
    try:
        action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


def test_the_child_cannot_use_its_parents_grant(client: Client, daemon: ScriptedDaemon) -> None:
    handle = client.lock("a")
    handle.acquire()
    grant = handle.grant
    assert grant is not None
    sentence = (
        f'"a": this belongs to process {os.getpid()}, from which this process was forked: '
        "a child takes locks of its own"
    )

    def use() -> None:
        for call in (grant.release, grant.check, handle.release):
            with pytest.raises(NotOwner) as raised:
                call()
            assert str(raised.value) == sentence
        assert not grant.lost
        assert not grant.is_held
        assert handle.grant is None
        assert not handle.owned()

    in_child(use)
    assert handle.locked()
    grant.check()
    handle.release()
    daemon.wait_until_idle()


def test_a_client_of_the_parent_is_of_no_use_in_the_child(client: Client, daemon: ScriptedDaemon) -> None:
    def use() -> None:
        for call in (client.lock("a").acquire, client.lock("a").locked):
            with pytest.raises(NotOwner, match=f"this belongs to process {os.getppid()}"):
                call()
        client.close()
        with lockd_client.connect(daemon.path) as own, own.lock("b"):
            assert own.lock("b").locked()

    in_child(use)
    assert not client.lock("b").locked()


def test_the_socket_is_closed_in_the_child(client: Client) -> None:
    number = client.fileno()

    def look() -> None:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)

    in_child(look)


def test_the_handles_of_the_module_work_in_the_child(module: Client, daemon: ScriptedDaemon) -> None:
    handle = lockd_client.lock("a")
    with handle:

        def use() -> None:
            assert handle.acquire(blocking=False) is False
            with lockd_client.lock("b") as own:
                assert not own.lost
            module.close()

        in_child(use)
    assert len(daemon.heard_of(m.Hello)) == 2
    daemon.wait_until_idle()


def test_in_whatever_order_things_are_told_the_child_says_nothing(
    module: Client, daemon: ScriptedDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client forgets its session, which nobody else knows, before the session has been told: the order is that
    of addresses. Collected now, it would take leave over its parent's socket."""
    lockd_client.lock("a").locked()
    heard = len(daemon.heard)

    class ClientsFirst(set[ref[Any]]):
        def copy(self) -> Any:
            return sorted(self, key=lambda thing: not isinstance(thing(), Client))

    def look() -> None:
        assert module.open_session is None

    monkeypatch.setattr(_forks, "_things", ClientsFirst(_forks._things))
    in_child(look)
    assert lockd_client.lock("a").locked() is False
    assert [type(message) for message in daemon.heard[heard:]] == [m.Query]


def test_with_that_ends_in_the_child(client: Client, daemon: ScriptedDaemon) -> None:
    def fork_and_leave(handle: Lock, leave: Callable[[], object]) -> None:
        with handle:
            if os.fork() == 0:
                leave()
            else:
                assert os.wait()[1] == 0

    def leave_by_the_end() -> None:
        with pytest.raises(NotOwner):
            fork_and_leave(handle, lambda: None)

    def leave_by_exit() -> None:
        with pytest.raises(SystemExit):
            fork_and_leave(handle, lambda: sys.exit(0))

    handle, parent = client.lock("a"), os.getpid()
    for leave in (leave_by_the_end, leave_by_exit):
        try:
            leave()
        except BaseException:
            # In the parent nothing is raised, which pytest.raises complains of.
            if os.getpid() != parent:
                traceback.print_exc()
                os._exit(1)
        if os.getpid() != parent:
            os._exit(0)
    daemon.wait_until_idle()


def test_collecting_what_was_inherited_releases_nothing_and_says_nothing(client: Client) -> None:
    handles = [client.lock("a")]
    handles[0].acquire()

    def forget() -> None:
        warnings.simplefilter("error")
        sys.unraisablehook = lambda unraisable: os._exit(3)
        handles.clear()

    in_child(forget)
    assert handles[0].locked()
    handles[0].release()


def test_a_fork_while_other_threads_are_in_the_middle_of_something(module: Client, daemon: ScriptedDaemon) -> None:
    """The child has copies of mutexes that no thread of it will ever release."""
    stop = threading.Event()

    def work(name: str) -> None:
        handle = lockd_client.lock(name)
        while not stop.is_set():
            with handle:
                pass

    threads = [threading.Thread(target=work, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()

    def use() -> None:
        with lockd_client.lock("child"):
            pass
        module.close()

    try:
        for _ in range(10):
            in_child(use)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    daemon.wait_until_idle()


def test_a_fork_in_a_thread_while_another_one_waits(module: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    handle = lockd_client.lock("a")
    waiting = threading.Thread(target=handle.acquire)
    waiting.start()
    daemon.wait_for_waiters(1)

    def use() -> None:
        assert lockd_client.lock("a").acquire(blocking=False) is False
        module.close()

    in_child(use)
    daemon.release("a")
    waiting.join()
    handle.release()
    daemon.wait_until_idle()
