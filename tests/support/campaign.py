"""Random events for a witness: what a seed says, for as long as one likes."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from random import Random

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.bounds import Quotas
from lockd.core.manager import LockManager
from lockd.core.modes import Mode

from .core import EPOCH, IS, IX, SIX, WINDOW_SECONDS, S, U, X
from .kept import Source
from .witness import Witness
from .world import World

# Small enough that every bound is met.
QUOTAS = Quotas(sessions_max=8, sessions_per_uid_max=6, grants_per_uid_max=8, waiters_per_uid_max=5)

UIDS = (1000, 1000, 1001)
LOCKS = ("db", "db", "db/users", "db/users/7", "log")
MODES: tuple[Mode, ...] = (X, X, S, S, U, SIX, IX, IS)
SEMAPHORES = ("pool", "gate")
PERMITS = tuple(e.Permits(*pair) for pair in (*[(1, 2)] * 6, *[(2, 2)] * 3, (1, 3), (3, 2)))
OWNERS = (1, 1, 2)
# All on one grid, so that what is due often meets what arrives in the same instant.
PAUSES = (0.0, 0.0, 0.0, 0.5, 1.0)
TIMEOUTS = (None, None, 0, 0.5, 1.0, 3.0)
LEASES = (None, None, None, 0, 1.0, 2.5)

CAMPAIGNS, STEPS = 12, 400

#: One event in so many is followed by a restart.
EVENTS_PER_RESTART = 60

_WEIGHTS = {
    e.Acquire: 75,
    e.Release: 16,
    e.Convert: 12,
    e.Cancel: 8,
    e.HandOver: 6,
    e.Adopt: 6,
    e.Inherit: 8,
    e.OpenSession: 14,
    e.Disconnected: 5,
    e.Resume: 6,
    e.Bye: 1,
    e.ProcessExited: 3,
    e.Break: 3,
    e.Query: 2,
    e.Malformed: 1,
    e.Tick: 5,
}


def make_witness(make: type[LockManager] = LockManager) -> Witness:
    """Return a witness over a manager with `QUOTAS` in which nothing is held."""
    return Witness(make(EPOCH, QUOTAS, WINDOW_SECONDS), QUOTAS, WINDOW_SECONDS)


def run(seed: int, steps: int, make: type[LockManager] = LockManager) -> Witness:
    """Give ``steps`` random events to a new witness, which raises AssertionError at the first difference."""
    random = Random(seed)
    witness = make_witness(make)
    processes = _Processes(random, witness)
    for number, event in enumerate(processes.events(), start=1):
        try:
            processes.note(event, witness.give(event, after=random.choice(PAUSES)))
            if random.randrange(EVENTS_PER_RESTART) == 0:
                witness.restart(random.choice(list(Source)))
                processes.connect_again()
        except AssertionError as error:
            error.add_note(f"seed {seed}, event {number}: {event} at {witness.now}")
            raise
        if number == steps:
            break
    return witness


def run_all(campaigns: int = CAMPAIGNS) -> Counter[str]:
    """Let so much happen that every rule is needed, and return how often what was told. Raises what `run` does."""
    return sum((run(seed, STEPS).told for seed in range(campaigns)), Counter())


def random_items(random: Random) -> tuple[e.Item, ...]:
    """Return what a request may be for: mostly one name, now and then several, or something that cannot be."""
    number = random.choices((0, 1, 2, 3), (1, 70, 30, 9))[0]
    names = random.sample(sorted({*LOCKS, *SEMAPHORES}), number)
    if number == 1:
        names = [random.choice(LOCKS + SEMAPHORES)]
    elif random.random() < 0.03:
        names.append(names[0] if names else "")
    return tuple(e.Item(name, _random_demand(random, name in SEMAPHORES)) for name in names)


def _random_demand(random: Random, is_semaphore: bool) -> e.Demand:
    # Now and then a lock is taken for a semaphore.
    if is_semaphore != (random.random() < 0.02):
        return random.choice(PERMITS)
    return random.choice(MODES)


def random_terms(random: Random) -> e.Terms:
    """Return any terms."""
    return e.Terms(
        label="",
        timeout_seconds=random.choice(TIMEOUTS),
        is_reentrant=random.random() < 0.2,
        lease_seconds=random.choice(LEASES),
        wants_yield_request=random.random() < 0.2,
        wants_wait_notice=random.random() < 0.2,
    )


class _Processes:
    """What happens to a few processes, and what they do."""

    def __init__(self, random: Random, witness: Witness) -> None:
        self._random = random
        self._witness = witness
        self._peers: dict[int, e.Peer] = {}
        self._tickets = ["no ticket"]
        self._gone = [0]
        #: The latest requests of each session, to be sent again.
        self._sent: dict[int, list[e.Request]] = {}
        #: What those send again who are back.
        self._again: deque[e.Event] = deque()

    def events(self) -> Iterator[e.Event]:
        """Return what happens next, without end."""
        kinds, weights = list(_WEIGHTS), list(_WEIGHTS.values())
        while True:
            if self._again and self._random.random() < 0.8:
                yield self._again.popleft()
                continue
            [kind] = self._random.choices(kinds, weights)
            yield self._event(kind)

    def note(self, event: e.Event, actions: list[a.Action]) -> None:
        """Take note of what has happened."""
        for action in actions:
            if isinstance(action, a.Opened) and isinstance(event, e.OpenSession):
                self._peers[action.session] = event.peer
                self._again.extend(self._what_it_had_before(action.session))
            elif isinstance(action, a.Resumed):
                self._again.extend(self._what_to_send_again(action.session))
        if isinstance(event, e.HandOver):
            self._tickets = [*self._tickets, event.ticket][-4:]
        if isinstance(event, e.Request) and event.id > max(
            (sent.id for sent in self._sent.get(event.session, [])), default=0
        ):
            self._sent[event.session] = [*self._sent.get(event.session, []), event][-6:]

    def connect_again(self) -> None:
        """Let most of those that are there connect again, now that there is another manager."""
        there = list(self._witness.manager.sessions)
        self._again.clear()
        self._random.shuffle(there)
        self._again.extend(self._resume(session) for session in there if self._random.random() < 0.8)

    def _what_to_send_again(self, session: int) -> Iterator[e.Request]:
        """What a client would: in the old order, what it may have had no answer to, and releases."""
        sent = self._sent.get(session, [])
        for event in sent[self._random.randrange(len(sent) + 1) :]:
            if isinstance(event, e.Release) or self._random.random() < 0.7:
                yield event

    def _what_it_had_before(self, session: int) -> Iterator[e.Request]:
        """What a program asks for that does not know what its process holds: what the one before had, for itself
        alone."""
        world, request = self._witness.oracle.world, 1
        for grant in world.granted():
            if grant.session in world.earlier(world.parties[session]):
                asked = tuple(
                    item._replace(demand=X) if isinstance(item.demand, Mode) else item
                    for item in grant.items
                    if item.is_asked
                )
                yield e.Acquire(session, request, grant.owner, asked, random_terms(self._random), grant.is_tree)
                request += 1

    def _resume(self, session: int) -> e.Resume:
        peer = self._peers.get(session, e.Peer(1, 1, 1))
        # It may have another uid by now.
        peer = peer._replace(uid=self._random.choice(UIDS))
        if self._random.random() < 0.1:
            peer = self._random.choice((peer._replace(pid=peer.pid + 1), peer._replace(process="another")))
        return e.Resume(session, peer)

    def _connect(self) -> e.OpenSession:
        random = self._random
        peer = e.Peer(random.randrange(1, 1000), random.choice(UIDS), 1, random.choice(("", "one")))
        detached = [party.id for party in self._witness.oracle.world.parties.values() if not party.is_attached]
        if detached and random.random() < 0.7:
            # The process has become another program, most likely.
            peer = self._peers[random.choice(detached)]._replace(uid=random.choice(UIDS))
        return e.OpenSession(peer, "", random.random() < 0.2, random.choice(("", "first", "second", "third")))

    def _break(self) -> e.Break:
        there = [ask.token for ask in self._witness.oracle.world.granted()]
        # Now and then several, of which some may be gone.
        tokens = self._random.sample([*there, self._witness.last_token + 1], min(len(there) + 1, 2))
        return e.Break(tuple(tokens[: self._random.choice((1, 1, 2))]), self._random.choice(("", "why")))

    def _event(self, kind: type[e.Event]) -> e.Event:
        random, world = self._random, self._witness.oracle.world
        there = _who_can(world, kind) or list(world.parties)
        # Now and then one that has ended, or never was.
        session = random.choice(there if there and random.random() < 0.95 else self._gone)
        self._gone = [*self._gone, session][-5:]
        if kind is e.OpenSession:
            return self._connect()
        if kind is e.Tick:
            return e.Tick()
        if kind is e.Break:
            return self._break()
        if kind is e.Resume:
            return self._resume(session)
        if kind is e.Disconnected:
            return e.Disconnected(session)
        if kind is e.ProcessExited:
            return e.ProcessExited(session)
        return _request(random, self._witness, kind, session, self._tickets)


def _who_can(world: World, kind: type[e.Event]) -> list[int]:
    """Return the sessions for which an event of this kind means something."""
    if kind in (e.Release, e.Convert, e.HandOver):
        asks = world.granted()
    elif kind in (e.Cancel, e.Disconnected):
        asks = world.asks
    elif kind is e.Inherit:
        return [party.id for party in world.parties.values() if party.is_attached and world.earlier(party)]
    elif kind is e.Resume:
        return [party.id for party in world.parties.values() if not party.is_attached]
    else:
        return []
    return [ask.session for ask in asks if world.parties[ask.session].is_attached]


def _request(random: Random, witness: Witness, kind: type[e.Event], session: int, tickets: list[str]) -> e.Request:
    world = witness.oracle.world
    party = world.parties.get(session)
    last = 0 if party is None else party.last_request
    asks = [ask for ask in world.asks if ask.session == session]
    # Ids may leave gaps, and now and then one does not rise.
    request = last + random.choices((1, 2, 0), (40, 4, 1))[0]
    owner = random.choice(OWNERS)
    # Mostly a grant of its own, if it has any, and else somebody's.
    own = [ask.token for ask in asks if ask.is_granted]
    token = random.choice(own) if own and random.random() < 0.9 else witness.last_token
    if kind is e.Acquire:
        return e.Acquire(session, request, owner, random_items(random), random_terms(random), random.random() < 0.4)
    if kind is e.Convert:
        return e.Convert(session, request, token, random.choice(MODES), random_terms(random))
    if kind is e.Release:
        return e.Release(session, request, token, random.random() < 0.2)
    if kind is e.Cancel:
        return e.Cancel(session, request, random.choice([*(number for ask in asks for number in ask.ids), last]))
    if kind is e.HandOver:
        return e.HandOver(session, request, token, f"ticket {token} {request}")
    if kind is e.Adopt:
        return e.Adopt(session, request, owner, random.choice(tickets))
    if kind is e.Inherit:
        return e.Inherit(session, request, owner)
    if kind is e.Query:
        return e.Query(session, request, random.choice(LOCKS + SEMAPHORES))
    if kind is e.Malformed:
        return e.Malformed(session, request, "a name that cannot be")
    return e.Bye(session, request)
