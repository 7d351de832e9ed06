"""Waits until somebody waits."""

from __future__ import annotations

import time
from pathlib import Path

from lockd_client import Client, LockTimeout, path_lock

from .daemon import DEADLINE_SECONDS


def wait_until_somebody_waits(client: Client, path: Path) -> None:
    """Return as soon as the daemon says that a request for the lock of this file is in the queue."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            with path_lock(path, timeout=0, client=client):
                raise AssertionError("nobody holds it, so nobody will ever wait")
        except LockTimeout as refused:
            if refused.waiters_total:
                return
        assert time.monotonic() < deadline, "nobody waits"
