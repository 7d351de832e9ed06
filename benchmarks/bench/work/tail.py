"""How long a grant takes at the worst, while many processes ask and the journal is made shorter again and again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

from bench.contenders.lockd import Lockd
from bench.crowd import Tally, crowd, samples_of
from bench.daemon import Daemon
from bench.figures import percentile
from bench.scale import Scale

from .pairs import fresh_name, grants_of

#: Often enough: from one compaction to the next it is longer.
_LOOK_SECONDS = 0.02

_SHARES = {"p50_us": 0.5, "p90_us": 0.9, "p99_us": 0.99, "p99_9_us": 0.999, "p99_99_us": 0.9999, "most_us": 1.0}


def measure(directory: str, scale: Scale) -> Mapping[str, float]:
    """Return percentiles of the way to a grant, and how often the journal was made shorter meanwhile."""
    lockd = Lockd()
    lockd.start(directory)
    journal = Daemon(directory).journal
    grants = grants_of(lockd, [fresh_name() for _ in range(scale.many_names)])

    def prepare(index: int) -> Callable[[int], Tally]:
        # One process more than there are names looks on.
        return grants(index) if index < scale.many_names else lambda until: _count_replacements(journal, until)

    try:
        *tallies, onlooker = crowd(scale.many_names + 1, scale.grants_seconds, prepare)
    finally:
        lockd.stop()
    waits = samples_of(tallies)
    figures = {what: percentile(waits, share) / 1e3 for what, share in _SHARES.items()}
    return figures | {
        "grants": float(len(waits)),
        "grants_per_second": sum(tally.pairs for tally in tallies) / scale.grants_seconds,
        "compactions": float(onlooker.pairs),
    }


def _count_replacements(path: str, until: int) -> Tally:
    """Count how often a file is replaced by another one of its name."""
    count, inode = 0, os.stat(path).st_ino
    while time.perf_counter_ns() < until:
        time.sleep(_LOOK_SECONDS)
        now = os.stat(path).st_ino
        count += now != inode
        inode = now
    return Tally(count)
