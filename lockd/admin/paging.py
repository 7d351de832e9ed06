"""Answers that come in pages.

A cursor is all that is needed to go on, so nothing is kept for whoever asks. No page takes long, however much there is:
it looks at so many things at the most, and may be empty although more follow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias, TypeVar

from lockd.core.slots import Slots
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.codec import size_of

#: Slots that are looked at for one page. Where most are passed over, that takes less than a millisecond.
_SLOTS_MAX: Final = 1000

#: What a page takes beside its rows: the headers of two arrays, a type, an id and a cursor.
_HEAD_BYTES: Final = 32

#: What is answered in pages.
PagedQuestion: TypeAlias = m.List | m.Sessions | m.Graph

_T = TypeVar("_T")


def page(
    question: PagedQuestion,
    slots: Slots[_T],
    is_wanted: Callable[[_T], bool],
    rows_of: Callable[[_T], Iterable[m.Row]],
    rows_max: int = 1,
) -> m.Rows:
    """Return as many rows as fit into a frame, from the cursor of ``question`` on.

    Args:
        is_wanted: Says of a thing whether anything is told of it. Has to be quick.
        rows_of: Returns what is told of one.
        rows_max: How many rows that can be.
    """
    rows: list[m.Row] = []
    room = limits.FRAME_BYTES_MAX - _HEAD_BYTES
    first, told = divmod(question.cursor, rows_max)
    wanted = [(slot, thing) for slot, thing in slots.look(first, _SLOTS_MAX) if is_wanted(thing)]
    for slot, thing in wanted:
        for number, row in enumerate(rows_of(thing)):
            if slot == first and number < told:
                continue
            room -= size_of(row)
            if room < 0 or len(rows) == limits.ELEMENTS_MAX:
                return m.Rows(question.id, tuple(rows), slot * rows_max + number)
            rows.append(row)
    behind = first + _SLOTS_MAX
    return m.Rows(question.id, tuple(rows), behind * rows_max if behind < len(slots) else None)
