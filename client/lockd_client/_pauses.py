"""How often a thread in the background tries to reach a daemon that is away."""

from __future__ import annotations

from time import monotonic

#: Between two attempts: the first pause, and the longest. A daemon that is started anew is there within a second, and
#: one that stays away, or hangs up each time, costs no more than one attempt a second.
_FIRST_SECONDS = 0.01
_LONGEST_SECONDS = 1.0


class Pauses:
    """The pauses between the attempts of all threads of one connection. Used in sections only."""

    def __init__(self) -> None:
        # The instant from which the next attempt may be made, and how long the pause behind that is.
        self._next_at = 0.0
        self._seconds = _FIRST_SECONDS

    def is_over(self) -> bool:
        """Return whether it is time for an attempt. If it is, another pause begins."""
        now = monotonic()
        if now < self._next_at:
            return False
        if now > self._next_at + _LONGEST_SECONDS:
            # Nobody has tried for a while, because there was no need to.
            self._seconds = _FIRST_SECONDS
        self._next_at = now + self._seconds
        self._seconds = min(2 * self._seconds, _LONGEST_SECONDS)
        return True

    def seconds_left(self) -> float:
        """Return how long the present pause lasts still."""
        return max(0.0, self._next_at - monotonic())
