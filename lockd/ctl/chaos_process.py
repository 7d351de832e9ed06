"""A probe that is a process of its own: it takes a lock and becomes another program, as ``lockctl exec`` does."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

from lockd_client import connect
from lockd_client.errors import DaemonUnavailable, LockError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

#: What it becomes: something that stays until its standard input ends, as it does when lockctl does.
_AFTERWARDS = "import sys; sys.stdin.read()"

_READ_BYTES = 4096


class HoldingProcess:
    """A process that holds a lock, has no connection to the daemon any more, and exits when it is closed."""

    def __init__(self, name: str, socket: str | None, program: str) -> None:
        """Start it and wait until it holds the lock. No other thread may run meanwhile, for this is a fork.

        Raises:
            DaemonUnavailable: It was not granted the lock.
        """
        reads_end, self._end = os.pipe()
        reads_token, says_token = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            _be_it(name, socket, program, reads_end, says_token)
        os.close(reads_end)
        os.close(says_token)
        said = b""
        # Until it has become the other program, which closes the pipe.
        with open(reads_token, "rb", closefd=True) as stream:
            said = stream.read()
        token, _, fault = said.decode().partition(" ")
        if fault or not token:
            self.close()
            raise DaemonUnavailable(f"another process could not take a lock: {fault or 'it has ended'}")
        self.token = int(token)

    def close(self) -> None:
        """Have it exit, and wait until it has. May be called more than once."""
        if self._pid:
            os.close(self._end)
            with suppress(ChildProcessError):
                os.waitpid(self._pid, 0)
            self._pid = 0


def _be_it(name: str, socket: str | None, program: str, reads_end: int, says_token: int) -> NoReturn:
    """Be the process."""
    try:
        # Ctrl-C is for lockctl, which then ends this.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.dup2(reads_end, 0)
        try:
            client = connect(socket, program=program)
            handle = client.lock(name, timeout=0, label="holder 0", exit_releases=True)
            handle.__enter__()
        except LockError as error:
            os.write(says_token, f"0 {error}".encode())
            os._exit(1)
        assert handle.grant is not None
        os.write(says_token, str(handle.grant.token).encode())
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", _AFTERWARDS])
    finally:
        os._exit(1)
