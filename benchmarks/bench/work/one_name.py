"""Many processes that all want one name, all the time."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Mapping
from time import perf_counter_ns

from bench.contenders import Contender, Handle
from bench.crowd import Tally, crowd
from bench.scale import Scale

from .pairs import fresh_name

#: In memory that all the processes share: who had the name last, and how often anybody had it.
_LAST, _TOTAL = 0, 1


def measure(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Return the figures of each number of processes, which stands at the front of the key."""
    figures = {}
    for processes, seconds in scale.crowds.items():
        for what, value in _crowd(contender, processes, seconds).items():
            figures[f"{processes}/{what}"] = value
    return figures


def _crowd(contender: Contender, processes: int, seconds: float) -> dict[str, float]:
    name = fresh_name()
    shared = memoryview(mmap.mmap(-1, 16)).cast("q")
    shared[_LAST] = -1

    def prepare(index: int) -> Callable[[int], Tally]:
        handle = contender.connect(name)
        return lambda until: take_turns(handle, index, shared, until)

    tallies = crowd(processes, seconds, prepare)
    counts = [tally.pairs for tally in tallies]
    # None at all is possible: the first who has it may keep it for all of the time.
    hand_over_seconds = seconds / max(1, sum(tally.hand_overs for tally in tallies))
    worst_wait_seconds = max(tally.worst_wait_seconds for tally in tallies)
    return {
        "pairs_per_second": sum(counts) / seconds,
        "hand_overs_per_second": 1 / hand_over_seconds,
        "hand_over_us": hand_over_seconds * 1e6,
        "worst_wait_ms": worst_wait_seconds * 1e3,
        # In rounds of all processes: 1 is what fairness alone makes one wait.
        "worst_wait_rounds": worst_wait_seconds / (processes * hand_over_seconds),
        "least_served": float(min(counts)),
        "most_served": float(max(counts)),
        "unevenness": (max(counts) - min(counts)) / max(1, max(counts)),
        # Each adds one to what it has read while it has the name: a sum that is too small is a lock that was not one.
        "lost": lost(tallies, shared),
    }


def lost(tallies: list[Tally], shared: memoryview) -> float:
    """Return how many of the additions were overwritten by somebody who should have been kept out."""
    return float(sum(tally.pairs_in_all for tally in tallies) - shared[_TOTAL])


def take_turns(
    handle: Handle, me: int, shared: memoryview, until: int, clock: Callable[[], int] = perf_counter_ns
) -> Tally:
    """Take the name again and again until the clock, which counts nanoseconds, says so."""
    acquire, release = handle.acquire, handle.release
    pairs = pairs_in_all = hand_overs = worst_wait = 0
    asked_at = clock()
    while asked_at < until:
        acquire()
        granted_at = clock()
        total = shared[_TOTAL]
        is_hand_over = shared[_LAST] != me
        shared[_LAST] = me
        shared[_TOTAL] = total + 1
        release()
        pairs_in_all += 1
        if granted_at < until:
            pairs += 1
            hand_overs += is_hand_over
        worst_wait = max(worst_wait, granted_at - asked_at)
        asked_at = clock()
    return Tally(pairs, pairs_in_all, hand_overs, worst_wait / 1e9)
