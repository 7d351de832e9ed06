"""Why a request has to wait: what it is told, and what whoever asks about it is told."""

from __future__ import annotations

from .actions import NameFacts
from .names import Names
from .state import Request
from .views import name_facts


def facts_of_try(names: Names, request: Request, now: float) -> NameFacts:
    """Return why a request that stands in no line cannot go."""
    name = _obstacle(names, request)
    resource = names.resources[name]
    ahead = len(resource.converting or ())
    if request.converts is None:
        ahead += len(resource.queue or ())
    return name_facts(name, resource, now)._replace(position=ahead + 1, waited_seconds=0.0)


def facts_of_waiter(names: Names, request: Request, now: float) -> NameFacts:
    """Return why a request that stands in line has to wait."""
    # A detached session's waiter may have nothing before it and be the next all the same.
    name = _obstacle(names, request)
    return name_facts(name, names.resources[name], now, request)


def _obstacle(names: Names, request: Request) -> str:
    # Where there is one name, there is nothing to find out by a walk along its queue.
    first = request.items[0].name
    return first if len(request.items) == 1 else names.obstacle(request) or first
