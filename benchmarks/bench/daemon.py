"""A daemon of the harness's own, in a directory of its own, as it is shipped but for its quotas."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from .servers import ServerFailed, last_words

#: What would tell the daemon where to be, or what to be like, and Python to start in another way than it does for
#: others: without its compiled files, say.
_SETTINGS = ("LOCKD_", "LISTEN_", "PYTHON")
_OTHER_SETTINGS = {"NOTIFY_SOCKET", "RUNTIME_DIRECTORY", "STATE_DIRECTORY", "WATCHDOG_USEC", "WATCHDOG_PID"}

#: Enough for what is measured: one user has all sessions, names and waiters there.
_QUOTAS = """
[quotas]
sessions_max = 100_000
sessions_per_uid_max = 100_000
grants_per_uid_max = 10_000_000
waiters_per_uid_max = 10_000_000
"""

#: A million grants take a while to be recovered.
_READY_SECONDS_MAX = 300.0
#: How often it is looked whether it has ended instead.
_LOOK_SECONDS = 0.5


def command_of_ours(name: str) -> str:
    """Return the path of a command as it was installed beside this Python."""
    return str(Path(sys.executable).with_name(name))


def plain_environment() -> dict[str, str]:
    """Return the environment of this process without what is set for lockd, or for Python."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_SETTINGS) and name not in _OTHER_SETTINGS
    }


class Daemon:
    """A daemon that can be started, killed and started again where it was."""

    def __init__(self, directory: str) -> None:
        """Prepare one in this directory, whose path is short."""
        self.directory = directory
        self.socket = os.path.join(directory, "run", "lockd.sock")
        self.admin_socket = os.path.join(directory, "run", "admin.sock")
        self._log = os.path.join(directory, "log")
        self._process: subprocess.Popen[bytes] | None = None
        self._configuration = os.path.join(directory, "lockd.toml")
        Path(self._configuration).write_text(_QUOTAS)

    @property
    def journal(self) -> str:
        """The path of its journal."""
        from lockd.journal import journal_path

        return journal_path(os.path.join(self.directory, "run"))

    @property
    def pid(self) -> int:
        """The process, which runs."""
        assert self._process is not None
        return self._process.pid

    def command(self) -> list[str]:
        """Return what starts it."""
        run, state = os.path.join(self.directory, "run"), os.path.join(self.directory, "state")
        options = ["--config", self._configuration, "--runtime-dir", run, "--state-dir", state]
        return [command_of_ours("lockd"), "serve", *options]

    def start(self) -> float:
        """Start it, wait until it says that it is ready, and return how many seconds that took.

        Raises:
            ServerFailed: It ended, or was not ready in time.
        """
        address = os.path.join(self.directory, "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
            Path(address).unlink(missing_ok=True)
            ready.bind(address)
            ready.settimeout(_LOOK_SECONDS)
            begun_at = time.perf_counter()
            process = self.spawn(self.command(), {"NOTIFY_SOCKET": address})
            while True:
                try:
                    if b"READY=1" in ready.recv(4096).split(b"\n"):
                        return time.perf_counter() - begun_at
                except TimeoutError:
                    if process.poll() is not None or time.perf_counter() - begun_at > _READY_SECONDS_MAX:
                        self.kill()
                        raise ServerFailed(f"the daemon did not get ready: {last_words(self._log)}") from None

    def spawn(self, command: Sequence[str], variables: dict[str, str]) -> subprocess.Popen[bytes]:
        """Start a command in the place of the daemon, wait for nothing, and return its process."""
        with open(self._log, "ab") as log:
            self._process = subprocess.Popen(
                command, env=plain_environment() | variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self._process

    def kill(self) -> None:
        """End it as a crash would, and wait for that."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait for that."""
        self._end(signal.SIGTERM)

    def _end(self, number: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def resident_bytes(self) -> int:
        """Return how much memory it has."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise ServerFailed("this kernel does not tell how much memory a process has")

    def cpu_ns(self) -> int:
        """Return how much of a processor its main thread, which does all the work, has used so far."""
        return int(Path(f"/proc/{self.pid}/schedstat").read_text().split()[0])

    def sleeps(self) -> int:
        """Return how often its threads have gone to sleep so far: each was woken as often."""
        total = 0
        for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
            total += int(lines["voluntary_ctxt_switches"])
        return total
