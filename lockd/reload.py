"""Reading the configuration again while the daemon runs, and asking a daemon to do so.

A signal is how a daemon is asked, but a signal has no answer: whoever sent it could not know when it is done, nor
whether it went well. So ``lockd reload`` leaves a named pipe in the daemon's runtime directory before it sends the
signal, and the daemon writes into every pipe that it finds there what came of it.
"""

from __future__ import annotations

import errno
import glob
import json
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Final

import msgspec

from .config import Config, ConfigError
from .logs import configure, log, safe
from .settings import QuotaSettings, describe

#: The options that can change while the daemon runs.
CHANGEABLE: Final = frozenset({"log_level", *(f"quotas.{name}" for name in QuotaSettings.__struct_fields__)})

#: How long an answer may take: as long as systemd gives one by default.
ANSWER_SECONDS: Final = 90.0

#: What is told of problems, and of each of them: so that all of it fits into a pipe that nobody reads yet.
_PROBLEMS_MAX: Final = 10
_PROBLEM_CHARACTERS_MAX: Final = 1000
_ANSWER_BYTES_MAX: Final = 65536

_PIPES: Final = "reload.*"


class ReloadError(Exception):
    """The configuration was not read again, or not all of it applies. Each of the ``problems`` is one sentence."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class Reloader:
    """Reads the configuration again and applies what can change."""

    def __init__(self, config: Config, read: Callable[[], Config], apply: Callable[[Config], None]) -> None:
        """Begin with ``config``.

        Args:
            config: By which the daemon runs.
            read: Reads the configuration. Raises ConfigError.
            apply: Puts the quotas of a configuration into force.
        """
        self._config = config
        self._read = read
        self._apply = apply

    def reload(self) -> str:
        """Read the configuration again, apply what can change, log what came of it, tell whoever waits for that, and
        return it in one line.

        A configuration with a mistake in it changes nothing.
        """
        # Who comes later has not seen what is read now, and is answered after the next signal.
        pipes = glob.glob(os.path.join(glob.escape(self._config.runtime_dir), _PIPES))
        try:
            problems = self._refused(self._read())
        except ConfigError as error:
            problems = error.problems
        problems = [problem[:_PROBLEM_CHARACTERS_MAX] for problem in problems[:_PROBLEMS_MAX]]
        for problem in problems:
            log.error("the configuration was read again: %s", problem)
        for pipe in pipes:
            _answer(pipe, problems)
        outcome = "the configuration was read again: " + (
            "not all of it applies, as the log tells" if problems else "no problems"
        )
        log.info("%s", outcome)
        return outcome

    def _refused(self, wanted: Config) -> list[str]:
        """Apply what can change, and return a sentence for every other option that was changed."""
        changed = [key for key in (option.key for option in describe()) if wanted.value(key) != self._config.value(key)]
        refused = [key for key in changed if key not in CHANGEABLE]
        changes = {"log_level": wanted.log_level, "quotas": wanted.quotas}
        self._config = msgspec.structs.replace(self._config, **changes)
        configure(self._config.log_level)
        self._apply(self._config)
        return [
            f"{wanted.sources[key]}: {key} was changed, and applies when the daemon is restarted" for key in refused
        ]


def ask(pid: int, runtime_dir: str, seconds: float = ANSWER_SECONDS) -> None:
    """Let a daemon read its configuration again, and return when it has and all of it applies.

    Args:
        pid: The daemon.
        runtime_dir: The directory that it runs in.
        seconds: How long to wait for its answer.

    Raises:
        ReloadError: With what the daemon has to say about its configuration, or why it says nothing.
    """
    with ExitStack() as stack:
        try:
            pipe = _open_pipe(runtime_dir, stack)
        except OSError as error:
            words = f"no answer can be received in the runtime directory {runtime_dir}: {error.strerror}"
            raise ReloadError([words]) from error
        try:
            # Names the process itself: its number could be given to another one in between.
            process = os.pidfd_open(pid)
            stack.callback(os.close, process)
            signal.pidfd_send_signal(process, signal.SIGHUP)
        except OSError as error:
            raise ReloadError([f"process {pid} cannot be asked: {error.strerror}"]) from error
        problems = _answer_from(pipe, process, seconds)
    if problems:
        raise ReloadError(problems)


def _open_pipe(directory: str, stack: ExitStack) -> int:
    """Make a pipe that the daemon finds, and return the end to read from."""
    unfinished = os.path.join(directory, f".reload.{os.getpid()}")
    with suppress(FileNotFoundError):
        os.unlink(unfinished)
    os.mkfifo(unfinished, 0o600)
    with ExitStack() as on_error:
        on_error.callback(os.unlink, unfinished)
        if os.geteuid() == 0:
            os.chown(unfinished, os.stat(directory).st_uid, -1)
        pipe = os.open(unfinished, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        stack.callback(os.close, pipe)
        # Found from now on. One that is found and has no reader was left behind.
        path = os.path.join(directory, f"reload.{os.getpid()}")
        os.rename(unfinished, path)
        on_error.pop_all()
    stack.callback(_remove, path)
    return pipe


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _answer(path: str, problems: list[str]) -> None:
    """Tell whoever waits at a pipe. Nobody does at one that was left behind."""
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        if error.errno == errno.ENXIO:
            _remove(path)
        return
    with suppress(OSError):
        os.write(pipe, json.dumps(problems, ensure_ascii=False).encode())
    os.close(pipe)


def _answer_from(pipe: int, process: int, seconds: float) -> list[str]:
    """Wait for what the daemon has to say, and return it: one sentence for each problem."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    poll.register(process, select.POLLIN)
    answer = b""
    deadline = time.monotonic() + seconds
    while ready := dict(poll.poll(max(deadline - time.monotonic(), 0.0) * 1000)):
        if pipe not in ready:
            return ["the daemon ended before it had answered"]
        with suppress(BlockingIOError):
            data = os.read(pipe, _ANSWER_BYTES_MAX)
            if not data:
                return [safe(str(problem)) for problem in json.loads(answer)]
            answer += data
    return [f"the daemon has not answered within {seconds:g} seconds"]
