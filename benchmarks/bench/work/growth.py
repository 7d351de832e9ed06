"""What a grant costs, and how much memory there is, as the sessions, names and waiters become many."""

from __future__ import annotations

import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager

from bench.daemon import Daemon
from bench.figures import percentile
from bench.raw import RawSession
from bench.scale import Scale
from lockd_client import AdminClient, Client, Lock, connect

from .base import WorkFailed

#: Looks at each size; the median of them counts.
_LOOKS = 5

#: What the daemon keeps aside for all but sessions, and some more. A session costs it two.
_OTHER_DESCRIPTORS = 512


def measure(directory: str, scale: Scale) -> Mapping[str, float]:
    """Return the figures of all curves, each measured on a daemon of its own."""
    figures: dict[str, float] = {}
    for curve, part in (("connections", _connections), ("names", _names), ("waiters", _waiters), ("grants", _recovery)):
        place = os.path.join(directory, curve)
        os.mkdir(place)
        daemon = Daemon(place)
        daemon.start()
        try:
            for what, value in part(daemon, scale):
                figures[f"{curve}/{what}"] = value
        finally:
            # Orderly ends are for daemons with less in them.
            daemon.kill()
    return figures


def decades(most: int) -> list[int]:
    """Return 1, 10, 100 and so on up to ``most``, which is the last."""
    sizes = [1]
    while sizes[-1] * 10 < most:
        sizes.append(sizes[-1] * 10)
    return [*sizes, most] if most > 1 else sizes


def _connections(daemon: Daemon, scale: Scale) -> Iterator[tuple[str, float]]:
    # Both this process and the daemon are bounded by what the kernel lets a process have at the most.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sizes = decades(min(scale.connections_max, (most - _OTHER_DESCRIPTORS) // 2))
    with _probe(daemon, scale) as probe, ExitStack() as sessions:
        opened = 0

        def grow(size: int) -> None:
            nonlocal opened
            for _ in range(size - opened):
                sessions.enter_context(RawSession(daemon.socket))
            opened = size

        yield from _curve(daemon, scale, sizes, grow, probe)


def _names(daemon: Daemon, scale: Scale) -> Iterator[tuple[str, float]]:
    with _probe(daemon, scale) as probe, RawSession(daemon.socket) as session:
        held = 0

        def grow(size: int) -> None:
            nonlocal held
            session.hold(f"name/{number}" for number in range(held, size))
            held = size

        yield from _curve(daemon, scale, decades(scale.names_max), grow, probe)


def _waiters(daemon: Daemon, scale: Scale) -> Iterator[tuple[str, float]]:
    name = "bench/waited-for"
    with _probe(daemon, scale) as probe, RawSession(daemon.socket) as session:
        token = session.take(name)
        waiting = 0

        def grow(size: int) -> None:
            nonlocal waiting
            session.queue(name, size - waiting)
            waiting = size

        for size in decades(scale.waiters_max):
            yield from _curve(daemon, scale, [size], grow, probe)
            durations = []
            for _ in range(scale.probe_hand_overs):
                begun_at = time.perf_counter_ns()
                session.release(token)
                token = session.granted()
                durations.append(time.perf_counter_ns() - begun_at)
                session.queue(name, 1)
            yield f"{size}/hand_over_us", percentile(sorted(durations), 0.5) / 1e3


def _recovery(daemon: Daemon, scale: Scale) -> Iterator[tuple[str, float]]:
    daemon.kill()
    yield "0/ready_ms", daemon.start() * 1e3
    # Its connection breaks; the session lives as long as this process.
    with RawSession(daemon.socket) as session:
        session.hold(f"name/{number}" for number in range(scale.recovered))
        daemon.kill()
        yield f"{scale.recovered}/ready_ms", daemon.start() * 1e3
        with AdminClient(daemon.admin_socket) as admin:
            grants = admin.status()["grants"]
    if grants != scale.recovered:
        raise WorkFailed(f"of {scale.recovered} grants, {grants} came back")


def _curve(
    daemon: Daemon, scale: Scale, sizes: list[int], grow: Callable[[int], None], probe: Lock
) -> Iterator[tuple[str, float]]:
    for size in sizes:
        begun_at = time.perf_counter()
        grow(size)
        yield f"{size}/grow_seconds", time.perf_counter() - begun_at
        yield f"{size}/pair_us", statistics.median(_pair_us(probe, scale.probe_pairs) for _ in range(_LOOKS))
        yield f"{size}/resident_bytes", float(daemon.resident_bytes())


@contextmanager
def _probe(daemon: Daemon, scale: Scale) -> Iterator[Lock]:
    client: Client = connect(daemon.socket)
    try:
        probe = client.lock("bench/probe")
        # The memory of a daemon that has not yet worked is not what each session adds.
        _pair_us(probe, scale.probe_pairs)
        yield probe
    finally:
        client.close()


def _pair_us(lock: Lock, pairs: int) -> float:
    durations = []
    for _ in range(pairs):
        begun_at = time.perf_counter_ns()
        lock.acquire()
        lock.release()
        durations.append(time.perf_counter_ns() - begun_at)
    return percentile(sorted(durations), 0.5) / 1e3
