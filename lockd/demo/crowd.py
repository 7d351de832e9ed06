"""Many processes that start at the same moment."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable
from functools import partial

from .children import Children, DemoFailed

#: Prepares in its process whatever process ``number`` needs, and returns what it shall do once all are ready.
Prepare = Callable[[int], Callable[[], None]]


class Crowd:
    """Forked processes, numbered from 0, that wait for each other and then all begin."""

    def __init__(self, children: Children, count: int, prepare: Prepare) -> None:
        self._children = children
        self._ready, ready = os.pipe()
        gate, self._gate = os.pipe()
        #: End of file tells that all processes have ended, since each keeps the other end open.
        self._ended, ended = os.pipe()

        def run(number: int) -> None:
            # Else the gate would stay shut for as long as anybody waits in front of it.
            os.close(self._gate)
            begin = prepare(number)
            os.write(ready, b".")
            os.close(ready)
            os.read(gate, 1)
            begin()

        self._pids = [children.fork(partial(run, number)) for number in range(count)]
        for descriptor in (ready, gate, ended):
            os.close(descriptor)

    def begin(self) -> None:
        """Wait until all are ready, then let them begin.

        Raises:
            DemoFailed: One of them ended before.
        """
        ready_total = 0
        while signs := os.read(self._ready, len(self._pids)):
            ready_total += len(signs)
        os.close(self._ready)
        if ready_total < len(self._pids):
            raise DemoFailed(f"{len(self._pids) - ready_total} of {len(self._pids)} processes could not begin")
        os.close(self._gate)

    def have_ended(self, seconds: float) -> bool:
        """Wait for so long at most, and return whether all have ended."""
        readable, _, _ = select.select([self._ended], [], [], seconds)
        return bool(readable)

    def end(self) -> list[int]:
        """Kill those that have not ended, and return the exit statuses of all, by number, as `Children.wait` does."""
        os.close(self._ended)
        for pid in self._pids:
            if not self._children.has_ended(pid):
                os.kill(pid, signal.SIGKILL)
        return [self._children.wait(pid) for pid in self._pids]
