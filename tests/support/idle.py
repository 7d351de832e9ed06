"""Whether a process sleeps, by the kernel's word: without a clock, and without waiting to see whether it wakes."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from .daemon import DEADLINE_SECONDS

#: epoll_wait and epoll_pwait, on x86-64 and on everything that is younger. Their fourth argument is the timeout.
_EPOLL_CALLS: Final = {"232", "281", "22"}
_TIMEOUT_ARGUMENT: Final = 4

#: Whoever waits this long, in milliseconds, has nothing to do. The daemon lingers for up to five before it does.
_LONG: Final = 1000
_FOR_EVER: Final = 2**31


def is_idle(pid: int) -> bool:
    """Whether the process waits in epoll for something to happen, and has for a second or more nothing to do by itself.

    One that has a descriptor that is always ready, as after a hang-up that nobody takes notice of, can never be seen
    like this: its epoll_wait returns at once.
    """
    call, *arguments = Path(f"/proc/{pid}/syscall").read_text().split()
    if call not in _EPOLL_CALLS:
        return False
    # An int, of which -1 is for ever.
    milliseconds = int(arguments[_TIMEOUT_ARGUMENT - 1], 16) & 0xFFFFFFFF
    return milliseconds >= _LONG or milliseconds >= _FOR_EVER


def wait_until_idle(pid: int, looks: int | None = None) -> None:
    """Wait until `is_idle`.

    Args:
        looks: Fail after so many of them; None: after `DEADLINE_SECONDS`.
    """
    if not Path("/proc/self/syscall").exists():
        pytest.skip("this kernel does not tell in which call a process is")
    wait_until(lambda: is_idle(pid), f"process {pid} is idle", looks)


def wait_until(condition: Callable[[], bool], what: str, looks: int | None = None) -> None:
    """Look again and again whether something has become true, and fail if it does not."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    for look in itertools.count(1):
        if condition():
            return
        if look == looks or time.monotonic() > deadline:
            raise AssertionError(f"it never came to pass that {what}")
        time.sleep(0.001)


def wake_ups(pid: int) -> int:
    """Return how often the process has gone to sleep so far."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("voluntary_ctxt_switches:"):
            return int(line.split()[1])
    raise AssertionError("this kernel does not count")
