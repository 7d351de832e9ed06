"""Five philosophers, who are processes, dine for ten seconds at a round table with five forks.

At one table each takes both forks at once, and nobody starves. At the other one they take the left fork first, as it
should not be done, and every deadlock is found, explained and got over. They dine at the same time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from lockd_client import AdminClient, connect
from support.actor import Actor, ActorRaised
from support.daemon import Daemon
from support.dinner import flaws, hunger, misuses, overtakings
from support.history import EXCLUSIVE, GRANTED, NEVER, Operation
from support.idle import wait_until
from support.philosopher import Deadlock, Meal, Wait, read_notes
from support.sources import REPOSITORY

SECONDS: Final = 10.0
SEATS: Final = range(5)

#: How often those who take one fork after the other begin together.
COURSES: Final = 10

SETUP: Final = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from support.philosopher import Philosopher
"""


class Table:
    """Five philosophers and five forks."""

    def __init__(self, daemon: Daemon, name: str, directory: Path, stack: ExitStack) -> None:
        self.forks = [f"{name}/fork {seat}" for seat in SEATS]
        self._directory = directory / name
        self._directory.mkdir()
        self._philosophers = [stack.enter_context(Actor(SETUP, daemon.environment())) for _ in SEATS]
        self.pids = [philosopher.pid for philosopher in self._philosophers]
        for seat, philosopher in enumerate(self._philosophers):
            philosopher(f"philosopher = Philosopher({self.forks}, {seat}, {str(self._directory)!r})")

    def forks_of(self, pid: int) -> tuple[str, str]:
        """Return the left and the right fork of one of them."""
        seat = self.pids.index(pid)
        return self.forks[seat], self.forks[(seat + 1) % len(self.forks)]

    def have_all_been_told(self) -> bool:
        """Whether each of them has found out that he has to wait."""
        return len([*self._directory.glob("* has been told to wait")]) == len(self.pids)

    def each(self, code: str) -> None:
        """Have each of them do something, one after the other."""
        for philosopher in self._philosophers:
            philosopher(code)

    def begin(self, code: str) -> None:
        """Have all of them begin with something."""
        for philosopher in self._philosophers:
            philosopher.begin(code)

    def finish(self) -> None:
        """Wait until all have come to an end with it."""
        for philosopher in self._philosophers:
            philosopher.result()

    def notes(self) -> tuple[list[Meal], list[Deadlock]]:
        """Return what all of them noted."""
        meals: list[Meal] = []
        deadlocks: list[Deadlock] = []
        for seat, philosopher in enumerate(self._philosophers):
            path = self._directory / f"notes of {seat}"
            philosopher(f"philosopher.write_notes({str(path)!r})")
            of_this_one = read_notes(path)
            meals += of_this_one[0]
            deadlocks += of_this_one[1]
        return meals, deadlocks


class Dinner(NamedTuple):
    """What was noted at the two tables."""

    both: Table
    both_meals: list[Meal]
    single: Table
    single_meals: list[Meal]
    single_deadlocks: list[Deadlock]
    #: What the daemon counted meanwhile, and what was left in it.
    counted: dict[str, int]
    left: list[dict[str, Any]]


@pytest.fixture(scope="module")
def dinner(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dinner]:
    """Both tables dine."""
    counters = ("deadlocks_total", "timeouts_total", "cancels_total", "reorders_total")
    directory = tmp_path_factory.mktemp("dinner")
    with ExitStack() as stack:
        admin = stack.enter_context(AdminClient(daemon.admin_socket))
        host = stack.enter_context(connect(daemon.client_socket, program="host"))
        both, single = (Table(daemon, name, directory, stack) for name in ("both", "single"))
        before = admin.status()
        # All have to wait in the beginning, so that there is a queue to be judged.
        with host.lock_all(*both.forks):
            both.begin(f"philosopher.dine_with_both({SECONDS})")
            wait_until(both.have_all_been_told, "all of them know that they wait")
        for _ in range(COURSES):
            # All have the left fork when they want the right one: there is a deadlock, whatever is fast or slow.
            single.each("philosopher.take_left()")
            single.begin(f"philosopher.dine_with_one_after_the_other({SECONDS / COURSES})")
            single.finish()
        both.finish()
        both_meals, _ = both.notes()
        noted = (both, both_meals, single, *single.notes())
        after = admin.status()
        yield Dinner(*noted, {key: after[key] - before[key] for key in counters}, list(admin.names()))


