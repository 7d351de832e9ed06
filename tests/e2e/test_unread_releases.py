"""A program releases, and the daemon is killed before it has read that. When is the lock free?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockd_client import AdminClient
from support.daemon import Daemon
from support.idle import wait_until, wake_ups
from support.library import Play, Queue

#: A client of its own, and what it holds.
HOLDER = """
client = lockd_client.connect(watch=watch)
handle = client.lock(name)
handle.acquire()
"""


@contextmanager
def asked(daemon: Daemon, name: str) -> Iterator[Queue]:
    """Ask the daemon that there is now."""
    with AdminClient(daemon.admin_socket) as admin:
        yield Queue(admin, name)


#: poll and ppoll, on x86-64 and on everything that is younger.
POLL_CALLS = {"7", "271", "73"}


def is_in_poll(thread: int) -> bool:
    return Path(f"/proc/{thread}/syscall").read_text().split()[0] in POLL_CALLS


def restart(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()


def test_at_the_next_call(daemon: Daemon, play: Play, name: str) -> None:
    holder = play(HOLDER, watch=False)
    daemon.suspend()
    holder("handle.release()")
    restart(daemon)
    with asked(daemon, name) as queue:
        # Nobody is there who could tell it: the program has but one thread, and that does something else.
        assert holder("len(os.listdir('/proc/self/task'))") == 1
        assert queue.holders() == [holder.pid]
        assert holder("handle.locked()") is False
        assert queue.holders() == []


def test_at_the_exit(daemon: Daemon, play: Play, name: str) -> None:
    holder = play(HOLDER, watch=False)
    daemon.suspend()
    holder("handle.release()")
    restart(daemon)
    holder.exit()
    with asked(daemon, name) as queue:
        wait_until(lambda: queue.holders() == [], "the lock is free")


def test_by_itself_with_watch(daemon: Daemon, play: Play, name: str) -> None:
    holder = play(HOLDER, watch=True)
    daemon.suspend()
    holder("handle.release()")
    restart(daemon)
    with asked(daemon, name) as queue:
        wait_until(lambda: queue.holders() == [], "the lock is free")


def test_before_it_returns_with_confirm(daemon: Daemon, play: Play, name: str) -> None:
    holder = play(HOLDER, watch=False)
    daemon.suspend()
    holder.begin("handle.release(confirm=True)")
    restart(daemon)
    holder.result()
    with asked(daemon, name) as queue:
        assert queue.holders() == []


def test_no_daemon_undoes_what_was_confirmed(daemon: Daemon, play: Play, name: str) -> None:
    holder = play(HOLDER, watch=False)
    holder("handle.release(confirm=True)")
    restart(daemon)
    with asked(daemon, name) as queue:
        assert queue.holders() == []


@pytest.mark.skipif(not Path("/proc/self/syscall").exists(), reason="this kernel does not tell who sleeps where")
def test_the_thread_of_watch_sleeps_while_all_is_well(daemon: Daemon, play: Play) -> None:
    watched, busy = play(HOLDER, watch=True), play()
    watched("handle.release()")
    thread = watched("[int(each) for each in os.listdir('/proc/self/task') if int(each) != os.getpid()][0]")
    wait_until(lambda: is_in_poll(thread), "the thread sleeps")
    before = wake_ups(thread)
    for _ in range(20):
        busy("inside(mine)")
        watched("inside(handle)")
    assert is_in_poll(thread)
    assert wake_ups(thread) == before
