"""The first story: a process opens its locked file once more, closes it, and has lost its lock in silence.

Each test that has a control shows beside it what a lock of the kernel does in the same place.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lockd_client import Client
from support.actor import ActorRaised
from support.waiters import wait_until_somebody_waits

if TYPE_CHECKING:
    from .conftest import Cast

TRY = "lock.acquire(blocking=False)"
TRY_LOCKF = "attempt(fcntl.lockf)"
TRY_FLOCK = "attempt(fcntl.flock)"


def test_a_lock_outlives_every_descriptor_of_its_holder_and_ends_with_its_process(cast: Cast, client: Client) -> None:
    holder, other = cast.with_lockd(), cast.with_lockd()
    assert holder(TRY) is True
    assert other(TRY) is False

    holder("open(path).close()")
    assert other(TRY) is False

    holder("os.closerange(3, 65536)")
    assert other(TRY) is False

    other.begin("lock.acquire()")
    wait_until_somebody_waits(client, cast.path)
    holder.exit()
    assert other.result() is True


def test_control_lockf_is_lost_when_its_holder_closes_the_file_that_it_had_opened_once_more(cast: Cast) -> None:
    holder, other = cast.with_kernel(), cast.with_kernel()
    assert holder(TRY_LOCKF) is True
    assert other(TRY_LOCKF) is False

    holder("open(path).close()")
    assert other(TRY_LOCKF) is True


def test_a_killed_holder_frees_its_lock_although_a_child_has_the_connection_open(cast: Cast, client: Client) -> None:
    holder, other = cast.with_lockd(), cast.with_lockd()
    assert holder(TRY) is True
    # As a library that forks in C would have it, behind the back of Python.
    holder("copy = copy_of_connection()")
    child = holder.fork()
    assert child("copy.getpeername()") == holder("os.environ['LOCKD_SOCKET']")

    other.begin("lock.acquire()")
    wait_until_somebody_waits(client, cast.path)
    holder.kill()
    assert other.result() is True
    assert child("copy.getsockname()") == ""


def test_control_flock_is_kept_by_the_child_of_a_killed_holder(cast: Cast) -> None:
    holder, other = cast.with_kernel(), cast.with_kernel()
    assert holder(TRY_FLOCK) is True
    child = holder.fork()
    child("os.getpid()")

    holder.kill()
    assert other(TRY_FLOCK) is False


def test_a_child_can_neither_use_nor_release_what_its_parent_holds(cast: Cast) -> None:
    holder, other = cast.with_lockd(), cast.with_lockd()
    assert holder(TRY) is True
    holder("grant = lock.grant")
    child = holder.fork()

    for misuse in ("grant.check()", "grant.release()", "lock.release()"):
        with pytest.raises(ActorRaised, match=r"^NotOwner: "):
            child(misuse)
    assert child(TRY) is False
    assert other(TRY) is False
    assert holder("grant.check()") is None


def test_a_child_can_take_locks_of_its_own(cast: Cast) -> None:
    holder, other = cast.with_lockd(), cast.with_lockd()
    assert holder(TRY) is True
    child = holder.fork()

    child("its_own = lockd_client.path_lock(path + '/of the child')")
    assert child("its_own.acquire(blocking=False)") is True
    other("wanted = lockd_client.path_lock(path + '/of the child')")
    assert other("wanted.acquire(blocking=False)") is False

    # The death of the parent is no concern of the child.
    holder.kill()
    assert other(TRY) is True
    assert other("wanted.acquire(blocking=False)") is False
    child("its_own.release()")
    assert other("wanted.acquire(blocking=False)") is True


def test_a_program_that_the_holder_has_started_does_not_keep_the_lock(cast: Cast, client: Client) -> None:
    holder, other = cast.with_lockd(), cast.with_lockd()
    assert holder(TRY) is True
    # With all that it can inherit.
    holder("copy = copy_of_connection(); copy.set_inheritable(True)")
    holder("program = subprocess.Popen(['sleep', '600'], close_fds=False)")
    program = holder("program.pid")
    try:
        other.begin("lock.acquire()")
        wait_until_somebody_waits(client, cast.path)
        holder.kill()
        assert other.result() is True
        assert is_alive(program)
    finally:
        os.kill(program, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    return state != "Z"
