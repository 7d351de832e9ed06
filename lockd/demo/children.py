"""Processes that end with this one, however it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

#: Ctrl-C is a KeyboardInterrupt already.
_OTHER_ENDS = (signal.SIGTERM, signal.SIGHUP)
_ENDS = {signal.SIGINT, *_OTHER_ENDS}

_PR_SET_PDEATHSIG = 1
# Found here, since a process that was just forked had better not look for libraries.
_prctl = ctypes.CDLL(None).prctl


class DemoFailed(Exception):
    """The demo cannot be played; the message says why."""


class Stopped(Exception):
    """A signal told this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.signal = number


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Make of SIGTERM and SIGHUP the exception `Stopped`, for as long as the block lasts."""

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Stopped(number)

    previous = {number: signal.signal(number, stop) for number in _OTHER_ENDS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Put off what would end this process until the block is through, so that it is not left half done."""
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


@contextmanager
def interruptible() -> Iterator[None]:
    """Let through, within `uninterrupted`, what was put off."""
    previous = signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


class Children:
    """The processes that this one has started. When the block ends, none of them is left."""

    def __init__(self) -> None:
        self._alive: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        with uninterrupted():
            for pid in self._alive:
                os.kill(pid, signal.SIGKILL)
            for pid in list(self._alive):
                self.wait(pid)

    def fork(self, task: Callable[[], None]) -> int:
        """Run ``task`` in a new process, which then exits, and return its pid.

        Its exit status is 0, or 1 if the task raised an exception, which is shown on standard error.
        """
        parent = os.getpid()
        with uninterrupted():
            pid = os.fork()
            if pid:
                self._alive.add(pid)
                return pid
            status = 1
            try:
                _become_child_of(parent)
                task()
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                # What the parent has prepared for its own end must not happen here.
                sys.stderr.flush()
                os._exit(status)

    def execute(self, command: list[str], environment: Mapping[str, str], output: str) -> int:
        """Run a command in a new process and return its pid. What it writes goes into the file ``output``."""

        def task() -> None:
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (file, 1), (file, 2)):
                os.dup2(source, target)
            os.execve(command[0], command, environment)

        return self.fork(task)

    def has_ended(self, pid: int) -> bool:
        """Return whether that process is gone or about to go, without waiting for it."""
        return pid not in self._alive or os.waitid(os.P_PID, pid, _ENDED | os.WNOHANG) is not None

    def wait(self, pid: int) -> int:
        """Wait until that process has exited and return its exit status, or minus the number of what killed it."""
        os.waitid(os.P_PID, pid, _ENDED)
        with uninterrupted():
            self._alive.discard(pid)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


#: It has ended and may be asked about again.
_ENDED = os.WEXITED | os.WNOWAIT


def _become_child_of(parent: int) -> None:
    """Die with the parent, and leave it to the parent what a signal from the terminal means."""
    os.setpgid(0, 0)
    for number in _OTHER_ENDS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDS)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
