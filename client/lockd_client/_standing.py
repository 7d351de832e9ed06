"""What this process knows of what it holds."""

from __future__ import annotations

from _weakref import ref

from ._modes import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._ask import Ask, WireItem
    from ._grant import Grant
    from ._wait import Wait

#: Why something is no longer held, as LOST has it.
LEASE = "lease"
HANDED_OVER = "handed_over"
BROKEN = "broken"


class Standing:
    """What the daemon has granted under one token. Entered again, it is the same standing."""

    __slots__ = ("is_reentrant", "is_tree", "items", "loss", "on_lost", "on_wait", "on_yield", "token")

    def __init__(self, token: int, items: tuple[WireItem, ...], is_tree: bool) -> None:
        self.token = token
        #: A conversion changes them.
        self.items = items
        self.is_tree = is_tree
        #: Whether its owner may have entered it again.
        self.is_reentrant = False
        #: Why it is held no more, if it was lost.
        self.loss = ""
        self.on_lost: Callable[[Grant], object] | None = None
        self.on_wait: Callable[[Wait], object] | None = None
        self.on_yield: Callable[[Grant], object] | None = None

    def converted(self, mode: str) -> tuple[WireItem, ...]:
        """Return the items as they are when all locks have this mode."""
        return tuple([(item[0], mode) if len(item) == 2 else item for item in self.items])

    def is_as_good_as(self, ask: Ask) -> bool:
        """Whether it is all that is asked for, or more."""
        if self.loss or (ask.is_tree and not self.is_tree):
            return False
        has = {item[0]: item for item in self.items}
        return all(_does(has.get(item[0]), item) for item in ask.items)

    def common_mode(self) -> str | None:
        """Return the mode of all its locks, or None if they differ or there are none."""
        found = {item[1] for item in self.items if len(item) == 2}
        return str(found.pop()) if len(found) == 1 else None


def _does(has: WireItem | None, wanted: WireItem) -> bool:
    if has is None:
        return False
    if len(wanted) == 2:
        return len(has) == 2 and covers(has[1], wanted[1])
    return len(has) == 3 and has[1] >= wanted[1] and has[2] == wanted[2]


class Held(ref["Grant"]):
    """A grant that is held, by the request that was granted: whose it is, and how to find out that nobody has it any
    more."""

    __slots__ = ("owner", "request", "standing")

    request: int
    owner: int
    standing: Standing


class Conversion:
    """A conversion, until its answer has come and has been made use of."""

    __slots__ = ("_before", "_mode", "after", "fallback", "is_answered", "is_given_up", "standing")

    def __init__(self, standing: Standing, before: str | None, mode: str, fallback: str | None) -> None:
        self.standing = standing
        self._before, self._mode = before, mode
        #: What is held when it is granted.
        self.after = standing.converted(mode)
        #: The mode to go to if whoever asked for it is interrupted. None: whatever the daemon makes of it.
        self.fallback = fallback
        #: Whether its answer has come, and whether nobody waits for that any more.
        self.is_answered = self.is_given_up = False

    def give_up(self) -> None:
        """Note that nobody waits for its answer any more, and what is held in any case."""
        fallback = self.fallback
        if fallback is not None and covers(self._before, fallback) and covers(self._mode, fallback):
            # Whatever the answer is: the fallback is no more than any of the two modes, so to go there cannot fail.
            self.after = self.standing.items = self.standing.converted(fallback)
        self.is_given_up = True


class Lowering:
    """A conversion back that the daemon has yet to be told of."""

    __slots__ = ("mode", "standing")

    def __init__(self, standing: Standing, mode: str) -> None:
        self.standing, self.mode = standing, mode
