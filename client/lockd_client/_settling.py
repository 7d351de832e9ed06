"""The short-lived thread that does what a call has left undone because it waits for nothing.

It sends what there was no room for, and while the daemon is away it waits for it to come back, so that what was
released, or held by a client that was closed, becomes free even if this process never asks for anything again.
"""

from __future__ import annotations

import time
from _thread import start_new_thread

from ._setbacks import Setbacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._channel import Channel


class Settler:
    """Starts the thread and knows whether it runs."""

    def __init__(self) -> None:
        #: Whether the thread runs. Changed in sections only, so that it never ends while somebody counts on it.
        self.is_running = False

    def start(self, channel: Channel) -> None:
        """Have a thread settle what there is, if none does yet. Called in a section."""
        if self.is_running:
            return
        self.is_running = True
        try:
            start_new_thread(self._run, (channel,))
        except RuntimeError:
            # The interpreter is about to exit, and with the process goes all that it holds.
            self.is_running = False

    def _run(self, channel: Channel) -> None:
        setbacks = Setbacks()
        try:
            while setbacks.outlive(lambda: _step(channel)):
                pass
        except BaseException:
            self.is_running = False
            raise


def _step(channel: Channel) -> bool:
    """Do what can be done now, and return whether there may be more."""
    if channel.is_settled():
        return False
    if not channel.is_down:
        channel.speak_on()
        return True
    channel.mend_in_time(ends_if_refused=True)
    if channel.is_down:
        time.sleep(channel.pause_seconds())
    return True
