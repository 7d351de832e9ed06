"""What people are shown: tables, the page, and what could not be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import page, profile
from bench.__main__ import comparison, main, remarks
from bench.contenders import OTHERS, PEERS
from bench.figures import Figures, Spread
from bench.options import Options, parse
from bench.reports import tables
from bench.result import Result, ResultFailed
from bench.tables import Table, number, spread
from bench.work import LETTERS


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((0.0, "0"), (0.1234, "0.123"), (1.234, "1.23"), (12.34, "12.3"), (99.6, "100"), (123.4, "123")),
        *((1234.0, "1,230"), (1_234_567.0, "1,230,000"), (-1.5, "-1.50"), (None, "-")),
    ],
)
def test_a_figure_has_three_digits_that_count(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_spread_of_one_measurement_is_one_number() -> None:
    assert spread(Spread(2.0, 2.0, 2.0)) == "2.00"
    assert spread(Spread(2.0, 1.0, 3.0)) == "2.00 (1.00 to 3.00)"
    assert spread(None) == "-"


def test_a_table_lines_up() -> None:
    table = Table("Pairs", ["", "p50 µs"], [["echo", "20.1"], ["lockd", "1"]])
    assert table.text().splitlines() == [
        "### Pairs",
        "",
        "|       | p50 µs |",
        "| ----- | -----: |",
        "| echo  |   20.1 |",
        "| lockd |      1 |",
    ]
    assert Table("Nothing", ["", "x"], []).text() == ""


def test_only_what_was_measured_is_told() -> None:
    assert tables(Figures()) == []
    [pairs] = tables(Figures({"a/lockd/p50_us": {0: 31.0}, "a/echo/p50_us": {0: 20.0}}))
    assert [row[0] for row in pairs.rows] == ["echo, Python on both sides", "lockd"]


def test_a_curve_has_a_row_for_each_size() -> None:
    figures = Figures()
    for size in (1, 10):
        for what, value in (("pair_us", 30.0), ("resident_bytes", 3e7), ("grow_seconds", 0.1), ("hand_over_us", 20.0)):
            figures.add(f"f/waiters/{size}/{what}", 0, value)
    curve, fits = tables(figures)
    assert [row[0] for row in curve.rows] == ["1", "10"]
    assert list(fits.rows[0]) == ["waiters on one name", "+0.000", "+0.000", "0"]


def test_what_is_missing_is_said_plainly() -> None:
    result = Result({}, Figures({"f/connections/9968/pair_us": {0: 1.0}}))
    result.missing["etcd"] = "etcd is not installed"
    result.failed["b/redis"] = "a process died"
    notes = "\n".join(remarks(result, parse(["--work=f"], LETTERS, PEERS, OTHERS)))
    assert "Not found, so not measured: etcd lock service, HTTP on loopback (etcd is not installed)." in notes
    assert "Failed: b/redis (a process died)." in notes
    assert "9,968 sessions and not 10,000: a process may have" in notes


def test_a_profile_has_the_shares_of_the_lines_that_were_at_work() -> None:
    stacks = [
        "main (m.py:1);send (c.py:7) 30\n",
        "main (m.py:1);poll (r.py:3);send (c.py:7) 30\n",
        "main (m.py:1) 40\n",
    ]
    shares = profile.shares_of(stacks)
    assert shares == [("send (c.py:7)", 60.0), ("main (m.py:1)", 40.0)]
    [table] = profile.tables({"one process": shares})
    assert list(table.rows[0]) == ["`send (c.py:7)`", "60.0"]
    assert profile.shares_of([]) == []


@pytest.mark.parametrize(("load", "is_said"), [("0.1", False), ("14.6", True)])
def test_a_busy_machine_is_owned_up_to(load: str, is_said: bool) -> None:
    result = Result({"machine": "2 processors, some", "load before": load})
    assert ("other work to do" in "\n".join(remarks(result, options("--work=a")))) is is_said


def options(*argv: str) -> Options:
    return parse(argv, LETTERS, PEERS, OTHERS)


def test_what_has_moved_is_told() -> None:
    before, now = {"a: a pair": Spread(1.0, 1.0, 1.0)}, {"a: a pair": Spread(3.0, 3.0, 3.0)}
    assert comparison({}, now, options()) == "No run was recorded yet: make bench RECORD=yes."
    assert comparison(before, before, options()).startswith("Nothing has moved beyond the spread")
    moved = comparison(before, now, options())
    assert "| a: a pair |     1.00 | 3.00 |  up |" in moved
    assert "A quick run is no measure" not in moved
    assert "A quick run is no measure" in comparison(before, now, options("--quick=yes"))


def test_the_block_of_the_page_is_replaced_and_nothing_else() -> None:
    text = page.PATH.read_text(encoding="utf-8")
    once = page.rewritten(text, "figures of today\n")
    assert "figures of today" in once
    again = page.rewritten(once, "figures of tomorrow\n")
    assert "figures of today" not in again
    assert again.replace("tomorrow", "today") == once
    before, _, after = text.partition("<!-- bench: from here on")[0], None, text.partition("<!-- bench: up to here")[2]
    assert again.startswith(before)
    assert again.endswith(after)


def test_a_page_without_a_place_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("# Performance\n")
    with pytest.raises(page.PageFailed, match="lacks the lines"):
        page.rewrite("figures", path)
    assert path.read_text() == "# Performance\n"


def test_the_block_says_where_and_when() -> None:
    facts = {"when": "2026-01-01", "machine": "2 processors", "python": "3.11"}
    table = Table("Pairs", ["", "p50"], [["echo", "1"]])
    assert page.block(facts, ["Not found: etcd."], [table], {"pairs.svg": "Pairs"}).splitlines() == [
        *("Measured on 2026-01-01, on 2 processors: python 3.11.", "", "- Not found: etcd.", ""),
        *("![Pairs](performance/pairs.svg)", "", *table.text().splitlines()),
    ]


def test_an_earlier_result_is_told_of_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bench.json"
    result = Result({"when": "today"}, Figures({"h/wake_ups": {0: 0.0}}))
    result.missing["redis"] = "redis-server is not installed"
    result.profiles = {"one process": [("send (c.py:7)", 60.0)]}
    result.write(path)
    assert Result.read(path).profiles == result.profiles
    assert Result.read(path).figures.as_json() == result.figures.as_json()
    assert main([f"--reuse={path}", f"--output={tmp_path / 'other.json'}", "--work=h"]) == 0
    told = capsys.readouterr().out
    assert "redis-server is not installed" in told
    assert "| (h) wake-ups of an idle daemon |   ≤ 0 |        0 | reached |" in told


@pytest.mark.parametrize("content", ["", "[]", '{"format": 1}', '{"format": 99}'])
def test_a_file_that_is_no_result_is_complained_of(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bench.json"
    path.write_text(content)
    assert main([f"--reuse={path}"]) == 1
    assert str(path) in capsys.readouterr().err


def test_a_part_of_a_run_is_not_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A whole run may be told of again and recorded then; one that was quick, or left something out, may not."""
    path = tmp_path / "bench.json"
    Result({"when": "today"}, Figures({"h/wake_ups": {0: 0.0}})).write(path)
    assert main([f"--reuse={path}", "--record=yes"]) == 1
    assert "only a whole run can be recorded" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_complained_of(tmp_path: Path) -> None:
    with pytest.raises(ResultFailed, match="holds no result"):
        Result.read(tmp_path / "nothing.json")
