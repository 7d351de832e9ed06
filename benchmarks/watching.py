"""What those notice who take locks while administrators look on all the time.

Run it with ``python benchmarks/watching.py``. A daemon of its own has 5,000 sessions that hold 100,000 names, and 50
processes that take and release locks of their own. In every other stretch of time they are alone; in those between,
``lockctl list``, ``top``, ``watch`` and ``metrics`` are at work in processes of their own, each asking again after a
second. Where all of them share two processors, what lockctl takes of these is in the figures, too.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection

from bench.daemon import Daemon, plain_environment
from lockd_client import AdminClient, connect
from lockd_wire.codec import encode
from lockd_wire.messages import Acquire, Hello

#: What each administrator does, again and again.
_LOOKS = {
    "list": "for _ in admin.names(): pass",
    "top": "for _ in admin.names(contended=True): pass",
    "metrics": "admin.metrics()",
    "watch": "for _ in admin.watch(): pass",
}

_LOOKER = """
import sys, time
from lockd_client import AdminClient
with AdminClient(sys.argv[1]) as admin:
    while True:
        {look}
        time.sleep(1)
"""


def _hold(path: str, sessions: int, names: int) -> list[socket.socket]:
    """Hold so many names over so many connections, which have to be kept."""
    sockets = []
    for number in range(sessions):
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(path)
        sock.sendall(encode(Hello(0, "lockd", 1, "benchmark", {})))
        # Many at once that have not been welcomed would be too many.
        sock.recv(4096)
        for request in range(names // sessions):
            name = f"reports/{number}/{request}"
            sock.sendall(encode(Acquire(request + 1, 1, ((name, "X"),), None, {"label": "nightly run"})))
        sockets.append(sock)
    return sockets


def _work(path: str, number: int, pipe: Connection) -> None:
    """Take and release a lock until told to stop, and tell when each was asked for and how long it took."""
    taken: list[tuple[float, float]] = []
    stop = threading.Event()

    def obey() -> None:
        pipe.recv()
        stop.set()

    threading.Thread(target=obey, daemon=True).start()
    with connect(path) as client:
        lock = client.lock(f"worker/{number}")
        while not stop.is_set():
            began_at = time.monotonic()
            with lock:
                took = time.monotonic() - began_at
            taken.append((began_at, took))
    pipe.send(taken)


@contextmanager
def _lookers(path: str) -> Iterator[None]:
    commands = [[sys.executable, "-c", _LOOKER.format(look=look), path] for look in _LOOKS.values()]
    processes = [subprocess.Popen(command, env=plain_environment()) for command in commands]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _stretches(path: str, rounds: int, seconds: float) -> list[tuple[bool, float, float]]:
    """Let time pass, with lookers and without, and return whether there were any, from when, until when."""
    stretches = []
    for number in range(2 * rounds):
        is_watched = number % 2 == 1
        if is_watched:
            with _lookers(path):
                # They begin by starting Python, which is not what is measured.
                time.sleep(3)
                began_at = time.monotonic()
                time.sleep(seconds)
                stretches.append((True, began_at, time.monotonic()))
        else:
            time.sleep(1)
            began_at = time.monotonic()
            time.sleep(seconds)
            stretches.append((False, began_at, time.monotonic()))
    return stretches


def _report(stretches: list[tuple[bool, float, float]], taken: list[tuple[float, float]]) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    waits: dict[bool, list[float]] = {False: [], True: []}
    for is_watched, began_at, ended_at in stretches:
        inside = [took for at, took in taken if began_at <= at < ended_at]
        rates[is_watched].append(len(inside) / (ended_at - began_at))
        waits[is_watched] += inside
    for is_watched, title in ((False, "alone"), (True, "looked at")):
        ordered = sorted(waits[is_watched])
        figures = ", ".join(
            f"p{percent:g} {ordered[int(len(ordered) * percent / 100)] * 1e3:.2f} ms" for percent in (50, 99, 99.9)
        )
        print(
            f"{title:10} {statistics.median(rates[is_watched]):8.0f} pairs/s"
            f" ({min(rates[is_watched]):.0f} to {max(rates[is_watched]):.0f}); a grant: {figures},"
            f" longest {ordered[-1] * 1e3:.2f} ms"
        )
    ratios = [watched / alone for alone, watched in zip(rates[False], rates[True], strict=True)]
    print(
        f"looked at / alone, round by round: {', '.join(f'{ratio:.3f}' for ratio in ratios)};"
        f" median {statistics.median(ratios):.3f}"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=5000)
    parser.add_argument("--names", type=int, default=100_000)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        for name in ("run", "state"):
            os.mkdir(os.path.join(directory, name))
        daemon = Daemon(directory)
        daemon.start()
        try:
            held = _hold(daemon.socket, options.sessions, options.names)
            with AdminClient(daemon.admin_socket) as admin:
                while admin.status()["names"] < options.names:
                    time.sleep(0.1)
            pipes = []
            for number in range(options.workers):
                ours, theirs = context.Pipe()
                context.Process(target=_work, args=(daemon.socket, number, theirs), daemon=True).start()
                pipes.append(ours)
            time.sleep(5)
            stretches = _stretches(daemon.admin_socket, options.rounds, options.seconds)
            for pipe in pipes:
                pipe.send(None)
            taken = [each for pipe in pipes for each in pipe.recv()]
            _report(stretches, taken)
            for sock in held:
                sock.close()
        finally:
            daemon.stop()


if __name__ == "__main__":
    main()
