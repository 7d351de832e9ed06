"""What can fail, for how long, and a run of the daemon in which it does."""

from __future__ import annotations

import errno
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import trio
from trio.testing import MockClock

from .faults_of_the_kernel import (
    SEAMS,
    Failure,
    Faults,
    aborted,
    broken,
    out_of_memory,
    out_of_memory_afterwards,
    refused,
    reset,
)
from .faulty_run import Run


class Case(NamedTuple):
    """Calls that fail, and how."""

    seams: frozenset[str]
    failure: Failure
    #: Whether that may end the daemon. What the operating system says never does, once it serves.
    may_end: bool = False


class Duration(NamedTuple):
    """How long it lasts."""

    is_lasting: bool
    #: In rounds after the first failure.
    rounds: int
    #: Whether the daemon is killed at the end.
    is_killed: bool


_DESCRIPTORS: Final = frozenset({"open", "os.open", "pidfd_open", "peer's pidfd", "accept", "socket", "epoll_create"})
_WRITING: Final = frozenset({"open for writing", "fallocate", "pwrite", "rename", "mkdir", "fsync"})
_OWN: Final = frozenset(
    {
        *("handle", "changes", "packed", "encoded", "peek", "decode", "event_of", "message_of", "encode"),
        "call_at",
    }
)
#: All that the daemon asks of the operating system.
_KERNEL: Final = frozenset({*(SEAMS.keys() - _OWN - {"open for writing"}), "epoll_create", "epoll_ctl"})

CASES: Final[dict[str, Case]] = {
    "EMFILE": Case(_DESCRIPTORS, refused(errno.EMFILE)),
    "ENFILE": Case(_DESCRIPTORS, refused(errno.ENFILE)),
    "ENOSPC": Case(_WRITING | {"epoll_ctl"}, refused(errno.ENOSPC)),
    "EROFS": Case(_WRITING | {"unlink"}, refused(errno.EROFS)),
    "EIO": Case(_WRITING | {"open", "unlink"}, refused(errno.EIO)),
    "EPIPE": Case(frozenset({"send"}), broken),
    "ECONNRESET": Case(frozenset({"recv"}), reset),
    "ENOBUFS": Case(frozenset({"accept", "send", "recv"}), refused(errno.ENOBUFS)),
    "ECONNABORTED": Case(frozenset({"accept"}), aborted),
    "ENOMEM": Case(_KERNEL - {"rename", "unlink", "fsync"}, refused(errno.ENOMEM)),
    "MemoryError for the system's calls": Case(_KERNEL, out_of_memory, may_end=True),
    "MemoryError": Case(_OWN, out_of_memory, may_end=True),
    "MemoryError behind it": Case(_OWN, out_of_memory_afterwards, may_end=True),
}

DURATIONS: Final[dict[str, Duration]] = {
    "once": Duration(is_lasting=False, rounds=0, is_killed=False),
    "for a while": Duration(is_lasting=True, rounds=6, is_killed=False),
    "until it is killed": Duration(is_lasting=True, rounds=2, is_killed=True),
}


def play(case: Case, duration: Duration, number: int) -> Run:
    """Have the call with this number fail, 0 for none, and return how that went.

    Raises:
        Violation, AssertionError: What must not happen has happened.
    """
    # With a short path, for the sockets.
    directory = Path(tempfile.mkdtemp(prefix="lockd-"))
    try:
        faults = Faults(case.seams, case.failure, number, is_lasting=duration.is_lasting)
        run = Run(directory, faults, duration.rounds, is_killed=duration.is_killed, may_end=case.may_end)
        with _tasks_in_one_order():
            trio.run(run.play, clock=MockClock(autojump_threshold=0))
        return run
    except ExceptionGroup as group:
        raise next(_leaves(group)) from group
    finally:
        shutil.rmtree(directory)


@contextmanager
def _tasks_in_one_order() -> Iterator[None]:
    """Have trio, which runs the tasks that are ready in a random order, choose the same one each time: else the call
    that fails in one run is another one in the next, and nobody could play again what was found."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trio._core._run._ALLOW_DETERMINISTIC_SCHEDULING", True)
        patch.setattr("trio._core._run._r", random.Random(0))
        yield


def _leaves(error: Exception) -> Iterator[Exception]:
    if not isinstance(error, ExceptionGroup):
        yield error
        return
    for each in error.exceptions:
        yield from _leaves(each)
