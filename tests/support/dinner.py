"""Judges afterwards how philosophers have dined, from their notes (`support.philosopher`).

Each judge returns what is wrong, a sentence for each fault.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

from .history import SHARED, faults
from .philosopher import Deadlock, Meal, Wait


def misuses(meals: Iterable[Meal], deadlocks: Iterable[Deadlock]) -> list[str]:
    """Nobody had a fork while somebody else had it, and tokens rise."""
    meals = list(meals)
    of_forks = [fork for meal in meals for fork in (meal.left, meal.right)] + [each.left for each in deadlocks]
    found = []
    # Of two forks that were taken at once the token is the same, so each fork is judged for itself,
    for name in sorted({fork.name for fork in of_forks}):
        found += faults(fork for fork in of_forks if fork.name == name)
    # and then the tokens of all of them together, as if they were of something that all may have at once.
    singly = {fork.token: fork._replace(name="", mode=SHARED) for fork in of_forks}
    return found + faults(singly.values())


def overtakings(meals: Iterable[Meal]) -> list[str]:
    """Nobody who came later took a fork from before somebody who waited.

    First come, first served is per fork. So once somebody stands in the queues, what is asked for later is granted
    later: each neighbour eats once more at most, if he had asked before. How much anybody eats in a time is up to the
    machine, but nobody can be kept from eating.
    """
    by_fork: dict[str, list[Meal]] = {}
    for meal in sorted(meals, key=lambda meal: meal.left.invoked_at):
        for fork in (meal.left, meal.right):
            by_fork.setdefault(fork.name, []).append(meal)
    found = []
    for name, here in by_fork.items():
        asked = [meal.left.invoked_at for meal in here]
        # The smallest token that anybody got who asked at that time or later.
        smallest = [*accumulate((meal.left.token for meal in reversed(here)), min)][::-1]
        for meal in here:
            later = bisect_right(asked, meal.queued_at)
            if later < len(here) and smallest[later] < meal.left.token:
                found.append(f"somebody who came later was given {name!r} by token {smallest[later]}, before {meal}")
    return found


def flaws(deadlock: Deadlock, forks: Sequence[str], pids: Sequence[int]) -> list[str]:
    """The circle of a deadlock is the whole table: each wants his right fork, which the next one has."""
    circle, number = deadlock.circle, len(pids)
    found = [flaw for step in circle for flaw in flaws_of_step(step, deadlock.sentence)]
    if not len(circle) == deadlock.circle_total == number:
        found.append(f"{len(circle)} steps of {deadlock.circle_total} are told, and there are {number}")
    for step, after in pairwise((*circle, *circle[:1])):
        if step.blocker != after.pid:
            found.append(f"it does not lead on from {step} to {after}")
    if {(step.fork, step.pid) for step in circle} != {(forks[seat - number + 1], pids[seat]) for seat in range(number)}:
        found.append(f"that is not how they sit: {circle}")
    if not circle or (circle[0].pid, circle[0].fork) != (deadlock.pid, deadlock.wanted):
        found.append(f"it does not begin with the one who is told: {circle}")
    return found


def flaws_of_step(step: Wait, sentence: str) -> list[str]:
    """Who is in the way has the fork, since some time, and the sentence says all of it."""
    said = f'"{step.fork}"', f"pid {step.pid} ", f"pid {step.blocker} "
    found = [f"{text} is not in the sentence: {sentence}" for text in said if text not in sentence]
    if step.is_queued or step.blocked_seconds < 0:
        found.append(f"he only waits for it: {step}")
    return found


def hunger(meals: Iterable[Meal], deadlocks: Iterable[Deadlock]) -> list[str]:
    """Whoever was in a deadlock has eaten later."""
    last_meal: dict[int, float] = {}
    for meal in meals:
        last_meal[meal.pid] = max(last_meal.get(meal.pid, 0), meal.right.returned_at)
    return [
        f"{step.pid} has not eaten since the deadlock at {deadlock.at}"
        for deadlock in deadlocks
        for step in deadlock.circle
        if last_meal.get(step.pid, 0) <= deadlock.at
    ]
