"""What a pair of an acquire and a release costs the daemon: calls, instructions of Python, and time of the processor.

Run it with ``python benchmarks/pair.py``. Both ends of one connection are in this process: real sockets, the daemon's
reactor, driver and journal, those who look on by default, and frames as the library makes them. Counts are of the
daemon's side alone and the same on every machine, however busy; the times are the least of several rounds and belong
to one machine at one time.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from types import CodeType, FrameType
from typing import Any, Final

from lockd.clients import ClientConnection, Lobby
from lockd.connection import Patience
from lockd.core.manager import LockManager
from lockd.driver import Driver
from lockd.journal import Journal
from lockd.keeper import Keeper
from lockd.onlookers.history import History
from lockd.onlookers.lookout import Lookout
from lockd.reactor import Reactor
from lockd.settings import DiagnosticsSettings, MetricsSettings
from lockd_wire import fixed, limits
from lockd_wire import messages as m
from lockd_wire.codec import TO_CLIENT, encode, rest_of_acquire

_ROUNDS: Final = 15
_PAIRS: Final = 2_000


class _Daemon:
    """A daemon with one client."""

    def __init__(self, directory: str, stack: ExitStack) -> None:
        self._reactor = Reactor()
        stack.callback(self._reactor.close)
        journal = Journal.create(directory, os.urandom(16).hex(), 1)
        stack.callback(journal.close)
        manager = LockManager(1)
        keeper = Keeper(manager, journal)
        self._driver = driver = Driver(manager, self._reactor, keeper)
        stack.callback(driver.close)
        history = History(DiagnosticsSettings().history_names_max)
        driver.onlookers += [
            Lookout(manager, self._reactor, MetricsSettings(), DiagnosticsSettings()),
            history.look_on,
        ]
        self._client, served = socket.socketpair()
        stack.callback(self._client.close)
        served.setblocking(False)
        patience = Patience(1 << 18, limits.HELLO_SECONDS_MAX, 5.0)
        ClientConnection(served, os.getuid(), self._reactor, patience, driver, Lobby(1))
        self._client.sendall(encode(m.Hello(0, limits.MAGIC, limits.VERSION, "bench", {})))
        self.turn()
        self._client.recv(4096)
        self._rest = rest_of_acquire((("reports/daily", "X"),), None, {})
        self._last_id = 0

    def turn(self) -> None:
        """Do what the reactor does in one turn."""
        self._reactor._handle_ready(0.0)
        self._driver.finish_turn()

    def next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def say_acquire(self) -> None:
        self._client.send(fixed.acquire(self.next_id(), 1, self._rest))

    def say_release_and_acquire(self, token: int) -> None:
        frame = fixed.release(self.next_id(), token)
        self._client.send(frame + fixed.acquire(self.next_id(), 1, self._rest))

    def say_release(self, token: int) -> None:
        self._client.send(fixed.release(self.next_id(), token))

    def token(self) -> int:
        message = TO_CLIENT.decode(self._client.recv(4096)[4:])
        assert isinstance(message, m.Granted)
        return message.token


class _Counts:
    """What is executed while it looks on."""

    def __init__(self) -> None:
        self.calls: Counter[CodeType] = Counter()
        self.instructions: Counter[CodeType] = Counter()
        self.built_in_calls = 0

    def __enter__(self) -> None:
        sys.settrace(self._trace)
        sys.setprofile(self._profile)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Any:
        if event == "call":
            self.calls[frame.f_code] += 1
            frame.f_trace_opcodes = True
            frame.f_trace_lines = False
        elif event == "opcode":
            self.instructions[frame.f_code] += 1
        return self._trace

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            self.built_in_calls += 1


def _count(daemon: _Daemon, pairs: int, *, in_one: bool) -> _Counts:
    counts, token = _Counts(), 0
    for _ in range(pairs):
        if token and in_one:
            daemon.say_release_and_acquire(token)
        elif token:
            daemon.say_release(token)
            with counts:
                daemon.turn()
            daemon.say_acquire()
        else:
            daemon.say_acquire()
        with counts:
            daemon.turn()
        token = daemon.token()
    daemon.say_release(token)
    daemon.turn()
    return counts


def _least_time(daemon: _Daemon) -> float:
    """Return the microseconds that a pair takes on the daemon's side, one request in each turn."""
    least, clock = float("inf"), time.thread_time
    for _ in range(_ROUNDS):
        spent = 0.0
        for _ in range(_PAIRS):
            daemon.say_acquire()
            begin = clock()
            daemon.turn()
            spent += clock() - begin
            daemon.say_release(daemon.token())
            begin = clock()
            daemon.turn()
            spent += clock() - begin
        least = min(least, spent)
    begin = clock()
    for _ in range(_PAIRS):
        clock()
        clock()
    return (least - (clock() - begin)) / _PAIRS * 1e6


def main() -> None:
    """Count, measure, and print."""
    parser = argparse.ArgumentParser(description="What a pair costs the daemon.")
    parser.add_argument("--functions", type=int, default=0, help="show so many of the functions that do most")
    parser.add_argument("--only-pairs", type=int, default=0, help="make so many pairs and count nothing: for callgrind")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory, ExitStack() as stack:
        daemon = _Daemon(directory, stack)
        if arguments.only_pairs:
            for _ in range(arguments.only_pairs):
                daemon.say_acquire()
                daemon.turn()
                daemon.say_release(daemon.token())
                daemon.turn()
            return
        print(f"time of the processor    {_least_time(daemon):8.1f} us")
        for title, in_one in (("a turn each", False), ("release and acquire in one turn", True)):
            pairs = 320
            counts = _count(daemon, pairs, in_one=in_one)
            print(title)
            print(f"  calls of Python        {counts.calls.total() / pairs:8.1f}")
            print(f"  calls of built-ins     {counts.built_in_calls / pairs:8.1f}")
            print(f"  instructions           {counts.instructions.total() / pairs:8.1f}")
            for code, number in counts.instructions.most_common(arguments.functions):
                where = f"{os.path.basename(code.co_filename)}:{code.co_firstlineno} {code.co_qualname}"
                print(f"    {number / pairs:7.1f}  {counts.calls[code] / pairs:5.2f} calls  {where}")


if __name__ == "__main__":
    main()
