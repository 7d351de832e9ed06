"""What those notice who take locks while administrators look on all the time.

Run it with ``python benchmarks/watching.py``. A daemon of its own has 5,000 sessions that hold 100,000 names, and 50
processes that take and release locks of their own. In every other stretch of time they are alone; in those between,
``lockctl list``, ``top``, ``watch`` and ``metrics`` are at work in processes of their own, each asking again after a
second. Where all of them share two processors, what lockctl takes of these is in the figures, too; so what they
and the daemon take of the processors is told besides.
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
from typing import NamedTuple

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


class Stretch(NamedTuple):
    """Some time, and what the daemon and those who look on took of the processors in it."""

    is_watched: bool
    began_at: float
    ended_at: float
    daemon_seconds: float
    lookers_seconds: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.ended_at - self.began_at


def _processor_seconds(*pids: int) -> float:
    """Return what processes have taken of the processors so far."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            after_program = file.read().rpartition(")")[2].split()
        ticks += int(after_program[11]) + int(after_program[12])
    return ticks / os.sysconf("SC_CLK_TCK")


@contextmanager
def _lookers(path: str) -> Iterator[list[int]]:
    commands = [[sys.executable, "-c", _LOOKER.format(look=look), path] for look in _LOOKS.values()]
    processes = [subprocess.Popen(command, env=plain_environment()) for command in commands]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _stretch(daemon: int, lookers: list[int], seconds: float) -> Stretch:
    """Let time pass."""
    daemon_before, lookers_before, began_at = _processor_seconds(daemon), _processor_seconds(*lookers), time.monotonic()
    time.sleep(seconds)
    daemon_took, lookers_took = (
        _processor_seconds(daemon) - daemon_before,
        _processor_seconds(*lookers) - lookers_before,
    )
    return Stretch(bool(lookers), began_at, time.monotonic(), daemon_took, lookers_took)


def _stretches(daemon: Daemon, rounds: int, seconds: float) -> list[Stretch]:
    """Let time pass, with lookers in every other stretch of it."""
    stretches = []
    for _ in range(rounds):
        time.sleep(1)
        stretches.append(_stretch(daemon.pid, [], seconds))
        with _lookers(daemon.admin_socket) as lookers:
            # They begin by starting Python, which is not what is measured.
            time.sleep(3)
            stretches.append(_stretch(daemon.pid, lookers, seconds))
    return stretches


def _report(stretches: list[Stretch], taken: list[tuple[float, float]]) -> None:
    rates: dict[bool, list[float]] = {False: [], True: []}
    for is_watched, title in ((False, "alone"), (True, "looked at")):
        concerned = [stretch for stretch in stretches if stretch.is_watched == is_watched]
        waits = [[took for at, took in taken if each.began_at <= at < each.ended_at] for each in concerned]
        rates[is_watched] = [len(inside) / each.seconds for inside, each in zip(waits, concerned, strict=True)]
        ordered = sorted(took for inside in waits for took in inside)
        passed = sum(each.seconds for each in concerned)
        figures = ", ".join(
            f"p{percent:g} {ordered[int(len(ordered) * percent / 100)] * 1e3:.2f} ms" for percent in (50, 99, 99.9)
        )
        print(
            f"{title:10} {statistics.median(rates[is_watched]):8.0f} pairs/s"
            f" ({min(rates[is_watched]):.0f} to {max(rates[is_watched]):.0f}); a grant: {figures},"
            f" longest {ordered[-1] * 1e3:.2f} ms"
        )
        daemon_seconds = sum(each.daemon_seconds for each in concerned)
        print(
            f"{'':10} of one processor the daemon takes {daemon_seconds / passed:.1%},"
            f" {daemon_seconds / len(ordered) * 1e6:.1f} us a pair;"
            f" those who look on {sum(each.lookers_seconds for each in concerned) / passed:.1%}"
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
            stretches = _stretches(daemon, options.rounds, options.seconds)
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
