"""What is wrong with a request, in words (rules M1, C1, H1 and H4)."""

from __future__ import annotations

from collections import Counter

from . import events as e
from .book import Book
from .bounds import ITEMS_MAX, LIMIT_MAX, NAMES_ASKED_MAX, TREE_DEPTH_MAX
from .modes import Mode
from .state import Request
from .trees import ancestors


def fault_of_acquire(event: e.Acquire) -> str | None:
    """Say what is wrong with a request whatever the state, or return None (M1)."""
    number = len(event.items)
    if number == 1 and not event.is_tree and type(event.items[0].demand) is Mode:
        # The usual thing.
        return None
    if not 0 < number <= NAMES_ASKED_MAX:
        return f"a request is for 1 to {NAMES_ASKED_MAX} names, and this one for {number}"
    if number > 1 and len({item.name for item in event.items}) < number:
        [(twice, _), *_] = Counter(item.name for item in event.items).most_common(1)
        return f'"{twice}" is in the request twice: ask once, in the mode that does for both'
    for name, demand, _ in event.items:
        if isinstance(demand, e.Permits):
            if not 0 < demand.limit <= LIMIT_MAX:
                return (
                    f'"{name}" was asked for with a limit of {demand.limit}: a semaphore has 1 to {LIMIT_MAX} permits'
                )
            if not 0 < demand.permits <= demand.limit:
                return (
                    f'{demand.permits} permits of "{name}" were asked for: 1 to its limit of {demand.limit} can be had'
                )
        elif event.is_tree and ("//" in name or name.endswith("/")):
            return f'"{name}" is no name in a tree: there is nothing between two of its slashes, or behind the last one'
        elif event.is_tree and sum(1 for _ in ancestors(name)) >= TREE_DEPTH_MAX:
            return f'"{name}" has more than {TREE_DEPTH_MAX} levels'
    return None


def fault_of_tree(items: tuple[e.Item, ...]) -> str | None:
    """Say what is wrong with what a request comes to with its ancestors, or return None (M1)."""
    if len(items) > ITEMS_MAX:
        return f"the request is for {len(items)} names with their ancestors: at most {ITEMS_MAX} are allowed"
    locks = {item.name for item in items if isinstance(item.demand, Mode)}
    for name, demand, _ in items:
        if isinstance(demand, e.Permits) and name in locks:
            return f'"{name}" was asked for as a semaphore and has locks below it in the same tree'
    return None


def fault_of_conversion(grant: Request) -> str | None:
    """Say why a grant cannot be converted now, or return None."""
    if grant.pending is not None:
        return "the grant is being converted already: one conversion at a time"
    if grant.ticket:
        return "the grant is being handed over: it is converted before that, or by whoever adopts it"
    if not any(isinstance(item.demand, Mode) for item in grant.items):
        return "the grant is of semaphores, which have no modes"
    return None


def fault_of_hand_over(book: Book, grant: Request) -> str | None:
    """Say why a grant cannot be handed over now, or return None."""
    if grant.entries:
        return (
            f"the grant was entered {len(grant.entries) + 1} times: only one that was entered once can be handed over"
        )
    if grant.pending is not None:
        return "the grant is being converted: only one with nothing pending can be handed over"
    for name, demand, _ in grant.items:
        resource = book.names.resources[name]
        for other in resource.held_by(grant.owner):
            if other is not grant and isinstance(demand, Mode) and resource.opposes(other, demand):
                return f'its holder has "{name}" by another grant too, with which this one goes only in the same hands'
    return None
