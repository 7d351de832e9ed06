"""What the daemon may not have heard, or not have answered: what is said again over another connection."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Unsettled:
    """Frames that have been said, by their ids. Every change is one step, so that no interrupt finds half of one."""

    __slots__ = ("_answerable", "_silent", "add", "add_silent")

    def __init__(self) -> None:
        # Those that will have an answer, and those that are known to have had their effect by what is covered.
        self._answerable: dict[int, bytes] = {}
        self._silent: dict[int, bytes] = {}
        #: Notes what will have an answer, and what need not have one. These are the methods of the dicts, and no
        #: functions around them, because they are called for every lock that is taken.
        self.add: Callable[[int, bytes], None] = self._answerable.__setitem__
        self.add_silent: Callable[[int, bytes], None] = self._silent.__setitem__

    def note_answer(self, number: int, covered: int) -> None:
        """Note that a message has come: what it answers, and up to where requests have had their effect.

        Args:
            number: The request that it answers, or 0.
            covered: The greatest id of which that is known.
        """
        self._answerable.pop(number, None)
        silent = self._silent
        # Usually there is one, the release before this.
        while silent and (first := next(iter(silent))) <= covered:
            silent.pop(first, None)

    def drop(self, number: int) -> None:
        """Forget a request of which the answer is of no interest any more."""
        self._answerable.pop(number, None)

    def awaits(self, number: int) -> bool:
        """Whether a request will have an answer that has not come."""
        return number in self._answerable

    @property
    def answerable(self) -> tuple[int, ...]:
        """The ids of those that will have an answer."""
        return tuple(self._answerable)

    def frames(self) -> list[bytes]:
        """Return all of them, in the order of their ids."""
        both = {**self._answerable, **self._silent}
        return [both[number] for number in sorted(both)]

    def __bool__(self) -> bool:
        return bool(self._silent or self._answerable)
