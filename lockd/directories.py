"""The directories the daemon lives in, each with one daemon at the most."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class DirectoryError(Exception):
    """A directory that cannot be used, with the reason in one sentence. Nothing in it was touched."""


@contextmanager
def occupied(path: str, mode: int, purpose: str) -> Iterator[None]:
    """Make ``path`` if it is missing, and be the one daemon in it for as long as the block lasts.

    The kernel's lock on a file in it says so, and goes away with the process however that ends. The file itself is
    never renamed and never removed: two daemons could then each lock a file of that name.

    Raises:
        DirectoryError: It cannot be made or used, or another daemon is in it.
    """
    try:
        _make(path.rstrip("/"), mode)
        _check_owner(path, purpose)
        descriptor = os.open(os.path.join(path, "lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _unusable(path, purpose, error) from error
    try:
        _lock(descriptor, path, purpose)
        yield
    finally:
        os.close(descriptor)


def _unusable(path: str, purpose: str, error: OSError) -> DirectoryError:
    return DirectoryError(
        f"the {purpose} directory {path} cannot be used: {error.strerror}: choose another one with --{purpose}-dir"
    )


def _make(path: str, mode: int) -> None:
    # What stands in the way further up is told better by the attempt below.
    with suppress(FileExistsError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
    try:
        os.mkdir(path, mode)
    except FileExistsError:
        return
    # What the umask took away belongs to the mode as well: others have to get through to the sockets.
    os.chmod(path, mode)


def _lock(descriptor: int, path: str, purpose: str) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        occupant = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
        raise DirectoryError(
            f"another lockd runs in the {purpose} directory {path} (pid {occupant}): stop that one first, or choose "
            f"another directory with --{purpose}-dir"
        ) from None
    except OSError as error:
        raise _unusable(path, purpose, error) from error
    # Only a hint for whoever comes later, so a full disk is no reason not to start. Of one length and in place, so that
    # no disk is too full for it after the first time.
    with suppress(OSError):
        os.pwrite(descriptor, f"{os.getpid():<10}\n".encode(), 0)


def _check_owner(path: str, purpose: str) -> None:
    status = os.stat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise DirectoryError(f"the {purpose} directory {path} is not a directory")
    if status.st_uid not in (0, os.geteuid()) or status.st_mode & 0o022:
        raise DirectoryError(
            f"the {purpose} directory {path} belongs to uid {status.st_uid} with mode {status.st_mode & 0o7777:04o}: "
            "somebody else could put another daemon's socket there; it has to be the daemon's own, and writable by "
            "nobody else"
        )
