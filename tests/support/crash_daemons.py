"""The daemons of a crash campaign, one after the other, as the campaign sees them (`support.crash_daemon`)."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import IO, Final

from .crash_daemon import NONE
from .crash_history import NEVER, Life
from .daemon import DEADLINE_SECONDS, DaemonFailed

_TESTS: Final = Path(__file__).parents[1]
_LOG_LINES: Final = 60


class Daemons:
    """The program that starts daemons, and the daemon that it has started last."""

    def __init__(self, directory: Path, sockets: str, build: str) -> None:
        self.client_socket = str(directory / "run" / "lockd.sock")
        self.admin_socket = str(directory / "run" / "admin.sock")
        self.lives: list[Life] = []
        #: The end of what they said.
        self.log: deque[str] = deque(maxlen=_LOG_LINES)
        #: What they ought not to have said or done.
        self.complaints: list[str] = []
        self.is_running = self.is_ready = False
        self._pid = 0
        self._starter = subprocess.Popen(
            [sys.executable, "-m", "support.crash_daemon", str(directory), sockets, build],
            cwd=_TESTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
        self._unfinished = dict.fromkeys(self._streams(), b"")

    def start(self, resume_window_seconds: float, manner: str = NONE, point: int = 0) -> None:
        """Start another one. Waits for nothing but its process."""
        assert self._starter.stdin is not None
        self.is_ready = False
        self.lives.append(Life(time.monotonic_ns(), NEVER, resume_window_seconds))
        self._starter.stdin.write(f"{manner} {point} {resume_window_seconds}\n".encode())
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while not self.is_running:
            self._listen(give_up_at)

    def wait_ready(self) -> None:
        """Wait until it serves, or has ended."""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while self.is_running and not self.is_ready:
            self._listen(give_up_at)

    def look(self, until: float) -> None:
        """Take note of what it says up to this instant, or until it has ended."""
        self._hear(until)
        while self.is_running and time.monotonic() < until:
            self._hear(until)

    def kill(self) -> None:
        """End it with SIGKILL, and wait for that."""
        if not self.is_running:
            return
        os.kill(self._pid, signal.SIGKILL)
        self.wait_ended()

    def wait_ended(self) -> None:
        """Wait until it has ended by itself."""
        give_up_at = time.monotonic() + DEADLINE_SECONDS
        while self.is_running:
            self._listen(give_up_at)

    def close(self) -> None:
        """End it, and the program that has started it."""
        self.kill()
        for stream in (self._starter.stdin, *self._streams()):
            if stream is not None:
                stream.close()
        self._starter.wait()

    def _streams(self) -> list[IO[bytes]]:
        assert self._starter.stdout is not None
        assert self._starter.stderr is not None
        return [self._starter.stdout, self._starter.stderr]

    def _listen(self, give_up_at: float) -> None:
        self._hear(give_up_at)
        if time.monotonic() >= give_up_at:
            raise DaemonFailed("the daemon does not start or does not end; it said:\n" + "\n".join(self.log))

    def _hear(self, until: float) -> None:
        stdout, _ = streams = self._streams()
        for stream in select.select(streams, [], [], max(0.0, until - time.monotonic()))[0]:
            data = os.read(stream.fileno(), 65536)
            if not data:
                raise DaemonFailed("the program that starts daemons has ended; it said:\n" + "\n".join(self.log))
            *lines, self._unfinished[stream] = (self._unfinished[stream] + data).split(b"\n")
            for line in lines:
                if stream is stdout:
                    self._heard(line.decode())
                else:
                    self._said(line.decode("utf-8", "backslashreplace"))

    def _heard(self, line: str) -> None:
        word, number = line.split()
        self.is_running = word == "started"
        if self.is_running:
            self._pid = int(number)
            return
        self.lives[-1] = self.lives[-1]._replace(ended_at=time.monotonic_ns())
        if int(number) != -signal.SIGKILL:
            self.complaints.append(f"the daemon ended by itself, with status {number}")

    def _said(self, line: str) -> None:
        self.log.append(line)
        if f"(pid {self._pid}," in line:
            self.is_ready = True
        if " error " in line or "Traceback" in line:
            self.complaints.append(f"the daemon said: {line}")
