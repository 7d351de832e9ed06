"""lockd/reload.py: what can change while the daemon runs, and who is told what came of it."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lockd import reload
from lockd.config import Config
from lockd.reload import CHANGEABLE, Reloader, ReloadError, ask
from lockd.settings import describe
from support.configuration import loaded
from support.daemon import DEADLINE_SECONDS
from support.idle import wait_until

#: A value for every option that is not its default.
OTHERS = {
    "runtime_dir": "/other/run",
    "state_dir": "/other/state",
    "log_level": "error",
    "client_socket.mode": "0666",
    "client_socket.group": "root",
    "admin_socket.uids": "1",
    "admin_socket.group": "root",
    "quotas.sessions_max": "6000",
    "quotas.sessions_per_uid_max": "4000",
    "quotas.grants_per_uid_max": "3",
    "quotas.waiters_per_uid_max": "4",
    "connections.outbox_bytes_max": "20000",
    "connections.hello_seconds_max": "1",
    "connections.frame_seconds_max": "2",
    "connections.unintroduced_max": "3",
    "sessions.resume_window_seconds": "7",
    "sessions.state_loss_delay_seconds": "8",
    "metrics.patterns": "reports/*",
    "diagnostics.history_names_max": "9",
    "diagnostics.convoy_waiters": "9",
    "diagnostics.long_hold_seconds": "10",
    "diagnostics.lock_order": "false",
    "diagnostics.lock_order_classes": "queue/*",
}


class Running:
    """What a daemon has in force, and the file that it reads."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "lockd.toml"
        self.file.write_text("")
        self.flags: dict[str, str] = {}
        self.applied: list[Config] = []
        self.reloader = Reloader(self.read(), self.read, self.applied.append)

    def read(self) -> Config:
        directories = {"runtime_dir": str(self.directory), "state_dir": str(self.directory / "state")}
        # Flags are easier to write here than files, and it does not matter who says it.
        return loaded({"config": str(self.file), **directories, **self.flags}, {})


