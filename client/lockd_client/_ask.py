"""What a handle asks the daemon for, and on which terms."""

from __future__ import annotations

from lockd_wire.codec import rest_of_acquire
from lockd_wire.limits import ITEMS_MAX, PERMITS_MAX, TIMEOUT_SECONDS_MAX
from lockd_wire.names import fault_of_label, fault_of_name

from . import _modes as modes
from ._words import listed, printable, quoted
from .errors import BadRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias, TypedDict

    from lockd_wire.messages import Scalar

    from ._grant import Grant
    from ._wait import Wait

    #: As the protocol has it: a name and a mode, or a name, permits and a limit.
    WireItem: TypeAlias = tuple[str, str] | tuple[str, int, int]

    class Terms(TypedDict, total=False):
        """What all who make a handle can say beside the names."""

        timeout: float | None
        label: str
        tree: bool
        reentrant: bool
        lease: float | None
        exit_releases: bool
        on_wait: Callable[[Wait], object] | None
        on_yield: Callable[[Grant], object] | None
        on_lost: Callable[[Grant], object] | None


#: The timeout that stands for none, as in `threading`.
FOR_EVER = -1


class Ask:
    """One or several names, each in a mode or with permits, and the terms. Does not change."""

    __slots__ = (
        "_said",
        "calls_back",
        "is_reentrant",
        "is_tree",
        "items",
        "label",
        "names",
        "on_lost",
        "on_wait",
        "on_yield",
        "options",
        "seconds",
        "timeout",
    )

    def __init__(
        self,
        items: tuple[WireItem, ...],
        *,
        timeout: float | None = FOR_EVER,
        label: str = "",
        tree: bool = False,
        reentrant: bool = False,
        lease: float | None = None,
        exit_releases: bool = False,
        on_wait: Callable[[Wait], object] | None = None,
        on_yield: Callable[[Grant], object] | None = None,
        on_lost: Callable[[Grant], object] | None = None,
    ) -> None:
        self.items = items
        self.names = tuple([item[0] for item in items])
        self.label = checked_text("label", label, fault_of_label)
        self.timeout = FOR_EVER if timeout is None else timeout
        #: Whether the slashes in the names make a tree.
        self.is_tree = bool(tree)
        #: Whether an owner that has all this already may have it once more.
        self.is_reentrant = bool(reentrant)
        #: What is to be called, and whether anything is.
        self.on_wait, self.on_yield, self.on_lost = on_wait, on_yield, on_lost
        self.calls_back = on_wait is not None or on_yield is not None or on_lost is not None
        #: The timeout as the protocol has it. To find out tells of a mistake where it is made.
        self.seconds = seconds_of(self.timeout)
        self._said = b""
        #: As the protocol has them.
        self.options: dict[str, Scalar] = {}
        if label:
            self.options["label"] = label
        if tree:
            self.options["tree"] = True
        if reentrant:
            self.options["reentrant"] = True
        if exit_releases:
            self.options["exit_releases"] = True
        if lease is not None:
            self.options["lease"] = _checked_lease(lease)
        for name, callback in (("on_wait", on_wait), ("on_yield", on_yield), ("on_lost", on_lost)):
            if callback is not None and not callable(callback):
                raise TypeError(f"{name} is called, and {callback!r} cannot be")
        if on_wait is not None:
            self.options["wait_notice"] = True
        if on_yield is not None:
            self.options["yield"] = True

    def said_with(self, seconds: float | None) -> bytes:
        """Return what asks for it within so many seconds, as `Machine.acquire` wants it."""
        if seconds != self.seconds:
            return rest_of_acquire(self.items, seconds, self.options)
        said = self._said
        if not said:
            # Not before it is needed: many a handle is made and never used.
            said = self._said = rest_of_acquire(self.items, seconds, self.options)
        return said

    def terms(self) -> dict[str, Any]:
        """Return the terms as they were given."""
        return {
            "timeout": self.timeout,
            "label": self.label,
            "tree": self.is_tree,
            "reentrant": self.is_reentrant,
            "lease": self.options.get("lease"),
            "exit_releases": "exit_releases" in self.options,
            "on_wait": self.on_wait,
            "on_yield": self.on_yield,
            "on_lost": self.on_lost,
        }


def lock_item(name: str, mode: str) -> WireItem:
    """Return what asks for a lock. Raises BadRequest if the name or the mode cannot be."""
    return checked_text("name", name, fault_of_name), modes.CODES[modes.mode_of(mode)]


def semaphore_item(name: str, permits: int, limit: int) -> WireItem:
    """Return what asks for permits of a semaphore. Raises BadRequest if there cannot be such."""
    checked_text("name", name, fault_of_name)
    for what, number in (("limit", limit), ("permits", permits)):
        if type(number) is not int or number < 1:
            raise BadRequest(f"the {what} of the semaphore {quoted(name)} is to be a number from 1 on, not {number!r}")
    if limit > PERMITS_MAX:
        raise BadRequest(f"the semaphore {quoted(name)} cannot have {limit} permits: {PERMITS_MAX} are the most")
    if permits > limit:
        raise BadRequest(f"the semaphore {quoted(name)} has {limit} permits, and {permits} were asked for")
    return name, permits, limit


def several(items: tuple[WireItem, ...]) -> tuple[WireItem, ...]:
    """Return ``items`` if they can be asked for together. Raises BadRequest otherwise."""
    if not items:
        raise BadRequest("no lock was named")
    if len(items) > ITEMS_MAX:
        raise BadRequest(f"{len(items)} names are too many to be taken at once: {ITEMS_MAX} are the most")
    names = [item[0] for item in items]
    for name in names:
        if names.count(name) > 1:
            raise BadRequest(f"the name {quoted(name)} was given more than once")
    return items


def described(items: tuple[WireItem, ...]) -> str:
    """Return names in words: ``"a"``, ``"a" and "b"``."""
    return listed([quoted(item[0]) for item in items])


def demand(item: WireItem) -> str:
    """Return in what way a name is taken: ``exclusive``, ``2 of 5 permits``."""
    return modes.word_of(item[1]) if len(item) == 2 else f"{item[1]} of {item[2]} permits"


def seconds_of(timeout: float | None) -> float | None:
    """Return a timeout as the protocol has it."""
    if timeout is None or timeout == FOR_EVER:
        return None
    if not isinstance(timeout, int | float):
        raise TypeError(f"a timeout is a number of seconds, not {timeout!r}")
    if timeout > TIMEOUT_SECONDS_MAX:
        return None
    if not timeout >= 0:
        raise ValueError(f"a timeout is a number of seconds from 0 on, or -1 for no limit: not {timeout!r}")
    return timeout


def checked_text(what: str, text: str, fault_of: Callable[[str], str | None]) -> str:
    """Return ``text`` if it can be what it is for.

    Raises:
        BadRequest: It cannot be.
    """
    if not isinstance(text, str):
        raise BadRequest(f"the {what} of a lock is a text, not {type(text).__name__}")
    fault = fault_of(text)
    if fault is not None:
        shown = printable(text)
        raise BadRequest(f'the {what} "{shown if len(shown) <= 60 else f"{shown[:57]}..."}" {fault}')
    return text


def _checked_lease(lease: object) -> float:
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not 0 <= lease <= TIMEOUT_SECONDS_MAX:
        raise BadRequest(f"a lease is a number of seconds from 0 on, not {lease!r}")
    return lease
