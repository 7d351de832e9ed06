"""The harness itself, with lockd and the floor, for a few thousandths of a second each: so that it does not rot."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bench import scale
from bench.contenders import ALL, OTHERS, PEERS, Contender, Handle, Kind
from bench.crowd import CrowdFailed, Tally, crowd, samples_of
from bench.options import parse
from bench.result import Result
from bench.run import run
from bench.work import LETTERS, STUDIES, Study, one_name
from bench.work.growth import decades

_INSTANT = 0.01

TINY = scale.Scale(
    pairs_seconds=_INSTANT,
    crowds={2: _INSTANT},
    many_names=2,
    many_names_seconds=_INSTANT,
    database_processes=2,
    database_seconds=_INSTANT,
    starts=1,
    connections_max=2,
    names_max=2,
    waiters_max=2,
    recovered=20,
    probe_pairs=5,
    probe_hand_overs=3,
    grants_seconds=_INSTANT,
    idle_seconds=_INSTANT,
)


def test_lockd_and_the_floor_do_all_that_is_asked_of_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    options = parse(
        ["--peers=none", "--work=a,b,c,d,f,g", f"--output={tmp_path / 'bench.json'}"], LETTERS, PEERS, OTHERS
    )
    # Goals are missed within an instant, and a profile takes seconds.
    monkeypatch.setattr("bench.run.profiles", lambda directory: {})
    result = run(options._replace(rounds=1, scale=TINY))
    assert result.failed == {}
    # A machine may have no compiler.
    assert result.missing.keys() <= {"echo-c"}
    keys = result.figures.as_json().keys()
    assert keys >= {
        *("a/echo/p50_us", "a/lockd/p50_us", "a/lockd/server_cpu_us", "b/lockd/2/hand_overs_per_second"),
        *("c/echo/pairs_per_second", "c/lockd/pairs_per_second", "d/lockd/changes_per_second"),
        *("f/connections/2/pair_us", "f/names/2/resident_bytes", "f/waiters/2/hand_over_us", "f/grants/20/ready_ms"),
        "g/p99_9_us",
    }
    assert not keys & {"b/echo/2/pairs_per_second", "d/echo/changes_per_second"}
    assert result.figures.median("b/lockd/2/lost") == result.figures.median("d/lockd/lost") == 0
    assert (result.figures.median("a/lockd/p50_us") or 0) > 0


class Absent(Contender):
    """Something that this machine does not have."""

    name = "absent"
    title = "absent"
    kind = Kind.SERVICE
    driver = "no_such_package_at_all"

    def start(self, directory: str) -> None:
        raise AssertionError("what is not there is not started")

    def connect(self, name: str) -> Handle:
        raise AssertionError("what is not there is not used")


class Refusing(Contender):
    """Something that lets nobody have anything."""

    name = "refusing"
    title = "refusing"
    kind = Kind.SERVICE

    def start(self, directory: str) -> None:
        pass

    def connect(self, name: str) -> Handle:
        raise RuntimeError("nobody gets anything here")


def test_one_that_is_absent_and_one_that_fails_do_not_end_the_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for each in (Absent, Refusing):
        monkeypatch.setitem(ALL, each.name, each)
    options = parse(["--work=a", f"--output={tmp_path / 'bench.json'}"], LETTERS, PEERS, OTHERS)
    result = run(options._replace(contenders=("absent", "refusing", "flock"), rounds=2, scale=TINY))
    assert result.missing == {"absent": "the Python package no_such_package_at_all is not installed"}
    assert result.failed == {"a/refusing": "RuntimeError: nobody gets anything here"}
    assert len(result.figures.as_json()["a/flock/p50_us"]) == 2


def test_each_peer_says_what_it_lacks_or_nothing() -> None:
    for contender in ALL.values():
        assert contender().missing() != ""


def turns(handle: Handle, memory: bytearray, clock: Callable[[], int]) -> tuple[Tally, float]:
    shared = memoryview(memory).cast("q")
    tally = one_name.take_turns(handle, 1, shared, 30, clock)
    return tally, one_name.lost([tally], shared)


def test_a_lock_that_lets_others_in_is_seen() -> None:
    """They write what they had read before this process had its turn."""
    memory = bytearray(16)
    shared = memoryview(memory).cast("q")

    def meddle() -> None:
        shared[1] = 0

    tally, lost = turns(Handle(meddle, lambda: None), memory, itertools.count().__next__)
    assert tally.pairs_in_all > 1
    assert lost == tally.pairs_in_all - 1


def test_a_lock_that_keeps_its_word_loses_nothing_and_hand_overs_are_counted() -> None:
    memory = bytearray(16)
    shared = memoryview(memory).cast("q")
    grants = itertools.count()

    def somebody_else_had_it_each_second_time() -> None:
        if next(grants) % 2:
            shared[0] = 7

    tally, lost = turns(Handle(somebody_else_had_it_each_second_time, lambda: None), memory, itertools.count().__next__)
    assert lost == 0
    assert tally.hand_overs == 1 + tally.pairs // 2


def test_what_each_process_of_a_crowd_tells_arrives() -> None:
    def prepare(index: int) -> Callable[[int], Tally]:
        return lambda until: Tally(index, samples=(index + 1).to_bytes(8, "little"))

    tallies = crowd(3, 0.0, prepare)
    assert [tally.pairs for tally in tallies] == [0, 1, 2]
    assert samples_of(tallies) == [1, 2, 3]


def test_a_process_that_dies_is_noticed() -> None:
    def prepare(index: int) -> Callable[[int], Tally]:
        return lambda until: os._exit(3)

    with pytest.raises(CrowdFailed, match="a process died"):
        crowd(2, 0.0, prepare)


def test_nobody_begins_before_all_are_there() -> None:
    def prepare(index: int) -> Callable[[int], Tally]:
        prepared_at = time.perf_counter_ns()
        return lambda until: Tally(prepared_at, pairs_in_all=time.perf_counter_ns())

    tallies = crowd(3, 0.0, prepare)
    assert max(tally.pairs for tally in tallies) < min(tally.pairs_in_all for tally in tallies)


def test_what_was_measured_is_not_lost_to_a_mistake_behind_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def mistake(directory: str, scale: scale.Scale) -> dict[str, float]:
        raise KeyError("nobody thought of that")

    monkeypatch.setitem(STUDIES, "h", Study("a mistake", mistake))
    options = parse(["--work=a,h", f"--output={tmp_path / 'bench.json'}"], LETTERS, PEERS, OTHERS)
    result = run(options._replace(contenders=("flock",), rounds=1, scale=TINY))
    assert result.failed == {"h": "KeyError: 'nobody thought of that'"}
    assert "a/flock/p50_us" in Result.read(options.output).figures


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (3, [1, 3]), (10, [1, 10]), (1000, [1, 10, 100, 1000]), (50, [1, 10, 50])]
)
def test_sizes_grow_by_ten_up_to_the_most(most: int, sizes: list[int]) -> None:
    assert decades(most) == sizes


def test_the_plots_are_drawn_where_matplotlib_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="it belongs to the extra bench")
    from bench.figures import Figures
    from bench.plots import draw

    assert draw(Figures(), tmp_path) == {}
    assert list(draw(Figures({"a/lockd/p50_us": {0: 31.0}}), tmp_path)) == ["pairs.svg"]
    assert "<svg" in (tmp_path / "pairs.svg").read_text()
