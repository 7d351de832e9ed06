"""The order in which names are taken: two owners that take two names in opposite orders can deadlock some day.

In the manner of the kernel's lockdep nobody has to have met with the deadlock. Whoever wants a name while holding
another has shown an order of the two, which is remembered; the opposite order, by another owner, is a finding.

A finding that is none would be worse than one that is missed, so it has to be certain that the two could stop each
other for good. What shows no order, and why:

- The names of one request are taken at once, none before another.
- What was not asked for: the ancestors of a name in a tree are taken with it, by everybody in the same way.
- A name that its owner has already: whoever has it does not have to wait for those that wait for it.
- A try does not wait. What it got is held like anything else.
- A conversion, and a grant that was handed over: the name is held already. Deadlocks of conversions are found when they
  happen.
- Modes that go together: where one of the two ways round does not conflict, the two do not stop each other. Of a
  semaphore two requests conflict if it has too few permits for both.
- A third name that both hold meanwhile, in modes that conflict, keeps them apart: it is a gate.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

from lockd.core.events import Demand, Item, Permits
from lockd.core.modes import CONFLICTS
from lockd.core.state import Owner, Request
from lockd.logs import Event, fields, log, safe
from lockd.sentences import quoted, shortened

from .patterns import Patterns

#: What is remembered: ordered pairs of classes, of each pair in how many combinations of modes, and how many of these
#: there are of all pairs. Beyond the first and the last it is the oldest pair that is forgotten.
PAIRS_MAX: Final = 10_000
_COMBINATIONS_MAX: Final = 16
SIGHTINGS_MAX: Final = 20_000

#: Grants of one owner, the latest, that show an order, and names of these.
_HELD_MAX: Final = 16
_LOOKED_AT_MAX: Final = 64

#: Findings that are kept. There is no end to names that are made up, and then classes would help.
FINDINGS_MAX: Final = 256

_LABEL_BYTES_MAX: Final = 64


class Place(NamedTuple):
    """Where an order was shown: by whom, with which names, why, and when."""

    pid: int
    uid: int
    program: str
    held: str
    wanted: str
    #: Of both.
    labels: tuple[str, str]
    at: float


class Finding(NamedTuple):
    """Two opposite orders."""

    first: Place
    second: Place


class _Step(NamedTuple):
    """One name is wanted behind another."""

    grant: Request
    held: Item
    request: Request
    wanted: Item
    #: All that the owner holds.
    mine: list[tuple[Request, Item]]
    now: float

    @property
    def who(self) -> tuple[int, int]:
        return self.request.session.id, self.request.owner.id

    def place(self) -> Place:
        session, labels = self.request.session, (self.grant.terms.label, self.request.terms.label)
        peer = session.peer
        return Place(peer.pid, peer.uid, session.program, self.held.name, self.wanted.name, labels, self.now)

    def gates(self) -> frozenset[str]:
        return frozenset(item.name for _, item in self.mine if item is not self.held and _conflict(*[item.demand] * 2))


class _Sighting:
    """An order with one combination of modes."""

    __slots__ = ("gates", "is_of_several", "place", "who")

    def __init__(self, step: _Step) -> None:
        self.place = step.place()
        self.who = step.who
        self.is_of_several = False
        #: What was held each time in a mode that does not go with itself.
        self.gates = step.gates()

    def says_more_with(self, step: _Step) -> bool:
        """Add another step, and return whether that makes a difference: most have been seen before."""
        says_more = False
        if not self.is_of_several and self.who != step.who:
            self.is_of_several = says_more = True
        if self.gates and not self.gates <= (gates := step.gates()):
            self.gates &= gates
            says_more = True
        return says_more


_Pair = tuple[str, str]
_Combination = tuple[Demand, Demand]


class LockOrder:
    """Remembers orders, and tells of those that are opposite, once for each pair."""

    def __init__(self, classes: Sequence[str] = ()) -> None:
        """Begin without any. Names that fit one of the patterns in ``classes`` are one name as far as the order goes,
        and have none among each other."""
        self.total = 0
        self.findings: dict[frozenset[str], Finding] = {}
        self._classes = Patterns(classes) if classes else None
        self._pairs: OrderedDict[_Pair, dict[_Combination, _Sighting]] = OrderedDict()
        #: How many there are of those.
        self.sightings = 0
        #: What each of those has that has something and wanted more.
        self.held: dict[Owner, list[Request]] = {}
        self._handed_over = 0
        self._is_full = False

    @property
    def pairs(self) -> int:
        """How many pairs are remembered."""
        return len(self._pairs)

    def wanted(self, request: Request, now: float) -> None:
        """A request waits, or would have."""
        if request.owner.grants_total:
            self._see(self._held_beside(request), request, now)

    def granted(self, request: Request, now: float) -> None:
        """A request got through. Of no interest where its owner has nothing else."""
        if request.owner.grants_total > 1:
            held = self._held_beside(request)
            self._see(held, request, now)
            held.append(request)
            del held[:-_HELD_MAX]

    def handed_over(self, grant: Request, now: float) -> None:
        """A grant has another owner. Who had it before is not told, and must not be kept for ever."""
        if (held := self.held.get(grant.owner)) is not None:
            held.append(grant)
            del held[:-_HELD_MAX]
        self._handed_over += 1
        if self._handed_over > len(self.held):
            self._handed_over = 0
            for owner in list(self.held):
                self.held[owner] = [mine for mine in self.held[owner] if mine.owner is owner]
                if not self.held[owner]:
                    del self.held[owner]

    def ended(self, grant: Request, now: float) -> None:
        """A grant has ended. Of no interest while `held` is empty."""
        held = self.held.get(grant.owner)
        if held is None:
            return
        if grant in held:
            held.remove(grant)
        # It may be empty before: what its owner has is not found where others of the session have very much.
        if not held:
            del self.held[grant.owner]

    def _held_beside(self, request: Request) -> list[Request]:
        """Return what the owner of ``request`` holds, the latest last."""
        owner = request.owner
        held = self.held.get(owner)
        if held is None:
            # Others of the session may have got something since. Beyond so many of theirs an order is missed.
            latest = islice(reversed(owner.session.grants.values()), _LOOKED_AT_MAX)
            held = self.held[owner] = [grant for grant in latest if grant.owner is owner and grant is not request]
            held.reverse()
        return held

    def _see(self, held: list[Request], request: Request, now: float) -> None:
        """See in which order the names of ``request`` are taken behind those that are held."""
        if request.converts is not None or request.terms.timeout_seconds == 0:
            return
        owner = request.owner
        mine = [(grant, item) for grant in held if grant.owner is owner for item in grant.items if item.is_asked]
        del mine[:-_HELD_MAX]
        classes = {self._class_of(item.name) for _, item in mine}
        for wanted in request.items:
            if wanted.is_asked and self._class_of(wanted.name) not in classes:
                for grant, item in mine:
                    self._see_pair(_Step(grant, item, request, wanted, mine, now))

    def _see_pair(self, step: _Step) -> None:
        pair = self._class_of(step.held.name), self._class_of(step.wanted.name)
        combinations = self._pairs.get(pair)
        if combinations is None:
            combinations = self._pairs[pair] = {}
        demands = step.held.demand, step.wanted.demand
        sighting = combinations.get(demands)
        if sighting is None:
            if len(combinations) < _COMBINATIONS_MAX:
                sighting = combinations[demands] = _Sighting(step)
                self.sightings += 1
                self._compare(pair, demands, sighting, step)
                while self.sightings > SIGHTINGS_MAX or len(self._pairs) > PAIRS_MAX:
                    self.sightings -= len(self._pairs.popitem(last=False)[1])
        elif sighting.says_more_with(step):
            self._compare(pair, demands, sighting, step)

    def _compare(self, pair: _Pair, demands: _Combination, sighting: _Sighting, step: _Step) -> None:
        """Look for the opposite order."""
        held, wanted = demands
        for (their_held, their_wanted), other in self._pairs.get((pair[1], pair[0]), {}).items():
            if (
                _conflict(held, their_wanted)
                and _conflict(their_held, wanted)
                and not sighting.gates & other.gates
                and (sighting.is_of_several or other.is_of_several or sighting.who != other.who)
            ):
                self._find(frozenset(pair), Finding(other.place, step.place()))
                return

    def _find(self, pair: frozenset[str], finding: Finding) -> None:
        if pair in self.findings:
            return
        self.total += 1
        if len(self.findings) < FINDINGS_MAX:
            self.findings[pair] = finding
            _warn(finding)
        elif not self._is_full:
            self._is_full = True
            log.warning(
                "more than %d pairs of names are taken in opposite orders, and no more of them are told: names that are"
                " made up belong into a class (diagnostics.lock_order_classes)",
                FINDINGS_MAX,
                extra=fields(Event.LOCK_ORDER),
            )

    def _class_of(self, name: str) -> str:
        if self._classes is None:
            return name
        return self._classes.of(name) or name


def _conflict(one: Demand, other: Demand) -> bool:
    """Whether two owners can stop each other by these demands of one name."""
    if isinstance(one, Permits):
        return isinstance(other, Permits) and one.permits + other.permits > one.limit
    return other in CONFLICTS[one]


def _warn(finding: Finding) -> None:
    first, second = finding
    log.warning(
        "two names are taken in opposite orders, which can deadlock: %s; %s",
        _told(first),
        _told(second),
        extra=fields(
            Event.LOCK_ORDER,
            name=(second.held, second.wanted),
            pid=(str(first.pid), str(second.pid)),
            program=(first.program, second.program),
            label=tuple(label for label in (*first.labels, *second.labels) if label),
        ),
    )


def _told(place: Place) -> str:
    program = shortened(safe(place.program), _LABEL_BYTES_MAX) or "?"
    held, wanted = (
        quoted(name) + (f' ("{shortened(safe(label), _LABEL_BYTES_MAX)}")' if label else "")
        for name, label in zip((place.held, place.wanted), place.labels, strict=True)
    )
    return f"pid {place.pid} ({program}) had {held} and wanted {wanted}"
