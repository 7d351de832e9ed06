"""Answers that come in pages.

A cursor is all that is needed to go on, so nothing is kept for whoever asks. No page takes long, however much there is:
it looks at so many things at the most, and may be empty although more follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from lockd.core.slots import Slots
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.codec import size_of

#: Slots that are looked at for one page. Where most are passed over, that takes less than a millisecond.
_SLOTS_MAX: Final = 2000

#: What a page takes beside its rows: the headers of two arrays, a type, an id and a cursor.
_HEAD_BYTES: Final = 32

_T = TypeVar("_T")


def page(
    request_id: int, slots: Slots[_T], cursor: int, rows_of: Callable[[_T], Iterable[m.Row]], rows_max: int = 1
) -> m.Rows:
    """Return as many rows as fit into a frame, from ``cursor`` on.

    Args:
        rows_of: Returns what is told of one thing.
        rows_max: How many rows that can be.
    """
    rows: list[m.Row] = []
    room = limits.FRAME_BYTES_MAX - _HEAD_BYTES
    first, told = divmod(cursor, rows_max)
    for slot, thing in slots.look(first, _SLOTS_MAX):
        for number, row in enumerate(rows_of(thing)):
            if slot == first and number < told:
                continue
            room -= size_of(row)
            if room < 0 or len(rows) == limits.ELEMENTS_MAX:
                return m.Rows(request_id, tuple(rows), slot * rows_max + number)
            rows.append(row)
    behind = first + _SLOTS_MAX
    return m.Rows(request_id, tuple(rows), behind * rows_max if behind < len(slots) else None)
