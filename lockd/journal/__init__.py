"""The journal as a file: what is written to it comes back after a crash, whole turns only and in order.

It knows nothing of what its records mean. A record is a tuple of plain values (None, bool, int, float, str, and lists
and maps of them) with a short text in front that says its kind. Whoever writes them sees to it that the last record
about a thing is all that counts of it: that is what compaction rests on.

The state of locks has to live exactly as long as the boot: the death of the daemon leaves what is in the page cache,
and the death of the host ends every holder. So nothing here calls fsync.
"""

from __future__ import annotations

from .dump import DumpError, dump
from .format import Record
from .journal import Journal
from .recovery import JournalError, LaterVersionError, Outcome, Recovered, journal_path, recover, set_aside
from .ways_out import explained

__all__ = [
    "DumpError",
    "Journal",
    "JournalError",
    "LaterVersionError",
    "Outcome",
    "Record",
    "Recovered",
    "dump",
    "explained",
    "journal_path",
    "recover",
    "set_aside",
]
