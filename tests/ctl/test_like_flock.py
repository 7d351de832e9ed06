"""``lockctl run`` beside flock(1): the same words, and the same exit status."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockd.ctl import statuses
from lockd_client import Client
from support.daemon import DEADLINE_SECONDS
from support.lockctl import Lockctl

FLOCK = shutil.which("flock")

pytestmark = pytest.mark.skipif(FLOCK is None, reason="there is no flock(1) here to compare with")


class Both:
    """flock(1) and lockctl, each with a lock of its own kind that the test can hold."""

    def __init__(self, path: Path, name: str, client: Client, lockctl: Lockctl) -> None:
        self._path = path
        self._name = name
        self._client = client
        self._lockctl = lockctl

    def run(self, options: list[str], command: list[str]) -> tuple[tuple[int, str], tuple[int, str]]:
        """Return exit status and output of the two."""
        assert FLOCK is not None
        flock = subprocess.run(
            [FLOCK, *options, str(self._path), *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        lockctl = self._lockctl("run", *options, self._name, *command)
        return (flock.returncode, flock.stdout), (lockctl.status, lockctl.out)

    @contextmanager
    def held(self, mode: str) -> Iterator[None]:
        """Hold both locks for as long as the block lasts."""
        with open(self._path, "w") as file, self._client.lock(self._name, mode=mode, timeout=0):
            fcntl.flock(file, fcntl.LOCK_EX if mode == "exclusive" else fcntl.LOCK_SH)
            yield


@pytest.fixture
def both(tmp_path: Path, name: str, client: Client, lockctl: Lockctl) -> Both:
    return Both(tmp_path / "lock", name, client, lockctl)


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ([], ["echo", "a", "-n"]),
        ([], ["sh", "-c", "exit 7"]),
        ([], ["sh", "-c", "exit 255"]),
        ([], ["sh", "-c", "kill -KILL $$"]),
        ([], ["sh", "-c", "kill -TERM $$"]),
        ([], ["sh", "-c", "kill -INT $$"]),
        (["-E", "5"], ["sh", "-c", "exit 1"]),
        (["-n"], ["echo", "a"]),
        (["-w", "0.5"], ["echo", "a"]),
        ([], ["-c", "echo a | cat; exit 3"]),
        ([], ["--command", "exit 4"]),
        ([], ["-c", "exit 3", "more"]),
        ([], ["-c"]),
        (["-x"], ["true"]),
        (["-e"], ["true"]),
        (["--exclusive"], ["true"]),
        (["--shared"], ["true"]),
        (["--nb"], ["true"]),
        (["--nonblock"], ["true"]),
        (["--wait", "1"], ["true"]),
        (["--timeout", "1"], ["true"]),
        (["--conflict-exit-code", "9"], ["true"]),
        (["-o"], ["true"]),
        (["--close"], ["true"]),
        (["-F"], ["sh", "-c", "exit 6"]),
        (["--no-fork"], ["sh", "-c", "kill -TERM $$"]),
        (["-E", "256"], ["true"]),
        (["-E", "-1"], ["true"]),
        (["-E", "x"], ["true"]),
        (["-w", "x"], ["true"]),
        (["-Z"], ["true"]),
    ],
)
def test_where_the_lock_is_free(options: list[str], command: list[str], both: Both) -> None:
    flock, lockctl = both.run(options, command)
    assert lockctl == flock


@pytest.mark.parametrize(
    ("held", "options"),
    [
        ("exclusive", ["-n"]),
        ("exclusive", ["-n", "-E", "0"]),
        ("exclusive", ["-n", "-E", "255"]),
        ("exclusive", ["-n", "-s"]),
        ("exclusive", ["-w", "0"]),
        ("exclusive", ["-w", ".01"]),
        ("exclusive", ["-w", ".01", "-E", "42"]),
        ("exclusive", ["-n", "-w", "100"]),
        ("shared", ["-n", "-s"]),
        ("shared", ["-n", "-x"]),
        ("shared", ["-n", "-s", "-x"]),
        ("shared", ["-n", "-x", "-s"]),
    ],
)
def test_where_somebody_else_has_it(held: str, options: list[str], both: Both) -> None:
    with both.held(held):
        flock, lockctl = both.run(options, ["echo", "mine"])
    assert lockctl == flock


@pytest.mark.parametrize(
    ("options", "command", "of_flock", "of_lockctl"),
    [
        ([], ["no-such-command"], 69, statuses.NOT_FOUND),
        ([], ["/etc/passwd"], 69, statuses.NOT_EXECUTABLE),
        ([], ["--", "true"], 69, 0),
        (["-w", "-1"], ["true"], 71, statuses.USAGE),
    ],
)
def test_where_they_differ(options: list[str], command: list[str], of_flock: int, of_lockctl: int, both: Both) -> None:
    flock, lockctl = both.run(options, command)
    assert (flock[0], lockctl[0]) == (of_flock, of_lockctl)


def test_a_script_without_a_first_line_is_one_of_the_shell(both: Both, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text('echo "I am $1"\n')
    script.chmod(0o755)
    flock, lockctl = both.run([], [str(script), "a script"])
    assert lockctl == flock == (0, "I am a script\n")


def test_flock_leaves_the_lock_to_a_process_in_the_background_and_lockctl_does_not(both: Both) -> None:
    outputs = both.run([], ["sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!"])
    try:
        flock, lockctl = both.run(["-n"], ["true"])
        assert (flock[0], lockctl[0]) == (1, 0)
    finally:
        for _, pid in outputs:
            os.kill(int(pid), signal.SIGKILL)
