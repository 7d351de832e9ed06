"""Ends a process together with everything below it."""

from __future__ import annotations

import os
import resource
import select
import signal
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

#: More than poll() takes at once would be 24 days.
_POLL_SECONDS_MAX = 86_400.0


def end_family(root: int, grace_seconds: float) -> list[int]:
    """Send SIGTERM to a process and all its descendants, and SIGKILL to those that are not gone after a while.

    A descendant whose parents are all gone is nobody's descendant any more, and is not found.

    Args:
        root: A child of this process that has not been waited for, so that its pid is its own.
        grace_seconds: How long that is. If all are gone sooner, this returns sooner.

    Returns:
        The processes that this one may not send signals to.
    """
    # A descriptor for each, and a build has many.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    family = _Family(root)
    try:
        family.send(signal.SIGTERM)
        # One that is stopped would look at it in no time.
        family.send(signal.SIGCONT)
        family.wait(grace_seconds)
        return family.send(signal.SIGKILL)
    finally:
        family.close()


class _Family:
    """A process and its descendants, each by a pidfd: a number could be another process's by the time it is used."""

    def __init__(self, root: int) -> None:
        # In the order in which they were found: parents before children.
        self._pidfds = {root: os.pidfd_open(root)}

    def send(self, number: signal.Signals) -> list[int]:
        """Send a signal to everybody, newcomers included, and return to whom that is not allowed.

        To parents before children: a shell whose child is ended before it would go on with the next command.
        """
        told: set[int] = set()
        refused = []
        # Looked for first: the children of one that the signal ends are nobody's.
        self._find_newcomers()
        while fresh := [pid for pid in self._pidfds if pid not in told]:
            for pid in fresh:
                try:
                    signal.pidfd_send_signal(self._pidfds[pid], number)
                except ProcessLookupError:
                    continue
                except PermissionError:
                    refused.append(pid)
            told.update(fresh)
            self._find_newcomers()
        return refused

    def wait(self, seconds: float) -> None:
        """Wait until everybody is gone, but no longer than that."""
        deadline = time.monotonic() + seconds
        poll = select.poll()
        for pidfd in self._pidfds.values():
            poll.register(pidfd, select.POLLIN)
        waiting = len(self._pidfds)
        while waiting and (left := deadline - time.monotonic()) > 0:
            for pidfd, _ in poll.poll(min(left, _POLL_SECONDS_MAX) * 1000):
                poll.unregister(pidfd)
                waiting -= 1

    def close(self) -> None:
        """Let go of everybody."""
        for pidfd in self._pidfds.values():
            os.close(pidfd)

    def _find_newcomers(self) -> None:
        parents = dict(_parents())
        while children := [pid for pid, parent in parents.items() if parent in self._pidfds]:
            for pid in children:
                parent = parents.pop(pid)
                if pid not in self._pidfds:
                    self._take_in(pid, parent)

    def _take_in(self, pid: int, parent: int) -> None:
        try:
            pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        # The one that was seen may have exited, and the number gone to a stranger.
        if _parent_of(pid) == parent:
            self._pidfds[pid] = pidfd
        else:
            os.close(pidfd)


def _parents() -> Iterator[tuple[int, int]]:
    """Yield every process and its parent."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (parent := _parent_of(int(entry))) is not None:
            yield int(entry), parent


def _parent_of(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            stat = file.read()
    except OSError:
        return None
    # The name of the program stands in parentheses, and may have some in it.
    return int(stat[stat.rindex(b")") + 1 :].split()[1])
