"""A process is killed in the middle of everything that the library can do, and leaves nothing behind.

Others are served at once, they are told what was left half done, and in the end the daemon is as empty as it was.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pytest

from support.actor import Actor, ActorRaised
from support.idle import wait_until
from support.library import Play, Queue

#: What there is when nobody is there.
NOTHING: Final = {"sessions": 0, "detached": 0, "names": 0, "grants": 0, "waiters": 0, "abandoned": 0}


def left(queue: Queue) -> dict[str, Any]:
    """Return what there is of all that can be left."""
    status = queue.admin.status()
    return {key: status[key] for key in NOTHING}


@pytest.fixture(autouse=True)
def nobody_is_there(queue: Queue) -> None:
    """What the test before has ended is gone."""
    wait_until(lambda: left(queue) == NOTHING, "the daemon is empty")


#: What somebody does who has nothing to do with it.
NOBODY: Final = "pass"


class Death(NamedTuple):
    """What is going on when the victim is killed."""

    #: What the victim does first, and what it is in the middle of, if that is a call that waits.
    victim: str
    is_in: str
    #: What the survivor waits for, because of the victim alone.
    wanted: str
    #: What it is then told to be half done.
    left: tuple[str, ...] = ()
    #: What somebody else has who stays.
    beside: str = NOBODY


DEATHS: Final = {
    "waits for several names": Death(
        victim="mine = lock_all(name, name + ' b', (name + ' pool', 2, 2), name + ' held')",
        is_in="mine.acquire()",
        wanted="lock_all(name, name + ' b', (name + ' pool', 1, 2))",
        beside="held = lock(name + ' held'); held.acquire()",
    ),
    "holds several names": Death(
        victim="mine = lock_all(name, (name + ' read', 'shared'), (name + ' pool', 2, 2)); mine.acquire()",
        is_in="",
        wanted="lock_all(name, name + ' read', (name + ' pool', 1, 2))",
        left=("", " pool"),
    ),
    "has permits": Death(
        victim="mine = semaphore(name, 3, 2); mine.acquire()",
        is_in="",
        wanted="semaphore(name, 3, 2)",
        left=("",),
        beside="held = semaphore(name, 3); held.acquire()",
    ),
    "waits for permits": Death(
        victim="mine = semaphore(name, 3, 3)",
        is_in="mine.acquire()",
        wanted="semaphore(name, 3)",
        beside="held = semaphore(name, 3); held.acquire()",
    ),
    "wants to write what it reads": Death(
        victim="mine = rwlock(name).read(); grant = mine.__enter__()",
        is_in="grant.convert('exclusive')",
        wanted="rwlock(name).read()",
        beside="held = rwlock(name).read(); held.acquire()",
    ),
    "comes to an upgraded block": Death(
        victim="mine = rwlock(name).update(); grant = mine.__enter__(); upgrade = grant.upgraded()",
        is_in="upgrade.__enter__()",
        wanted="rwlock(name).read()",
        left=("",),
        beside="held = rwlock(name).read(); held.acquire()",
    ),
    "is in an upgraded block": Death(
        victim="mine = rwlock(name).update(); grant = mine.__enter__(); grant.upgraded().__enter__()",
        is_in="",
        wanted="rwlock(name).read()",
        left=("",),
    ),
    "has come out of an upgraded block": Death(
        victim="mine = rwlock(name).update(); grant = mine.__enter__()\nwith grant.upgraded(): pass",
        is_in="",
        wanted="rwlock(name).update()",
        left=("",),
    ),
    "has entered twice": Death(
        victim="mine = rlock(name); mine.acquire(); mine.acquire()",
        is_in="",
        wanted="lock(name)",
        left=("",),
    ),
    "holds in a tree": Death(
        victim="mine = lock(name + '/users/42', tree=True); mine.acquire()",
        is_in="",
        wanted="lock_all(name, name + '/users/42', tree=True)",
        left=("/users/42",),
    ),
    "waits in a tree": Death(
        victim="mine = lock(name + '/users/42', tree=True)",
        is_in="mine.acquire()",
        wanted="rwlock(name, tree=True).read()",
        beside="held = lock(name + '/users/42', mode='shared', tree=True); held.acquire()",
    ),
    "is asked to yield, with a lease that has time": Death(
        victim="mine = lock(name, lease=3600, on_yield=id, on_lost=id); mine.acquire()",
        is_in="",
        wanted="lock(name)",
        left=("",),
    ),
}


def wait_until_waiting(queue: Queue, actor: Actor) -> None:
    """Wait until the daemon says that this process waits for something."""

    def waits() -> bool:
        return any(row["waiting"] for row in queue.admin.sessions() if row["pid"] == actor.pid)

    wait_until(waits, f"process {actor.pid} waits")


def all_leave(queue: Queue, *actors: Actor) -> None:
    """Have these exit, and see that nothing is left in the daemon."""
    for actor in actors:
        actor.exit()
    wait_until(lambda: left(queue) == NOTHING, "nothing is left in the daemon")
    assert list(queue.admin.names()) == []


@pytest.mark.parametrize("what", DEATHS)
def test_whoever_is_killed_leaves_nothing_behind(what: str, play: Play, queue: Queue, name: str) -> None:
    death = DEATHS[what]
    beside, victim, survivor = play(), play(), play()
    beside(death.beside)
    victim(death.victim)
    if death.is_in:
        victim.begin(death.is_in)
        wait_until_waiting(queue, victim)
    survivor(f"mine = {death.wanted}")
    survivor.begin("mine.acquire()")
    wait_until_waiting(queue, survivor)
    victim.kill()
    assert survivor.result() is True
    names = [f"{name}{each}" for each in death.left]
    assert survivor("left_by(mine.grant)") == [[each, victim.pid, ""] for each in names]
    assert victim.pid not in [row["pid"] for row in queue.admin.sessions()]
    assert left(queue)["waiters"] == 0

    # Whoever comes next finds all of it free, and puts the locks in order.
    locks = [each for each in names if not queue.admin.show(each)["limit"]]
    survivor("mine.release(); mine.locked()")
    beside("held.release(); held.locked()" if death.beside != NOBODY else NOBODY)
    for each in locks:
        survivor(f"inside(lock({each!r}, timeout=0))")
    survivor(f"inside({death.wanted})")
    survivor("mine.locked()")
    assert {**left(queue), "sessions": 0} == NOTHING
    all_leave(queue, beside, survivor)


def test_a_maker_that_is_killed_before_anybody_has_adopted(play: Play, queue: Queue, name: str) -> None:
    victim, heir, waiter = play(), play(), play()
    ticket = victim("mine.acquire() and mine.grant.handover()")
    waiter.begin("mine.acquire()")
    wait_until_waiting(queue, waiter)
    victim.kill()
    assert waiter.result() is True
    assert waiter("left_by(mine.grant)") == [[name, victim.pid, ""]]
    with pytest.raises(ActorRaised, match=r"^NotOwner: .* the ticket is not valid"):
        heir(f"adopt({ticket!r})")
    waiter("mine.release()")
    assert heir("[mine.acquire(), mine.grant.abandoned]") == [True, []]
    heir("mine.release()")
    all_leave(queue, heir, waiter)


@pytest.mark.parametrize("victim", ["maker", "heir"])
def test_one_of_the_two_is_killed_after_the_adoption(victim: str, play: Play, queue: Queue, name: str) -> None:
    maker, heir, waiter = play(), play(), play()
    ticket = maker("mine.acquire() and mine.grant.handover()")
    heir(f"grant = adopt({ticket!r})")
    waiter.begin("mine.acquire()")
    wait_until_waiting(queue, waiter)
    if victim == "maker":
        maker.kill()
        wait_until(lambda: left(queue)["sessions"] == 2, "the daemon knows of the death")
        assert (queue.holders(), heir("grant.check()")) == ([heir.pid], None)
        heir("grant.release()")
    else:
        heir.kill()
    assert waiter.result() is True
    assert waiter("left_by(mine.grant)") == ([] if victim == "maker" else [[name, heir.pid, ""]])
    waiter("mine.release()")
    all_leave(queue, waiter, heir if victim == "maker" else maker)


def test_a_death_in_what_would_become_a_circle(play: Play, queue: Queue, name: str) -> None:
    victim, other = (
        play("a, b = lock(name + ' a'), lock(name + ' b')"),
        play("a, b = lock(name + ' a'), lock(name + ' b')"),
    )
    assert [victim("a.acquire()"), other("b.acquire()")] == [True, True]
    victim.begin("b.acquire()")
    wait_until_waiting(queue, victim)
    with pytest.raises(ActorRaised, match=r"^DeadlockDetected: "):
        other("a.acquire()")
    victim.kill()
    # What was a deadlock is none any more.
    assert other("a.acquire()") is True
    assert other("left_by(a.grant)") == [[f"{name} a", victim.pid, ""]]
    other("a.release(); b.release()")
    all_leave(queue, other)
