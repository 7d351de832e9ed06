"""A slice of the search of all states (`make search`), and broken managers, which the search has to catch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lockd.core import deadlock, earlier, requests, sessions
from lockd.core.actions import Reason
from lockd.core.book import Book
from lockd.core.deadlock import Verdict
from lockd.core.events import Cancel, Item, Release
from lockd.core.names import Names
from lockd.core.resources import LockResource, Resource, SemaphoreResource
from lockd.core.state import BEHIND_ALL, Request
from support.core import X
from support.search import Search
from support.search_spaces import SPACES, Space

Break = Callable[[pytest.MonkeyPatch], None]

SLICE = 4_000

LOCKS, SEMAPHORE, TREE, THREADS, SEVERAL_WAITS, _, PROGRAMS = SPACES

# Where it takes many moves until something goes wrong, there must be few to choose from.
ONE_LOCK = LOCKS._replace(name="one lock", asks=LOCKS.asks[:1], modes=())
ONE_LOCK_OF_PROGRAMS = PROGRAMS._replace(name="one lock of programs", asks=PROGRAMS.asks[:1], modes=())
HAND_OVER = SEVERAL_WAITS._replace(
    asks=tuple(ask for ask in SEVERAL_WAITS.asks if ask.items[0].demand is X and len(ask.items) == 1), modes=()
)


def look_for(states_max: int, *spaces: Space) -> list[int]:
    """Search spaces for so many states in all, each for its share, and return how many were found in each."""
    shares = sum(space.share for space in spaces)
    found = []
    for space in spaces:
        *_, states_total = Search(space).run(round(states_max * space.share / shares))
        found.append(states_total)
    return found


def test_the_nearest_states_of_all_spaces() -> None:
    """All invariants, W1, and that from every state a fair schedule empties all queues."""
    assert sum(look_for(SLICE, *SPACES)) >= SLICE


def test_a_space_that_was_searched_has_no_other_states() -> None:
    """One process with one lock in one mode: it has it or not, and then a connection or not."""
    search = Search(ONE_LOCK._replace(processes=1))
    assert list(search.run(100))[-1] == 3
    assert search.is_complete


def without_looking_through(function: Callable[..., None]) -> Callable[..., None]:
    """Return the same function with rule R4 forgotten."""

    def forgetful(book: Book, *arguments: object) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Book, "look_through", lambda self, left: None)
            function(book, *arguments)

    return forgetful


def no_look_through_after_a_cancel(patch: pytest.MonkeyPatch) -> None:
    """R4."""
    patch.setitem(requests.HANDLERS, Cancel, without_looking_through(requests.cancel))


def no_look_through_after_a_release(patch: pytest.MonkeyPatch) -> None:
    """R4."""
    patch.setitem(requests.HANDLERS, Release, without_looking_through(requests.release))


def no_look_through_after_a_death(patch: pytest.MonkeyPatch) -> None:
    """R4, S1."""
    patch.setattr(sessions, "end", without_looking_through(sessions.end))


def no_search_for_deadlocks(patch: pytest.MonkeyPatch) -> None:
    """D2."""
    patch.setattr(requests, "judge", lambda request, names: Verdict([], []))


def no_search_for_deadlocks_of_those_that_got_something(patch: pytest.MonkeyPatch) -> None:
    """D7."""
    patch.setattr(requests, "judge_owner_of", lambda grant, names: Verdict([], []))


def soft_edges_ignored(patch: pytest.MonkeyPatch) -> None:
    """D1: only what is held is taken to be in the way."""
    patch.setattr(deadlock._Line, "_in_the_way_of", lambda self, request: self._ahead)


def hard_edges_ignored(patch: pytest.MonkeyPatch) -> None:
    """D1: only the order of the queues is taken to be in the way."""
    patch.setattr(Resource, "opposes", lambda self, grant, demand: False)
    patch.setattr(LockResource, "opposes", lambda self, grant, demand: False)
    patch.setattr(SemaphoreResource, "opposes", lambda self, grant, demand: False)


def a_window_that_never_ends(patch: pytest.MonkeyPatch) -> None:
    """S5."""
    patch.setattr(Names, "let_pass", lambda self, session: None)


def no_place_for_those_who_come_back(patch: pytest.MonkeyPatch) -> None:
    """S8."""
    patch.setattr(Names, "let_back", lambda self, session: None)


def earlier_programs_that_nobody_knows_of(patch: pytest.MonkeyPatch) -> None:
    """P2, P3: a program waits for what its own process holds."""
    patch.setattr(earlier, "sessions_before", lambda book, session: [])


def a_grant_that_nobody_is_told_of(patch: pytest.MonkeyPatch) -> None:
    """W1: of a request that had to wait."""
    grant = Book.grant

    def silent(self: Book, request: Request) -> None:
        grant(self, request)
        if request.place != BEHIND_ALL:
            self.actions.pop()

    patch.setattr(Book, "grant", silent)


def a_waiter_that_is_told_twice(patch: pytest.MonkeyPatch) -> None:
    """W1."""
    dequeue = Book.dequeue

    def talkative(self: Book, waiter: Request) -> None:
        dequeue(self, waiter)
        self.fail(waiter, Reason.CANCELLED)

    patch.setattr(Book, "dequeue", talkative)


def permits_that_are_not_given_back(patch: pytest.MonkeyPatch) -> None:
    """I3."""

    remove = SemaphoreResource.remove_holder

    def remove_holder(self: SemaphoreResource, grant: Request, item: Item) -> None:
        held = self.held
        remove(self, grant, item)
        self.held = held

    patch.setattr(SemaphoreResource, "remove_holder", remove_holder)


@pytest.mark.parametrize(
    ("break_it", "space"),
    [
        (no_look_through_after_a_cancel, LOCKS),
        (no_look_through_after_a_release, LOCKS),
        (no_look_through_after_a_death, LOCKS),
        (no_search_for_deadlocks, LOCKS),
        (no_search_for_deadlocks_of_those_that_got_something, HAND_OVER),
        (soft_edges_ignored, LOCKS),
        (hard_edges_ignored, LOCKS),
        (a_window_that_never_ends, ONE_LOCK),
        (no_place_for_those_who_come_back, ONE_LOCK_OF_PROGRAMS),
        (earlier_programs_that_nobody_knows_of, PROGRAMS),
        (a_grant_that_nobody_is_told_of, TREE),
        (a_waiter_that_is_told_twice, THREADS),
        (permits_that_are_not_given_back, SEMAPHORE),
    ],
    ids=lambda value: value.__name__ if callable(value) else value.name,
)
def test_a_broken_manager_is_caught(break_it: Break, space: Space, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    with pytest.raises(AssertionError) as failure:
        look_for(SLICE, space)
    # By a check, and not because what was broken here tripped over itself.
    checks = ("invariants.py", "liveness.py", "search_state.py")
    assert Path(failure.traceback[-1].path).name in checks
    # With the way to where it went wrong.
    [way] = failure.value.__notes__
    assert way.startswith(space.name)
