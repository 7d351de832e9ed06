"""A daemon of the demo's own, in the demo's own directory."""

from __future__ import annotations

import os
import sys
import time

from lockd_client import DaemonUnavailable, Lock, connect, path_lock

from .children import Children, DemoFailed

#: What would tell the daemon where to be, or what to be like. It starts as if nobody had configured anything.
_SETTINGS = ("LOCKD_", "LISTEN_")
_OTHER_SETTINGS = {"NOTIFY_SOCKET", "RUNTIME_DIRECTORY", "STATE_DIRECTORY"}

#: A machine that needs longer for this is not one to show anything on.
_START_SECONDS_MAX = 20.0
_LOOK_SECONDS = 0.02


def start_daemon(children: Children, directory: str) -> str:
    """Start a daemon in ``directory`` and return the path of its socket once it answers.

    Raises:
        DemoFailed: It ended, or did not answer in time.
    """
    runtime_dir, state_dir = os.path.join(directory, "run"), os.path.join(directory, "state")
    log = os.path.join(directory, "daemon.log")
    # -P: a file in the current directory that is called like a module shall not be taken for it.
    command = [sys.executable, "-P", "-c", "from lockd.main import main; raise SystemExit(main())"]
    command += ["serve", "--config", os.devnull]
    pid = children.execute([*command, "--runtime-dir", runtime_dir, "--state-dir", state_dir], _environment(), log)
    socket = os.path.join(runtime_dir, "lockd.sock")
    gives_up_at = time.monotonic() + _START_SECONDS_MAX
    while not _answers(socket):
        if children.has_ended(pid):
            raise DemoFailed(f"its daemon did not start. The daemon says: {_last_words(log)}")
        if time.monotonic() > gives_up_at:
            raise DemoFailed(
                f"its daemon did not answer within {_START_SECONDS_MAX:g} seconds. The daemon says: {_last_words(log)}"
            )
        time.sleep(_LOOK_SECONDS)
    return socket


def lock_of_file(path: str, socket: str) -> Lock:
    """Return the lock of a file, for a forked process, whose daemon from now on is the one behind ``socket``."""
    os.environ["LOCKD_SOCKET"] = socket
    lock = path_lock(path, label="a change")
    # This opens the session: what is measured later is the wait for the lock alone.
    lock.locked()
    return lock


def _environment() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_SETTINGS) and name not in _OTHER_SETTINGS
    }


def _answers(socket: str) -> bool:
    try:
        connect(socket).close()
    except DaemonUnavailable:
        return False
    return True


def _last_words(log: str) -> str:
    with open(log, encoding="utf-8", errors="replace") as file:
        lines = file.read().splitlines()
    return lines[-1] if lines else "nothing"
