"""Modes, semaphores, several names at once and trees: the Python library against a real daemon, in real processes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from support.actor import ActorRaised
from support.library import TRY, Play, Queue

#: Which modes two processes may hold at once, from the book: a row for what the first one holds.
MODES: Final = ("IS", "IX", "shared", "update", "SIX", "exclusive")
TOGETHER: Final = {
    "IS": {"IS", "IX", "shared", "update", "SIX"},
    "IX": {"IS", "IX"},
    "shared": {"IS", "shared", "update"},
    "update": {"IS", "shared"},
    "SIX": {"IS"},
    "exclusive": set(),
}


def test_who_may_hold_a_lock_together(play: Play, name: str) -> None:
    one, other = play(), play()
    found: dict[str, set[str]] = {mode: set() for mode in MODES}
    for first in MODES:
        one(f"held = lock(name, mode={first!r}); held.acquire()")
        assert one("held.grant.mode") == first
        for second in MODES:
            other(f"mine = lock(name, mode={second!r})")
            if other(TRY):
                found[first].add(second)
                other("mine.release(); mine.locked()")
        one("held.release(); held.locked()")
    assert found == TOGETHER


def test_readers_and_a_writer(play: Play, queue: Queue) -> None:
    readers = [play("mine = rwlock(name).read()") for _ in range(2)]
    writer, late = play("mine = rwlock(name).write()"), play("mine = rwlock(name).read()")
    assert [reader(TRY) for reader in readers] == [True, True]
    writer.begin("mine.acquire()")
    queue.wait_for(writer.pid)
    late.begin("mine.acquire()")
    queue.wait_for(writer.pid, late.pid)
    for reader in readers:
        reader("mine.release()")
    assert writer.result() is True
    assert queue.holders() == [writer.pid]
    writer("mine.release()")
    assert late.result() is True


# Semaphores

WORKS: Final = """
import time
mine = semaphore(name, limit)

def work(times):
    was_in = []
    for _ in range(times):
        with mine:
            came_at = time.monotonic_ns()
            time.sleep(0.0005)
            was_in.append((came_at, time.monotonic_ns()))
    return was_in
"""


def crowd(visits: Iterable[tuple[int, int]]) -> int:
    """Return how many there were at once at most, of those who came and went at these instants."""
    steps = sorted(step for came_at, went_at in visits for step in ((came_at, 1), (went_at, -1)))
    there = most = 0
    for _, step in steps:
        there += step
        most = max(most, there)
    return most


def test_four_workers_and_never_five(play: Play, queue: Queue) -> None:
    workers = [play(WORKS, limit=4) for _ in range(6)]
    first_four, rest = workers[:4], workers[4:]
    assert [worker(TRY) for worker in workers] == [True] * 4 + [False] * 2
    for place, worker in enumerate(rest):
        worker.begin("mine.acquire()")
        queue.wait_for(*[each.pid for each in rest[: place + 1]])
    assert queue.permits() == [1, 1, 1, 1]
    # Each that leaves lets one in, the one that came first.
    first_four[0]("mine.release()")
    assert rest[0].result() is True
    assert queue.holders() == [*[each.pid for each in first_four[1:]], rest[0].pid]
    first_four[1]("mine.release()")
    assert rest[1].result() is True
    for worker in (*first_four[2:], *rest):
        worker("mine.release(); mine.locked()")

    for worker in workers:
        worker.begin("work(40)")
    visits = [visit for worker in workers for visit in worker.result()]
    assert len(visits) == 6 * 40
    assert crowd(visits) <= 4


def test_control_a_fifth_worker_would_be_seen(play: Play) -> None:
    assert crowd([(number, 10 + number) for number in range(5)]) == 5
    assert crowd([(0, 1), (1, 2), (2, 3)]) == 1
    # With another limit there are five.
    workers = [play(WORKS, limit=5) for _ in range(5)]
    came = [worker("[mine.acquire(), time.monotonic_ns()]") for worker in workers]
    went = [worker("[time.monotonic_ns(), mine.release()]") for worker in workers]
    assert crowd([(came_at, went_at) for (_, came_at), (went_at, _) in zip(came, went, strict=True)]) == 5


def test_who_wants_many_permits_is_not_starved_by_those_who_want_few(play: Play, queue: Queue) -> None:
    holders = [play("mine = semaphore(name, 4)") for _ in range(2)]
    large = play("mine = semaphore(name, 4, 4)")
    small = [play("mine = semaphore(name, 4)") for _ in range(3)]
    assert [holder(TRY) for holder in holders] == [True, True]
    large.begin("mine.acquire()")
    queue.wait_for(large.pid)
    # There are permits for two of these, and they wait all the same; a try is refused.
    for place, each in enumerate(small):
        assert each(TRY) is False
        each.begin("mine.acquire()")
        queue.wait_for(large.pid, *[other.pid for other in small[: place + 1]])
    holders[0]("mine.release()")
    # Who comes back has to stand at the end.
    holders[0].begin("mine.acquire()")
    queue.wait_for(large.pid, *[each.pid for each in small], holders[0].pid)
    assert queue.permits() == [1]
    holders[1]("mine.release()")
    assert large.result() is True
    assert (queue.holders(), queue.permits()) == ([large.pid], [4])
    large("mine.release()")
    assert [each.result() for each in (*small, holders[0])] == [True] * 4


# Several names at once

TRANSFERS: Final = """
def amount(account):
    with open(account) as file:
        return int(file.read())

