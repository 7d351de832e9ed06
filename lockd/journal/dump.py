"""A journal for people and scripts to read: also that of a daemon that runs, and of one whose journal is damaged."""

from __future__ import annotations

import json
from typing import Final, TextIO

from .files import FILES, Files
from .format import VERSION, CorruptHeaderError, Ending, Header, Log, Record, read_log, unpacked_header
from .recovery import later_version

#: A daemon that writes meanwhile can make the copy that is read look damaged, but hardly so often.
_ATTEMPTS: Final = 5


class DumpError(Exception):
    """There is nothing to show. The message says why."""


def dump(path: str, stream: TextIO, files: Files = FILES) -> tuple[str, bool]:
    """Write the journal at ``path`` to ``stream``, a line of JSON for the header and one for each record.

    Records of one turn have the same ``at``: the byte of the file where their batch begins. All beyond ASCII is
    escaped, so nothing in it gives orders to a terminal.

    Returns:
        How the journal ends, in words, and whether all of it could be read.

    Raises:
        DumpError: Not even its header could be read, or it is in a format of a later version.
    """
    header, log = _read(path, files)
    fields = {"version": header.version, "boot_id": header.boot_id, "epoch": header.epoch}
    stream.write(f"{json.dumps(fields)}\n")
    count = 0
    for batch in log.batches:
        for record in batch.records:
            stream.write(f'{{"at": {batch.at}, "record": {_json(record)}}}\n')
            count += 1
    contents = f"{_counted(count, 'record')} in {_counted(len(log.batches), 'turn')}"
    if log.ending is Ending.SOUND:
        return f"the journal {path} is sound: {contents}, up to byte {log.end}", True
    words = f"the journal {path} is {log.ending.value} at byte {log.end}, behind {contents}: {log.reason}"
    return words, log.ending is Ending.TORN


def _read(path: str, files: Files) -> tuple[Header, Log]:
    header, log = _read_once(path, files)
    attempts = 1
    while log.ending is Ending.CORRUPT and attempts < _ATTEMPTS:
        header, log = _read_once(path, files)
        attempts += 1
    return header, log


def _read_once(path: str, files: Files) -> tuple[Header, Log]:
    try:
        content = files.read(path)
    except OSError as error:
        way_out = "name another file, or its directory with --runtime-dir"
        raise DumpError(f"the journal {path} cannot be read: {error.strerror}: {way_out}") from error
    try:
        header = unpacked_header(content)
    except CorruptHeaderError as error:
        raise DumpError(f"the journal {path} is corrupt: {error}") from error
    if header.version > VERSION:
        raise DumpError(f"{later_version(path, header)}: use that version")
    return header, read_log(content, header)


def _json(record: Record) -> str:
    # A writer with a bug is all the more a reason to see what it wrote.
    return json.dumps(record, default=repr, skipkeys=True)


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
