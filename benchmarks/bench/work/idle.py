"""Whether a daemon that has nothing to do is left alone by itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping

from bench.daemon import Daemon
from bench.scale import Scale
from lockd_client import connect

#: After the last request, so that what follows from it is over.
_SETTLE_SECONDS = 1.0


def measure(directory: str, scale: Scale) -> Mapping[str, float]:
    """Return how often a daemon with one session and one lock held wakes up within the time, without a watchdog.

    The system calls are counted by strace, where there is one that may look.
    """
    daemon = Daemon(directory)
    daemon.start()
    try:
        client = connect(daemon.socket)
        with client.lock("bench/held"):
            time.sleep(_SETTLE_SECONDS)
            before = daemon.sleeps()
            time.sleep(scale.idle_seconds)
            figures = {"wake_ups": float(daemon.sleeps() - before)}
            calls = _system_calls(daemon.pid, directory, scale.idle_seconds)
            if calls is not None:
                figures["system_calls"] = float(calls)
        client.close()
    finally:
        daemon.stop()
    return figures


def _system_calls(pid: int, directory: str, seconds: float) -> int | None:
    """Return how many calls begin in this time, or None if nobody can tell."""
    strace, trace = shutil.which("strace"), os.path.join(directory, "strace")
    if strace is None:
        return None
    tracer = subprocess.Popen(
        [strace, "-f", "-q", "-p", str(pid), "-o", trace], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        tracer.wait(seconds)
        return None
    except subprocess.TimeoutExpired:
        tracer.terminate()
        tracer.wait()
    with open(trace, encoding="utf-8", errors="replace") as lines:
        # The call in which it is found has begun before.
        return max(0, len(lines.readlines()) - 1)