# Both forks at once


def test_nobody_starves_who_takes_both_forks_at_once(dinner: Dinner) -> None:
    table, meals = dinner.both, dinner.both_meals
    assert misuses(meals, []) == []
    assert overtakings(meals) == []
    assert {meal.pid for meal in meals} == set(table.pids)
    # Everybody had to wait at least once, so there was an order to be kept.
    assert {meal.pid for meal in meals if meal.queued_at != NEVER} == set(table.pids)
    # All had the left and the right fork of their own seats.
    for meal in meals:
        assert (meal.left.name, meal.right.name) == table.forks_of(meal.pid)


def test_there_is_no_deadlock_who_takes_both_forks_at_once(dinner: Dinner) -> None:
    # Nobody was told of one, or he would have gone home. All that the daemon has found were at the other table, and
    # each of them was told to somebody.
    assert dinner.counted["deadlocks_total"] == len(dinner.single_deadlocks)


# One fork after the other


def test_every_deadlock_is_found_and_got_over(dinner: Dinner) -> None:
    table, meals, deadlocks = dinner.single, dinner.single_meals, dinner.single_deadlocks
    assert misuses(meals, deadlocks) == []
    # One in each course was certain. None lasted: nobody lost patience, and all went home.
    assert len(deadlocks) >= COURSES
    assert dinner.counted["timeouts_total"] == dinner.counted["cancels_total"] == 0
    assert {meal.pid for meal in meals} == set(table.pids)
    assert hunger(meals, deadlocks) == []


def test_every_deadlock_is_explained(dinner: Dinner) -> None:
    table = dinner.single
    assert [flaw for deadlock in dinner.single_deadlocks for flaw in flaws(deadlock, table.forks, table.pids)] == []
    # It is told to the one who closed the circle, by asking for the right fork.
    for deadlock in dinner.single_deadlocks:
        assert (deadlock.left.name, deadlock.wanted) == table.forks_of(deadlock.pid)


def test_nothing_is_left_on_the_tables(dinner: Dinner) -> None:
    assert dinner.left == []
    # All waits were in the way of those who held something: no other order would have helped.
    assert dinner.counted["reorders_total"] == 0


# Now the judges of `support.dinner` themselves.

PIDS: Final = (100, 101, 102, 103, 104)
FORKS: Final = ("f0", "f1", "f2", "f3", "f4")


def fork_of(pid: int, name: str, token: int, came_at: int, went_at: int) -> Operation:
    """A fork that was asked for just before it came."""
    return Operation(f"{pid}", "0", name, EXCLUSIVE, None, came_at - 5, came_at, GRANTED, token, went_at, went_at + 1)


def meal_of(pid: int, token: int, came_at: int, went_at: int) -> Meal:
    """A meal with both forks at once."""
    seat = PIDS.index(pid)
    left, right = (fork_of(pid, FORKS[(seat + hand) % 5], token, came_at, went_at) for hand in (0, 1))
    return Meal(pid, left, right)


def queued(meal: Meal, asked_at: int, queued_at: float) -> Meal:
    """The same, after a wait."""
    return Meal(meal.pid, meal.left._replace(invoked_at=asked_at), meal.right._replace(invoked_at=asked_at), queued_at)


#: One eats, his neighbour waits, and somebody else eats beside them. Then the others.
MEALS: Final = {
    "first": meal_of(100, 1, came_at=10, went_at=20),
    "beside": meal_of(102, 2, came_at=11, went_at=25),
    "waits": queued(meal_of(101, 3, came_at=30, went_at=40), asked_at=12, queued_at=15),
    "again": queued(meal_of(100, 4, came_at=45, went_at=50), asked_at=22, queued_at=24),
    "last": meal_of(103, 5, came_at=60, went_at=65),
    "and the last": meal_of(104, 6, came_at=70, went_at=75),
    "full": meal_of(102, 7, came_at=80, went_at=85),
}

#: All wait for the right fork.
DEADLOCK: Final = Deadlock(
    pid=102,
    left=fork_of(102, "f2", 1, came_at=5, went_at=6),
    wanted="f3",
    at=6,
    circle=tuple(Wait(FORKS[(seat + 1) % 5], PIDS[seat], PIDS[(seat + 1) % 5], False, 0.1) for seat in (2, 3, 4, 0, 1)),
    circle_total=5,
    sentence=" ".join(f'pid {pid} (who) wants "{name}"' for pid, name in zip(PIDS, FORKS, strict=True)),
)


