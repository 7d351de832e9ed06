"""Managers that are broken on purpose, one rule each. Random campaigns and the scenarios have to notice every one of
them: `test_stateful` and `test_scenarios` show that a sound one gets through.

Here: who may go, and the books. The rest is broken by `test_broken_sessions`, `test_broken_judgements` and
`test_broken_grants`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from lockd.core import sessions
from lockd.core.book import Book
from lockd.core.events import Cancel, Item, Release
from lockd.core.manager import LockManager
from lockd.core.modes import CONFLICTING_FIELDS, Mode
from lockd.core.names import Names
from lockd.core.resources import LockResource, Resource, SemaphoreResource
from lockd.core.state import Request
from support.broken import (
    Break,
    assert_noticed,
    replace_handler_without_looking,
    without_looking,
)


def no_look_through_after_a_cancel(patch: pytest.MonkeyPatch) -> None:
    """R4."""
    replace_handler_without_looking(patch, Cancel)


def no_look_through_after_a_release(patch: pytest.MonkeyPatch) -> None:
    """R4."""
    replace_handler_without_looking(patch, Release)


def no_look_through_after_the_end_of_a_session(patch: pytest.MonkeyPatch) -> None:
    """R4, S1."""
    without_looking(patch, sessions, "end")


def no_look_through_when_deadlines_run_out(patch: pytest.MonkeyPatch) -> None:
    """R4, S5, L2."""
    without_looking(patch, LockManager, "_expire")


def barging(patch: pytest.MonkeyPatch) -> None:
    """R2 (b): whoever arrives takes what is free, whoever waits."""

    def may_go_on_arrival(self: Names, request: Request) -> bool:
        there = [(self.resources.get(item.name), item.demand) for item in request.items]
        return all(resource is None or resource.fits(request.owner, demand, 0) for resource, demand in there)

    patch.setattr(Names, "may_go_on_arrival", may_go_on_arrival)


def overtaking_in_the_queue(patch: pytest.MonkeyPatch) -> None:
    """R2 (b): those behind go although one that they conflict with stays."""

    def who_may_go(self: Names, resource: Resource) -> Iterator[Request]:
        for request in (resource.queue or {}).values():
            others = all(self.resources[item.name].fits(request.owner, item.demand, 0) for item in request.items)
            if request.session.is_attached and others:
                yield request

    patch.setattr(Names, "_who_may_go", who_may_go)


def a_part_of_what_was_asked_for(patch: pytest.MonkeyPatch) -> None:
    """R1: enough that one of several names is free."""

    def may_go_on_arrival(self: Names, request: Request) -> bool:
        [first, *_] = request.items
        resource = self.resources.get(first.name)
        return resource is None or resource.fits(request.owner, first.demand, resource.wanted)

    patch.setattr(Names, "may_go_on_arrival", may_go_on_arrival)


def one_name_of_several(patch: pytest.MonkeyPatch) -> None:
    """R1: a waiter goes when one of its names is free, in whatever state the others are."""
    patch.setattr(Names, "_has_no_obstacle", lambda self, request, but, first_in_the_way: True)


def grants_to_nobody(patch: pytest.MonkeyPatch) -> None:
    """S3: a detached session is granted what it waits for."""

    def look_through(self: Names, name: str, grant: Callable[[Request], None]) -> None:
        detached = [
            request.session
            for resource in self.resources.values()
            for request in resource.in_line()
            if not request.session.is_attached
        ]
        for session in detached:
            session.is_attached = True
        original(self, name, grant)
        for session in detached:
            session.is_attached = False

    original = Names.look_through
    patch.setattr(Names, "look_through", look_through)


def stopping_at_the_first_that_stays(patch: pytest.MonkeyPatch) -> None:
    """R4: a shared request that stays (S3) is taken for one that bars everybody behind it."""
    patch.setattr(LockResource, "bars", lambda self, ahead: bool(ahead))


def no_exclusion(patch: pytest.MonkeyPatch) -> None:
    """I1: shared requests do not mind an exclusive grant."""
    patch.setitem(CONFLICTING_FIELDS, Mode.SHARED, 0)


def one_permit_too_many(patch: pytest.MonkeyPatch) -> None:
    """I1: a semaphore gives out permits as long as it has any."""
    patch.setattr(SemaphoreResource, "has_room", lambda self, held, demand: held < self.limit)


def small_ones_first(patch: pytest.MonkeyPatch) -> None:
    """M3: for a few permits nobody waits behind one who waits for many."""
    patch.setattr(SemaphoreResource, "clashes", lambda self, waiting, demand: waiting + demand.permits > self.limit)


def any_limit(patch: pytest.MonkeyPatch) -> None:
    """M2: a semaphore has the limit that it was given first, whatever others believe."""
    original = SemaphoreResource.mismatch
    patch.setattr(
        SemaphoreResource,
        "mismatch",
        lambda self, demand: None if hasattr(demand, "limit") else original(self, demand),
    )


def a_held_count_that_is_not_taken_back(patch: pytest.MonkeyPatch) -> None:
    """I3."""

    def remove_holder(self: Resource, grant: Request, item: Item) -> None:
        original(self, grant, item)
        self.held += self.amount(item.demand)

    original = Resource.remove_holder
    patch.setattr(Resource, "remove_holder", remove_holder)


def a_wanted_count_that_is_not_taken_back(patch: pytest.MonkeyPatch) -> None:
    """I3."""

    def remove_waiter(self: Resource, request: Request, item: Item) -> None:
        original(self, request, item)
        self.wanted += self.amount(item.demand)

    original = Resource.remove_waiter
    patch.setattr(Resource, "remove_waiter", remove_waiter)


def the_same_token_again(patch: pytest.MonkeyPatch) -> None:
    """R7."""

    def grant(self: Book, request: Request) -> None:
        if self.last_token not in self.grants and self.last_token > self.first_token:
            self.last_token -= 1
        original(self, request)

    original = Book.grant
    patch.setattr(Book, "grant", grant)


def last_come_first_served(patch: pytest.MonkeyPatch) -> None:
    """I4, R2."""

    def add_waiter(self: Resource, request: Request, item: Item) -> None:
        original(self, request, item)
        if request.converts is None:
            assert self.queue is not None
            self.queue.move_to_end(request.place, last=False)

    original = Resource.add_waiter
    patch.setattr(Resource, "add_waiter", add_waiter)


def places_that_fall(patch: pytest.MonkeyPatch) -> None:
    """I4, R2: the queues are in the order of places, but the places are not in the order of arrival."""

    def enqueue(self: Book, request: Request) -> None:
        self.last_place -= 3 << 20
        original(self, request)
        for item in request.items:
            self.names.resources[item.name].sort()

    original = Book.enqueue
    patch.setattr(Book, "enqueue", enqueue)


BROKEN: list[Break] = [
    no_look_through_after_a_cancel,
    no_look_through_after_a_release,
    no_look_through_after_the_end_of_a_session,
    no_look_through_when_deadlines_run_out,
    barging,
    overtaking_in_the_queue,
    a_part_of_what_was_asked_for,
    one_name_of_several,
    grants_to_nobody,
    stopping_at_the_first_that_stays,
    no_exclusion,
    one_permit_too_many,
    small_ones_first,
    any_limit,
    a_held_count_that_is_not_taken_back,
    a_wanted_count_that_is_not_taken_back,
    the_same_token_again,
    last_come_first_served,
    places_that_fall,
]


@pytest.mark.parametrize("break_it", BROKEN, ids=lambda function: function.__name__)
def test_a_broken_manager_is_noticed(break_it: Break, monkeypatch: pytest.MonkeyPatch) -> None:
    break_it(monkeypatch)
    assert_noticed()
