"""Which process a pidfd is of, and whether it still lives: what holds when its number is another one's by now.

The daemon asks this of whoever holds locks, and lockctl before it ends such a process.
"""

from __future__ import annotations

import errno
import os
import select
from functools import cache


def process_of(pidfd: int, pid: int) -> str:
    """Return what tells a process from all others that ever have its pid in this boot, or nothing if nothing does.

    That is the inode of its pidfd where each process has one of its own (Linux 6.9), else the time of its start.

    Raises:
        OSError: No descriptor is left to find that out with (EMFILE, ENFILE, ENOMEM).
    """
    status = os.fstat(pidfd)
    if status.st_dev != _anonymous_device():
        return f"inode {status.st_ino}"
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # Behind the name of the program, in which there may be anything.
            return f"start {file.read().rpartition(b')')[2].split()[19].decode()}"
    except OSError as error:
        # It must not be taken for another process because nobody could look.
        reraise_exhaustion(error)
        return ""
    except IndexError:
        return ""


def found_again(pid: int, process: str) -> int | None:
    """Return a pidfd of the process that had this pid and is this one, or None if it is gone.

    Raises:
        OSError: There is no descriptor for it.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return None
    if process_of_own(pidfd, pid) == process and not has_exited(pidfd):
        return pidfd
    os.close(pidfd)
    return None


def has_exited(pidfd: int) -> bool:
    """Whether the process of ``pidfd`` is gone. A zombie is: it will never run again."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def process_of_own(pidfd: int, pid: int) -> str:
    """Do what `process_of` does, and close ``pidfd`` if that raises."""
    try:
        return process_of(pidfd, pid)
    except OSError:
        os.close(pidfd)
        raise


def reraise_exhaustion(error: OSError) -> None:
    """Raise ``error`` if it says that there is no descriptor or memory left, and so nothing about a process."""
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise error


@cache
def _anonymous_device() -> int:
    """Return the device of the inode that all anonymous descriptors share, pidfds of older kernels among them."""
    with select.epoll() as anonymous:
        return os.fstat(anonymous.fileno()).st_dev
