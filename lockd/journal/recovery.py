"""Reading what an earlier daemon has left."""

from __future__ import annotations

import os
from enum import Enum
from typing import Final, NamedTuple

from .files import FILES, Files
from .format import VERSION, CorruptHeaderError, Ending, Header, Log, Record, read_log, unpacked_header
from .ways_out import explained

_FILE_NAME: Final = "journal"


class JournalError(Exception):
    """The journal cannot be used, and nothing in it was touched. The message says why, and what to do about it."""


class LaterVersionError(JournalError):
    """A later version of lockd wrote the journal in this boot."""


class Outcome(Enum):
    """What was found."""

    #: There is no journal.
    MISSING = "missing"
    #: There is one of another boot: whoever held anything then is gone.
    OTHER_BOOT = "other boot"
    #: All that was ever written is there.
    SOUND = "sound"
    #: The same; a crash cut off the last write, of which nobody was told.
    TORN = "torn"
    #: Something is missing or wrong, and nobody knows what it was.
    CORRUPT = "corrupt"


class Recovered(NamedTuple):
    """What an earlier daemon has left."""

    outcome: Outcome
    #: In words, for the daemon's log.
    detail: str
    #: In the order in which they were written; empty unless the outcome is sound or torn.
    records: list[Record]
    #: Of the boot in which it was written. None if it could not be read, or there is none.
    header: Header | None
    #: What `Journal.open` goes on from. None unless the outcome is sound or torn.
    log: Log | None
    #: The length of the file.
    size: int


def journal_path(directory: str) -> str:
    """Return where the journal of a daemon is that keeps it in ``directory``."""
    return os.path.join(directory, _FILE_NAME)


def recover(directory: str, boot_id: str, files: Files = FILES) -> Recovered:
    """Read the journal in ``directory``.

    A corrupt one is set aside as ``journal.corrupt``, in the place of one that was set aside before. All others are
    left as they are.

    Args:
        directory: Where it is. The caller sees to it that no other daemon uses it.
        boot_id: The boot that this is, in 32 hexadecimal digits.
        files: How to reach it, for tests.

    Raises:
        LaterVersionError: It belongs to a later version of lockd.
        JournalError: It cannot be read, or not set aside.
    """
    path = journal_path(directory)
    try:
        content = files.read(path)
    except FileNotFoundError:
        return Recovered(Outcome.MISSING, f"there is no journal {path}", [], None, None, 0)
    except (OSError, MemoryError) as error:
        raise JournalError(fault(path, "read", error)) from error
    try:
        header = unpacked_header(content)
    except CorruptHeaderError as error:
        return set_aside(path, str(error), None, files)
    if header.boot_id != boot_id:
        detail = f"the journal {path} is of another boot, so nothing of it holds any more"
        return Recovered(Outcome.OTHER_BOOT, detail, [], header, None, len(content))
    if header.version > VERSION:
        raise LaterVersionError(
            f"{later_version(path, header)}: start that version, or remove the file if every program that holds a lock"
            " has ended"
        )
    log = read_log(content, header)
    if log.ending is Ending.CORRUPT:
        return set_aside(path, f"{log.reason} (byte {log.end})", header, files)
    records = [record for batch in log.batches for record in batch.records]
    if log.ending is Ending.TORN:
        detail = f"the journal {path} has {len(records)} records up to byte {log.end}: {log.reason}"
        return Recovered(Outcome.TORN, detail, records, header, log, len(content))
    detail = f"the journal {path} has {len(records)} records and is sound"
    return Recovered(Outcome.SOUND, detail, records, header, log, len(content))


def later_version(path: str, header: Header) -> str:
    """Say that a later version of lockd wrote the journal."""
    return (
        f"the journal {path} was written by a later version of lockd, in format {header.version}, and this one knows no"
        f" format above {VERSION}"
    )


def fault(path: str, done: str, error: OSError | MemoryError) -> str:
    """Say what cannot be done to a file of the journal, why, and what helps."""
    if isinstance(error, MemoryError):
        return f"the journal {path} cannot be {done}: there is no memory left: give the daemon more"
    return f"the journal {path} cannot be {done}: {explained(error, '--runtime-dir')}"


def set_aside(path: str, reason: str, header: Header | None, files: Files = FILES) -> Recovered:
    """Rename a journal that nobody can make anything of to ``journal.corrupt``, and return that there is none.

    Args:
        path: The journal.
        reason: What is wrong with it.
        header: Its header, if that could be read.
        files: How to reach it, for tests.

    Raises:
        JournalError: It cannot be renamed. It is as it was.
    """
    aside = f"{path}.corrupt"
    try:
        files.rename(path, aside)
    except (OSError, MemoryError) as error:
        raise JournalError(f"the journal {path} is corrupt: {reason}; {fault(path, 'set aside', error)}") from error
    detail = f"the journal {path} is corrupt and was set aside as {aside}: {reason}"
    return Recovered(Outcome.CORRUPT, detail, [], header, None, 0)
