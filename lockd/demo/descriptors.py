"""Act 2: what closing a descriptor does to a lock of the kernel, and what it does to one of lockd."""

from __future__ import annotations

import fcntl
import os
import time
from functools import partial

from .children import Children
from .daemon import lock_of_file
from .puppet import Actions, Puppet
from .stage import Mark, Stage

_GRANTED, _REFUSED, _DONE = "granted", "refused", "done"


def play_descriptors(children: Children, socket: str, path: str, stage: Stage) -> bool:
    """Play act 2 with locks on the file ``path``, and return whether that of lockd was kept until its holder exited.

    Args:
        socket: The daemon's.
    """
    with open(path, "xb"):
        pass
    stage.title("Act 2: a process opens its locked file once more, and closes it")
    stage.say("fcntl.lockf, the kernel's lock on a file:")
    with_kernel = partial(_kernel_actions, path)
    with Puppet(children, with_kernel) as holder, Puppet(children, with_kernel) as other:
        _play_kernel(holder, other, stage)
    stage.say("path_lock of lockd, a lock on the file's name:")
    with_lockd = partial(_lockd_actions, path, socket)
    with Puppet(children, with_lockd) as holder, Puppet(children, with_lockd) as other:
        return _play_lockd(holder, other, stage)


def _play_kernel(holder: Puppet, other: Puppet, stage: Stage) -> None:
    _lock(holder, stage)
    _try(other, holder, stage)
    _open_and_close(holder, stage)
    if _try(other, holder, stage):
        stage.say("  It was kept: this system does not do what POSIX asks of it.")


def _play_lockd(holder: Puppet, other: Puppet, stage: Stage) -> bool:
    kept = _lock(holder, stage) and _try(other, holder, stage)
    _open_and_close(holder, stage)
    kept &= _try(other, holder, stage)
    holder.ask("close all")
    stage.step(Mark.NONE, f"{holder.pid} closes every descriptor it has: os.closerange(3, ...)")
    if not kept & _try(other, holder, stage):
        return False
    other.tell("wait")
    exits_at = time.monotonic()
    holder.exit()
    passed_seconds = float(other.hear()) - exits_at
    # Were it negative, the other one would have had it while the holder was there.
    freed = passed_seconds >= 0
    stage.step(
        Mark.GOOD if freed else Mark.BAD,
        f"{holder.pid} exits, and {other.pid}, which waited, has it {passed_seconds * 1000:.1f} ms later",
    )
    return freed


def _lock(holder: Puppet, stage: Stage) -> bool:
    """Have the holder take the lock, and return whether it got it."""
    answer = holder.ask("attempt")
    is_granted = answer == _GRANTED
    stage.step(Mark.GOOD if is_granted else Mark.BAD, f"process {holder.pid} takes the lock: {answer}")
    return is_granted


def _open_and_close(holder: Puppet, stage: Stage) -> None:
    holder.ask("open and close")
    stage.step(Mark.NONE, f"{holder.pid} opens the file once more, reads it, and closes it")


def _try(other: Puppet, holder: Puppet, stage: Stage) -> bool:
    """Have the other process try to take the lock, and return whether the holder kept it."""
    if other.ask("attempt") == _REFUSED:
        stage.step(Mark.GOOD, f"process {other.pid} tries to take it: refused")
        return True
    stage.step(Mark.BAD, f"process {other.pid} tries to take it: granted. {holder.pid} believes that it has it, too")
    return False


def _kernel_actions(path: str) -> Actions:
    document = os.open(path, os.O_RDWR)

    def attempt() -> str:
        try:
            fcntl.lockf(document, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return _REFUSED
        return _GRANTED

    return {"attempt": attempt, "open and close": partial(_read, path)}


def _lockd_actions(path: str, socket: str) -> Actions:
    lock = lock_of_file(path, socket)

    def wait() -> str:
        lock.acquire()
        return str(time.monotonic())

    return {
        "attempt": lambda: _GRANTED if lock.acquire(blocking=False) else _REFUSED,
        "wait": wait,
        "open and close": partial(_read, path),
        "close all": _close_all,
    }


def _read(path: str) -> str:
    with open(path, "rb") as file:
        file.read()
    return _DONE


def _close_all() -> str:
    last = max(int(descriptor) for descriptor in os.listdir("/proc/self/fd"))
    os.closerange(3, last + 1)
    return _DONE
