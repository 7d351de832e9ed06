"""What it costs to ask for everything, and what those notice who take locks meanwhile.

Run it with ``python benchmarks/queries.py [--names N]``. A daemon of its own holds so many names; then `lockctl list`
is run in several ways, and meanwhile a client takes and releases a lock. The figures
belong to one machine at one time: where the daemon, lockctl and the client share two processors, a good part of what
the client waits for is a processor.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lockd_client import AdminClient, DaemonUnavailable, connect
from lockd_wire.codec import encode
from lockd_wire.messages import Acquire, Hello

_BIN = os.path.dirname(sys.executable)


@contextmanager
def _daemon(directory: str) -> Iterator[str]:
    words = [f"{_BIN}/lockd", "serve", "--runtime-dir", f"{directory}/run", "--state-dir", f"{directory}/state"]
    process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
    try:
        while True:
            try:
                connect(f"{directory}/run/lockd.sock").close()
                break
            except DaemonUnavailable:
                time.sleep(0.05)
        yield f"{directory}/run"
    finally:
        process.terminate()
        process.wait()


def _hold(path: str, names: int) -> socket.socket:
    """Hold so many names over a connection that has to be kept."""

    sock = socket.socket(socket.AF_UNIX)
    sock.connect(path)
    sock.sendall(encode(Hello(0, "lockd", 1, "benchmark", {})))
    reader = threading.Thread(target=_read_all, args=(sock,), daemon=True)
    reader.start()
    for number in range(names):
        sock.sendall(encode(Acquire(number + 1, 1, ((f"reports/daily/{number}", "X"),), None, {})))
    return sock


def _read_all(sock: socket.socket) -> None:
    while sock.recv(65_536):
        pass


def _latencies(path: str, stop: threading.Event, into: list[float]) -> None:
    with connect(path) as client:
        lock = client.lock("worker")
        while not stop.is_set():
            begun_at = time.perf_counter()
            with lock:
                pass
            into.append(time.perf_counter() - begun_at)


def _measure(path: str, what: str, work: Callable[[], int]) -> None:
    """Do ``work`` beside a client that takes and releases a lock, and print what both took."""
    stop = threading.Event()
    taken: list[float] = []
    worker = threading.Thread(target=_latencies, args=(path, stop, taken))
    worker.start()
    begun_at = time.perf_counter()
    found = work()
    seconds = time.perf_counter() - begun_at
    stop.set()
    worker.join()
    taken.sort()
    print(
        f"{what:32} {found:7} rows in {seconds:6.2f} s; a lock meanwhile took"
        f" {statistics.median(taken) * 1e3:.2f} ms (median), {taken[int(len(taken) * 0.999)] * 1e3:.1f} ms (99.9 %),"
        f" {taken[-1] * 1e3:.1f} ms (longest) of {len(taken)}"
    )


def _lockctl(path: str, *words: str) -> int:
    environment = os.environ | {"LOCKD_SOCKET": path}
    run = subprocess.run([f"{_BIN}/lockctl", *words], env=environment, stdout=subprocess.PIPE, check=True)
    return run.stdout.count(b"\n")


def _nothing() -> int:
    time.sleep(3)
    return 0


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--names", type=int, default=100_000)
    names = arguments.parse_args().names
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        os.mkdir(f"{directory}/run")
        os.mkdir(f"{directory}/state")
        with _daemon(directory) as runtime:
            path = f"{runtime}/lockd.sock"
            held = _hold(path, names)
            with AdminClient(f"{runtime}/admin.sock") as admin:
                while admin.status()["names"] < names:
                    time.sleep(0.1)
            _measure(path, "nothing", _nothing)
            _measure(path, "lockctl list", lambda: _lockctl(path, "list"))
            _measure(path, "lockctl list --json", lambda: _lockctl(path, "list", "--json"))
            _measure(path, "lockctl list --contended", lambda: _lockctl(path, "list", "--contended"))
            _measure(path, "lockctl list --older-than 9999", lambda: _lockctl(path, "list", "--older-than", "9999"))
            _measure(path, "lockctl graph", lambda: _lockctl(path, "graph"))
            held.shutdown(socket.SHUT_RDWR)
            held.close()


if __name__ == "__main__":
    main()
