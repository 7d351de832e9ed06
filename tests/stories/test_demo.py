"""``lockd demo`` as its audience has it."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.daemon import DEADLINE_SECONDS, command

LOCKD = command("lockd")

#: What an interrupted demo would do if it were left alone.
LONG = ("demo", "--processes", "8", "--seconds", "60")


class Theatre:
    """Where the demo is played. All that it makes is in one directory, and its processes can be told by that."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.environment = {**os.environ, "TMPDIR": str(directory), "COLUMNS": "100", "PYTHONWARNINGS": "error"}

    def play_broken(self, break_it: str) -> subprocess.CompletedProcess[str]:
        """Run a demo in which something was replaced before."""
        return self.play(sys.executable, "-c", f"{break_it}\nfrom lockd.demo import run\nraise SystemExit(run(8, 0.3))")

    def play(self, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        environment = self.environment | variables
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=DEADLINE_SECONDS)

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[str]]:
        """Start a long demo, and go on when it is in the middle of its second half."""
        pipe = subprocess.PIPE
        with subprocess.Popen([LOCKD, *LONG], env=self.environment, stdout=pipe, stderr=pipe, text=True) as demo:
            assert demo.stdout is not None
            try:
                assert any("under lockd" in line for line in demo.stdout)
                assert len(self.processes()) == 1 + 1 + 8
                yield demo
            finally:
                demo.kill()

    def processes(self) -> list[int]:
        """Return the processes of the demo that run."""
        return [int(path.name) for path in Path("/proc").glob("[0-9]*") if self._is_ours(path)]

    def _is_ours(self, process: Path) -> bool:
        try:
            # Of a process that has exited and was not waited for yet, nothing can be read.
            return f"TMPDIR={self.directory}".encode() in (process / "environ").read_bytes().split(b"\0")
        except OSError:
            return False

    def wait_until_empty(self) -> None:
        """Wait until no process of the demo is left."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        while processes := self.processes():
            assert time.monotonic() < deadline, f"left over: {processes}"

    @property
    def is_clean(self) -> bool:
        """Whether nothing is left, neither a file nor a process."""
        return not os.listdir(self.directory) and not self.processes()


@pytest.fixture
def theatre(runtime_dir: Path) -> Iterator[Theatre]:
    # A shell that runs the tests in the background has them ignore Ctrl-C, and what they start would inherit that.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield Theatre(runtime_dir)
    signal.signal(signal.SIGINT, previous)


def facts(output: str) -> dict[str, tuple[str, str]]:
    """Return the rows of the table: what stands without locks and what under lockd, by the label."""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in output.splitlines() if line.startswith("│")]
    return {label: (without, under_lockd) for label, without, under_lockd in rows}


def test_it_plays_both_acts(theatre: Theatre) -> None:
    demo = theatre.play(LOCKD, "demo", "--processes", "8", "--seconds", "1")
    assert (demo.returncode, demo.stderr) == (0, "")
    table = facts(demo.stdout)
    without, under_lockd = zip(*table.values(), strict=True)
    assert "equals the ledgers" not in without
    assert table["operations"][1].replace(",", "").isdigit()
    for label in (
        "lost: acknowledged, then gone",
        "lost: deleted, then there again",
        "corrupt: operations that failed",
    ):
        assert table[label][1] == "0"
    assert table["the file at the end"][1] == "equals the ledgers"
    assert re.fullmatch(r"[\d,]+ / [\d,]+ / [\d,]+ ms", table["wait: median / p99 / longest"][1])
    assert re.fullmatch(r"[\d,]+ / [\d,]+", table["least / most served process"][1])
    assert under_lockd[0] == "under lockd"

    kernel, lockd = demo.stdout.partition("fcntl.lockf")[2].split("path_lock")
    assert [line.split()[1] for line in kernel.splitlines() if re.match(r"  [✓✗]", line)] == ["ok", "ok", "LOST"]
    assert [line.split()[1] for line in lockd.splitlines() if re.match(r"  [✓✗]", line)] == ["ok"] * 5
    assert theatre.is_clean


def test_it_has_nothing_to_do_with_what_is_configured(theatre: Theatre) -> None:
    configured = {
        name: "/nonexistent" for name in ("LOCKD_SOCKET", "LOCKD_CONFIG", "LOCKD_NONSENSE", "STATE_DIRECTORY")
    }
    demo = theatre.play(LOCKD, "demo", "--processes", "2", "--seconds", "0.1", **configured)
    assert (demo.returncode, demo.stderr) == (0, "")


def test_it_needs_neither_colours_nor_signs(theatre: Theatre) -> None:
    demo = theatre.play(LOCKD, "demo", "--processes", "2", "--seconds", "0.1", PYTHONIOENCODING="ascii")
    assert demo.returncode == 0
    assert "+ ok" in demo.stdout
    assert demo.stdout.isascii()


def test_it_says_what_is_missing(theatre: Theatre) -> None:
    demo = theatre.play_broken("import sys; sys.modules['tinydb'] = None")
    assert demo.returncode == 1
    assert demo.stderr == (
        "lockd demo: the database it works on, TinyDB, is not installed: pip install 'lockd[demo]'\n"
    )


@pytest.mark.parametrize(
    "words", [("--processes", "1"), ("--processes", "100000"), ("--seconds", "0"), ("--seconds", "nan")]
)
def test_it_refuses_what_makes_no_sense(theatre: Theatre, words: tuple[str, str]) -> None:
    demo = theatre.play(LOCKD, "demo", *words)
    assert demo.returncode == 2
    assert demo.stderr.startswith(f"lockd demo: {words[0]} has to be ")
    assert theatre.is_clean


def test_it_fails_if_the_lock_does_not_lock(theatre: Theatre) -> None:
    demo = theatre.play_broken("""
