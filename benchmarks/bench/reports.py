"""The tables of a run, for people."""

from __future__ import annotations

from collections.abc import Callable

from .contenders import ALL
from .figures import Figures
from .goals import bytes_each, growth_of
from .tables import NOTHING, Table, number, spread

_CURVES = {"connections": "sessions", "names": "names held", "waiters": "waiters on one name"}

#: What is started, by the key of its figure.
STARTS = {
    "true_ms": "`true`",
    "flock_ms": "`flock FILE true`",
    "python_ms": "`python -c pass`",
    "import_ms": "`python -c 'import lockd_client'`",
    "lockctl_exec_ms": "`lockctl exec NAME true`",
    "lockctl_run_ms": "`lockctl run NAME true`",
    "daemon_ready_ms": "daemon, from exec to ready",
    "first_lock_ms": "first lock through socket activation, which starts the daemon",
}

_PERCENTILES = {
    "p50_us": "50 %",
    "p90_us": "90 %",
    "p99_us": "99 %",
    "p99_9_us": "99.9 %",
    "p99_99_us": "99.99 %",
    "most_us": "all",
}


def tables(figures: Figures) -> list[Table]:
    """Return a table for each kind of work that was done."""
    every = [_pairs(figures), *_one_name(figures), _many_names(figures), _cpu(figures)]
    every += [_database(figures), _start_up(figures)]
    every += [_curve(figures, curve) for curve in _CURVES]
    every += [_fits(figures), _recovery(figures), _tail(figures), _idle(figures)]
    return [table for table in every if table.rows]


def _rows(figures: Figures, letter: str, key: str, cells: Callable[[str], list[str]]) -> list[list[str]]:
    """Return a row for each contender that has this figure."""
    return [[ALL[name].title, *cells(f"{letter}/{name}")] for name in ALL if f"{letter}/{name}/{key}" in figures]


def _pairs(figures: Figures) -> Table:
    def cells(prefix: str) -> list[str]:
        p50 = f"{prefix}/p50_us"
        return [
            spread(figures.spread(p50)),
            number(figures.median(f"{prefix}/p5_us")),
            number(figures.median(f"{prefix}/p99_us")),
            number(figures.median(f"{prefix}/pairs_per_second")),
            number(figures.median(f"{prefix}/client_cpu_us")),
            spread(figures.ratio(p50, "a/echo/p50_us")),
            number(_median(figures, f"{prefix}/p5_us", "a/echo/p5_us")),
            number(_median(figures, p50, "a/lockd/p50_us")),
        ]

    head = ["", "p50 µs", "p5 µs", "p99 µs", "a second", "client's CPU µs"]
    head += ["in echoes", "p5 in echoes", "in lockd's"]
    return Table("(a) Acquire and release, one process", head, _rows(figures, "a", "p50_us", cells))


def _one_name(figures: Figures) -> list[Table]:
    every = []
    for processes in (20, 50):

        def cells(prefix: str, processes: int = processes) -> list[str]:
            prefix = f"{prefix}/{processes}"
            least, most = figures.median(f"{prefix}/least_served"), figures.median(f"{prefix}/most_served")
            return [
                spread(figures.spread(f"{prefix}/pairs_per_second")),
                number(figures.median(f"{prefix}/hand_overs_per_second")),
                number(figures.median(f"{prefix}/hand_over_us")),
                number(figures.median(f"{prefix}/worst_wait_ms")),
                f"{number(least)} to {number(most)}",
                number(figures.median(f"{prefix}/lost")),
            ]

        head = ["", "pairs a second", "hand-overs a second", "µs each", "worst wait ms", "least to most served", "lost"]
        rows = _rows(figures, "b", f"{processes}/pairs_per_second", cells)
        every.append(Table(f"(b) {processes} processes on one name", head, rows))
    return every


def _many_names(figures: Figures) -> Table:
    def cells(prefix: str) -> list[str]:
        pairs = f"{prefix}/pairs_per_second"
        return [
            spread(figures.spread(pairs)),
            number(figures.median(f"{prefix}/grant_p50_us")),
            number(figures.median(f"{prefix}/grant_p99_us")),
            spread(figures.ratio("c/lockd/pairs_per_second", pairs)),
        ]

    head = ["", "pairs a second", "grant p50 µs", "p99 µs", "lockd, times this"]
    return Table("(c) 20 processes on 20 names", head, _rows(figures, "c", "pairs_per_second", cells))


