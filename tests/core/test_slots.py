"""Going through everything piece by piece."""

from __future__ import annotations

from random import Random

from lockd.core.events import Bye
from lockd.core.slots import Slots
from support.core import acquire, connect, connect_many, give, make_manager, release


def test_what_is_put_in_is_found_behind_its_number() -> None:
    slots: Slots[str] = Slots()
    assert [slots.add(thing) for thing in "abcd"] == [0, 1, 2, 3]
    assert list(slots.look(1, 2)) == [(1, "b"), (2, "c")]
    assert list(slots.look(3, 99)) == [(3, "d")]
    assert list(slots.look(4, 1)) == list(slots.look(2**63, 5)) == []


def test_a_free_slot_is_used_again() -> None:
    """B3: so there are as many as there ever were things at a time."""
    slots: Slots[str] = Slots()
    for thing in "abc":
        slots.add(thing)
    slots.remove(1)
    assert list(slots.look(0, 3)) == [(0, "a"), (2, "c")]
    assert (slots.add("d"), len(slots)) == (1, 3)
    assert (slots.add("e"), len(slots)) == (3, 4)


def test_names_and_sessions_are_in_slots_as_long_as_they_are_there() -> None:
    """B3"""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "one"))
    give(manager, acquire(a, 2, "two"))
    give(manager, acquire(b, 1, "two"))
    give(manager, release(a, 3, 1))
    assert [resource.name for _, resource in manager.resource_slots.look(0, 9)] == ["two"]
    give(manager, acquire(a, 4, "three"))
    assert [resource.name for _, resource in manager.resource_slots.look(0, 9)] == ["three", "two"]
    give(manager, Bye(a, 5))
    c = connect(manager, pid=3)
    assert [session.id for _, session in manager.session_slots.look(0, 9)] == [c, b]


def test_what_is_there_all_the_time_is_met_exactly_once() -> None:
    """B3: whatever else comes and goes between two pieces."""
    random = Random(1)
    manager = make_manager()
    session = connect(manager)
    request = 0
    tokens: dict[str, int] = {}

    def take(name: str) -> None:
        nonlocal request
        request += 1
        manager.handle(acquire(session, request, name), 0.0)
        tokens[name] = len(manager.grants) and manager.statistics().granted_total

    staying = [f"stays/{number}" for number in range(50)]
    for number, name in enumerate(staying):
        take(name)
        take(f"goes/{number}")
    met = []
    first = 0
    while first < len(manager.resource_slots):
        met += [resource.name for _, resource in manager.resource_slots.look(first, 7)]
        first += 7
        for name in random.sample([name for name in tokens if name.startswith("goes")], 3):
            request += 1
            give(manager, release(session, request, tokens.pop(name)))
        for number in range(random.randrange(6)):
            take(f"goes/new/{request}/{number}")
    assert sorted(name for name in met if name.startswith("stays")) == sorted(staying)
