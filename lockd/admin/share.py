"""How much of the daemon's time the questions of administrators may take from those who work.

While a question is answered everybody waits. One takes less than a millisecond or two, whatever there is, but there are
questions behind questions: a list of a hundred thousand names is some thousands of them. So while the daemon is busy
with others, questions get a small part of its time, and whoever asks much waits. While it is not, they get all of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: The part of the time, while the daemon is busy.
_PART: Final = 0.02

#: It is busy when others than administrators keep it at work for more than this part of the time.
_BUSY_PART: Final = 0.2

#: Who has not asked for so long has the part of that time in advance: single questions are answered at once.
_ADVANCE_SECONDS: Final = 1.0

#: Nobody waits longer than this for an answer that took long: whoever asks gives up after five seconds.
_PAUSE_SECONDS_MAX: Final = 1.0

#: Whether it is busy is judged by what happened in so long at the least, and at the most.
_LOOK_SECONDS_MIN: Final = 0.1
_LOOK_SECONDS_MAX: Final = 1.0


class Share:
    """What administrators may take of the time, all of them together."""

    def __init__(self, clock: Callable[[], float], worked: Callable[[], float]) -> None:
        """Measure by two clocks.

        Args:
            clock: The time, in seconds.
            worked: For how many seconds of it this process has been at work.
        """
        self._clock = clock
        self._worked = worked
        #: The instant at which the time that was taken will have been made good.
        self._even_at = clock()
        # It is believed to be busy until it has been seen not to be.
        self._is_busy = True
        self._look_at = clock()
        self._worked_before = worked()
        self._taken = 0.0

    def pause_seconds(self) -> float:
        """Return how long the next question has to wait. 0: it may be answered now."""
        now = self._clock()
        self._look(now)
        return max(self._even_at - now, 0.0) if self._is_busy else 0.0

    def take(self, answer: Callable[[], None]) -> None:
        """Call ``answer``, and count what it takes."""
        began_at = self._worked()
        answer()
        took = self._worked() - began_at
        self._taken += took
        # What nobody else wanted was free.
        if self._is_busy:
            now = self._clock()
            even_at = max(self._even_at, now - _ADVANCE_SECONDS) + took / _PART
            self._even_at = min(even_at, now + _PAUSE_SECONDS_MAX)

    def _look(self, now: float) -> None:
        """Judge whether the daemon is busy, if there is enough to judge by."""
        passed = now - self._look_at
        if passed < _LOOK_SECONDS_MIN:
            return
        worked = self._worked()
        if passed <= _LOOK_SECONDS_MAX:
            self._is_busy = worked - self._worked_before - self._taken > _BUSY_PART * passed
        # What happened in a longer time says little of now.
        self._look_at, self._worked_before, self._taken = now, worked, 0.0
