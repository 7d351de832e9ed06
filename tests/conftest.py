"""What holds for every test: Hypothesis searches the same way each time, and no test can meet a real daemon."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A failure must come back when the test is run again, and a slow machine is no failure.
# For a search with new examples each time: python -m pytest --hypothesis-profile=search
settings.register_profile("same", deadline=None, derandomize=True, print_blob=True)
settings.register_profile("search", deadline=None, max_examples=10_000)
settings.load_profile("same")

# What tells a client or a daemon where to look. It goes before anything is started, fixtures of any scope included, so
# that a developer's own daemon is never asked and never disturbed.
for name in list(os.environ):
    if name.startswith(("LOCKD_", "LISTEN_")):
        del os.environ[name]
for name in (
    *("NOTIFY_SOCKET", "SYSTEMD_EXEC_PID", "WATCHDOG_PID", "WATCHDOG_USEC", "XDG_RUNTIME_DIR"),
    *("CONFIGURATION_DIRECTORY", "RUNTIME_DIRECTORY", "STATE_DIRECTORY"),
):
    os.environ.pop(name, None)

# The programs that tests start, by the hundred, are to start as they do for others: without compiling themselves first.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# Who runs the tests in the background, or under nohup(1), has them ignore signals, and they would hand that down to
# every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGTSTP, signal.SIGCHLD):
    signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def runtime_dir() -> Iterator[Path]:
    """A private directory for sockets, whose addresses may have 107 bytes: tmp_path alone can be longer."""
    path = Path(tempfile.mkdtemp(prefix="lockd-"))
    yield path
    shutil.rmtree(path)
