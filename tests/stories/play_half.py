"""Lets processes work on a database, as the demo does, and prints as JSON what came of it.

A program of its own, because it forks: the process of the tests has threads.

    python play_half.py DIRECTORY PROCESSES SECONDS none|lock|guarded [SOCKET]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import nullcontext

from tinydb import TinyDB
from tinydb.table import Table

from lockd.demo.children import Children
from lockd.demo.daemon import lock_of_file
from lockd.demo.half import play_half
from lockd.demo.workload import Workplace
from lockd_client import guarded


def without_locks(path: str, _socket: str) -> Workplace:
    return Workplace(path, TinyDB, nullcontext())


def under_a_lock(path: str, socket: str) -> Workplace:
    """The lock is taken around each operation."""
    return Workplace(path, TinyDB, lock_of_file(path, socket))


def in_a_guarded_class(path: str, socket: str) -> Workplace:
    """The program is as it was; the database's class takes the lock, in each of its methods."""

    class GuardedDB(TinyDB):
        table_class = guarded(Table, lock_of_file(path, socket), methods=("search", "insert", "update", "remove"))

    return Workplace(path, GuardedDB, nullcontext())


WORKPLACES: dict[str, Callable[[str, str], Workplace]] = {
    "none": without_locks,
    "lock": under_a_lock,
    "guarded": in_a_guarded_class,
}


def main(directory: str, processes: int, seconds: float, kind: str, socket: str = "") -> None:
    def workplace(path: str) -> Workplace:
        return WORKPLACES[kind](path, socket)

    with Children() as children:
        half = play_half(children, directory, processes, seconds, workplace, lambda _sight: None)
    facts = half.findings._asdict() | {"died": half.died, "is_flawless": half.is_flawless}
    print(json.dumps(facts))


directory, processes, seconds, *kind_and_socket = sys.argv[1:]
main(directory, int(processes), float(seconds), *kind_and_socket)
