"""A program closes its client, and the daemon is killed before it has read that. The lock is free all the same."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from support.actor import Actor
from support.daemon import Daemon
from support.idle import wait_until
from support.library import Play

#: A client of its own, and what it holds.
HOLDER = """
client = lockd_client.connect(watch=watch)
handle = client.lock(name)
handle.acquire()
threads = lambda: len(os.listdir("/proc/self/task"))
"""

CLOSE = "client.close()"
RELEASE_AND_CLOSE = "handle.release(), client.close()"
FORGET = "globals().pop('handle').release(), globals().pop('client') and None"


def assert_free(play: Play, holder: Actor) -> None:
    """Another process gets it, although the first does nothing for that, and goes on to live."""
    assert play()("mine.acquire(timeout=20)")
    wait_until(lambda: holder("threads()") == 1, "no thread is left")


@pytest.mark.parametrize("watch", [False, True])
@pytest.mark.parametrize("parting", [CLOSE, RELEASE_AND_CLOSE])
def test_killed_when_close_has_given_up(daemon: Daemon, play: Play, parting: str, watch: bool) -> None:
    holder = play(HOLDER, watch=watch)
    daemon.suspend()
    holder(parting)
    daemon.kill()
    daemon.start()
    assert_free(play, holder)


@pytest.mark.parametrize("parting", [CLOSE, RELEASE_AND_CLOSE])
def test_killed_while_close_waits(daemon: Daemon, play: Play, parting: str) -> None:
    holder = play(HOLDER, watch=False)
    daemon.suspend()
    holder.begin(parting)
    wait_until(lambda: is_asleep(holder), "close waits")
    daemon.kill()
    daemon.start()
    holder.result()
    assert_free(play, holder)


def test_killed_after_the_client_was_forgotten(daemon: Daemon, play: Play) -> None:
    holder = play(HOLDER, watch=False)
    daemon.suspend()
    holder(FORGET)
    daemon.kill()
    daemon.start()
    assert_free(play, holder)


def test_stopped_for_longer_than_close_waits(daemon: Daemon, play: Play) -> None:
    """The daemon reads goodbye in the end, behind the program's attempts to say it again."""
    holder = play(HOLDER, watch=False)
    daemon.suspend()
    holder(RELEASE_AND_CLOSE)
    daemon.send_signal(signal.SIGCONT)
    assert_free(play, holder)


def test_no_thread_when_all_is_well(daemon: Daemon, play: Play) -> None:
    holder = play(HOLDER, watch=False)
    # However slow the machine is.
    holder("lockd_client._channel.CLOSE_SECONDS = 60.0")
    assert holder("[handle.release(), client.close(), threads()][-1]") == 1


def is_asleep(holder: Actor) -> bool:
    """Whether the program waits for something: it does nothing else in `close` that takes time."""
    return Path(f"/proc/{holder.pid}/stat").read_text().rpartition(") ")[2].startswith("S")
