"""How long programs take to start, and a daemon to be of use."""

from __future__ import annotations

import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import NamedTuple

from bench.daemon import Daemon, command_of_ours, plain_environment
from bench.scale import Scale
from lockd_client import connect

_LOOK_SECONDS = 0.001
_LISTENS_SECONDS_MAX = 30.0

#: Each takes a while, and says little the more often it is done.
_DAEMONS_MAX = 5


def commands(directory: str, name: str) -> dict[str, list[str]]:
    """Return what is started, by the key of its figure. A directory is needed for flock(1)'s file."""
    lockctl, flock = command_of_ours("lockctl"), shutil.which("flock")
    started = {
        "true_ms": ["true"],
        "flock_ms": [str(flock), os.path.join(directory, "flock"), "true"],
        "python_ms": [sys.executable, "-c", "pass"],
        "import_ms": [sys.executable, "-c", "import lockd_client"],
        "lockctl_exec_ms": [lockctl, "exec", name, "true"],
        "lockctl_run_ms": [lockctl, "run", name, "true"],
    }
    if flock is None:
        del started["flock_ms"]
    return started


class Start(NamedTuple):
    """What it took to run a command."""

    milliseconds: float
    #: What it used of a processor, with what it has started itself.
    cpu_milliseconds: float


def start(command: list[str], environment: Mapping[str, str]) -> Start:
    """Run a command, and return what that took."""
    begun_at, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, env=dict(environment))
    ended_at, after = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Start((ended_at - begun_at) * 1e3, cpu * 1e3)


def take_turns(started: Mapping[str, list[str]], environment: Mapping[str, str], rounds: int) -> dict[str, list[Start]]:
    """Run the commands in turn, so that what else the machine does hits all alike, and return what they took."""
    measured: dict[str, list[Start]] = {what: [] for what in started}
    for _ in range(rounds):
        for what, command in started.items():
            measured[what].append(start(command, environment))
    return measured


def measure(directory: str, scale: Scale) -> Mapping[str, float]:
    """Return medians."""
    daemon = Daemon(directory)
    daemons = min(scale.starts, _DAEMONS_MAX)
    measured: dict[str, list[float]] = {"daemon_ready_ms": [], "first_lock_ms": []}
    for _ in range(daemons):
        measured["daemon_ready_ms"].append(daemon.start() * 1e3)
        daemon.stop()
    daemon.start()
    try:
        environment = plain_environment() | {"LOCKD_SOCKET": daemon.socket}
        started = commands(directory, "bench/start-up")
        # Python compiles what it imports for the first time, and keeps it.
        take_turns(started, environment, 1)
        for what, starts in take_turns(started, environment, scale.starts).items():
            measured[what] = [each.milliseconds for each in starts]
            measured[what.replace("_ms", "_cpu_ms")] = [each.cpu_milliseconds for each in starts]
    finally:
        daemon.stop()
    if shutil.which("systemd-socket-activate"):
        measured["first_lock_ms"] = [_first_lock(daemon) * 1e3 for _ in range(daemons)]
    return {what: statistics.median(times) for what, times in measured.items() if times}


def _first_lock(daemon: Daemon) -> float:
    """Return how many seconds it takes from the first word of a client, which is what starts the daemon, to a lock."""
    os.makedirs(os.path.dirname(daemon.socket), exist_ok=True)
    sockets = (daemon.socket, daemon.admin_socket)
    for path in sockets:
        if os.path.exists(path):
            os.unlink(path)
    listens = [text for path in sockets for text in ("-l", path)]
    process = daemon.spawn(["systemd-socket-activate", *listens, "--fdname=client:admin", *daemon.command()], {})
    try:
        until = time.monotonic() + _LISTENS_SECONDS_MAX
        # A look at the socket itself would start the daemon.
        while not all(map(_listens, sockets)):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError("systemd-socket-activate does not listen")
            time.sleep(_LOOK_SECONDS)
        begun_at = time.perf_counter()
        client = connect(daemon.socket)
        with client.lock("bench/first"):
            taken = time.perf_counter() - begun_at
        client.close()
        return taken
    finally:
        daemon.stop()


def _listens(path: str) -> bool:
    with open("/proc/net/unix", encoding="utf-8") as sockets:
        return any(line.rstrip("\n").endswith(" " + path) for line in sockets)
