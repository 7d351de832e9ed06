"""Acquire and release where nobody else wants the name."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from itertools import count
from time import perf_counter_ns, process_time_ns

from bench.contenders import Contender, Handle
from bench.crowd import Tally, crowd, samples_of
from bench.figures import percentile
from bench.scale import Scale

#: Before anything is measured: connections, statements that are prepared, caches.
_WARM_UP_PAIRS = 20

#: A name that nobody has had, so that nothing of one run is left to the next.
_numbers = count()


def fresh_name() -> str:
    """Return a name that was not used before in this run."""
    return f"bench/{next(_numbers)}"


def warmed_up(contender: Contender, name: str) -> Handle:
    """Return a handle of a name that nobody else wants yet, after some pairs."""
    handle = contender.connect(name)
    for _ in range(_WARM_UP_PAIRS):
        handle.acquire()
        handle.release()
    return handle


def one_process(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """One process, one name: how long a pair takes."""
    name = fresh_name()

    def prepare(_index: int) -> Callable[[int], Tally]:
        handle = warmed_up(contender, name)
        return lambda until: _timed_pairs(handle, until)

    tallies, cpu = _with_cpu(contender, lambda: crowd(1, scale.pairs_seconds, prepare))
    durations = samples_of(tallies)
    return cpu | {
        # What a pair takes when nothing comes between: on a machine with other work to do, p50 is about that work.
        "p5_us": percentile(durations, 0.05) / 1e3,
        "p50_us": percentile(durations, 0.5) / 1e3,
        "p99_us": percentile(durations, 0.99) / 1e3,
        "pairs_per_second": tallies[0].pairs / scale.pairs_seconds,
    }


def own_names(contender: Contender, scale: Scale) -> Mapping[str, float]:
    """Many processes, each with a name of its own: how many pairs a second there are together, and how long the way to
    a grant takes."""
    names = [fresh_name() for _ in range(scale.many_names)]
    task = grants_of(contender, names)
    tallies, cpu = _with_cpu(contender, lambda: crowd(scale.many_names, scale.many_names_seconds, task))
    waits = samples_of(tallies)
    return cpu | {
        "pairs_per_second": sum(tally.pairs for tally in tallies) / scale.many_names_seconds,
        "grant_p50_us": percentile(waits, 0.5) / 1e3,
        "grant_p99_us": percentile(waits, 0.99) / 1e3,
    }


def grants_of(contender: Contender, names: list[str]) -> Callable[[int], Callable[[int], Tally]]:
    """Return the task of processes that each time the way to each grant of the name with their number."""

    def prepare(index: int) -> Callable[[int], Tally]:
        handle = warmed_up(contender, names[index])
        return lambda until: _timed_grants(handle, until)

    return prepare


def _with_cpu(contender: Contender, work: Callable[[], list[Tally]]) -> tuple[list[Tally], dict[str, float]]:
    """Do some work, and return with what it returns how much of a processor each pair took."""
    before = contender.server_cpu_ns()
    tallies = work()
    after = contender.server_cpu_ns()
    pairs = max(1, sum(tally.pairs for tally in tallies))
    figures = {"client_cpu_us": sum(tally.cpu_ns for tally in tallies) / pairs / 1e3}
    if before is not None and after is not None:
        figures["server_cpu_us"] = (after - before) / pairs / 1e3
    return tallies, figures


def _timed_pairs(handle: Handle, until: int) -> Tally:
    acquire, release, clock = handle.acquire, handle.release, perf_counter_ns
    durations = array("q")
    cpu_before = process_time_ns()
    begun_at = clock()
    # Once in any case: on a busy machine the time may be up before a process has had its turn.
    while not durations or begun_at < until:
        acquire()
        release()
        ended_at = clock()
        durations.append(ended_at - begun_at)
        begun_at = ended_at
    return Tally(len(durations), cpu_ns=process_time_ns() - cpu_before, samples=durations.tobytes())


def _timed_grants(handle: Handle, until: int) -> Tally:
    acquire, release, clock = handle.acquire, handle.release, perf_counter_ns
    durations = array("q")
    cpu_before = process_time_ns()
    begun_at = clock()
    while not durations or begun_at < until:
        acquire()
        durations.append(clock() - begun_at)
        release()
        begun_at = clock()
    return Tally(len(durations), cpu_ns=process_time_ns() - cpu_before, samples=durations.tobytes())
