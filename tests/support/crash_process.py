"""A process of a crash campaign, as the campaign sees it (`support.crash_client`)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from .crash_history import NEVER, Instant, Operation, operations_of
from .daemon import DEADLINE_SECONDS

_TESTS: Final = Path(__file__).parents[1]


class Client:
    """A process that takes locks."""

    def __init__(self, name: str, role: str, seed: object, directory: Path, socket: str) -> None:
        self.name, self.role = name, role
        self.killed_at: Instant = NEVER
        #: Until when it is stopped, in seconds; 0 if it is not.
        self.stopped_until = 0.0
        self._notes = directory / f"{name}.notes"
        self._errors = directory / f"{name}.errors"
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "support.crash_client", role, name, f"{seed}", str(self._notes)],
                cwd=_TESTS,
                env={**os.environ, "LOCKD_SOCKET": socket},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
            )

    @property
    def stdout(self) -> IO[bytes]:
        assert self.process.stdout is not None
        return self.process.stdout

    @property
    def has_begun(self) -> bool:
        """Whether it knows what to do about signals."""
        return self._notes.exists()

    def tell(self, line: bytes) -> None:
        """Say something to it. It may have exited, which is found out otherwise."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(line)

    def stop(self, until: float) -> None:
        """Stop it until `go_on` is called, which is meant to be at this instant."""
        self.process.send_signal(signal.SIGSTOP)
        self.stopped_until = until

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.stopped_until = 0.0

    def kill(self) -> None:
        """End it with SIGKILL. What it noted up to then counts, and that it came to no end does not."""
        if self.process.poll() is None:
            self.killed_at = time.monotonic_ns()
            self.process.kill()
        self.close()

    def close(self) -> None:
        """Let it exit, and wait for that."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.stdout.close()
        self.process.wait(DEADLINE_SECONDS)

    def operations(self) -> list[Operation]:
        """Return what it noted."""
        if not self._notes.exists():
            return []
        with self._notes.open() as lines:
            return operations_of(self.name, lines, self.killed_at)

    def complaints(self) -> Iterator[str]:
        """Say if it did not come to the end that it ought to have come to."""
        said = self._errors.read_text()
        if said or (self.process.returncode and self.killed_at == NEVER):
            yield f"{self.name} exited with status {self.process.returncode}, and said: {said}"
