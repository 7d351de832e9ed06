"""What cannot be: it is refused with a sentence that says why, and changes nothing (M1, C1, H1, H2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from lockd.core.actions import Failed, TicketMade
from lockd.core.bounds import ITEMS_MAX, LIMIT_MAX, NAMES_ASKED_MAX, TREE_DEPTH_MAX
from lockd.core.events import NO_TERMS, Acquire, Demand, Event, Item, Request
from lockd.core.manager import LockManager
from support.core import (
    IS,
    S,
    U,
    X,
    acquire,
    adopt,
    connect,
    connect_many,
    convert,
    give,
    granted,
    hand_over,
    make_manager,
    permits,
    release,
    token,
    without_facts,
)
from support.dump import dump

ALICE, BOB = 1000, 1001


class Scene:
    """A session with grants and a conversion, a second one that waits, and one of another uid."""

    def __init__(self) -> None:
        manager = self.manager = make_manager()
        self.a, self.b = connect(manager, pid=1, uid=ALICE), connect(manager, pid=2, uid=ALICE)
        self.stranger = connect(manager, pid=3, uid=BOB)
        give(manager, acquire(self.a, 1))
        give(manager, acquire(self.b, 1, timeout=9.0))
        give(manager, acquire(self.a, 2, "shared", S))
        give(manager, acquire(self.stranger, 1, "shared", S, yields=True))
        give(manager, convert(self.a, 3, 2, X))
        give(manager, acquire(self.a, 4, "pool", permits(1, 2), reentrant=True))
        give(manager, acquire(self.a, 5, "pool", permits(1, 2), reentrant=True))
        give(manager, acquire(self.a, 6, "gift", lease=5.0))
        give(manager, hand_over(self.a, 7, 5))
        give(manager, acquire(self.b, 3, "tree/of/names", X, tree=True))


def refused(manager: LockManager, event: Request) -> str:
    """Assert that ``event`` is refused and changes nothing. Return the answer: the reason and the sentence."""
    before = dump(manager)
    [failed] = give(manager, event)
    assert isinstance(failed, Failed)
    assert (failed.session, failed.id) == (event.session, event.id)
    assert dump(manager) == before
    # The id is used up, and what the owner asks for next is answered as if nothing had been.
    assert manager.sessions[event.session].last_request == event.id
    return f"{failed.reason}: {failed.detail}"


def ask(*pairs: tuple[str, Demand], tree: bool = False) -> Callable[[Scene], Acquire]:
    """Return how the first session asks for all this."""
    items = tuple(Item(*pair) for pair in pairs)
    return lambda scene: Acquire(scene.a, 99, 1, items, NO_TERMS, tree)


SEVENTEEN = [(f"name {number}", X) for number in range(NAMES_ASKED_MAX + 1)]
DEEP = "/".join("x" * (TREE_DEPTH_MAX + 1))
#: Sixteen names of which each has five names of its own above it.
WIDE = [(f"{number}/b/c/d/e", S) for number in range(NAMES_ASKED_MAX)]

Ask: TypeAlias = Callable[[Scene], Request]
REFUSALS: list[tuple[str, Ask]] = [
    ("bad_request: a request is for 1 to 16 names, and this one for 0", ask()),
    ("bad_request: a request is for 1 to 16 names, and this one for 17", ask(*SEVENTEEN)),
    (
        'bad_request: "new" is in the request twice: ask once, in the mode that does for both',
        ask(("one", X), ("new", S), ("two", X), ("new", X)),
    ),
    (
        'bad_request: "new" was asked for with a limit of 0: a semaphore has 1 to 1000000 permits',
        ask(("new", permits(1, 0))),
    ),
    (
        f'bad_request: "new" was asked for with a limit of {LIMIT_MAX + 1}: a semaphore has 1 to 1000000 permits',
        ask(("new", permits(1, LIMIT_MAX + 1))),
    ),
    ('bad_request: 4 permits of "new" were asked for: 1 to its limit of 3 can be had', ask(("new", permits(4, 3)))),
    ('bad_request: 0 permits of "new" were asked for: 1 to its limit of 3 can be had', ask(("new", permits(0, 3)))),
    # Whatever else is asked for is not had either (R1).
    ('bad_request: 4 permits of "pool" were asked for: .*', ask(("new", X), ("pool", permits(4, 2)))),
    (f'bad_request: "{DEEP}" has more than 16 levels', ask((DEEP, S), tree=True)),
    *(
        (f'bad_request: "{name}" is no name in a tree: .*', ask((name, S), tree=True))
        for name in ("/", "a/", "a//b", "//a")
    ),
    (
        f"bad_request: the request is for 80 names with their ancestors: at most {ITEMS_MAX} are allowed",
        ask(*WIDE, tree=True),
    ),
    (
        'bad_request: "new" was asked for as a semaphore and has locks below it in the same tree',
        ask(("new", permits(1, 2)), ("new/part", X), tree=True),
    ),
    ('kind_mismatch: "pool" is in use as a semaphore .*', ask(("new", X), ("pool", X))),
    ('kind_mismatch: "db" is in use as a lock .*', ask(("new", X), ("db", permits(1, 2)))),
    ('limit_mismatch: "pool" is in use with a limit of 2 .*', ask(("new", X), ("pool", permits(1, 3)))),
    # The name above a name in a tree counts as well (T1).
    ('kind_mismatch: "pool" is in use as a semaphore .*', ask(("pool/part", X), tree=True)),
    ("deadlock: ", lambda scene: acquire(scene.a, 99)),
    ("timeout: ", lambda scene: acquire(scene.a, 99, "tree", timeout=0)),
    ("not_owner: this session holds no grant with that token: .*", lambda scene: convert(scene.b, 99, 1, S)),
    ("not_owner: this session holds no grant with that token: .*", lambda scene: convert(scene.a, 99, 77, S)),
    (
        "bad_request: the grant is being converted already: one conversion at a time",
        lambda scene: convert(scene.a, 99, 2, U),
    ),
    ("bad_request: the grant is of semaphores, which have no modes", lambda scene: convert(scene.a, 99, 4, S)),
    ("bad_request: the grant is being handed over: .*", lambda scene: convert(scene.a, 99, 5, S)),
    ("not_owner: this session holds no grant with that token: .*", lambda scene: hand_over(scene.b, 99, 1)),
    (
        "bad_request: the grant is being converted: only one with nothing pending .*",
        lambda scene: hand_over(scene.a, 99, 2),
    ),
    (
        "bad_request: the grant was entered 2 times: only one that was entered once .*",
        lambda scene: hand_over(scene.a, 99, 4),
    ),
    ("not_owner: the ticket is not valid: .*", lambda scene: adopt(scene.b, 99, "no ticket")),
    (
        "not_owner: the ticket was made by uid 1000: only a process of that uid can use it",
        lambda scene: adopt(scene.stranger, 99),
    ),
]


@pytest.mark.parametrize(("answer", "asked"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_refused_changes_nothing(answer: str, asked: Ask) -> None:
    """M1, M2, R1, R6, C1, C4, H1, H2."""
    scene = Scene()
    event = asked(scene)
    told = refused(scene.manager, event)
    assert told == answer or (answer.endswith(".*") and told.startswith(answer[:-2])), told


def test_a_dump_tells_of_every_change() -> None:
    """What is not refused is seen to change something."""
    changes: list[Callable[[Scene], Event]] = [
        lambda scene: acquire(scene.a, 99, "new"),
        lambda scene: acquire(scene.b, 99),
        lambda scene: acquire(scene.a, 99, "db", X, reentrant=True),
        lambda scene: release(scene.a, 99, 1),
        lambda scene: convert(scene.b, 99, 6, U),
        lambda scene: hand_over(scene.a, 99, 1, "another ticket"),
        lambda scene: adopt(scene.b, 99),
    ]
    for change in changes:
        scene = Scene()
        before = dump(scene.manager)
        give(scene.manager, change(scene))
        assert dump(scene.manager) != before


def test_as_much_as_there_may_be_is_granted() -> None:
    """M1: the bounds belong to what is allowed."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    sixteen = [Item(name, demand) for name, demand in SEVENTEEN[:NAMES_ASKED_MAX]]
    assert give(manager, Acquire(a, 1, 1, tuple(sixteen), NO_TERMS)) == [granted(a, 1, 1)]
    largest = permits(LIMIT_MAX, LIMIT_MAX)
    assert give(manager, acquire(a, 2, "pool", largest)) == [granted(a, 2, 2)]
    deepest = "/".join("x" * TREE_DEPTH_MAX)
    assert give(manager, acquire(a, 3, deepest, X, tree=True)) == [granted(a, 3, 3)]
    # Four names for each of sixteen.
    widest = [Item(f"{number}/b/c/d", S) for number in range(NAMES_ASKED_MAX)]
    assert give(manager, Acquire(a, 4, 1, tuple(widest), NO_TERMS, is_tree=True)) == [granted(a, 4, 4)]
    assert len(manager.grants[token(4)].items) == ITEMS_MAX