import contextlib
from lockd.demo import acts
acts.lock_of_file = lambda *_: contextlib.nullcontext()""")
    assert demo.returncode == 1
    assert "must not happen" in demo.stdout
    assert theatre.is_clean


def test_it_fails_if_the_lock_is_a_lock_of_the_kernel(theatre: Theatre) -> None:
    demo = theatre.play_broken("""
import fcntl
from lockd.demo import descriptors

class KernelLock:
    def __init__(self, path, socket):
        self.path = path

    def acquire(self, blocking=True):
        self.file = open(self.path, "r+b")
        try:
            fcntl.lockf(self.file, fcntl.LOCK_EX | (0 if blocking else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True

descriptors.lock_of_file = KernelLock""")
    assert demo.returncode == 1
    assert demo.stdout.count("LOST") > 1
    assert theatre.is_clean


def test_it_says_why_its_daemon_does_not_start(theatre: Theatre) -> None:
    demo = theatre.play_broken("""
from lockd.demo import daemon
daemon._environment = lambda: {"LOCKD_NONSENSE": "1"}""")
    assert demo.returncode == 1
    assert re.fullmatch("lockd demo: its daemon did not start. The daemon says: .*LOCKD_NONSENSE.*\n", demo.stderr)
    assert theatre.is_clean


def test_an_interrupt_leaves_nothing_behind(theatre: Theatre) -> None:
    with theatre.started() as demo:
        demo.send_signal(signal.SIGINT)
        _, err = demo.communicate(timeout=DEADLINE_SECONDS)
        assert demo.returncode == 130
        assert err == "lockd demo: interrupted; everything it started has ended\n"
        assert theatre.is_clean


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_another_signal_leaves_nothing_behind(theatre: Theatre, number: signal.Signals) -> None:
    with theatre.started() as demo:
        demo.send_signal(number)
        assert demo.wait(DEADLINE_SECONDS) == 128 + number
        assert theatre.is_clean


def test_no_process_outlives_a_demo_that_is_killed(theatre: Theatre) -> None:
    with theatre.started() as demo:
        demo.kill()
        theatre.wait_until_empty()


def test_ctrl_c_at_a_terminal_leaves_nothing_behind(theatre: Theatre) -> None:
    terminal, its_end = os.openpty()
    # The first terminal that the leader of a session opens is the one whose Ctrl-C it gets.
    sits_down = 'exec "$@" <"$0" >"$0" 2>"$0"'
    words = ["sh", "-c", sits_down, os.ttyname(its_end), LOCKD, *LONG]
    with subprocess.Popen(words, env=theatre.environment | {"TERM": "xterm"}, start_new_session=True) as demo:
        try:
            seen = read_until(terminal, b"under lockd")
            assert b"without locks" in seen
            os.write(terminal, b"\x03")
            read_until(terminal, b"interrupted; everything it started has ended")
            assert demo.wait(DEADLINE_SECONDS) == 130
            assert theatre.is_clean
        finally:
            demo.kill()
            os.close(terminal)
            os.close(its_end)


def read_until(terminal: int, text: bytes) -> bytes:
    seen = b""
    while text not in seen:
        assert select.select([terminal], [], [], DEADLINE_SECONDS)[0], seen
        seen += os.read(terminal, 4096)
    return seen
