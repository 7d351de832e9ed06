"""What each of the many processes does to the database: one read and one write or delete, again and again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from tinydb import TinyDB, where
from tinydb.table import Table

from .ledger import Entry, Ledger, Outcome

#: A process inserts when it has fewer rows than the first, and removes when it has more than the second, so that the
#: database stays as large as it is.
_ROWS_MIN, _ROWS_MAX = 1, 3

#: A program that cannot read its data tries again, with a pause, and then gives up.
_RETRY_SECONDS = 0.02
_GIVE_UP_SECONDS = 1.0


class Workplace(NamedTuple):
    """Where and under what the work is done."""

    #: The database's file.
    database: str
    #: How the file is opened, anew for each operation, as programs that know nothing of each other would.
    open_database: Callable[[str], TinyDB]
    #: Taken around each operation.
    guard: AbstractContextManager[Any]


class Worker:
    """One process: the rows it has in the database, and the ledger in which it writes what it did to them."""

    def __init__(self, number: int, workplace: Workplace, ledger: Ledger) -> None:
        self._number = number
        self._workplace = workplace
        self._ledger = ledger
        self._rows: dict[str, str] = {}
        self._removed: set[str] = set()
        self._inserted_total = 0
        # Each run does the same, as far as the processes are concerned.
        self._random = random.Random(number)

    def work(self, seconds: float, report: Callable[[Outcome], None]) -> None:
        """Do operations for so long, or until none has succeeded for a while.

        Args:
            report: Told the outcome of each operation.
        """
        now = last_success_at = time.monotonic()
        ends_at = now + seconds
        while now < ends_at and now - last_success_at < _GIVE_UP_SECONDS:
            outcome = self.operate()
            report(outcome)
            if outcome is Outcome.FAILED:
                time.sleep(_RETRY_SECONDS)
            now = time.monotonic()
            if outcome is not Outcome.FAILED:
                last_success_at = now

    def operate(self) -> Outcome:
        """Do one operation, write into the ledger what came of it, and return that."""
        place = self._workplace
        asked_at = time.monotonic()
        with place.guard:
            waited_seconds = time.monotonic() - asked_at
            entries = self._read_and_change()
        for outcome, key, value in entries:
            self._ledger.write(Entry(outcome, key, value, waited_seconds))
        return entries[-1][0]

    def _read_and_change(self) -> list[tuple[Outcome, str, str]]:
        entries = []
        key = ""
        try:
            with self._workplace.open_database(self._workplace.database) as database:
                table = database.table(TinyDB.default_table_name)
                entries += self._read(table)
                key = self._choose()
                entries.append(self._change(table, key))
        except Exception as error:  # What a broken file makes of a program is anything at all.
            self._forget(key)
            entries.append((Outcome.FAILED, key, type(error).__name__))
        return entries

    def _read(self, table: Table) -> list[tuple[Outcome, str, str]]:
        """Read the rows of this process and return what is wrong with them."""
        found = {row["key"]: row["value"] for row in table.search(where("owner") == self._number)}
        lost = [key for key, value in self._rows.items() if found.get(key) != value]
        returned = sorted(found.keys() & self._removed)
        for key in lost + returned:
            self._forget(key)
        return [(Outcome.LOST, key, "") for key in lost] + [(Outcome.RETURNED, key, "") for key in returned]

    def _choose(self) -> str:
        """Return the key of a row to change, or a new key."""
        if len(self._rows) < _ROWS_MIN or (len(self._rows) < _ROWS_MAX and self._random.random() < 0.4):
            self._inserted_total += 1
            return f"{self._number}/{self._inserted_total}"
        return self._random.choice(list(self._rows))

    def _change(self, table: Table, key: str) -> tuple[Outcome, str, str]:
        # Of various lengths, so that the file grows and shrinks as files do.
        value = self._random.randbytes(self._random.randint(4, 32)).hex()
        if key not in self._rows:
            table.insert({"owner": self._number, "key": key, "value": value})
            outcome = Outcome.INSERTED
        elif len(self._rows) >= _ROWS_MAX or self._random.random() < 0.5:
            changed = table.remove(where("key") == key)
            outcome = Outcome.REMOVED if changed else Outcome.LOST
        else:
            changed = table.update({"value": value}, where("key") == key)
            outcome = Outcome.UPDATED if changed else Outcome.LOST
        self._forget(key)
        if outcome in (Outcome.INSERTED, Outcome.UPDATED):
            self._rows[key] = value
        elif outcome is Outcome.REMOVED:
            self._removed.add(key)
        return outcome, key, value

    def _forget(self, key: str) -> None:
        self._rows.pop(key, None)
        self._removed.discard(key)
