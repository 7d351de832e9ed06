"""What the journal costs: a turn written, a slice of a compaction, a recovery.

Run it with ``python benchmarks/journal.py [--directory DIR]``. Without a directory it writes to /dev/shm, which is a
tmpfs as /run is. The figures belong to one machine at one time; the bare write is there for comparison.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable

from lockd.journal import Journal, Record, recover
from lockd.journal.format import encoded

_BOOT = "0" * 32


def _record(number: int) -> Record:
    """Return a record of 150 bytes, such as a grant may take."""
    names = [["reports/daily", "exclusive", True], ["reports", "IX", False]]
    return ("R", 17, number, 1, names, [None, False, False, "nightly run of the reports, second try"], 7 << 32 | number)


def _padded(number: int) -> Record:
    record = _record(number)
    return (*record, "x" * (150 - len(encoded([record])) - 1))


def _microseconds(call: Callable[[], object], times: int) -> float:
    begun_at = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - begun_at) / times * 1e6


def _bare_write(directory: str, record: Record, times: int) -> float:
    data = encoded([record])
    with open(os.path.join(directory, "bare"), "wb") as file:
        os.posix_fallocate(file.fileno(), 0, len(data) * times)
        return _microseconds(lambda: os.pwrite(file.fileno(), data, 0), times)


def _turns(journal: Journal, record: Record, times: int) -> float:
    turn = [record]

    def write() -> None:
        journal.append(turn)
        assert journal.write()

    return _microseconds(write, times)


def _compaction(journal: Journal, records: list[Record]) -> list[float]:
    """Return the milliseconds of each step."""
    steps = []
    journal.start_compaction(records)
    while journal.is_compacting:
        begun_at = time.perf_counter()
        journal.step()
        steps.append((time.perf_counter() - begun_at) * 1000)
    return steps


def _recovery(directory: str) -> str:
    begun_at = time.perf_counter()
    count = len(recover(directory, _BOOT).records)
    return f"{time.perf_counter() - begun_at:6.2f} s for {count:,} records"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directory", default="/dev/shm")
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    records = [_padded(2**20 + number) for number in range(options.records)]
    # A daemon that starts has no such records yet, for the garbage collector to look at.
    gc.freeze()
    with tempfile.TemporaryDirectory(dir=options.directory) as directory:
        journal = Journal.create(directory, _BOOT, 1)
        bare, turns = [], []
        for _ in range(options.rounds):
            journal.close()
            journal = Journal.create(directory, _BOOT, 1)
            bare.append(_bare_write(directory, records[0], options.records))
            turns.append(_turns(journal, records[0], options.records))
        one_each = _recovery(directory)
        steps = _compaction(journal, records)
        many_each = _recovery(directory)
        journal.close()
    size = len(encoded(records[:1]))
    print(
        f"{min(bare):6.2f} µs at least, {statistics.median(bare):6.2f} µs in the median: a bare write of {size} bytes"
    )
    print(f"{min(turns):6.2f} µs at least, {statistics.median(turns):6.2f} µs in the median: a turn with such a record")
    print(f"{max(steps):6.2f} ms at most, {statistics.median(steps):6.2f} ms in the median: a step of a compaction")
    print(f"{sum(steps):6.2f} ms for all {len(steps)} of them, the last, which renames and closes, {steps[-1]:.2f} ms")
    print(f"{one_each}: recovery, a record a turn")
    print(f"{many_each}: recovery of the compacted journal")


if __name__ == "__main__":
    main()
