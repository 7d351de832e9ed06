"""A real systemd, as process 1 of namespaces of its own, on a copy of this machine that is thrown away.

It sees the files of this machine, and what it and its services write goes nowhere. None of the machine's services runs
in it. It needs root, and is up in a third of a second.
"""

from __future__ import annotations

import os
import pty
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

import pytest

from .daemon import DEADLINE_SECONDS

_SYSTEMD: Final = "/lib/systemd/systemd"
_UNITS: Final = Path("/lib/systemd/system")
_SCRIPT: Final = Path(__file__).with_suffix(".sh")

_TOOLS: Final = ("bash", "nsenter", "setpriv", "systemctl", "systemd-analyze", "unshare", _SYSTEMD)

#: Of what comes with systemd as much as a machine needs to start, to stop, and to keep a journal.
_CORE_UNITS: Final = (
    *("basic.target", "sysinit.target", "sockets.target", "timers.target", "paths.target", "slices.target"),
    *("local-fs.target", "local-fs-pre.target", "swap.target", "umount.target", "shutdown.target", "final.target"),
    *("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket"),
    *("multi-user.target", "user.slice"),
)

_TARGET: Final = """
[Unit]
Requires=basic.target systemd-journald.service
After=basic.target systemd-journald.service
"""

_ENVIRONMENT: Final = (
    *("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8", "TERM=dumb"),
    *("SYSTEMD_PAGER=", "SYSTEMD_COLORS=0"),
)


def why_not() -> str | None:
    """Say what this machine lacks for such a systemd, or return None."""
    if os.geteuid() != 0:
        return "a systemd of one's own takes root"
    for tool in _TOOLS:
        if shutil.which(tool) is None:
            return f"there is no {tool}"
    if _cgroup2() is None:
        return "no cgroup2 file system is mounted"
    return None


def leave_out(reason: str) -> NoReturn:
    """Skip what cannot be tested here. Where somebody counts on these tests, to leave them out is to fail."""
    if os.environ.get("SYSTEMD_TESTS") == "required":
        pytest.fail(reason)
    pytest.skip(reason)


class SystemdLab:
    """A systemd that runs, from the beginning of the block to its end, and what is in it."""

    def __init__(self, binds: Mapping[str, Path]) -> None:
        """Say what it finds where, by its own paths and those outside. It cannot write there."""
        self._binds = binds
        self._stack = ExitStack()
        #: Its process 1, as the machine outside knows it.
        self.pid = 0

    def path(self, inside: str) -> str:
        """Return the path by which the machine outside reaches a file of the one inside."""
        return f"/proc/{self.pid}/root{inside}"

    def command(self, *command: str) -> list[str]:
        """Return the command that runs ``command`` inside."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        return [*enter, "--wdns=/", "env", "--ignore-environment", *_ENVIRONMENT, *command]

    def attempt(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program inside to its end, however that is."""
        return subprocess.run(
            self.command(*command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def run(self, *command: str) -> str:
        """Run a program inside, which has to end well, and return what it printed."""
        done = self.attempt(*command)
        assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def systemctl(self, *arguments: str) -> str:
        """Run systemctl, which has to end well."""
        return self.run("systemctl", *arguments)

    def property(self, unit: str, name: str) -> str:
        """Return what systemd says about a unit."""
        return self.systemctl("show", "--value", f"--property={name}", unit)

    def cursor(self) -> str:
        """Return what names the present end of the journal."""
        return self.run("journalctl", "--quiet", "--lines=0", "--show-cursor").removeprefix("-- cursor: ")

    def journal(self, unit: str, after: str) -> str:
        """Return what a unit has logged, and what systemd has logged about it, since `cursor` returned ``after``."""
        self.run("journalctl", "--sync")
        return self.run("journalctl", "--quiet", "--no-pager", f"--unit={unit}", f"--after-cursor={after}")

    def write(self, inside: str, text: str) -> None:
        """Make a file, and the directories above it."""
        path = Path(self.path(inside))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def __enter__(self) -> Self:
        with self._stack as stack:
            self._start(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self, stack: ExitStack) -> None:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lockd-lab-")))
        scratch.chmod(0o755)
        (scratch / "root").mkdir()
        _lay_out(scratch / "shared")
        ready = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        ready.bind(str(scratch / "shared" / "notify"))
        ready.settimeout(DEADLINE_SECONDS)
        cgroup = Path(_cgroup2() or "") / scratch.name
        cgroup.mkdir()
        stack.callback(_remove_cgroup, cgroup)
        binds = "\n".join(f"{outside}\t{inside}" for inside, outside in self._binds.items())
        variables = {"CGROUP": str(cgroup), "SCRATCH": str(scratch), "BINDS": binds}
        process = _become_systemd(scratch / "console", variables, stack)
        told = b""
        while b"READY=1" not in told:
            try:
                told = ready.recv(65536)
            except TimeoutError:
                raise AssertionError(f"systemd did not start:\n{(scratch / 'console').read_text()}") from None
        # The one child of unshare(1).
        self.pid = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text())


def _cgroup2() -> str | None:
    """Return where the file system of the control groups is mounted."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        where, _, what = line.partition(" - ")
        if what.startswith("cgroup2 "):
            return where.split()[4]
    return None


def _lay_out(shared: Path) -> None:
    (shared / "units").mkdir(parents=True)
    for unit in _CORE_UNITS:
        (shared / "units" / unit).symlink_to(_UNITS / unit)
    (shared / "units" / "lab.target").write_text(_TARGET)


def _become_systemd(console: Path, variables: dict[str, str], stack: ExitStack) -> subprocess.Popen[bytes]:
    log = stack.enter_context(console.open("ab", buffering=0))
    ours, theirs = pty.openpty()
    stack.callback(os.close, theirs)
    # With the namespace of process 1 everything in it ends, also when the process of the tests is killed.
    unshare = ["unshare", "--fork", "--kill-child=KILL", "--pid", "--mount", "--uts", "--ipc", "--net"]
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *unshare, "bash", str(_SCRIPT)],
        env={**os.environ, **variables, "CONSOLE": os.ttyname(theirs)},
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    stack.callback(_end, process)
    # Somebody has to read what is written to a terminal.
    threading.Thread(target=_copy, args=(ours, console), daemon=True).start()
    return process


def _copy(terminal: int, console: Path) -> None:
    # EIO is how a terminal says that nobody has the other end any more.
    with suppress(OSError), console.open("ab", buffering=0) as log:
        while data := os.read(terminal, 65536):
            log.write(data)
    os.close(terminal)


def _end(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(DEADLINE_SECONDS)


def _remove_cgroup(cgroup: Path) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    for folder, _, _ in os.walk(cgroup, topdown=False):
        while True:
            try:
                os.rmdir(folder)
                break
            except OSError:
                # Those who were killed are still on their way out.
                assert time.monotonic() < deadline, f"{folder} is still in use"
                time.sleep(0.01)