def _cpu(figures: Figures) -> Table:
    said = {"a": "one process", "c": "20 processes on 20 names"}
    rows = [
        [text, *(number(figures.median(f"{letter}/lockd/{who}_cpu_us")) for who in ("client", "server"))]
        for letter, text in said.items()
        if f"{letter}/lockd/server_cpu_us" in figures
    ]
    return Table("(a) and (c) CPU time of a pair with lockd", ["", "client µs", "daemon µs"], rows)


def _database(figures: Figures) -> Table:
    def cells(prefix: str) -> list[str]:
        changes = f"{prefix}/changes_per_second"
        least, most = figures.median(f"{prefix}/least_served"), figures.median(f"{prefix}/most_served")
        return [
            spread(figures.spread(changes)),
            number(figures.median(f"{prefix}/worst_wait_ms")),
            f"{number(least)} to {number(most)}",
            number(figures.median(f"{prefix}/lost")),
            number(_median(figures, "d/lockd/changes_per_second", changes)),
        ]

    head = ["", "changes a second", "worst wait ms", "least to most served", "lost", "lockd, times this"]
    rows = _rows(figures, "d", "changes_per_second", cells)
    return Table("(d) 50 processes read, change and write one TinyDB file", head, rows)


def _start_up(figures: Figures) -> Table:
    rows = [
        [
            said,
            spread(figures.spread(f"e/{key}")),
            number(_median(figures, f"e/{key}", "e/python_ms")),
            number(figures.median(f"e/{key.replace('_ms', '_cpu_ms')}")),
            number(_median(figures, f"e/{key.replace('_ms', '_cpu_ms')}", "e/python_cpu_ms")),
        ]
        for key, said in STARTS.items()
        if f"e/{key}" in figures
    ]
    return Table("(e) Start-up", ["", "ms", "in bare Pythons", "CPU ms", "in bare Pythons"], rows)


def _curve(figures: Figures, curve: str) -> Table:
    prefix = f"f/{curve}"
    hand_overs = dict(figures.sizes(prefix, "hand_over_us"))
    resident = dict(figures.sizes(prefix, "resident_bytes"))
    grown = dict(figures.sizes(prefix, "grow_seconds"))
    head = [_CURVES[curve], "a pair beside them, p50 µs", "resident MB", "s to get there"]
    rows = [
        [f"{size:,}", number(pair), number(resident[size] / 1e6), number(grown[size])]
        for size, pair in figures.sizes(prefix, "pair_us")
    ]
    if hand_overs:
        head.append("a hand-over, p50 µs")
        rows = [[*row, number(cost)] for row, cost in zip(rows, hand_overs.values(), strict=True)]
    return Table(f"(f) Growth: {_CURVES[curve]}", head, rows)


def _fits(figures: Figures) -> Table:
    rows = []
    for curve, said in _CURVES.items():
        pair, each = growth_of(figures, curve, "pair_us"), bytes_each(figures, curve)
        if pair is None or each is None:
            continue
        hand_over = growth_of(figures, curve, "hand_over_us")
        cells = [NOTHING if fit is None else f"{fit.median:+.3f}" for fit in (pair, hand_over)]
        rows.append([said, *cells, number(each.median)])
    head = ["", "exponent of a pair", "exponent of a hand-over", "resident bytes each"]
    return Table("(f) Growth, fitted: cost ~ size to the power of the exponent", head, rows)


def _recovery(figures: Figures) -> Table:
    rows = [[f"{grants:,}", number(ready)] for grants, ready in figures.sizes("f/grants", "ready_ms")]
    return Table("(f) From exec to ready, after SIGKILL", ["grants in the journal", "ms"], rows)


def _tail(figures: Figures) -> Table:
    rows = [[said, number(figures.median(f"g/{key}"))] for key, said in _PERCENTILES.items() if f"g/{key}" in figures]
    if rows:
        rows += [
            ["grants measured", f"{figures.median('g/grants'):,.0f}"],
            ["grants a second", number(figures.median("g/grants_per_second"))],
            ["compactions of the journal meanwhile", number(figures.median("g/compactions"))],
        ]
    return Table("(g) A grant, 20 processes on 20 names, the journal compacting", ["of the grants, within", "µs"], rows)


def _idle(figures: Figures) -> Table:
    said = {"wake_ups": "wake-ups", "system_calls": "system calls, by strace"}
    rows = [[text, number(figures.median(f"h/{key}"))] for key, text in said.items() if f"h/{key}" in figures]
    return Table("(h) A daemon with a session, a lock held and nothing to do", ["", "in all"], rows)


def _median(figures: Figures, key: str, base: str) -> float | None:
    ratio = figures.ratio(key, base)
    return None if ratio is None else ratio.median