def circle_with(place: int, **changes: Any) -> tuple[Wait, ...]:
    """The circle with a change in one step."""
    return tuple(step._replace(**changes) if step is DEADLOCK.circle[place] else step for step in DEADLOCK.circle)


def test_nothing_is_said_against_a_flawless_dinner() -> None:
    meals = MEALS.values()
    assert misuses(meals, []) == overtakings(meals) == []
    assert flaws(DEADLOCK, FORKS, PIDS) == []
    assert misuses([], [DEADLOCK]) == hunger(meals, [DEADLOCK]) == []


@pytest.mark.parametrize(
    ("fault", "judge", "changes"),
    [
        ("both held it at once", misuses, {"first": meal_of(100, 1, came_at=10, went_at=31)}),
        ("the token of what was granted first", misuses, {"last": meal_of(103, 9, came_at=60, went_at=65)}),
        ("one token twice", misuses, {"again": meal_of(100, 3, came_at=45, went_at=50)}),
        # He asked when the other one stood in the queue, and ate before him.
        ("was given 'f1' by token 2, before", overtakings, {"again": meal_of(100, 2, came_at=22, went_at=26)}),
        ("was given 'f2' by token 2, before", overtakings, {"beside": meal_of(102, 2, came_at=22, went_at=26)}),
        ("102 has not eaten since", hunger, {"full": meal_of(103, 7, 80, 85), "beside": meal_of(102, 2, 4, 5)}),
    ],
)
def test_control_a_dinner_that_went_wrong(
    fault: str, judge: Callable[..., list[str]], changes: dict[str, Meal]
) -> None:
    meals = (MEALS | changes).values()
    found = judge(meals) if judge is overtakings else judge(meals, [DEADLOCK] if judge is hunger else [])
    assert any(fault in each for each in found), found


def test_who_had_asked_before_may_eat_first() -> None:
    """That one was in the queue was not known when the other asked, so nobody knows who came first."""
    early = queued(meal_of(100, 2, came_at=22, went_at=26), asked_at=14, queued_at=NEVER)
    assert overtakings((MEALS | {"again": early}).values()) == []


@pytest.mark.parametrize(
    ("flaw", "changes"),
    [
        ("it does not lead on", {"circle": circle_with(4, blocker=100)}),
        ("it does not lead on", {"circle": circle_with(1, blocker=102)}),
        ("4 steps of 5 are told", {"circle": DEADLOCK.circle[:-1]}),
        ("5 steps of 6 are told", {"circle_total": 6}),
        ("that is not how they sit", {"circle": circle_with(2, fork="f1")}),
        ("it does not lead on", {"circle": DEADLOCK.circle[::-1]}),
        ("it does not begin with", {"circle": (*DEADLOCK.circle[1:], DEADLOCK.circle[0])}),
        ("it does not begin with", {"circle": (), "circle_total": 0}),
        ("it does not begin with", {"wanted": "f2"}),
        ("he only waits for it", {"circle": circle_with(3, is_queued=True)}),
        ("pid 104  is not in the sentence", {"sentence": DEADLOCK.sentence.replace("104", "who")}),
        ('"f0" is not in the sentence', {"sentence": DEADLOCK.sentence.replace("f0", "one")}),
    ],
)
def test_control_a_deadlock_that_is_explained_badly(flaw: str, changes: dict[str, Any]) -> None:
    found = flaws(DEADLOCK._replace(**changes), FORKS, PIDS)
    assert any(flaw in each for each in found), found


def test_control_forks_that_are_not_locked(daemon: Daemon, closing: ExitStack, tmp_path: Path) -> None:
    """Somebody takes a fork that another one has, and finds its file."""
    broken = """
import os
from support import philosopher
lock = philosopher.lock
philosopher.lock = lambda fork, **terms: lock(f"{fork} of {os.getpid()}", **terms)
"""
    one, other = (closing.enter_context(Actor(SETUP + broken, daemon.environment())) for _ in range(2))
    for actor in (one, other):
        actor(f"philosopher = Philosopher({FORKS!r}, 0, {str(tmp_path)!r})")
    one("philosopher.take_left()")
    with pytest.raises(ActorRaised, match=r"^FileExistsError: "):
        other("philosopher.take_left()")
