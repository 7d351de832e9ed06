"""Managers that are broken on purpose: deadlocks, conversions, trees. See `test_broken_managers`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from lockd.core import deadlock, requests, trees
from lockd.core.actions import NameFacts, Reason
from lockd.core.book import Book
from lockd.core.deadlock import Edge
from lockd.core.events import Convert, Item
from lockd.core.happenings import Happening
from lockd.core.names import Names
from lockd.core.resources import LockResource, Resource
from lockd.core.state import Request
from support.broken import Break, assert_noticed, replace_handler_without_looking


def an_owner_that_waits_for_itself(patch: pytest.MonkeyPatch) -> None:
    """R6."""
    patch.setattr(Names, "own_obstacle", lambda self, request: None)


def nobody_is_judged(patch: pytest.MonkeyPatch) -> None:
    """D2."""
    patch.setattr(requests, "judge", lambda request, names: ([], []))


def what_is_held_is_overlooked(patch: pytest.MonkeyPatch) -> None:
    """D1: no hard edges."""

    def blockers(self: deadlock._Search, *arguments: Any) -> Iterable[Request]:
        return (blocker for blocker in original(self, *arguments) if not blocker.token)

    original = deadlock._Search._blockers
    patch.setattr(deadlock._Search, "_blockers", blockers)
    # Nobody takes the short way.
    patch.setattr(LockResource, "sole_opponent", lambda self, demand: None)


def the_queue_is_overlooked(patch: pytest.MonkeyPatch) -> None:
    """D1: no soft edges."""

    def blockers(self: deadlock._Search, *arguments: Any) -> Iterable[Request]:
        return (blocker for blocker in original(self, *arguments) if blocker.token)

    original = deadlock._Search._blockers
    patch.setattr(deadlock._Search, "_blockers", blockers)


def every_circle_of_permits_is_a_deadlock(patch: pytest.MonkeyPatch) -> None:
    """D3."""
    patch.setattr(deadlock, "stuck_owners", lambda owners, resources: owners)


def no_circle_of_permits_is_a_deadlock(patch: pytest.MonkeyPatch) -> None:
    """D3."""
    patch.setattr(deadlock, "stuck_owners", lambda owners, resources: ())


def no_other_order_is_tried(patch: pytest.MonkeyPatch) -> None:
    """D4."""
    patch.setattr(deadlock._Reordering, "moves_against", lambda self, circle: [])


def any_other_order_will_do(patch: pytest.MonkeyPatch) -> None:
    """D4: whether it closes another circle or not."""
    patch.setattr(deadlock._Reordering, "_any_circle", lambda self, judged: None)


def orders_that_are_tried_and_kept(patch: pytest.MonkeyPatch) -> None:
    """D4, I4: whoever is refused in the end has left the queue in disorder."""

    def moves_against(self: deadlock._Reordering, circle: list[Edge]) -> list[Request]:
        for waiter, _, blocker in circle:
            if not blocker.token and blocker.converts is None:
                self._names.move_ahead(waiter, blocker)
        return []

    patch.setattr(deadlock._Reordering, "moves_against", moves_against)


def nobody_is_judged_again(patch: pytest.MonkeyPatch) -> None:
    """D7."""
    patch.setattr(requests, "judge_again", lambda book: book.to_judge.clear())


def a_conversion_over_the_heads_of_others(patch: pytest.MonkeyPatch) -> None:
    """C2."""

    def obstacle(self: Names, request: Request) -> str | None:
        return None if request.converts is not None else original(self, request)

    original = Names.obstacle
    patch.setattr(Names, "obstacle", obstacle)


def a_conversion_at_the_end_of_the_queue(patch: pytest.MonkeyPatch) -> None:
    """C2."""

    def obstacle(self: Names, request: Request) -> str | None:
        for name, demand, _ in request.items:
            resource = self.resources.get(name)
            if resource is not None and not resource.fits(request.owner, demand, resource.wanted):
                return name
        return None

    patch.setattr(Names, "obstacle", obstacle)


def a_conversion_that_nobody_waits_for(patch: pytest.MonkeyPatch) -> None:
    """C2: those who come later go by what is held."""
    patch.setattr(Resource, "ahead_of_queue", lambda self: 0)


def a_conversion_of_one_name_of_several(patch: pytest.MonkeyPatch) -> None:
    """C1."""

    def conversion(grant: Request, event: Convert, now: float) -> Request:
        request = original(grant, event, now)
        request.items = request.items[:1]
        return request

    original = requests._conversion
    patch.setattr(requests, "_conversion", conversion)


def no_look_through_after_a_conversion(patch: pytest.MonkeyPatch) -> None:
    """C3, R4: down lets nobody in."""
    replace_handler_without_looking(patch, Convert)


def a_failed_conversion_that_takes_the_grant_along(patch: pytest.MonkeyPatch) -> None:
    """C4."""

    def fail(self: Book, request: Request, reason: Reason, facts: NameFacts | None = None, detail: str = "") -> None:
        original(self, request, reason, facts, detail)
        if request.converts is not None and reason is Reason.TIMEOUT:
            self.look_through(self.drop(request.converts, Happening.RELEASED))

    original = Book.fail
    patch.setattr(Book, "fail", fail)


def a_failed_conversion_that_takes_the_old_mode_along(patch: pytest.MonkeyPatch) -> None:
    """C4: a deadlocked one has its new mode all the same."""

    def fail_deadlocked(self: Book, request: Request, circle: list[Edge]) -> None:
        original(self, request, circle)
        if request.converts is not None:
            self.names.change(request.converts, request.items)

    original = Book.fail_deadlocked
    patch.setattr(Book, "fail_deadlocked", fail_deadlocked)


def a_tree_without_ancestors(patch: pytest.MonkeyPatch) -> None:
    """T1."""
    patch.setattr(requests, "with_ancestors", lambda items: items)


def ancestors_in_the_mode_of_the_last_name(patch: pytest.MonkeyPatch) -> None:
    """T1: no upper bound."""
    patch.setattr(trees, "_need", lambda modes, name, mode: modes.update({name: mode}))


def ancestors_that_were_asked_for(patch: pytest.MonkeyPatch) -> None:
    """T2."""

    def with_ancestors(items: tuple[Item, ...]) -> tuple[Item, ...]:
        return tuple(item._replace(is_asked=True) for item in original(items))

    original = trees.with_ancestors
    patch.setattr(requests, "with_ancestors", with_ancestors)


BROKEN: list[Break] = [
    an_owner_that_waits_for_itself,
    nobody_is_judged,
    what_is_held_is_overlooked,
    the_queue_is_overlooked,
    every_circle_of_permits_is_a_deadlock,
    no_circle_of_permits_is_a_deadlock,
    no_other_order_is_tried,
    any_other_order_will_do,
    orders_that_are_tried_and_kept,
    nobody_is_judged_again,
    a_conversion_over_the_heads_of_others,
    a_conversion_at_the_end_of_the_queue,
    a_conversion_that_nobody_waits_for,
    a_conversion_of_one_name_of_several,
    no_look_through_after_a_conversion,
    a_failed_conversion_that_takes_the_grant_along,
    a_failed_conversion_that_takes_the_old_mode_along,
    a_tree_without_ancestors,
    ancestors_in_the_mode_of_the_last_name,
    ancestors_that_were_asked_for,
]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_manager_is_noticed(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_noticed()
