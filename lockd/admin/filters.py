"""Which names LIST is to tell of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

from lockd.core.resources import Resource
from lockd.logs import safe
from lockd_wire.messages import Scalar

#: Says of a name whether it is wanted.
Filter: TypeAlias = Callable[[Resource], bool]


class UnknownFilter(Exception):
    """An option of LIST that cannot be. The message is a sentence."""


def wanted_names(prefix: str, options: Mapping[str, Scalar], now: float) -> Filter:
    """Return what says whether a name is wanted.

    Raises:
        UnknownFilter: There is no such option, or it cannot have that value.
    """
    filters: list[Filter] = []
    if prefix:
        filters.append(lambda resource: resource.name.startswith(prefix))
    for option, value in options.items():
        if option not in _MAKERS:
            raise UnknownFilter(f'"{safe(option):.40}" is not an option of LIST, which has {", ".join(_MAKERS)}')
        made = _MAKERS[option](value, now)
        if made is not None:
            filters.append(made)
    match filters:
        case []:
            return lambda resource: True
        case [is_wanted]:
            return is_wanted
    # The prefix first: it passes over most.
    return lambda resource: all(is_wanted(resource) for is_wanted in filters)


def is_contended(resource: Resource) -> bool:
    """Whether somebody waits for a name."""
    return resource.waiters_total > 0


def _held(value: Scalar, now: float) -> Filter | None:
    return (lambda resource: bool(resource.holders)) if _flag("held", value) else None


def _contended(value: Scalar, now: float) -> Filter | None:
    return is_contended if _flag("contended", value) else None


def _older_than(value: Scalar, now: float) -> Filter:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise UnknownFilter("older_than has to be a number of seconds, and not below 0")
    granted_before = now - value

    def is_older(resource: Resource) -> bool:
        # The first holder is the one that has held it longest.
        first = next(iter(resource.holders.values()), None)
        return first is not None and first.granted_at is not None and first.granted_at < granted_before

    return is_older


def _flag(option: str, value: Scalar) -> bool:
    if not isinstance(value, bool):
        raise UnknownFilter(f"{option} has to be true or false")
    return value


_MAKERS: Final[Mapping[str, Callable[[Scalar, float], Filter | None]]] = {
    "held": _held,
    "contended": _contended,
    "older_than": _older_than,
}
