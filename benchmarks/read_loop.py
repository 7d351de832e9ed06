"""Which shape of the daemon's read loop answers the most requests a second? The decision stands in docs/design.md.

Three servers that do nothing but send back what they receive, under the same clients, in turn and several times over:

stream    a trio task for each connection, on SocketStream.receive_some
task      a trio task for each connection, on the raw socket after wait_readable
epoll     one trio task that drains an epoll set (lockd.reactor)

Run it with ``python benchmarks/read_loop.py``. Only the ratios between the rows say anything: the figures belong to one
machine at one time.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable

import trio

from lockd.reactor import Reactor

_MESSAGE = b"x" * 48


async def _stream(listener: socket.socket) -> None:
    async def echo(stream: trio.SocketStream) -> None:
        while data := await stream.receive_some(8192):
            await stream.send_all(data)

    sock = trio.socket.from_stdlib_socket(listener)
    await trio.serve_listeners(echo, [trio.SocketListener(sock)])


async def _task(listener: socket.socket) -> None:
    async def echo(connection: socket.socket) -> None:
        while True:
            await trio.lowlevel.wait_readable(connection)
            data = connection.recv(8192)
            if not data:
                connection.close()
                return
            connection.send(data)

    async with trio.open_nursery() as nursery:
        while True:
            await trio.lowlevel.wait_readable(listener)
            connection, _ = listener.accept()
            connection.setblocking(False)
            nursery.start_soon(echo, connection)


async def _epoll(listener: socket.socket) -> None:
    reactor = Reactor()

    def accept(mask: int) -> None:
        connection, _ = listener.accept()
        connection.setblocking(False)

        def echo(mask: int) -> None:
            data = connection.recv(8192)
            if data:
                connection.send(data)
            else:
                reactor.forget(connection.fileno())
                connection.close()

        reactor.watch(connection.fileno(), echo)

    reactor.watch(listener.fileno(), accept)
    await reactor.run(lambda: None)


_SERVERS: dict[str, Callable[[socket.socket], Awaitable[None]]] = {"stream": _stream, "task": _task, "epoll": _epoll}


def _client(path: str, seconds: float, counts: multiprocessing.SimpleQueue[int]) -> None:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    until = time.monotonic() + seconds
    count = 0
    while time.monotonic() < until:
        connection.sendall(_MESSAGE)
        connection.recv(8192)
        count += 1
    counts.put(count)


def _requests_per_second(shape: str, clients: int, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "s")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen(4096)
        listener.setblocking(False)
        server = os.fork()
        if server == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            trio.run(_SERVERS[shape], listener)
        counts: multiprocessing.SimpleQueue[int] = multiprocessing.SimpleQueue()
        processes = [multiprocessing.Process(target=_client, args=(path, seconds, counts)) for _ in range(clients)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        os.kill(server, signal.SIGTERM)
        os.waitpid(server, 0)
        listener.close()
        return sum(counts.get() for _ in processes) / seconds


def main() -> None:
    """Print a row for each shape: requests a second, and how that compares with the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures: dict[str, list[float]] = {shape: [] for shape in _SERVERS}
    for _ in range(options.rounds):
        for shape, row in figures.items():
            row.append(_requests_per_second(shape, options.clients, options.seconds))
    base = statistics.median(figures["stream"])
    for shape, row in figures.items():
        median = statistics.median(row)
        print(
            f"{shape:8} {median:9,.0f} requests/s ({min(row):,.0f} to {max(row):,.0f}), {median / base:.2f} of stream"
        )


if __name__ == "__main__":
    main()
