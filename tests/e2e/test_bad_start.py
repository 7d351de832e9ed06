"""What stands in the way of a start: one line that says so, status 1, and nothing touched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.daemon import DEADLINE_SECONDS, command
from support.permissions import needs_root
from support.sources import REPOSITORY


def _start(*arguments: str, prefix: tuple[str, ...] = ()) -> str:
    """Start a daemon that cannot, and return what it said."""
    ended = subprocess.run(
        [*prefix, command("lockd"), "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (1, ""), ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.endswith("\n")
    return ended.stderr


def _directories(directory: Path) -> tuple[str, ...]:
    return ("--runtime-dir", str(directory / "run"), "--state-dir", str(directory / "state"))


BAD_CONFIGURATIONS = [
    ("runtime_dir = \n", "this is not TOML"),
    ('runtime_directory = "/run"\n', "runtime_directory"),
    ("[quotas]\nsessions_max = 0\n", "quotas.sessions_max is 0: a whole number from 1 to 1000000 is allowed"),
    ('[client_socket]\ngroup = "no such group"\nmode = "0660"\n', "this machine has no such group"),
    ("[connections]\noutbox_bytes_max = 1\n", "connections.outbox_bytes_max is 1"),
]


@pytest.mark.parametrize(("text", "words"), BAD_CONFIGURATIONS)
def test_a_bad_configuration(runtime_dir: Path, text: str, words: str) -> None:
    config = runtime_dir / "lockd.toml"
    config.write_text(text)
    told = _start("--config", str(config), *_directories(runtime_dir))
    assert told.startswith(f"lockd: {config}")
    assert words in told
    assert told.count("\n") == 1
    assert sorted(path.name for path in runtime_dir.iterdir()) == ["lockd.toml"]


def test_a_directory_that_cannot_be_made(runtime_dir: Path) -> None:
    told = _start("--runtime-dir", "/proc/lockd", "--state-dir", str(runtime_dir / "state"))
    words = "the runtime directory /proc/lockd cannot be used: No such file or directory: choose another one with"
    assert words in told
    assert told.count("\n") == 1
    assert list(runtime_dir.iterdir()) == []


@pytest.mark.parametrize("purpose", ["run", "state"])
def test_a_directory_that_cannot_be_written(runtime_dir: Path, purpose: str) -> None:
    directory = runtime_dir / purpose
    directory.mkdir(0o500)
    # Root can write where it may not, unless it has lost that capability.
    capable = "-dac_override,-dac_read_search"
    prefix = ("setpriv", "--inh-caps=-all", f"--bounding-set={capable}") if os.geteuid() == 0 else ()
    told = _start(*_directories(runtime_dir), prefix=prefix)
    assert f"directory {directory} cannot be used: Permission denied: choose another one with --" in told
    assert told.count("\n") == 1
    assert list(directory.iterdir()) == []


def test_something_in_the_place_of_a_socket(runtime_dir: Path) -> None:
    (runtime_dir / "run").mkdir(0o700)
    precious = runtime_dir / "run" / "lockd.sock"
    precious.write_text("precious")
    told = _start(*_directories(runtime_dir))
    assert f"{precious} exists and is no socket: move it out of the way, or choose another directory" in told
    assert told.count("\n") == 1
    assert precious.read_text() == "precious"


#: Mounts a small file system where nobody else sees it, and does something with it.
IN_A_SMALL_FILE_SYSTEM = f"""
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from support.daemon import Daemon, DaemonFailed
from support.raw import Raw

directory = Path(sys.argv[1])
state = directory / "state"
state.mkdir(0o700)
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=0700", "tmpfs", str(state)], check=True)

def fill():
    with open(state / "other", "ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError as error:
            print(error.strerror)
"""

FULL_BEFORE_THE_FIRST_START = """
fill()
try:
    Daemon(directory).stop()
except DaemonFailed as error:
    print(error)
"""

FULL_AFTER_THE_FIRST_START = """
with Daemon(directory) as daemon:
    with Raw.welcomed(daemon.client_socket) as peer:
        first = peer.acquire(1, "db")
    daemon.stop()
    fill()
    daemon.start()
    with Raw.welcomed(daemon.client_socket) as peer:
        print(peer.acquire(1, "log") > first)
"""


def _in_a_small_file_system(directory: Path, program: str) -> str:
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", IN_A_SMALL_FILE_SYSTEM + program]
    return subprocess.run(
        [*command, str(directory)], stdout=subprocess.PIPE, text=True, timeout=2 * DEADLINE_SECONDS, check=True
    ).stdout


@needs_root
def test_a_full_disk_for_the_state_at_the_first_start(runtime_dir: Path) -> None:
    full, *told = _in_a_small_file_system(runtime_dir, FULL_BEFORE_THE_FIRST_START).strip().splitlines()
    assert full == "No space left on device"
    assert told[0] == "the daemon does not listen; it said:"
    [line] = told[1:]
    assert str(runtime_dir / "state" / "epoch") in line
    assert "No space left on device" in line
    assert "make room on its file system" in line


@needs_root
def test_a_full_disk_for_the_state_later_on(runtime_dir: Path) -> None:
    """Everything that has to be written then is written in place."""
    told = _in_a_small_file_system(runtime_dir, FULL_AFTER_THE_FIRST_START)
    assert told == "No space left on device\nTrue\n"
