"""What a thread in the background does about an exception that nobody has foreseen: it pauses, and tries again."""

from __future__ import annotations

import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

#: So long that whatever raises each time costs next to nothing, and so short that nobody waits for the thread when it
#: can go on.
PAUSE_SECONDS = 1.0


class Setbacks:
    """What has happened to one thread so far."""

    def __init__(self) -> None:
        self._is_shown = False

    def outlive(self, step: Callable[[], bool]) -> bool:
        """Call ``step`` and return what it does: whether there is more to do.

        If it raises, there is. The first exception is shown as those are that nobody catches, because it may be a
        mistake of this library; it would be the same each time. That there is no memory is not shown.
        """
        try:
            return step()
        except MemoryError:
            pass
        except Exception:
            self._show()
        # Behind the block, where what was raised does not keep alive any more what the step has to do with.
        time.sleep(PAUSE_SECONDS)
        return True

    def _show(self) -> None:
        if self._is_shown:
            return
        self._is_shown = True
        try:
            sys.excepthook(*sys.exc_info())
        except Exception:
            # The hook may be the program's, and what it raises is not what this thread is for.
            return
