"""Signals for a main thread that is blocked."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_MAIN = threading.main_thread().ident or 0

#: A signal that comes between Python's last look at its signals and the system call is noticed when that returns, which
#: for a call that waits is never. A person presses Ctrl-C again.
_PRESS_AGAIN_SECONDS = 0.02


@contextmanager
def handled(number: signal.Signals, wait_for: Callable[[], None], action: Callable[[], None]) -> Iterator[None]:
    """Run ``action`` in a signal handler of the main thread, once, as soon as ``wait_for`` returns in another thread.

    The block is what the main thread does meanwhile.
    """
    was_run = threading.Event()

    def handler(signal_number: int, frame: object) -> None:
        if not was_run.is_set():
            was_run.set()
            action()

    def send() -> None:
        wait_for()
        while not was_run.wait(_PRESS_AGAIN_SECONDS):
            signal.pthread_kill(_MAIN, number)

    before = signal.signal(number, handler)
    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield
    finally:
        sender.join()
        signal.signal(number, before)


def interrupt() -> None:
    """What Python does about SIGINT."""
    raise KeyboardInterrupt
