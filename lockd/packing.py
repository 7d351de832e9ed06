"""Records of the core as plain values for the journal, and back.

Each kind has a short text in front, and behind that the fields of the record in their order. A field that is added in a
later version comes last and has a default, so that older journals can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from lockd.core import records as r
from lockd.core.abandoned import Record as Abandoned
from lockd.core.actions import LossReason
from lockd.core.events import Item, Peer, Permits, Terms
from lockd.core.modes import Mode


class Loss(NamedTuple):
    """All that an earlier daemon knew is lost."""

    #: How, in words.
    reason: str
    #: When something may be granted again, on the clock of the deadlines.
    over_at: float


#: What the journal keeps.
Entry: TypeAlias = r.Record | Loss

_KINDS: Final[Mapping[type[Entry], str]] = {
    r.Counters: "C",
    r.SessionRecord: "S",
    r.SessionGone: "-S",
    r.RequestRecord: "R",
    r.WaiterGone: "-W",
    r.GrantGone: "-G",
    Abandoned: "A",
    r.AbandonedGone: "-A",
    Loss: "L",
}


#: A recovery reads thousands, and the class of an enumeration takes its time to find a member.
_MODES: Final[Mapping[str, Mode]] = {mode.value: mode for mode in Mode}


class UnknownRecord(Exception):
    """What was read is sound, and no record of this version. The message says what it is."""


def packed(record: Entry) -> tuple[object, ...]:
    """Return a record as plain values. Tuples with names are tuples to the journal, and modes are texts."""
    return (_KINDS[type(record)], *record)


def unpacked(values: tuple[Any, ...]) -> Entry:
    """Return the record that was packed.

    Raises:
        UnknownRecord: It was none.
    """
    try:
        return _MAKERS[values[0]](*values[1:])
    except (LookupError, TypeError, ValueError) as error:
        raise UnknownRecord(f"{values!r:.200} is no record: {error}") from error


def _session(*values: Any) -> r.SessionRecord:
    record = r.SessionRecord(*values)
    return record._replace(peer=Peer(*record.peer), losses=tuple(_loss(*loss) for loss in record.losses))


def _loss(token: int, reason: str, *detail: str) -> Any:
    return token, LossReason(reason), *detail


def _request(session: int, id: int, owner: int, items: Any, terms: Any, *others: Any) -> r.RequestRecord:
    return r.RequestRecord(session, id, owner, tuple(map(_item, items)), Terms(*terms), *others)


def _item(values: Any) -> Item:
    name, demand, is_asked = values
    return Item(name, _MODES[demand] if type(demand) is str else Permits(*demand), is_asked)


def _abandoned(name: str, peer: Any, *others: Any) -> Abandoned:
    return Abandoned(name, Peer(*peer), *others)


_MAKERS: Final[Mapping[str, Callable[..., Entry]]] = {
    "C": r.Counters,
    "S": _session,
    "-S": r.SessionGone,
    "R": _request,
    "-W": r.WaiterGone,
    "-G": r.GrantGone,
    "A": _abandoned,
    "-A": r.AbandonedGone,
    "L": Loss,
}
