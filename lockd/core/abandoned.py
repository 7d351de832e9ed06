"""What was held by somebody who did not release it (rules A)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from .bounds import ABANDONED_MAX
from .events import Demand, Item, Peer, Permits
from .modes import WRITING, Mode
from .state import Request


class Record(NamedTuple):
    """Who had a name last, and since when it has not."""

    name: str
    peer: Peer
    program: str
    label: str
    at: float


class Abandoned:
    """The names that were abandoned, those of longest ago first."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, Record] = OrderedDict()
        #: The names about which there is something new since this was emptied.
        self.changed: dict[str, None] = {}

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._records.values()))

    def get(self, name: str) -> Record | None:
        """Return who had a name, or None if it was not abandoned."""
        return self._records.get(name)

    def restore(self, record: Record) -> None:
        """Enter what was recorded before, behind all others."""
        self._records[record.name] = record

    def __len__(self) -> int:
        return len(self._records)

    def remember(self, grant: Request, now: float) -> None:
        """Record that the holder of ``grant`` is gone, for each name that it may have left half done (A1).

        There is a bound to the memory, beyond which it is the oldest that is forgotten.
        """
        session = grant.session
        for item in _at_risk(grant):
            record = Record(item.name, session.peer, session.program, grant.terms.label, now)
            self._records[item.name] = record
            self._records.move_to_end(item.name)
            self.changed[item.name] = None
            if len(self._records) > ABANDONED_MAX:
                forgotten, _ = self._records.popitem(last=False)
                self.changed[forgotten] = None

    def told_to(self, grant: Request) -> Iterator[Record]:
        """Return what the holder of ``grant`` has to know, and forget what is told only once (A2, A3)."""
        for item in grant.items:
            if item.is_asked and (record := self._records.get(item.name)) is not None:
                if isinstance(item.demand, Permits):
                    del self._records[item.name]
                    self.changed[item.name] = None
                yield record

    def told_again_to(self, grant: Request) -> Iterator[Record]:
        """Return what the holder of ``grant`` may not have heard. What is told only once was told (A3)."""
        for item in grant.items:
            if item.is_asked and isinstance(item.demand, Mode) and (record := self._records.get(item.name)) is not None:
                yield record

    def settle(self, grant: Request) -> None:
        """Forget what the holder of ``grant`` has seen to: it had the name for itself and releases it in order (A2)."""
        if not self._records:
            return
        for item in grant.items:
            if item.is_asked and item.demand is Mode.EXCLUSIVE and self._records.pop(item.name, None) is not None:
                self.changed[item.name] = None


def _at_risk(grant: Request) -> Iterator[Item]:
    return (item for item in grant.items if item.is_asked and _writes(item.demand))


def _writes(demand: Demand) -> bool:
    return isinstance(demand, Permits) or demand in WRITING
