"""lockctl as its users have it: a command, with pipes, that is started and waited for."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Final, NamedTuple, Self

from lockd_client import AdminClient

from .daemon import DEADLINE_SECONDS, Daemon, command

LOCKCTL: Final = command("lockctl")


class Outcome(NamedTuple):
    """What a program left behind. ``status`` is as `subprocess` tells it: minus the signal if one ended the program."""

    status: int
    out: str
    err: str


class Program:
    """One that runs, with a pipe for everything that it reads and writes, and a process group of its own."""

    def __init__(self, *words: str, environment: dict[str, str] | None = None, **options: Any) -> None:
        pipe = subprocess.PIPE
        self._process: subprocess.Popen[str] = subprocess.Popen(
            words,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=environment,
            encoding="utf-8",
            process_group=0,
            **options,
        )

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def line(self) -> str:
        """Wait for the next line of its standard output and return it, or nothing at the end."""
        return self._next_line(self._process.stdout)

    def complaint(self) -> str:
        """Wait for the next line of its standard error and return it, or nothing at the end."""
        return self._next_line(self._process.stderr)

    def _next_line(self, stream: IO[str] | None) -> str:
        assert stream is not None
        # One that says nothing ends, instead of being waited for without an end.
        patience = threading.Timer(DEADLINE_SECONDS, self._process.kill)
        patience.start()
        try:
            return stream.readline().rstrip("\n")
        finally:
            patience.cancel()

    def say(self, line: str) -> None:
        """Write a line to its standard input."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    @property
    def is_running(self) -> bool:
        """Whether it has not exited yet."""
        return self._process.poll() is None

    def send_signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def end(self) -> Outcome:
        """Close its standard input, wait until everybody has closed its output and it has exited."""
        out, err = self._process.communicate(timeout=DEADLINE_SECONDS)
        return Outcome(self._process.returncode, out, err)

    def wait(self) -> int:
        """Wait until it has exited, whoever still has its output open, and return the status."""
        return self._process.wait(DEADLINE_SECONDS)

    def discard(self) -> None:
        """Make sure that it is gone, and whatever it has left behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()
        self._process.wait()


class Lockctl:
    """Starts programs that find a daemon."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self._started: list[Program] = []

    def __call__(self, *words: str, **variables: str) -> Outcome:
        """Run lockctl to its end."""
        return self.start(*words, **variables).end()

    def start(self, *words: str, **variables: str) -> Program:
        """Start lockctl."""
        return self.start_program(LOCKCTL, *words, environment=self.environment(**variables))

    def environment(self, **variables: str) -> dict[str, str]:
        """Return an environment in which programs find the daemon, with these variables on top."""
        return self._daemon.environment(**variables)

    def start_ignoring(self, number: signal.Signals, *words: str) -> Program:
        """Start lockctl from a program that ignores a signal."""
        ignore = (
            f"import os, signal, sys; signal.signal({number:d}, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
        )
        return self.start_program(sys.executable, "-c", ignore, LOCKCTL, *words, environment=self.environment())

    def start_program(self, *words: str, **options: Any) -> Program:
        """Start any program. It is gone at the end of the test."""
        program = Program(*words, **options)
        self._started.append(program)
        return program

    def is_free(self, name: str) -> bool:
        """Whether nobody holds a name, by the word of a lockctl that tries."""
        outcome = self("run", "-n", "-E", "11", name, "true")
        assert outcome.status in (0, 11), outcome
        return outcome.status == 0

    def wait_until(self, name: str, is_so: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Ask the daemon who holds a name and who waits for it until something is so, and return the answer."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        with AdminClient(self._daemon.admin_socket) as admin:
            while not is_so(facts := admin.show(name)):
                assert time.monotonic() < deadline, f"it did not come about; the daemon says {facts}"
        return facts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for program in self._started:
            program.discard()
