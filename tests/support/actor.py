"""A real process at whose Python prompt a test types."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .daemon import DEADLINE_SECONDS

_PROGRAM = Path(__file__).with_name("actor_process.py")


class ActorRaised(Exception):
    """What was typed raised an exception there. The message begins with the exception's name."""


class Prompt:
    """Where to type, and where the answers come from."""

    def __init__(self, channel: socket.socket) -> None:
        channel.settimeout(DEADLINE_SECONDS)
        self._channel = channel
        self._stream = channel.makefile("rw", encoding="utf-8")

    def __call__(self, code: str) -> Any:
        """Run an expression or statements, and return the value of the expression as JSON has it.

        Raises:
            ActorRaised: It raised an exception.
        """
        self.begin(code)
        return self.result()

    def begin(self, code: str) -> None:
        """Type something, and do not wait for what comes of it."""
        self._stream.write(json.dumps(code) + "\n")
        self._stream.flush()

    def result(self) -> Any:
        """Wait for what came of it."""
        line = self._stream.readline()
        assert line, "the process has exited"
        answer = json.loads(line)
        if "raised" in answer:
            raise ActorRaised(answer["raised"])
        return answer["value"]

    def close(self) -> None:
        """End the process by ending what it reads."""
        self._stream.close()
        self._channel.close()


class Actor(Prompt):
    """A process. When the block ends it is gone, and so is the child that it forked."""

    def __init__(
        self,
        setup: str,
        environment: dict[str, str] | None = None,
        *,
        python: Sequence[str] = (sys.executable, str(_PROGRAM)),
        **variables: object,
    ) -> None:
        """Start it.

        Args:
            setup: What it runs first.
            python: How the program of actors is run. With something in front of Python, `pid` is the pid of that.
            variables: What has a name there from the beginning.
        """
        mine, its = socket.socketpair()
        mine_of_child, its_of_child = socket.socketpair()
        with its, its_of_child:
            spare = its_of_child.fileno()
            command = [*python, str(spare)]
            # Its prompt is its standard input: everything from 3 on is its own to close.
            self._process = subprocess.Popen(command, stdin=its.fileno(), pass_fds=[spare], env=environment)
        super().__init__(mine)
        self._child = Prompt(mine_of_child)
        for name, value in variables.items():
            self(f"{name} = {value!r}")
        self(setup)

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def fork(self) -> Prompt:
        """Have it fork, once, and return where to type what the child shall do."""
        self("fork()")
        return self._child

    def kill(self) -> None:
        """Kill it, and return when it is gone."""
        self._process.send_signal(signal.SIGKILL)
        assert self._process.wait(DEADLINE_SECONDS) == -signal.SIGKILL

    def exit(self) -> None:
        """Have it exit, and return when it has."""
        self.close()
        assert self._process.wait(DEADLINE_SECONDS) == os.EX_OK

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        self.close()
        self._child.close()
