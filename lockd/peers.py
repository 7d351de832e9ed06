"""Who is at the other end of a connection, by the kernel's word, and whether that process still lives."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
from functools import cache
from typing import Final, NamedTuple

from .logs import safe

# Linux 6.5 and newer; the socket module has no name for it.
_SO_PEERPIDFD: Final = 77

#: Linux 4.13 and newer; the socket module has no name for it.
_SO_PEERGROUPS: Final = 59

#: As much as getsockopt() of Python takes: 256 groups. The kernel allows for more, and nobody has as many.
_GROUPS_BYTES_MAX: Final = 1024

_UCRED: Final = struct.Struct("iII")
_GID: Final = struct.Struct("I")

#: The uid, and the gid, that the kernel shows for one that has no meaning in this user namespace. It can be anybody, so
#: it is nobody's.
OVERFLOW_UID: Final = 65534
OVERFLOW_GID: Final = 65534


class Identity(NamedTuple):
    """The process that called ``connect()``.

    ``pid`` is 0 for one of a pid namespace that this one cannot see. ``pidfd`` is a descriptor of the caller's own, or
    None where that process cannot be watched: the kernel is too old to do that for such a process, or at all."""

    pid: int
    uid: int
    gid: int
    pidfd: int | None
    #: Tells the process from all others that ever have its pid in this boot. Empty where nothing does.
    process: str = ""


class PeerGone(Exception):
    """The process that connected has exited already."""


def credentials(connection: socket.socket) -> tuple[int, int, int]:
    """Return pid, uid and gid of the peer as they were when it connected."""
    data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, uid, gid = _UCRED.unpack(data)
    return pid, uid, gid


def groups(connection: socket.socket) -> frozenset[int]:
    """Return the gids of the peer, its supplementary groups among them, as they were when it connected.

    Of a peer that has more than 256 groups only the first is known, and of none the one that stands for strangers.
    """
    _, _, gid = credentials(connection)
    try:
        data = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES_MAX)
    except OSError as error:
        if error.errno not in (errno.ERANGE, errno.ENOPROTOOPT):
            raise
        data = b""
    return frozenset((gid, *(number for (number,) in _GID.iter_unpack(data)))) - {OVERFLOW_GID}


def identify(connection: socket.socket) -> Identity:
    """Return who is at the other end.

    Raises:
        PeerGone: Nobody any more. There is nothing to serve.
        OSError: No descriptor is left for the pidfd (EMFILE, ENFILE). Nothing has happened.
    """
    pid, uid, gid = credentials(connection)
    pidfd = _pidfd(connection, pid)
    return Identity(pid, uid, gid, pidfd, "" if pidfd is None else _process_of_own(pidfd, pid))


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
        _reraise_exhaustion(error)
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
    if _process_of_own(pidfd, pid) == process and not has_exited(pidfd):
        return pidfd
    os.close(pidfd)
    return None


def has_exited(pidfd: int) -> bool:
    """Whether the process of ``pidfd`` is gone. A zombie is: it will never run again."""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def short_name(pid: int) -> str:
    """Return the kernel's short name of a process, or an empty text where that cannot be read.

    The process itself chooses that name, and whatever bytes it has in it, the text is fit to be shown.
    """
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return safe(file.read().removesuffix("\n"))
    except OSError:
        return ""


@cache
def _anonymous_device() -> int:
    """Return the device of the inode that all anonymous descriptors share, pidfds of older kernels among them."""
    with select.epoll() as anonymous:
        return os.fstat(anonymous.fileno()).st_dev


def _process_of_own(pidfd: int, pid: int) -> str:
    """Do what `process_of` does, and close ``pidfd`` if that raises."""
    try:
        return process_of(pidfd, pid)
    except OSError:
        os.close(pidfd)
        raise


def _pidfd(connection: socket.socket, pid: int) -> int | None:
    try:
        # Names the process itself, not its number, which could have been given to another one since.
        return connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        _reraise_exhaustion(error)
    if pid <= 0:
        return None
    # An older kernel, or (before 6.16) a process that was reaped already. Between connect() and now the number may in
    # theory have come round to another process; that is the best such a kernel can say.
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise PeerGone from None
    except OSError as error:
        _reraise_exhaustion(error)
        return None


def _reraise_exhaustion(error: OSError) -> None:
    if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOMEM):
        raise error
