"""What each process says it did, and whether the database says the same.

Every process writes into a ledger of its own: one line for each operation, after it has ended. Each works on rows
of its own, so the ledgers together say exactly what the database has to contain, in whatever order it was done.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from tinydb import TinyDB


class Outcome(StrEnum):
    """How an operation ended."""

    INSERTED = "inserted"
    UPDATED = "updated"
    REMOVED = "removed"
    #: It found a row gone, or not as this process had left it.
    LOST = "lost"
    #: It found a row that this process had removed.
    RETURNED = "returned"
    #: It raised an exception. Whether it changed the row, if one is named, is not known.
    FAILED = "failed"


class Entry(NamedTuple):
    """One line of a ledger."""

    outcome: Outcome
    #: The row that was meant. After any outcome but the first three the process leaves that row alone.
    key: str
    #: What the row contains now, or the name of the exception.
    value: str
    #: How long the process waited for its turn.
    waited_seconds: float


class Ledger:
    """The file into which one process writes what it did."""

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, entry: Entry) -> None:
        """Add an entry. It is in the file when this returns, whatever becomes of the process."""
        os.write(self._descriptor, json.dumps(entry).encode() + b"\n")


def read_ledger(path: str) -> list[Entry]:
    """Return the entries of a ledger, in the order in which they were written."""
    return list(_entries(path))


def _entries(path: str) -> Iterator[Entry]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            outcome, key, value, waited_seconds = json.loads(line)
            yield Entry(Outcome(outcome), key, value, waited_seconds)


class Findings(NamedTuple):
    """What came out of it: the ledgers, held against the database."""

    #: Operations that ended as they should, by process.
    finished: list[int]
    #: Changes that were acknowledged and did not last: rows that are gone, or are as they were before.
    lost: int
    #: Rows that were deleted and are there again.
    returned: int
    #: Operations that raised an exception, by the exception's name.
    failures: Counter[str]
    #: Why the database cannot be read at the end, or "".
    unreadable: str
    #: Rows in the database that no ledger explains: keys that nobody wrote, and second rows of one key.
    unexplained: int
    #: How long each operation that finished had waited for its turn, shortest first.
    waits_seconds: list[float]

    @property
    def gone(self) -> int:
        """How many acknowledged changes did not last, insertions, updates and removals."""
        return self.lost + self.returned

    @property
    def corrupt(self) -> int:
        """How often the database made no sense: operations that failed because of it, and rows out of nowhere."""
        return self.failures.total() + self.unexplained

    @property
    def is_flawless(self) -> bool:
        """Whether the database equals the ledgers, row for row, and nothing ever failed."""
        return not (self.gone or self.corrupt or self.unreadable)


_CHANGES = {Outcome.INSERTED, Outcome.UPDATED, Outcome.REMOVED}


def compare(ledgers: Sequence[list[Entry]], database: str) -> Findings:
    """Hold the ledgers against the database in the file ``database``."""
    entries = [entry for ledger in ledgers for entry in ledger]
    changes = [entry for entry in entries if entry.outcome in _CHANGES]
    outcomes = Counter(entry.outcome for entry in entries)
    # What was found wrong while they worked is counted there, and what may or may not have been done proves nothing.
    set_aside = {entry.key for entry in entries if entry.outcome not in _CHANGES}
    last = {entry.key: entry for entry in changes if entry.key not in set_aside}
    kept = {key: entry.value for key, entry in last.items() if entry.outcome is not Outcome.REMOVED}

    rows, unreadable = _rows(database)
    rows = [row for row in rows if row[0] not in set_aside]
    found = dict(rows)
    return Findings(
        finished=[sum(entry.outcome in _CHANGES for entry in ledger) for ledger in ledgers],
        lost=outcomes[Outcome.LOST] + sum(found.get(key) != value for key, value in kept.items()),
        returned=outcomes[Outcome.RETURNED] + len(found.keys() & (last.keys() - kept.keys())),
        failures=Counter(entry.value for entry in entries if entry.outcome is Outcome.FAILED),
        unreadable=unreadable,
        unexplained=len(rows) - len(found) + len(found.keys() - last.keys()),
        waits_seconds=sorted(entry.waited_seconds for entry in changes),
    )


def _rows(path: str) -> tuple[list[tuple[str, str]], str]:
    """Return key and value of every row, and why the file is no database, or "".

    Of a file that is none, the rows are returned that can be read up to the fault: somebody would rescue those by hand.
    """
    try:
        with TinyDB(path, access_mode="r") as database:
            return [(row["key"], row["value"]) for row in database.table(TinyDB.default_table_name)], ""
    except Exception as error:
        return _rescued(path), f"{type(error).__name__}: {error}"


def _rescued(path: str) -> list[tuple[str, str]]:
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    try:
        tables: Any = json.JSONDecoder().raw_decode(text)[0]
        return [(row["key"], row["value"]) for row in tables[TinyDB.default_table_name].values()]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