def test_a_ticket_works_once() -> None:
    """H1, H2: whoever comes second is refused, and the first keeps what it has."""
    scene = Scene()
    manager = scene.manager
    assert give(manager, hand_over(scene.a, 8, 5, "another ticket")) == [TicketMade(scene.a, 8, "ticket")]
    told = without_facts(give(manager, adopt(scene.b, 4)))
    assert granted(scene.b, 4, 5) in told
    for session in (scene.b, scene.a):
        answer = refused(manager, adopt(session, 99))
        assert answer.startswith("not_owner: the ticket is not valid: it was used before")
    assert manager.grants[token(5)].session.id == scene.b


def test_what_goes_only_with_its_owners_other_grants_stays() -> None:
    """H4: neither a ticket is made for it, nor is one used that was made before."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db/users", S, tree=True))
    give(manager, hand_over(a, 2, 1))
    # T2: what was taken above is in nobody's way but others'.
    give(manager, acquire(a, 3, "db", X, tree=True))
    assert refused(manager, adopt(b, 1)).startswith('bad_request: its holder has "db" by another grant too')
    assert refused(manager, hand_over(a, 4, 2)).startswith('bad_request: its holder has "db" by another grant too')
    give(manager, release(a, 5, 2))
    assert granted(b, 2, 1) in without_facts(give(manager, adopt(b, 2)))
    assert [item.demand for item in manager.grants[token(1)].items] == [IS, S]
