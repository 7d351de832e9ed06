"""How long a daemon takes to know again what an earlier one knew.

Run it with ``python benchmarks/recovery.py [--grants N] [--directory DIR]``. Without a directory the journal is in
/dev/shm, which is a tmpfs as /run is. What is timed is all between the file and a manager that serves: reading, the
checksums, the records, the queues. The figures belong to one machine at one time; the last column is the same without
the pause that is made for the collector of garbage.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import tempfile
import time
from contextlib import nullcontext

from lockd import recovery
from lockd.core import events as e
from lockd.core.bounds import Quotas
from lockd.core.manager import LockManager
from lockd.core.modes import Mode
from lockd.epoch import boot_id
from lockd.journal import Journal
from lockd.packing import packed

_QUOTAS = Quotas(10**6, 10**6, 10**9, 10**9)

#: Grants of one session.
_GRANTS_EACH = 10


def _manager(epoch: int) -> LockManager:
    return LockManager(epoch, _QUOTAS)


def _filled(grants: int) -> LockManager:
    """Return a manager with so many grants, and a waiter behind each tenth."""
    manager = _manager(1)
    for number in range(grants):
        session = (1 << 32) + 1 + number // _GRANTS_EACH
        if number % _GRANTS_EACH == 0:
            peer = e.Peer(1000 + number, 1000, 1000, f"inode {number}")
            manager.handle(e.OpenSession(peer, "benchmark", False), 0.0)
        terms = e.NO_TERMS._replace(label="nightly run")
        item = e.Item(f"reports/daily/{number}", Mode("X"))
        manager.handle(e.Acquire(session, 2 * number + 1, 1, (item,), terms, False), 0.0)
        if number % 10 == 9:
            other = e.Item(f"reports/daily/{number}", Mode("S"))
            manager.handle(e.Acquire(session, 2 * number + 2, 2 + number, (other,), terms, False), 0.0)
    return manager


def _seconds(directory: str, state: str) -> float:
    gc.collect()
    begun_at = time.perf_counter()
    beginning = recovery.begin(directory, state, _manager, 1.0, 15.0, reset_epoch=False)
    taken = time.perf_counter() - begun_at
    beginning.journal.close()
    return taken


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Times the recovery of a daemon.")
    parser.add_argument("--grants", type=int, default=100_000, help="how many are in the journal (100000)")
    parser.add_argument("--rounds", type=int, default=5, help="the median of so many is told (5)")
    parser.add_argument("--directory", default="/dev/shm", help="where the journal is (/dev/shm)")
    options = parser.parse_args()
    manager = _filled(options.grants)
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        journal = Journal.create(directory, boot_id(), 1)
        journal.append(map(packed, manager.snapshot()))
        if not journal.write():
            raise SystemExit(f"benchmark: {journal.fault}")
        megabytes = journal.log_bytes / 1e6
        journal.close()
        there = manager.statistics()
        del manager
        seconds = statistics.median(_seconds(directory, directory) for _ in range(options.rounds))
        paused = recovery._without_collection
        recovery._without_collection = nullcontext  # type: ignore[assignment]  # To show what it is good for.
        collecting = statistics.median(_seconds(directory, directory) for _ in range(options.rounds))
        recovery._without_collection = paused
        print(f"{'sessions':>9} {'grants':>9} {'waiters':>9} {'MB':>7} {'seconds':>8} {'with gc':>8}")
        counts = f"{there.sessions:9,} {there.grants:9,} {there.waiters:9,}"
        print(f"{counts} {megabytes:7.1f} {seconds:8.2f} {collecting:8.2f}")


if __name__ == "__main__":
    main()
