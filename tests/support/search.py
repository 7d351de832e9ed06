"""Every state that a few processes can bring about, each looked at once, the nearest first.

From every state each process does everything that it could do: asks for a name in any mode, or for several, releases,
converts, cancels, loses its connection, comes back or becomes another program, dies (and is followed by another
process). After each move, everybody who waited has to wait still or to have been answered; in each new state every
invariant is checked, and then everybody who can go on does, and releases all, until nobody waits: whoever is left then
was forgotten.

A state is kept as the way that leads to it, and made again by going it: that takes a few bytes, and is faster than any
copy. `search_spaces` has what the processes do, `search_state` what makes a state and what has to be true of it.

    make search
"""

from __future__ import annotations

import argparse
import os
import time
from array import array
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from .search_spaces import SPACES, Move, Space, moves
from .search_state import Asked, Play, check_state, key, make_and_check


class Search:
    """The states of a space that were found so far."""

    def __init__(self, space: Space) -> None:
        self._space = space
        #: For each state, the one from which it was reached, and by which move.
        self._parents = array("q", [-1])
        self._moves = array("q", [-1])
        self._numbers: dict[Move, int] = {}
        self._known_moves: list[Move] = []
        self._seen = {key(Play(space))}
        self._expanded = 0

    @property
    def states_total(self) -> int:
        """How many states were found."""
        return len(self._parents)

    @property
    def is_complete(self) -> bool:
        """Whether there are no others."""
        return self._expanded == self.states_total

    @property
    def depth(self) -> int:
        """How many moves it takes to the state that was found last."""
        return len(self._way_to(self.states_total - 1))

    def run(self, states_max: int) -> Iterator[int]:
        """Look for states until there are so many, or no others, and return now and then how many there are.

        Raises whatever a check or the manager raises, with the way to the state in which something is wrong.
        """
        while not self.is_complete and self.states_total < states_max:
            way = self._way_to(self._expanded)
            play = Play(self._space, way)
            waiting = play.waiting()
            for move in list(moves(play.manager, play.now, self._space)):
                try:
                    self._go(way, move, waiting)
                except Exception as error:
                    error.add_note("\n".join([f"{self._space.name}:", *(step.told() for step in [*way, move])]))
                    raise
            self._expanded += 1
            yield self.states_total

    def _go(self, way: list[Move], move: Move, waiting: set[Asked]) -> None:
        play = Play(self._space, way)
        make_and_check(play, move, waiting)
        found = key(play)
        if found in self._seen:
            return
        self._seen.add(found)
        self._parents.append(self._expanded)
        self._moves.append(self._number_of(move))
        check_state(play)

    def _number_of(self, move: Move) -> int:
        number = self._numbers.setdefault(move, len(self._known_moves))
        if number == len(self._known_moves):
            self._known_moves.append(move)
        return number

    def _way_to(self, state: int) -> list[Move]:
        way = []
        while state:
            way.append(self._known_moves[self._moves[state]])
            state = self._parents[state]
        return way[::-1]


def search(states_max: int, space: Space) -> int:
    """Search a space for its share of so many states, print how it goes, and return how many there were."""
    found, began_at, told_at = Search(space), time.monotonic(), 0.0
    for states_total in found.run(round(states_max * space.share)):
        seconds = time.monotonic() - began_at
        if seconds > told_at + 10:
            told_at = seconds
            print(f"{space.name}: {states_total:,} states, {states_total / seconds:,.0f} a second", flush=True)
    seconds = time.monotonic() - began_at
    extent = "all there are" if found.is_complete else f"up to {found.depth} moves from the start"
    print(f"{space.name}: {found.states_total:,} states, {extent}, in {seconds:,.0f} s", flush=True)
    return found.states_total


def main() -> None:
    """Search all spaces."""
    parser = argparse.ArgumentParser(description="Look at every state of the lock manager that a few processes reach.")
    parser.add_argument(
        "states", type=int, nargs="?", default=1_000_000, help="how many states, in all spaces together"
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="how many spaces at a time")
    options = parser.parse_args()
    began_at = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        states_total = sum(pool.map(partial(search, options.states), SPACES))
    print(
        f"{states_total:,} states in {time.monotonic() - began_at:,.0f} s: nothing is wrong in any of them", flush=True
    )


if __name__ == "__main__":
    main()
