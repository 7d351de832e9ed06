"""Who is at the other end of a connection, by the kernel's word, and whether that process still lives."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import Final, NamedTuple

from .logs import safe
from .pidfds import process_of_own, reraise_exhaustion

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
    return Identity(pid, uid, gid, pidfd, "" if pidfd is None else process_of_own(pidfd, pid))


def short_name(pid: int) -> str:
    """Return the kernel's short name of a process, or an empty text where that cannot be read.

    The process itself chooses that name, and whatever bytes it has in it, the text is fit to be shown.
    """
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as file:
            return safe(file.read().removesuffix("\n"))
    except OSError:
        return ""


def _pidfd(connection: socket.socket, pid: int) -> int | None:
    try:
        # Names the process itself, not its number, which could have been given to another one since.
        return connection.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError as error:
        reraise_exhaustion(error)
    if pid <= 0:
        return None
    # An older kernel, or (before 6.16) a process that was reaped already. Between connect() and now the number may in
    # theory have come round to another process; that is the best such a kernel can say.
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        raise PeerGone from None
    except OSError as error:
        reraise_exhaustion(error)
        return None