@pytest.fixture
def running(runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setattr(reload, "configure", lambda level: None)
    return Running(runtime_dir)


def test_every_option_has_another_value_here() -> None:
    assert list(OTHERS) == [option.key for option in describe()]
    assert set(OTHERS) >= CHANGEABLE


@pytest.mark.parametrize("key", sorted(CHANGEABLE - {"log_level"}))
def test_a_quota_applies_at_once(running: Running, key: str, caplog: pytest.LogCaptureFixture) -> None:
    before = running.read().value(key)
    running.flags = {key: OTHERS[key]}
    assert running.reloader.reload() == "the configuration was read again: no problems"
    running.flags = {}
    running.reloader.reload()
    assert [config.value(key) for config in running.applied] == [int(OTHERS[key]), before]
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_the_level_of_the_log_applies_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    levels: list[str] = []
    monkeypatch.setattr(reload, "configure", levels.append)
    for text in ('log_level = "debug"\n', ""):
        running.file.write_text(text)
        running.reloader.reload()
    assert levels == ["debug", "info"]


@pytest.mark.parametrize("key", sorted(set(OTHERS) - CHANGEABLE))
def test_other_options_have_to_wait_and_are_told(running: Running, key: str, caplog: pytest.LogCaptureFixture) -> None:
    running.flags = {key: OTHERS[key], "quotas.grants_per_uid_max": "3"}
    if key == "client_socket.group":
        running.flags["client_socket.mode"] = "0660"
    told = running.reloader.reload()
    words = f": {key} was changed, and applies when the daemon is restarted"
    assert [words in message for message in caplog.messages].count(True) == 1
    assert told == "the configuration was read again: not all of it applies, as the log tells"
    # What can change has changed all the same.
    assert [config.quotas.grants_per_uid_max for config in running.applied] == [3]


def test_a_mistake_changes_nothing(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    running.file.write_text('log_level = "debug"\n[quotas]\nsessions_max = 0\n')
    assert running.reloader.reload() == "the configuration was read again: not all of it applies, as the log tells"
    assert running.applied == []
    told = f"{running.file}: quotas.sessions_max is 0: a whole number from 1 to 1000000 is allowed."
    assert f"the configuration was read again: {told}" in caplog.messages


class Asking:
    """Somebody who asks this process, and waits for the answer in a thread."""

    def __init__(self, directory: Path) -> None:
        self.problems: list[str] | None = None
        self._thread = threading.Thread(target=self._ask, args=(str(directory),), daemon=True)
        self._thread.start()

    def answered(self) -> list[str]:
        """Wait for the answer and return it."""
        self._thread.join(DEADLINE_SECONDS)
        assert self.problems is not None
        return self.problems

    def _ask(self, directory: str) -> None:
        try:
            ask(os.getpid(), directory, DEADLINE_SECONDS)
        except ReloadError as error:
            self.problems = error.problems
        else:
            self.problems = []


@pytest.fixture
def hung_up() -> Iterator[Callable[[], None]]:
    """Wait until this process has been sent SIGHUP."""
    came = threading.Event()
    before = signal.signal(signal.SIGHUP, lambda number, frame: came.set())

    def wait() -> None:
        # Not one long wait: a signal that comes just before it, or to another thread, is handled when it returns.
        wait_until(came.is_set, "SIGHUP has come")
        came.clear()

    try:
        yield wait
    finally:
        signal.signal(signal.SIGHUP, before)


def test_who_asks_is_answered_when_it_is_done(running: Running, hung_up: Callable[[], None]) -> None:
    asking = Asking(running.directory)
    hung_up()
    assert asking.problems is None
    running.reloader.reload()
    assert asking.answered() == []
    assert sorted(os.listdir(running.directory)) == ["lockd.toml"]


def test_who_asks_hears_every_problem(running: Running, hung_up: Callable[[], None]) -> None:
    running.file.write_text('log_level = "loud"\nquota = 1\n')
    asking = Asking(running.directory)
    hung_up()
    running.reloader.reload()
    assert len(asking.answered()) == 2


def test_what_does_not_fit_into_a_pipe_is_left_out(running: Running, hung_up: Callable[[], None]) -> None:
    running.file.write_text("".join(f"unknown_{number}_{'x' * 2000} = 1\n" for number in range(50)))
    asking = Asking(running.directory)
    hung_up()
    running.reloader.reload()
    assert list(map(len, asking.answered())) == [1000] * 10


def test_who_is_gone_is_not_waited_for(running: Running) -> None:
    left_behind = running.directory / "reload.1"
    os.mkfifo(left_behind)
    unfinished = running.directory / ".reload.2"
    os.mkfifo(unfinished)
    running.reloader.reload()
    assert sorted(os.listdir(running.directory)) == [".reload.2", "lockd.toml"]


def test_what_is_no_pipe_is_not_written_to(running: Running, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (running.directory / "reload.1").symlink_to(precious)
    running.reloader.reload()
    assert precious.read_text() == "precious"


def test_a_process_that_is_not_there_is_told_of(runtime_dir: Path) -> None:
    with pytest.raises(ReloadError, match="process 4194305 cannot be asked: No such process"):
        ask(4194305, str(runtime_dir))
    assert os.listdir(runtime_dir) == []


def test_a_directory_that_is_not_there_is_told_of(runtime_dir: Path) -> None:
    with pytest.raises(ReloadError, match=r"in the runtime directory .*/other: No such file or directory"):
        ask(os.getpid(), str(runtime_dir / "other"))


def test_patience_has_an_end(runtime_dir: Path, hung_up: Callable[[], None]) -> None:
    with pytest.raises(ReloadError, match=r"the daemon has not answered within 0\.001 seconds"):
        ask(os.getpid(), str(runtime_dir), 0.001)
    assert os.listdir(runtime_dir) == []


def test_a_process_that_ends_does_not_answer(runtime_dir: Path) -> None:
    """The signal ends one that does not know it."""
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        while True:
            signal.pause()
    try:
        with pytest.raises(ReloadError, match="the daemon ended before it had answered"):
            ask(child, str(runtime_dir), DEADLINE_SECONDS)
    finally:
        os.waitpid(child, 0)
