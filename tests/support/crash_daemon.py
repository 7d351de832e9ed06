"""Starts the daemon of a crash campaign, again and again, and can have it kill itself where it writes its journal.

    python -m support.crash_daemon DIRECTORY SOCKETS BUILD

A daemon is a fork of this process, which has imported all of lockd already: so a thousand of them start in minutes. A
line on standard input, ``MANNER POINT WINDOW``, starts one. It is answered by ``started PID``, and when the daemon has
ended, by ``ended STATUS``.

SOCKETS is "own" if each daemon makes its own, or "passed" if they are made here, once, and passed as systemd does it.
BUILD is "whole", or "forgetful" for a daemon that is broken on purpose.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

# "lockd serve" imports the server when it runs, which is to be done once, here, and not in each daemon.
import lockd.server  # noqa: F401  # imported for what it brings along
from lockd.journal.files import FILES, Files
from lockd.main import main as run_lockd

NONE: Final = "none"
BEFORE: Final = "before"
WITHIN: Final = "within"
AFTER: Final = "after"

OWN: Final = "own"
PASSED: Final = "passed"

WHOLE: Final = "whole"
FORGETFUL: Final = "forgetful"

#: Of the sockets: connections wait here while there is no daemon.
_BACKLOG: Final = 1024
_FIRST_DESCRIPTOR: Final = 3

#: A journal is compacted when it is longer than this, so that kills meet that as well.
_LEAST_BYTES: Final = 32 * 1024

#: How many writes the forgetful one keeps to itself, when it has done as many as it ought.
_KEPT_BACK: Final = 20

_P = ParamSpec("_P")
_T = TypeVar("_T")


class KillingFiles(Files):
    """Kills the process at the n-th call that changes a file: before it, after it, or, if it is a write, when half of
    it is written."""

    manner = NONE
    point = 0

    def make(self, path: str) -> int:
        return self._call(super().make, path)

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        self._call(super().allocate, descriptor, offset, size)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        if self.manner == WITHIN and self.point == 1:
            super().write(descriptor, data[: len(data) // 2], offset)
        return self._call(super().write, descriptor, data, offset)

    def rename(self, source: str, target: str) -> None:
        self._call(super().rename, source, target)

    def unlink(self, path: str) -> None:
        self._call(super().unlink, path)

    def _call(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        KillingFiles.point -= 1
        if self.point == 0 and self.manner in (BEFORE, WITHIN):
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            return call(*args, **kwargs)
        finally:
            # It may have failed: there need not be anything to unlink.
            if self.point == 0 and self.manner == AFTER:
                os.kill(os.getpid(), signal.SIGKILL)


class ForgetfulFiles(Files):
    """Says that it has written what it writes later: people are told of what a crash undoes."""

    kept: Final[deque[tuple[int, bytes, int]]] = deque()
    done = 0

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        ForgetfulFiles.done += 1
        if self.done <= _KEPT_BACK:
            # Without a beginning there would be no journal, which is another matter.
            return super().write(descriptor, data, offset)
        self.kept.append((descriptor, bytes(data), offset))
        while len(self.kept) > _KEPT_BACK:
            super().write(*self.kept.popleft())
        return len(data)


def serve(directory: Path, build: str, sockets: list[socket.socket], manner: str, point: int, window: str) -> int:
    """Be a daemon, in a process of its own."""
    if build == FORGETFUL:
        FILES.__class__ = ForgetfulFiles
    else:
        FILES.__class__ = KillingFiles
        KillingFiles.manner, KillingFiles.point = manner, point
        vars(sys.modules["lockd.journal.journal"])["LEAST_BYTES"] = _LEAST_BYTES
    os.environ["LOCKD_SESSIONS_RESUME_WINDOW_SECONDS"] = window
    if sockets:
        _pass(sockets)
    return run_lockd(["serve", "--runtime-dir", str(directory / "run"), "--state-dir", str(directory / "state")])


def _pass(sockets: list[socket.socket]) -> None:
    # Out of the way first: each may have the number that another is to have.
    spare = [os.dup(each.fileno()) for each in sockets]
    high = [os.dup2(number, _FIRST_DESCRIPTOR + 100 + index) for index, number in enumerate(spare)]
    for index, number in enumerate(high):
        os.dup2(number, _FIRST_DESCRIPTOR + index)
    os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "client:admin"}


def _listening(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    made.listen(_BACKLOG)
    return made


def main(directory: str, kind: str, build: str) -> None:
    run = Path(directory, "run")
    sockets = []
    if kind == PASSED:
        run.mkdir()
        sockets = [_listening(run / "lockd.sock"), _listening(run / "admin.sock")]
    for line in sys.stdin:
        manner, point, window = line.split()
        pid = os.fork()
        if pid == 0:
            os.dup2(os.open(os.devnull, os.O_RDWR), 0)
            os._exit(serve(Path(directory), build, sockets, manner, int(point), window))
        print("started", pid, flush=True)
        with open(os.pidfd_open(pid), "rb") as process:
            if process not in select.select([process, sys.stdin], [], [])[0]:
                # Nothing is said meanwhile: whoever started this is gone.
                os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        print("ended", os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
