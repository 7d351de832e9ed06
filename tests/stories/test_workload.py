"""What a process of the second story notices by itself while it works."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from tinydb import TinyDB

from lockd.demo.ledger import Entry, Ledger, Outcome, compare, read_ledger
from lockd.demo.workload import Worker, Workplace

#: Enough for each kind of change.
OPERATIONS = 40


class Bench:
    """One worker, alone with its database."""

    def __init__(self, directory: Path) -> None:
        self.database = directory / "database.json"
        self._ledger = str(directory / "ledger")
        self.worker = Worker(0, Workplace(str(self.database), TinyDB, nullcontext()), Ledger(self._ledger))

    @property
    def entries(self) -> list[Entry]:
        return read_ledger(self._ledger)

    def work_until(self, outcome: Outcome) -> bytes:
        """Operate until this comes of it, and return the database as it was before that."""
        for _ in range(OPERATIONS):
            before = self.database.read_bytes() if self.database.exists() else b""
            if self.worker.operate() is outcome:
                return before
        raise AssertionError(f"nothing was {outcome} in {OPERATIONS} operations")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_worker_that_is_alone_loses_nothing(bench: Bench) -> None:
    outcomes = {bench.worker.operate() for _ in range(OPERATIONS)}
    assert outcomes == {Outcome.INSERTED, Outcome.UPDATED, Outcome.REMOVED}
    findings = compare([bench.entries], str(bench.database))
    assert findings.is_flawless
    assert findings.finished == [OPERATIONS]


@pytest.mark.parametrize(
    ("change", "noticed"),
    [
        (Outcome.INSERTED, Outcome.LOST),
        (Outcome.UPDATED, Outcome.LOST),
        (Outcome.REMOVED, Outcome.RETURNED),
    ],
)
def test_a_change_that_did_not_last_is_noticed_once(bench: Bench, change: Outcome, noticed: Outcome) -> None:
    before = bench.work_until(change)
    key = bench.entries[-1].key
    bench.database.write_bytes(before)
    for _ in range(OPERATIONS):
        bench.worker.operate()
    assert [entry.key for entry in bench.entries if entry.outcome is noticed] == [key]
    findings = compare([bench.entries], str(bench.database))
    assert findings.gone == 1
    assert not findings.is_flawless


def test_a_file_that_cannot_be_read_fails_the_operation_and_blames_no_row(bench: Bench) -> None:
    bench.work_until(Outcome.INSERTED)
    bench.database.write_text("{")
    assert bench.worker.operate() is Outcome.FAILED
    assert bench.entries[-1] == Entry(Outcome.FAILED, "", "JSONDecodeError", bench.entries[-1].waited_seconds)
