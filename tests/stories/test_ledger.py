"""The judge of the second story is judged: whatever is wrong with a database, `compare` finds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lockd.demo.ledger import Entry, Findings, Ledger, Outcome, compare, read_ledger

#: One process has inserted two rows, changed the first, and removed a third. Another one has inserted a row.
LEDGERS = [
    [
        Entry(Outcome.INSERTED, "0/1", "old", 0.1),
        Entry(Outcome.INSERTED, "0/2", "b", 0.4),
        Entry(Outcome.UPDATED, "0/1", "new", 0.2),
        Entry(Outcome.INSERTED, "0/3", "c", 0.3),
        Entry(Outcome.REMOVED, "0/3", "", 0.5),
    ],
    [Entry(Outcome.INSERTED, "1/1", "d", 0.0)],
]
ROWS = {"0/1": "new", "0/2": "b", "1/1": "d"}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "database.json"


def compared(database: Path, rows: list[tuple[str, str]], ledgers: list[list[Entry]] = LEDGERS) -> Findings:
    table = {str(number): {"key": key, "value": value} for number, (key, value) in enumerate(rows, start=1)}
    database.write_text(json.dumps({"_default": table}))
    return compare(ledgers, str(database))


def test_a_database_that_equals_the_ledgers_is_flawless(database: Path) -> None:
    findings = compared(database, list(ROWS.items()))
    assert findings.is_flawless
    assert findings.finished == [5, 1]
    assert findings.waits_seconds == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]


@pytest.mark.parametrize(
    ("rows", "lost", "returned", "unexplained"),
    [
        pytest.param(ROWS | {"0/1": "old"}, 1, 0, 0, id="an update is gone"),
        pytest.param({"0/1": "new", "0/2": "b"}, 1, 0, 0, id="an insertion is gone"),
        pytest.param({}, 3, 0, 0, id="all are gone"),
        pytest.param(ROWS | {"0/3": "c"}, 0, 1, 0, id="a removed row is there again"),
        pytest.param(ROWS | {"0/4": "e"}, 0, 0, 1, id="nobody wrote this row"),
    ],
)
def test_each_fault_is_counted(
    database: Path, rows: dict[str, str], lost: int, returned: int, unexplained: int
) -> None:
    findings = compared(database, list(rows.items()))
    assert (findings.lost, findings.returned, findings.unexplained) == (lost, returned, unexplained)
    assert not findings.is_flawless


def test_a_row_that_is_there_twice_is_counted(database: Path) -> None:
    findings = compared(database, [*ROWS.items(), ("0/2", "b")])
    assert findings.unexplained == 1
    assert not findings.is_flawless


@pytest.mark.parametrize("damage", ["}", "\0\0\0", '"0/9"}}'])
def test_what_stands_before_the_damage_is_rescued(database: Path, damage: str) -> None:
    compared(database, [("0/1", "new"), ("0/2", "b")])
    database.write_text(database.read_text() + damage)
    findings = compare(LEDGERS, str(database))
    assert findings.unreadable.startswith("JSONDecodeError")
    assert findings.lost == 1
    assert not findings.is_flawless


@pytest.mark.parametrize("content", ["", "{", '{"_default": 7}', '{"_default": {"1": {}}}', "[]", '{"other": {}}'])
def test_nothing_is_rescued_from_a_ruin(database: Path, content: str) -> None:
    database.write_text(content)
    findings = compare(LEDGERS, str(database))
    assert findings.lost == 3
    assert not findings.is_flawless


def test_a_file_that_is_not_text_is_a_ruin(database: Path) -> None:
    database.write_bytes(b"\xff\xfe")
    assert compare(LEDGERS, str(database)).unreadable.startswith("UnicodeDecodeError")


@pytest.mark.parametrize(("outcome", "lost", "returned"), [(Outcome.LOST, 1, 0), (Outcome.RETURNED, 0, 1)])
def test_a_fault_that_was_found_by_the_way_counts_once(
    database: Path, outcome: Outcome, lost: int, returned: int
) -> None:
    ledgers = [[*LEDGERS[0], Entry(outcome, "0/2", "", 0.0)], LEDGERS[1]]
    findings = compared(database, [("0/1", "new"), ("1/1", "d")], ledgers)
    assert (findings.lost, findings.returned) == (lost, returned)


@pytest.mark.parametrize("rows", [ROWS, {"0/1": "new", "1/1": "d"}])
def test_whether_an_operation_that_failed_has_changed_its_row_is_not_judged(
    database: Path, rows: dict[str, str]
) -> None:
    ledgers = [[*LEDGERS[0], Entry(Outcome.FAILED, "0/2", "OSError", 0.0)], LEDGERS[1]]
    findings = compared(database, list(rows.items()), ledgers)
    assert (findings.lost, findings.returned, findings.unexplained) == (0, 0, 0)
    assert findings.failures == {"OSError": 1}
    assert not findings.is_flawless


def test_a_ledger_reads_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "ledger")
    ledger = Ledger(path)
    for entry in LEDGERS[0]:
        ledger.write(entry)
    assert read_ledger(path) == LEDGERS[0]
