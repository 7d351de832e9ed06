"""Many processes that read, change and write one TinyDB file, each time opened anew."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from time import perf_counter_ns

from tinydb import TinyDB

from bench.contenders import Contender, Handle
from bench.crowd import Tally, crowd
from bench.scale import Scale

from .pairs import fresh_name

_COUNTER = 1

#: Beside the one that is changed, so that there is something to read.
_OTHER_ROWS = 20


def measure(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Return how many changes there were a second, and how many of them got lost."""
    name = fresh_name()
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_memory()) as directory:
        path = os.path.join(directory, "shop.json")
        with TinyDB(path) as database:
            database.insert({"changes": 0})
            database.insert_multiple({"article": f"article {number}", "stock": number} for number in range(_OTHER_ROWS))

        def prepare(_index: int) -> Callable[[int], Tally]:
            handle = contender.connect(name)
            return lambda until: _change(handle, path, until)

        tallies = crowd(scale.database_processes, scale.database_seconds, prepare)
        changes = _changes(path)
    return {
        "changes_per_second": sum(tally.pairs for tally in tallies) / scale.database_seconds,
        "worst_wait_ms": max(tally.worst_wait_seconds for tally in tallies) * 1e3,
        "least_served": float(min(tally.pairs for tally in tallies)),
        "most_served": float(max(tally.pairs for tally in tallies)),
        "lost": float(sum(tally.pairs_in_all for tally in tallies) - changes),
    }


def _change(handle: Handle, path: str, until: int) -> Tally:
    pairs = pairs_in_all = worst_wait = 0
    asked_at = perf_counter_ns()
    while asked_at < until:
        handle.acquire()
        granted_at = perf_counter_ns()
        with TinyDB(path) as database:
            database.update({"changes": _row(database) + 1}, doc_ids=[_COUNTER])
        handle.release()
        pairs_in_all += 1
        pairs += granted_at < until
        worst_wait = max(worst_wait, granted_at - asked_at)
        asked_at = perf_counter_ns()
    return Tally(pairs, pairs_in_all, worst_wait_seconds=worst_wait / 1e9)


def _row(database: TinyDB) -> int:
    row = database.get(doc_id=_COUNTER)
    assert isinstance(row, dict)
    changes = row["changes"]
    assert isinstance(changes, int)
    return changes


def _changes(path: str) -> int:
    with TinyDB(path) as database:
        return _row(database)


def _memory() -> str | None:
    """A disk that is busy would be measured instead of the lock."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
