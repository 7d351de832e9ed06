"""The metrics, in the text format of Prometheus. Made when somebody asks: nothing is counted twice for them.

Whoever imports this pays for it, so it is imported when somebody asks, too (`measured`).
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from typing import Final

from prometheus_client import generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector, CollectorRegistry

from lockd import __version__
from lockd.histogram import Histogram
from lockd.vitals import Vitals

#: What the lock manager counts, and what each number is called and means. Its others are written below.
_OF_STATISTICS: Final = {
    "names": ("lockd_names", "Names that are held or waited for"),
    "grants": ("lockd_holds", "Grants that are held"),
    "waiters": ("lockd_waiters", "Requests that wait"),
    "abandoned": ("lockd_abandoned_names", "Names whose last holder has not released them"),
    "granted_total": ("lockd_grants", "Requests that were granted"),
    "timeouts_total": ("lockd_timeouts", "Requests that were not granted in time, tries among them"),
    "cancels_total": ("lockd_cancels", "Requests that were taken back while they waited"),
    "deadlocks_total": ("lockd_deadlocks", "Requests that were refused because they would have waited for ever"),
    "reorders_total": ("lockd_reorders", "Deadlocks that another order of the waiters has resolved"),
    "leases_taken_total": ("lockd_leases_taken", "Grants that were taken away because their lease had run out"),
    "breaks_total": ("lockd_breaks", "Grants that an administrator has taken away"),
    "deaths_total": ("lockd_deaths", "Sessions that ended because their process did"),
}


def exposition(vitals: Vitals) -> str:
    """Return all metrics as they are now."""
    registry = CollectorRegistry()
    registry.register(_Numbers(vitals))
    return generate_latest(registry).decode()


class _Numbers(Collector):
    def __init__(self, vitals: Vitals) -> None:
        self._vitals = vitals

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("lockd_build", "The release that runs", {"version": __version__})
        yield from self._locks()
        yield from self._journal()
        yield from self._loop()
        yield from self._diagnostics()
        yield from self._times()
        yield from _process()

    def _locks(self) -> Iterator[Metric]:
        statistics = self._vitals.manager.statistics()
        sessions = GaugeMetricFamily("lockd_sessions", "Sessions with and without a connection", labels=["state"])
        sessions.add_metric(["attached"], statistics.sessions - statistics.detached)
        sessions.add_metric(["detached"], statistics.detached)
        yield sessions
        for field, (name, meaning) in _OF_STATISTICS.items():
            kind = CounterMetricFamily if field.endswith("_total") else GaugeMetricFamily
            yield kind(name, meaning, getattr(statistics, field))
        measures = self._vitals.lookout.measures
        yield CounterMetricFamily("lockd_waits", "Requests that had to wait", measures.waits_total)
        yield CounterMetricFamily(
            "lockd_refusals", "Requests that could not be, or were too much", measures.refusals_total
        )
        yield CounterMetricFamily("lockd_abandonments", "Grants that ended without a release", measures.abandoned_total)
        driver = self._vitals.driver
        yield CounterMetricFamily("lockd_kills", "Grants whose holders administrators have ended", driver.kills_total)
        refused = driver.sessions_refused_total
        yield CounterMetricFamily("lockd_sessions_refused", "Sessions that would have been too many", refused)
        cut_off = driver.connections.cut_off_total
        yield CounterMetricFamily("lockd_cut_offs", "Connections that left too many answers unread", cut_off)

    def _journal(self) -> Iterator[Metric]:
        keeper = self._vitals.keeper
        journal = keeper.journal
        written = journal.written_bytes_total
        yield GaugeMetricFamily("lockd_journal_bytes", "Length of the journal", journal.log_bytes)
        yield CounterMetricFamily("lockd_journal_written_bytes", "Bytes written to the journal", written)
        yield _histogram("lockd_journal_write_seconds", "What a write took, of a part of them", keeper.writes)
        yield CounterMetricFamily("lockd_journal_compactions", "Shorter journals made", journal.compactions_total)
        yield CounterMetricFamily("lockd_journal_faults", "Times the journal could not be written", keeper.faults_total)
        trouble = self._vitals.driver.trouble()
        yield GaugeMetricFamily("lockd_degraded", "1 while nothing new is granted", bool(trouble))
        lost = self._vitals.was_state_lost
        yield GaugeMetricFamily("lockd_state_lost", "1 if all locks were lost before this daemon started", lost)
        took = self._vitals.recovery_seconds
        yield GaugeMetricFamily("lockd_recovery_seconds", "What the last start took to recover everything", took)

    def _loop(self) -> Iterator[Metric]:
        reactor = self._vitals.reactor
        yield _histogram("lockd_turn_seconds", "What a turn of the main loop took, of a part of them", reactor.turns)
        yield _histogram("lockd_timer_lateness_seconds", "How late timers were called", reactor.lateness)

    def _diagnostics(self) -> Iterator[Metric]:
        lookout = self._vitals.lookout
        convoys, holds, order = lookout.convoys, lookout.long_holds, lookout.lock_order
        # What is turned off is 0: an alert on it is right, and stays silent.
        yield GaugeMetricFamily("lockd_convoys", "Names with a long queue", 0 if convoys is None else len(convoys))
        begun = 0 if convoys is None else convoys.total
        yield CounterMetricFamily("lockd_convoys_begun", "Times a queue became long", begun)
        held = 0 if holds is None else len(holds)
        yield GaugeMetricFamily("lockd_long_holds", "Grants held for longer than they ought to be", held)
        begun = 0 if holds is None else holds.total
        yield CounterMetricFamily("lockd_long_holds_begun", "Grants that were held for too long", begun)
        found = 0 if order is None else order.total
        yield CounterMetricFamily("lockd_lock_order_findings", "Pairs of names taken in opposite orders", found)
        pairs = 0 if order is None else order.pairs
        yield GaugeMetricFamily("lockd_lock_order_pairs", "Ordered pairs of names that are remembered", pairs)

    def _times(self) -> Iterator[Metric]:
        waits = HistogramMetricFamily("lockd_wait_seconds", "How long requests waited", labels=["pattern"])
        holds = HistogramMetricFamily("lockd_hold_seconds", "How long grants were held", labels=["pattern"])
        for pattern, family in self._vitals.lookout.measures.families.items():
            _add(waits, [pattern], family.all_waits())
            _add(holds, [pattern], family.holds)
        yield waits
        yield holds


def open_descriptors() -> int:
    """Return how many descriptors are open.

    The collector that the library has for processes lists them, which with ten thousand sessions takes longer than
    anybody is to wait for a lock.
    """
    # Linux 6.2 and newer.
    return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))


def _process() -> Iterator[Metric]:
    with open("/proc/self/statm", "rb") as file:
        size, resident = (int(pages) * resource.getpagesize() for pages in file.read().split()[:2])
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield GaugeMetricFamily("process_virtual_memory_bytes", "Address space", size)
    yield GaugeMetricFamily("process_resident_memory_bytes", "Memory in use", resident)
    yield GaugeMetricFamily("process_start_time_seconds", "When the process started, since 1970", _STARTED_AT)
    yield CounterMetricFamily("process_cpu_seconds", "Processor time used", time.process_time())
    yield GaugeMetricFamily("process_open_fds", "Descriptors that are open", open_descriptors())
    yield GaugeMetricFamily("process_max_fds", "Descriptors that there may be", most)


def _started_at() -> float:
    with open("/proc/self/stat", "rb") as file:
        ticks = int(file.read().rpartition(b")")[2].split()[19])
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


#: Found out once: a second look would give another fraction of a second.
_STARTED_AT: Final = _started_at()


def _histogram(name: str, meaning: str, histogram: Histogram) -> Metric:
    metric = HistogramMetricFamily(name, meaning, labels=[])
    _add(metric, [], histogram)
    return metric


def _add(metric: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    # The client of Prometheus writes infinity in its own way.
    buckets = [("+Inf" if bound == float("inf") else str(bound), count) for bound, count in histogram.buckets()]
    metric.add_metric(labels, buckets, histogram.total_seconds)
