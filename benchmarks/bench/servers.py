"""Servers that are started for a run and stopped after it."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_START_SECONDS_MAX = 60.0
_STOP_SECONDS_MAX = 20.0
_LOOK_SECONDS = 0.02


class ServerFailed(Exception):
    """A server does not run; the message has the last it said."""


class Server:
    """A program of somebody else's that runs in a directory of its own."""

    def __init__(self, command: Sequence[str], directory: str, *, user: str | None = None) -> None:
        """Start it. What it says goes into a file ``log`` there.

        Args:
            user: Who it runs as, if this process is root.
        """
        self._log = os.path.join(directory, "log")
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=user,
                group=user,
                extra_groups=[] if user else None,
                start_new_session=True,
            )

    def wait_until(self, answers: Callable[[], bool]) -> None:
        """Wait until it answers.

        Raises:
            ServerFailed: It ended, or did not answer in time. It is stopped.
        """
        until = time.monotonic() + _START_SECONDS_MAX
        while not answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise ServerFailed(f"{self._process.args!r} does not run: {last_words(self._log)}")
            time.sleep(_LOOK_SECONDS)

    def stop(self) -> None:
        """Stop it and all that it has started, at first with kindness."""
        # SIGINT is a quick and orderly end to PostgreSQL, and to all the others.
        for number in (signal.SIGINT, signal.SIGKILL):
            if self._process.poll() is None:
                os.killpg(self._process.pid, number)
                try:
                    self._process.wait(_STOP_SECONDS_MAX)
                except subprocess.TimeoutExpired:
                    continue


def last_words(log: str) -> str:
    """Return the last line of a file, or "nothing"."""
    lines = Path(log).read_text(encoding="utf-8", errors="replace").split("\n")
    return next((line for line in reversed(lines) if line.strip()), "nothing")


def find_program(name: str, *places: str) -> str | None:
    """Return the path of a program on PATH or else in one of these directories, which are patterns; the last match."""
    found = shutil.which(name)
    for place in places:
        found = found or next(
            (str(path) for path in sorted(Path("/").glob(f"{place.lstrip('/')}/{name}"), reverse=True)), None
        )
    return found


def find_in_environment(name: str) -> str | None:
    """Return the path of a program that was installed beside this Python, or else is on PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if beside.exists() else shutil.which(name)


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on. Somebody else may be quicker to use it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    assert isinstance(port, int)
    return port


def accepts(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    """Return whether somebody listens there."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(address)
        except OSError:
            return False
    return True
