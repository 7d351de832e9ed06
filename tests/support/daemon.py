"""A real daemon as a process of its own, for tests that need what only the kernel can show."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

#: No daemon needs this long for anything that is waited for here. When it is over the test fails.
DEADLINE_SECONDS: Final = 60.0


def command(name: str) -> str:
    """Return the path of a command of ours as it was installed beside the Python that runs the tests."""
    return str(Path(sys.executable).with_name(name))


class DaemonFailed(AssertionError):
    """The daemon did not do what every test relies on. Its log is in the message."""


class Daemon:
    """A daemon that listens in ``directory``, from the moment the object exists.

    It can be started again after `stop` or `kill`, in the same directory. As a context manager it is gone at the end of
    the block, and the block fails if the daemon has logged a traceback.
    """

    def __init__(self, directory: Path, *arguments: str) -> None:
        """Start the daemon and wait until it listens.

        Args:
            directory: With a short path: the address of a socket has room for 107 bytes.
            arguments: More of them for ``lockd serve``.

        Raises:
            DaemonFailed: It ended, or did not listen in time.
        """
        self.runtime_dir = directory / "run"
        self.state_dir = directory / "state"
        self.client_socket = str(self.runtime_dir / "lockd.sock")
        self.admin_socket = str(self.runtime_dir / "admin.sock")
        directories = ["--runtime-dir", str(self.runtime_dir), "--state-dir", str(self.state_dir)]
        self._command = [command("lockd"), "serve", *directories, *arguments]
        self._lines: list[str] = []
        self.start()

    @property
    def pid(self) -> int:
        """The process of the daemon, or of the last one there was."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether there is one now."""
        return self._process.poll() is None

    @property
    def log(self) -> str:
        """What it has said so far on standard error."""
        return "".join(self._lines)

    def environment(self, **variables: str) -> dict[str, str]:
        """Return an environment in which programs find this daemon, with these variables on top."""
        return {**os.environ, "LOCKD_SOCKET": self.client_socket, **variables}

    def start(self) -> None:
        """Start it where none is running, and wait until it listens.

        Raises:
            DaemonFailed: It ended, or did not listen in time.
        """
        self._listens = threading.Event()
        self._is_ready = False
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8", errors="backslashreplace"
        )
        # Somebody has to read as long as it writes, else it stops in the middle of a word when the pipe is full.
        self._reader = threading.Thread(target=self._read_log, daemon=True)
        self._reader.start()
        if not self._listens.wait(DEADLINE_SECONDS) or not self._is_ready:
            self.kill()
            raise DaemonFailed(f"the daemon does not listen; it said:\n{self.log}")

    def stop(self) -> int:
        """Ask it to end, with SIGTERM, wait for that, and return its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it as a crash would, with SIGKILL, and return its exit status: minus 9."""
        return self._end(signal.SIGKILL)

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal and wait for nothing: SIGSTOP, SIGCONT."""
        self._process.send_signal(number)

    def suspend(self) -> None:
        """Stop it as Ctrl-Z would, and return when it reads nothing more."""
        self.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED)

    def _end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        try:
            status = self._process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise DaemonFailed(f"the daemon did not end on {number.name}; it said:\n{self.log}") from None
        self._reader.join(DEADLINE_SECONDS)
        return status

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as log:
            for line in log:
                self._lines.append(line)
                # The one line in which it names itself and where it listens.
                if f"pid {self.pid}," in line and self.client_socket in line:
                    self._is_ready = True
                    self._listens.set()
        # Nobody shall wait in vain for one that has ended.
        self._listens.set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self.is_running:
            self.send_signal(signal.SIGCONT)
            self.stop()
        # What the test has found out itself says more.
        if error is None and "Traceback" in self.log:
            raise DaemonFailed(f"the daemon has met with a bug of its own; it said:\n{self.log}")
