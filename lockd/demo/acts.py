"""The demo from beginning to end."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from tinydb import TinyDB

from .children import Children, interruptible, stopped_by_signals, uninterrupted
from .daemon import lock_of_file, start_daemon
from .descriptors import play_descriptors
from .half import Half, play_half
from .stage import Stage
from .workload import Workplace

#: Of the 107 bytes that the address of a socket may have, what the rest of it needs.
_DIRECTORY_BYTES_MAX = 60


def play(processes: int, seconds: float) -> int:
    """Play both acts, as `run` in the package says. Exceptions end the demo; nothing is left behind by any of them."""
    stage = Stage()
    with stopped_by_signals(), _temporary_directory() as directory, Children() as children:
        socket = start_daemon(children, directory)

        def half(title: str, workplace: Callable[[str], Workplace]) -> Half:
            with stage.progress(title, seconds) as watch:
                return play_half(children, os.path.join(directory, title), processes, seconds, workplace, watch)

        stage.title(f"Act 1: {processes} processes work on one file of an embedded database (TinyDB)")
        stage.say("Each reads its rows and inserts, updates or deletes one, again and again, and keeps a ledger of it.")
        without = half("without locks", lambda database: Workplace(database, TinyDB, nullcontext()))
        under_lockd = half("under lockd", lambda database: Workplace(database, TinyDB, lock_of_file(database, socket)))
        stage.table(without, under_lockd)
        stage.say(_conclusion(without, under_lockd))
        kept = play_descriptors(children, socket, os.path.join(directory, "document"), stage)
    return 0 if under_lockd.is_flawless and kept else 1


def _conclusion(without: Half, under_lockd: Half) -> str:
    return f"{_without_locks(without)}\n{_under_lockd(under_lockd)}"


def _without_locks(half: Half) -> str:
    if half.is_flawless:
        return "Without locks nothing was lost this time, by chance: more processes or more seconds would show it."
    sentence = f"Without locks {half.findings.gone:,} of {_changes(half)} acknowledged changes did not last"
    if half.findings.unreadable:
        return f"{sentence}, and nobody can read the file any more, so that after a second all gave up."
    return f"{sentence}."


def _under_lockd(half: Half) -> str:
    if half.is_flawless:
        return f"Under lockd all {_changes(half)} lasted: the database equals the ledgers, row for row."
    died = f" {half.died} processes died." if half.died else ""
    return f"Under lockd something went wrong, which must not happen: please report it, with this table.{died}"


def _changes(half: Half) -> str:
    return f"{sum(half.findings.finished):,}"


@contextmanager
def _temporary_directory() -> Iterator[str]:
    parent = tempfile.gettempdir()
    if len(os.fsencode(parent)) > _DIRECTORY_BYTES_MAX:
        parent = "/tmp"
    with uninterrupted():
        path = tempfile.mkdtemp(prefix="lockd-demo-", dir=parent)
        try:
            with interruptible():
                yield path
        finally:
            shutil.rmtree(path)