def put(account, number):
    with open(account, "w") as file:
        file.write(str(number))

def transfer(giver, taker, times):
    for _ in range(times):
        with lock_all(path_lock(giver), path_lock(taker), (name, "shared"), (name + " workers", 1, 2)):
            before = amount(giver), amount(taker)
            put(giver, before[0] - 1)
            put(taker, before[1] + 1)
"""


def test_opposite_orders_never_wait_for_each_other(play: Play, queue: Queue, tmp_path: Path) -> None:
    deadlocks = queue.admin.status()["deadlocks_total"]
    accounts = [str(tmp_path / account) for account in ("one", "other")]
    for account in accounts:
        Path(account).write_text("1000")
    clerks = [play(TRANSFERS, accounts=order) for order in (accounts, accounts[::-1])]
    clerks[0].begin("transfer(*accounts, 300)")
    clerks[1].begin("transfer(*accounts, 200)")
    for clerk in clerks:
        clerk.result()
    assert [Path(account).read_text() for account in accounts] == ["900", "1100"]
    assert queue.admin.status()["deadlocks_total"] == deadlocks


def test_what_is_taken_together_is_one_grant(play: Play, queue: Queue, name: str) -> None:
    a, b, pool = names = [f"{name} {each}" for each in ("a", "b", "pool")]
    holder, both, later = (play("a, b, pool = names", names=names) for _ in range(3))
    holder("mine = lock(b); mine.acquire()")
    both("mine = lock_all(a, (b, 'shared'), (pool, 2, 3), label='all of it')")
    both.begin("mine.acquire()")
    # It keeps its place in every queue, and holds nothing.
    for each in names:
        queue.wait_for(both.pid, name=each)
    assert queue.holders(a) == queue.holders(pool) == []
    with pytest.raises(ActorRaised, match=r"^LockTimeout: .* nobody holds it, but others came first"):
        later("inside(lock(a, timeout=0))")
    later.begin("inside(lock(a))")
    queue.wait_for(both.pid, later.pid, name=a)

    holder("mine.release()")
    assert both.result() is True
    assert both("mine.grant.names") == names
    assert [queue.modes(a), queue.modes(b), queue.permits(pool)] == [["X"], ["S"], [2]]
    assert {queue.admin.show(each)["holders"][0]["token"] for each in names} == {both("mine.grant.token")}
    both("mine.release()")
    later.result()
    both("mine.locked()")
    assert [queue.holders(each) for each in names] == [[], [], []]


# Trees


def test_a_tree_from_above_and_from_below(play: Play, queue: Queue, name: str) -> None:
    leaf, twin, whole, late = (play("mine = lock(name + below, tree=True)", below=each) for each in BELOW)
    assert leaf(TRY) is True
    # Beside each other, but not below or above.
    assert twin(TRY) is True
    assert whole(TRY) is False
    whole.begin("mine.acquire()")
    queue.wait_for(whole.pid)
    # Nor does anybody below overtake.
    late.begin("mine.acquire()")
    queue.wait_for(whole.pid, late.pid)
    leaf("mine.release()")
    queue.wait_for(whole.pid, late.pid)
    twin("mine.release()")
    assert whole.result() is True
    # And the other way round.
    with pytest.raises(
        ActorRaised, match=rf'^LockTimeout: .*"{re.escape(name)}" is held exclusively by pid {whole.pid} '
    ):
        leaf("inside(lock(name + below, tree=True, timeout=0))")
    whole("mine.release()")
    assert late.result() is True
    assert queue.modes() == queue.modes(f"{name}/users") == ["IX"]


BELOW: Final = ("/users/42", "/users/43", "", "/users/42/mail")


def test_readers_in_a_tree_and_who_does_not_say_tree(play: Play, queue: Queue, name: str) -> None:
    reader, whole, writer, stranger = (play() for _ in range(4))
    reader("mine = lock(name + '/users/42', mode='shared', tree=True)")
    whole("mine = lock(name, mode='shared', tree=True)")
    writer("mine = lock(name + '/users/43', tree=True)")
    stranger("mine = lock(name + '/users/42/mail')")
    assert [reader(TRY), whole(TRY)] == [True, True]
    assert writer(TRY) is False
    # To others the slashes are nothing but slashes.
    assert stranger(TRY) is True
    whole("mine.release(); mine.locked()")
    assert writer(TRY) is True
    assert sorted(queue.modes()) == ["IS", "IX"]


# What cannot be

MISTAKES: Final = {
    "lock(name, mode='reading')": "BadRequest: 'reading' is no mode of a lock: there is ",
    "semaphore(name, 0)": "BadRequest: the limit of the semaphore .* is to be a number from 1 on, not 0",
    "semaphore(name, 4, 0)": "BadRequest: the permits of the semaphore .* is to be a number from 1 on, not 0",
    "semaphore(name, 4, 5)": "BadRequest: the semaphore .* has 4 permits, and 5 were asked for",
    "lock_all()": "BadRequest: no lock was named",
    "lock_all(*[name + str(each) for each in range(17)])": "BadRequest: 17 names are too many to be taken at once: 16",
    "lock_all(name, semaphore(name, 2))": "BadRequest: the name .* was given more than once",
    "inside(lock('/'.join('abcdefghijklmnopq'), tree=True))": "BadRequest: .* 16 levels",
    "lock(name, lease=-1)": "BadRequest: a lease is a number of seconds from 0 on, not -1",
    "inside(lock(taken + ' pool', timeout=0))": "KindMismatch: .* is in use as a semaphore and was asked for as a lock",
    "inside(semaphore(taken, 4, timeout=0))": "KindMismatch: .* is in use as a lock and was asked for as a semaphore",
    "inside(semaphore(taken + ' pool', 4))": "LimitMismatch: .* is in use with a limit of 5 and was asked for with 4",
    "inside(lock_all(name, (taken + ' pool', 1, 4)))": "LimitMismatch: .* with a limit of 5 and was asked for with 4",
    "adopt('no such ticket')": "NotOwner: .* the ticket is not valid",
    "given_back.convert('shared')": "NotOwner: .* is not held: this grant was released before",
    "given_back.handover()": "NotOwner: .* is not held: this grant was released before",
    "pool.grant.convert('shared')": "BadRequest: .* semaphores, which have no modes",
    "pool.grant.upgraded().__enter__()": "BadRequest: .* has no mode to go back to",
    "held.grant.convert('reading')": "BadRequest: 'reading' is no mode of a lock",
    "twice.acquire() and twice.grant.handover()": "BadRequest: .* was entered 2 times: only one that was entered once",
}


def test_mistakes_are_told_and_change_nothing(play: Play, queue: Queue, name: str) -> None:
    holder, other = play(), play("taken = name; name = name + ' of mine'; mine = lock(name)")
    holder("held = lock(name); held.acquire(); pool = semaphore(name + ' pool', 5, 2); pool.acquire()")
    other("held = lock(name + '.held'); held.acquire()")
    other("pool = semaphore(name + '.pool', 5, 2); pool.acquire()")
    other("twice = rlock(name + '.twice'); twice.acquire()")
    other("mine.acquire(); given_back = mine.grant; mine.release()")

    def standing() -> list[object]:
        return [(row["name"], row["mode"], row["permits"], row["waiters_total"]) for row in queue.admin.names(name)]

    other("mine.locked()")
    before = standing()
    assert len(before) == 5
    for mistake, error in MISTAKES.items():
        with pytest.raises(ActorRaised, match=f"^{error}"):
            other(mistake)
        assert standing() == before, mistake
    assert other("held.grant.check(), pool.grant.check(), twice.grant.check()") == [None, None, None]
    assert queue.holders() == [holder.pid]
