"""A terminal with a shell in it, as somebody sits before it."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from types import TracebackType
from typing import Final, Self

from .daemon import DEADLINE_SECONDS

CTRL_C: Final = "\x03"
CTRL_D: Final = "\x04"
CTRL_Z: Final = "\x1a"

#: Makes standard input the terminal by which the program is controlled, and becomes the program.
_TAKE_CONTROL: Final = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def _without_a_size(environment: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in ("COLUMNS", "LINES")}


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *words: str, environment: dict[str, str], columns: int = 80) -> None:
        self._master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self._process = subprocess.Popen(
            [sys.executable, "-c", _TAKE_CONTROL, *words],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            # Some who run tests say how wide their terminal is.
            env={**_without_a_size(environment), "TERM": "xterm"},
            start_new_session=True,
        )
        os.close(slave)
        self._seen = ""

    def press(self, text: str) -> None:
        """Press some keys."""
        os.write(self._master, text.encode())

    def resize(self, columns: int) -> None:
        """Give it another width, of which whoever is in its foreground is told by a signal."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def until(self, text: str) -> str:
        """Wait until a text has appeared since the last time, and return everything up to and with it."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while text not in self._seen:
            assert self._read(deadline), f"{text!r} did not appear, but {self._seen!r}"
        before, _, self._seen = self._seen.partition(text)
        return before + text

    def rest(self) -> str:
        """Wait until nobody is on the terminal any more, and return everything since the last time."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self._read(deadline):
            pass
        self._process.wait(DEADLINE_SECONDS)
        seen, self._seen = self._seen, ""
        return seen

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, f"nothing appeared behind {self._seen!r}"
        try:
            data = os.read(self._master, 65536)
        except OSError:
            # How the kernel tells that the last one has left the terminal.
            return False
        self._seen += data.decode()
        return bool(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        # Hangs up: who is still there is sent SIGHUP.
        os.close(self._master)
