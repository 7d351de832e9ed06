"""``lockd reload``: what was changed in the file applies when the command ends."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemon import DEADLINE_SECONDS, Daemon, command
from support.raw import Raw, code_of, hello


class Reloaded:
    """A daemon with a file that it is told to read again."""

    def __init__(self, directory: Path, daemon: Daemon) -> None:
        self.daemon = daemon
        self.file = directory / "lockd.toml"

    def reload(self, text: str) -> tuple[int, str]:
        """Change the file, let the daemon read it, and return the status and the complaints of the command."""
        self.file.write_text(text)
        done = subprocess.run(
            [command("lockd"), "reload", "--runtime-dir", str(self.daemon.runtime_dir), str(self.daemon.pid)],
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr

    def outcome_of_hello(self) -> str:
        """Connect, and return the code with which the session is refused, or ""."""
        with Raw(self.daemon.client_socket) as peer:
            peer.send_bytes(hello())
            answer = peer.receive()
            return "" if answer[0] == 33 else code_of(answer)


@pytest.fixture
def reloaded(runtime_dir: Path) -> Iterator[Reloaded]:
    (runtime_dir / "lockd.toml").write_text("")
    with Daemon(runtime_dir, "--config", str(runtime_dir / "lockd.toml")) as daemon:
        yield Reloaded(runtime_dir, daemon)


def test_quotas_apply_at_once_and_take_nothing_away(reloaded: Reloaded) -> None:
    with Raw.welcomed(reloaded.daemon.client_socket) as holder:
        token = holder.acquire(1, "db")
        one = "[quotas]\nsessions_max = 1\nsessions_per_uid_max = 1\n"
        assert reloaded.reload(one) == (0, "")
        assert reloaded.outcome_of_hello() == "quota"
        assert reloaded.reload("") == (0, "")
        assert reloaded.outcome_of_hello() == ""
        holder.release(2, token)


def test_a_mistake_is_told_and_changes_nothing(reloaded: Reloaded) -> None:
    told = f"lockd: {reloaded.file}: there is no option quotas.session_max; did you mean quotas.sessions_max?\n"
    assert reloaded.reload("[quotas]\nsession_max = 1\n") == (1, told)
    assert told.removeprefix("lockd: ") in reloaded.daemon.log
    assert reloaded.outcome_of_hello() == ""


def test_what_has_to_wait_for_a_restart_is_told(reloaded: Reloaded) -> None:
    status, told = reloaded.reload("[sessions]\nresume_window_seconds = 3\n")
    assert status == 1
    words = "sessions.resume_window_seconds was changed, and applies when the daemon is restarted"
    assert told == f"lockd: {reloaded.file}: {words}\n"


def test_the_level_of_the_log_applies_at_once(reloaded: Reloaded) -> None:
    assert reloaded.reload('log_level = "debug"\n') == (0, "")
    with Raw.welcomed(reloaded.daemon.client_socket):
        pass
    assert reloaded.reload("") == (0, "")
    assert "session" in reloaded.daemon.log.split("the configuration was read again: no problems")[1]


def test_somebody_elses_process_is_no_daemon(reloaded: Reloaded) -> None:
    done = subprocess.run(
        [command("lockd"), "reload", "--runtime-dir", str(reloaded.daemon.runtime_dir), "4194305"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "lockd: process 4194305 cannot be asked: No such process\n")
