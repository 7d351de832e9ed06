"""What there is: sessions, owners, requests, accounts. README section 1 says what each field means."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final

from .actions import Loss
from .events import Item, Peer, Terms

#: The place of a request that stands in no line: behind everybody.
BEHIND_ALL: Final = 1 << 62


class Account:
    """What one uid has."""

    __slots__ = ("grants", "sessions", "waiters")

    def __init__(self) -> None:
        self.sessions = 0
        self.grants = 0
        self.waiters = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing is counted here any more."""
        return not (self.sessions or self.grants or self.waiters)


class Timed:
    """Something that happens to itself at an instant, unless it is taken out of `deadlines.Deadlines` before."""

    __slots__ = ("due",)

    #: When, the how manieth of all deadlines it is, and itself: the entry in the heap by which it counts.
    due: tuple[float, int, Session | Request] | None

    @property
    def due_at(self) -> float | None:
        """When it happens, or None."""
        return None if self.due is None else self.due[0]


class Owner:
    """One thread or task of a session, as long as it holds something or waits for something."""

    __slots__ = ("grants_total", "id", "session", "waiting")

    def __init__(self, session: Session, owner_id: int) -> None:
        self.session = session
        self.id = owner_id
        self.grants_total = 0
        # One request as a rule, and a few at the most. A search meets thousands of owners, and a dict for each would be
        # what it spends most time on.
        self.waiting: tuple[Request, ...] = ()

    def add_waiter(self, request: Request) -> None:
        """Take note that the owner waits for ``request``."""
        self.waiting += (request,)

    def remove_waiter(self, request: Request) -> None:
        """The opposite of `add_waiter`."""
        self.waiting = tuple([waiter for waiter in self.waiting if waiter is not request])

    @property
    def is_idle(self) -> bool:
        """Whether the owner holds nothing and waits for nothing."""
        return not self.grants_total and not self.waiting


class Session(Timed):
    """One process's standing with the daemon."""

    __slots__ = (
        "account",
        "ends_at_eof",
        "entered",
        "grants",
        "id",
        "image",
        "is_attached",
        "is_passed",
        "last_heard",
        "last_request",
        "losses",
        "opened_at",
        "owners",
        "peer",
        "program",
        "slot",
        "told",
        "unclaimed",
        "waiting",
    )

    def __init__(
        self,
        session_id: int,
        peer: Peer,
        program: str,
        ends_at_eof: bool,
        account: Account,
        opened_at: float,
        image: str = "",
    ) -> None:
        self.due = None
        self.id = session_id
        #: Where it is among all sessions (B3). Whoever enters it there knows.
        self.slot = -1
        self.peer = peer
        self.program = program
        self.ends_at_eof = ends_at_eof
        self.image = image
        self.account = account
        self.opened_at = opened_at
        self.is_attached = True
        self.owners: dict[int, Owner] = {}
        self.grants: dict[int, Request] = {}
        self.entered: dict[int, Request] = {}
        self.unclaimed: dict[int, Request] = {}
        self.waiting: dict[int, Request] = {}
        self.last_request = 0
        self.last_heard = 0
        #: The ids of requests that failed since the session was resumed and before they were said again.
        self.told: set[int] = set()
        self.losses: dict[int, Loss] = {}
        self.is_passed = False

    @property
    def is_idle(self) -> bool:
        """Whether the session holds nothing, waits for nothing, and has heard of all that it lost."""
        return not self.grants and not self.waiting and not self.losses

    def owner(self, owner_id: int) -> Owner:
        """Return the owner with this id, who need not have been known."""
        return self.owners.get(owner_id) or Owner(self, owner_id)


class Extras:
    """What few grants have."""

    __slots__ = ("entries", "is_yield_requested", "pending", "ticket")

    def __init__(self) -> None:
        self.entries: OrderedDict[int, None] = OrderedDict()
        self.pending: Request | None = None
        self.ticket = ""
        self.is_yield_requested = False


class Request(Timed):
    """One ask: a waiter while it stands in line, a grant once it has a token.

    There may be a million of them, so what few have is in an object of its own, or in a class of its own.
    """

    __slots__ = (
        "extras",
        "granted_at",
        "id",
        "is_tree",
        "items",
        "owner",
        "place",
        "queued_at",
        "terms",
        "token",
    )

    #: Of a conversion: the grant.
    converts: Request | None = None

    def __init__(
        self, owner: Owner, request_id: int, items: tuple[Item, ...], terms: Terms, is_tree: bool, queued_at: float
    ) -> None:
        self.due = None
        self.owner = owner
        self.id = request_id
        self.items = items
        self.terms = terms
        self.is_tree = is_tree
        self.queued_at = queued_at
        self.place = BEHIND_ALL
        self.token = 0
        self.granted_at: float | None = None
        self.extras: Extras | None = None

    def with_extras(self) -> Extras:
        """Return what few grants have, to set something of it."""
        if self.extras is None:
            self.extras = Extras()
        return self.extras

    @property
    def entries(self) -> Mapping[int, None]:
        """The ids of the requests by which the grant was entered again, in order."""
        return {} if self.extras is None else self.extras.entries

    @property
    def pending(self) -> Request | None:
        """The conversion of the grant that waits."""
        return None if self.extras is None else self.extras.pending

    @property
    def ticket(self) -> str:
        """By what the grant can be adopted."""
        return "" if self.extras is None else self.extras.ticket

    @property
    def is_yield_requested(self) -> bool:
        """Whether the holder has been told that somebody waits."""
        return self.extras is not None and self.extras.is_yield_requested

    @property
    def session(self) -> Session:
        """The session of the owner."""
        return self.owner.session

    @property
    def is_watchful(self) -> bool:
        """Whether something has to happen when somebody waits behind the grant, and has not been set going yet."""
        terms = self.terms
        if terms.wants_yield_request and not self.is_yield_requested:
            return True
        return terms.lease_seconds is not None and self.due is None


class Conversion(Request):
    """A waiter that asks for another mode of a grant."""

    __slots__ = ("converts",)

    def __init__(
        self, grant: Request, request_id: int, items: tuple[Item, ...], terms: Terms, queued_at: float
    ) -> None:
        super().__init__(grant.owner, request_id, items, terms, grant.is_tree, queued_at)
        self.converts = grant
