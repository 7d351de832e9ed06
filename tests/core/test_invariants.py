"""Each invariant can fail: a state is spoiled, in one place, and `check` has to say which invariant that breaks."""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from lockd.core import invariants, liveness
from lockd.core.book import Book
from lockd.core.events import NO_TERMS, Disconnected, Item, Tick
from lockd.core.invariants import check
from lockd.core.modes import UNIT
from lockd.core.resources import LockResource
from lockd.core.state import Account, Request
from support.core import (
    S,
    X,
    acquire,
    connect_many,
    convert,
    give,
    hand_over,
    make_manager,
    permits,
    release,
    token,
)

Spoil = Callable[["State"], object]


class State:
    """A bit of everything, with one session in its window, one behind it, and one with nothing."""

    def __init__(self) -> None:
        manager = self.manager = make_manager()
        a, b, passed, in_window, idle, c, d = connect_many(manager, 7)
        give(manager, acquire(a, 1, "db"))
        give(manager, acquire(a, 2, "log", demand=S))
        give(manager, acquire(b, 1, "log", demand=S), at=1.0)
        give(manager, acquire(b, 2, "db", timeout=90.0), at=1.0)
        give(manager, acquire(passed, 1, "db", demand=S), at=1.0)
        give(manager, acquire(in_window, 1, "db"), at=1.0)
        give(manager, acquire(in_window, 2, "log"), at=1.0)
        give(manager, Disconnected(passed), at=1.0)
        give(manager, Disconnected(in_window), at=2.0)
        give(manager, Tick(), at=3.0)
        give(manager, acquire(c, 1, "pool", permits(1, 2)), at=3.0)
        give(manager, acquire(c, 2, "tmp", S), at=3.0)
        give(manager, acquire(d, 1, "tmp", S, reentrant=True), at=3.0)
        give(manager, acquire(d, 2, "tmp", S, reentrant=True), at=3.0)
        give(manager, convert(d, 3, 6, X), at=3.0)
        give(manager, acquire(d, 4, "gift", lease=9.0), at=3.0)
        give(manager, hand_over(d, 5, 7), at=3.0)
        self.a, self.b, self.passed, self.in_window, self.idle, self.c, self.d = (
            manager.sessions[session] for session in (a, b, passed, in_window, idle, c, d)
        )
        self.db, self.log, self.tmp, self.pool, self.gift = (
            manager.resources[name] for name in ("db", "log", "tmp", "pool", "gift")
        )
        self.grant = self.a.grants[1]
        self.waiter = self.b.waiting[2]
        self.conversion = self.d.waiting[3]
        assert self.conversion.converts is not None
        self.converted = self.conversion.converts
        assert self.db.queue is not None
        self.queue = self.db.queue

    @property
    def book(self) -> Book:
        """The books, which nobody but a test has a right to."""
        return self.manager._book

    def stranger(self, token: int = 0, place: int = 0) -> Request:
        """Return a request for `log` that nobody made."""
        request = Request(self.a.owner(1), 2, (Item("log", S),), NO_TERMS, False, 0.0)
        request.token, request.place = token, place
        return request

    def stay_after_release(self) -> None:
        """Let a waiter wait on although nothing is in its way any more."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Book, "look_through", lambda self, left: None)
            self.manager.handle(release(self.a.id, 3, 1), 3.0)

    def wait_for_ever(self) -> None:
        """Let two wait for each other."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("lockd.core.requests.judge", lambda request, names: ((), ()))
            self.manager.handle(acquire(self.c.id, 9, "gift"), 3.0)
            self.manager.handle(acquire(self.d.id, 9, "pool", permits(2, 2)), 3.0)

    def say_nothing(self) -> None:
        """Let somebody wait behind one who wants to be told."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Book, "tell_those_before", lambda self, request: None)
            self.manager.handle(acquire(self.idle.id, 9, "gift"), 3.0)

    def hold_the_same_twice(self) -> None:
        self.a.grants[2].token = token(1)

    def hold_unknown(self) -> None:
        self.log.add_holder(self.stranger(token=token(99)), Item("log", S))

    def wait_unknown(self) -> None:
        assert self.log.queue is not None
        self.log.queue[1 << 60] = self.stranger(place=1 << 60)
        self.log.wanted += UNIT[S]
        self.log.waiters_total += 1

    def share_a_place(self) -> None:
        """Move a waiter for `log` to the place that somebody has in the queue for `db`."""
        waiter = self.in_window.waiting[2]
        waiter.place = self.waiter.place
        self.log.queue = OrderedDict({waiter.place: waiter})

    def misfile_place(self) -> None:
        self.queue[99] = self.queue.pop(self.waiter.place)

    def fill_the_pool(self) -> None:
        [grant] = self.pool.holders.values()
        grant.items = (Item("pool", permits(3, 2)),)


def rekey(requests: dict[int, Request]) -> None:
    requests[99] = requests.popitem()[1]


def assign(subject: object, attribute: str, value: object) -> None:
    setattr(subject, attribute, value)


SPOILED: list[tuple[str, Spoil]] = [
    ("I1: 'log' is held by", lambda s: assign(s.b.grants[1], "items", (Item("log", X),))),
    ("I1: 3 permits of 'pool' are held", State.fill_the_pool),
    ("I1: .* holds a semaphore in a mode", lambda s: assign(s.c.grants[1], "items", (Item("pool", X),))),
    ("I2: grant 99 is filed under another's id", lambda s: rekey(s.a.grants)),
    ("I2: grant 1 is another session's", lambda s: assign(s.grant, "owner", s.b.owners[1])),
    ("I2: grant 1 has no token", lambda s: assign(s.grant, "token", 0)),
    ("R5: grant 1 is not complete", lambda s: assign(s.grant, "granted_at", None)),
    ("I2: the manager does not know grant 1", lambda s: s.book.grants.pop(token(1))),
    ("I2: grant 1 does not hold 'db'", lambda s: assign(s.db, "_holders", {token(1): s.waiter})),
    ("I2: waiter 99 is filed under another's id", lambda s: rekey(s.b.waiting)),
    ("I2: waiter 2 is another session's", lambda s: assign(s.waiter, "owner", s.a.owners[1])),
    ("I2: waiter 2 has a token", lambda s: assign(s.waiter, "token", token(3))),
    ("I2: 1 does not stand where it should: 'db'", lambda s: assign(s.passed, "is_passed", False)),
    ("I2: what session .* has entered again", lambda s: s.d.entered.clear()),
    ("I2: what session .* has taken over", lambda s: s.a.unclaimed.update({token(1): s.grant})),
    ("I2: the sessions of the processes", lambda s: s.book.processes.update({(1, "one"): {s.a.id: s.a}})),
    ("I2: the owners of session", lambda s: s.a.owners.clear()),
    ("I2: what owner 1 of session .* waits for", lambda s: assign(s.b.owners[1], "waiting", {})),
    ("I2: a grant is no session's", lambda s: s.book.grants.update({token(9): s.grant})),
    ("I2: a name has a holder that no session knows", State.hold_unknown),
    ("I2: a queue has a waiter that no session knows", State.wait_unknown),
    ("I2: watchful of 'gift'", lambda s: s.gift.unwatch(s.d.grants[4])),
    ("I2: the tickets", lambda s: s.book.tickets.clear()),
    ("I2: the slots of the names", lambda s: s.book.names.slots.remove(0)),
    ("I2: the slots of the sessions", lambda s: s.book.session_slots.remove(0)),
    ("I2: one of the sessions does not know its slot", lambda s: assign(s.a, "slot", 9)),
    (
        "C1: the grant does not know of its conversion 3",
        lambda s: assign(s.converted.with_extras(), "pending", None),
    ),
    ("C1: 3 converts what is another owner's", lambda s: assign(s.conversion.converts, "owner", s.d.owner(2))),
    ("C1: .* has a conversion that is gone", lambda s: assign(s.grant.with_extras(), "pending", s.waiter)),
    ("I3: held of 'db'", lambda s: assign(s.db, "held", s.db.held + UNIT[S])),
    ("I3: wanted of 'db'", lambda s: assign(s.db, "wanted", s.db.wanted - UNIT[X])),
    ("I3: how many wait for 'db'", lambda s: assign(s.db, "waiters_total", 0)),
    ("I3: what owner 1 of session .* holds", lambda s: assign(s.a.owners[1], "grants_total", 0)),
    ("I3: the totals", lambda s: assign(s.book, "waiters", 0)),
    ("I3: the totals", lambda s: assign(s.book, "detached", 0)),
    ("I3: the account of uid 1000", lambda s: assign(s.a.account, "grants", 0)),
    ("I3: the account of uid 1000", lambda s: assign(s.a.account, "sessions", 9)),
    ("I3: a uid has no account", lambda s: s.book.accounts.clear()),
    ("I4: a waiter for 'db' is filed under another's place", State.misfile_place),
    ("I4: the queue of 'db' is out of order", lambda s: s.queue.move_to_end(s.waiter.place)),
    ("I4: two waiters at one place", State.share_a_place),
    ("I5: request 2 of session .* could be granted and waits", State.stay_after_release),
    ("I6: 'new' is kept though nobody holds it", lambda s: s.book.names._resources.update(new=LockResource("new"))),
    ("I6: 'log' keeps an empty table", lambda s: assign(s.log, "passed", {})),
    ("I6: session .* is detached and has nothing", lambda s: assign(s.idle, "is_attached", False)),
    ("I6: the account of uid 5 is kept empty", lambda s: s.book.accounts.update({5: Account()})),
    ("I7: a token twice", State.hold_the_same_twice),
    ("I7: a token above the counter", lambda s: assign(s.book, "last_token", token(2))),
    ("I7: a later grant has a smaller token", lambda s: assign(s.grant, "granted_at", 2.0)),
    ("I8: how much is in the heap", lambda s: assign(s.waiter, "due", None)),
    ("I8: what is in the heap", lambda s: assign(s.idle, "due", (5.0, 99, s.idle))),
    ("I8: how much is in the heap", lambda s: assign(s.manager.deadlines, "_live", 9)),
    ("I8: the next deadline", lambda s: s.manager.deadlines._heap.reverse()),
    ("I8: something is due before", lambda s: assign(s.manager.deadlines, "earliest", 50.0)),
    ("I8: session .* has a window though it is attached", lambda s: s.manager.deadlines.set(s.idle, 50.0)),
    ("I8: session .* has a window though its waiters", lambda s: s.manager.deadlines.set(s.passed, 50.0)),
    ("I8: grant .* has a deadline and no lease", lambda s: s.manager.deadlines.set(s.grant, 50.0)),
    ("I9: session", lambda s: assign(s.b, "last_request", 1)),
    ("I10: .* wait for ever", State.wait_for_ever),
    ("I11: the holder of .* does not know that request 9", State.say_nothing),
]


@pytest.mark.parametrize(("complaint", "spoil"), SPOILED, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_spoiled_is_noticed(complaint: str, spoil: Spoil) -> None:
    state = State()
    spoil(state)
    with pytest.raises(AssertionError, match=complaint):
        check(state.manager)


def test_what_is_not_spoiled_passes() -> None:
    check(State().manager)


@pytest.mark.parametrize("module", [invariants, liveness], ids=lambda module: module.__name__)
def test_every_assertion_is_among_them(module: ModuleType) -> None:
    """Whoever adds one shows here that it can fail."""
    path = Path(str(module.__file__))
    failed = set()
    for _, spoil in SPOILED:
        state = State()
        spoil(state)
        with pytest.raises(AssertionError) as failure:
            check(state.manager)
        failed |= {entry.lineno + 1 for entry in failure.traceback if Path(entry.path) == path}
    assertions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Assert)]
    assert assertions
    never = [node.lineno for node in assertions if failed.isdisjoint(range(node.lineno, (node.end_lineno or 0) + 1))]
    assert never == []
