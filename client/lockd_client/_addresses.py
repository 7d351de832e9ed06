"""Connects to a socket of the daemon, or says in one sentence why that does not work and what to do."""

from __future__ import annotations

# The public module wraps this one in Python, and importing it takes as long as importing half of this library. Nothing
# of the wrapper (names instead of numbers, files, addresses of the internet) is of use here.
import _socket
import errno
import os
import stat
import time

from lockd_wire.endpoints import fault_of_shared_directory

from ._transport import Transport
from ._words import printable
from .errors import AccessDenied, DaemonUnavailable, LockError

#: What fits into a sockaddr_un besides the final zero byte.
_ADDRESS_BYTES_MAX = 107

#: How long a daemon may be too busy to accept anybody.
BACKLOG_SECONDS = 5.0

_PAUSE_SECONDS = 0.002
_PAUSE_SECONDS_MAX = 0.05

_WAY_OUT = "Start one with `lockd serve`, or set {variable} to the socket of the one that runs"

#: What it means that this process can make no connection now, whatever the daemon does, and the way out.
_SHORTAGES = {
    errno.EMFILE: "this process has as many files open as it may have. Close some, or raise its limit (`ulimit -n`, "
    "LimitNOFILE= for a service)",
    errno.ENFILE: "this machine has as many files open as it may have. Close some, or raise fs.file-max",
    errno.ENOMEM: "this machine is out of memory",
    errno.ENOBUFS: "this machine is out of memory",
}


def connected_transport(path: str, variable: str) -> Transport:
    """Return a connection to the daemon at ``path``. The rest is as for `connected_socket`."""
    sock = connected_socket(path, variable)
    try:
        return Transport(sock)
    except OSError as error:
        sock.close()
        raise unreachable(path, variable, error) from None
    except BaseException:
        sock.close()
        raise


def connected_socket(path: str, variable: str) -> _socket.socket:
    """Return a socket that is connected to the daemon at ``path``.

    Args:
        path: The socket's address.
        variable: The environment variable that would have chosen another one, for the message.

    Raises:
        DaemonUnavailable: There is no daemon, or it does not take connections.
        AccessDenied: This user may not connect.
    """
    size = len(os.fsencode(path))
    if size > _ADDRESS_BYTES_MAX:
        raise DaemonUnavailable(
            f"the path of lockd's socket is {size} bytes long ({printable(path)}), and a socket's address has room for "
            f"{_ADDRESS_BYTES_MAX}: set {variable} to a shorter one"
        )
    fault = fault_of_shared_directory(path)
    if fault is not None:
        if not os.path.lexists(os.path.dirname(path)):
            raise unreachable(path, variable, OSError(errno.ENOENT, ""))
        raise DaemonUnavailable(f"the socket {printable(path)} is not to be trusted: {fault}")
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    except OSError as error:
        raise unreachable(path, variable, error) from None
    try:
        # A backlog that is full answers a non-blocking connect with EAGAIN. A blocking one would wait for room, but if
        # a signal ended its wait, Python would take the socket for connected.
        sock.setblocking(False)
        _connect(sock, path)
        sock.setblocking(True)
        return _above_standard_streams(sock)
    except OSError as error:
        sock.close()
        raise unreachable(path, variable, error) from None
    except BaseException:
        sock.close()
        raise


def _connect(sock: _socket.socket, path: str) -> None:
    give_up_at = time.monotonic() + BACKLOG_SECONDS
    pause = _PAUSE_SECONDS
    while True:
        try:
            sock.connect(path)
            return
        except BlockingIOError:
            if time.monotonic() >= give_up_at:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)


def _above_standard_streams(sock: _socket.socket) -> _socket.socket:
    """Return the socket with a descriptor that nobody takes for standard input, output or error.

    A program that has closed those would get one of their numbers, and then print into the connection.
    """
    if sock.fileno() > 2:
        return sock
    import fcntl

    number = fcntl.fcntl(sock.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    try:
        above = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, number)
    except BaseException:
        os.close(number)
        raise
    sock.close()
    return above


def unreachable(path: str, variable: str, error: OSError) -> LockError:
    """Return what it means that the system has refused something on the way to the daemon at ``path``."""
    shown, way_out = printable(path), _WAY_OUT.format(variable=variable)
    if error.errno == errno.ENOENT:
        return DaemonUnavailable(f"there is no lockd at {shown}: no such socket. {way_out}")
    if error.errno == errno.ECONNREFUSED:
        if not _is_socket(path):
            return DaemonUnavailable(f"there is no lockd at {shown}: that is not a socket. {way_out}")
        return DaemonUnavailable(f"no lockd listens at {shown}: the daemon that made the socket is gone. {way_out}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return AccessDenied(f"this user may not connect to lockd at {shown}: {_who_may(path)}")
    if error.errno == errno.EAGAIN:
        return DaemonUnavailable(
            f"lockd at {shown} has not accepted a connection for {BACKLOG_SECONDS:g} s: its queue of new ones is full"
        )
    if error.errno == errno.EPROTOTYPE:
        return DaemonUnavailable(f"there is no lockd at {shown}: that is a socket of another kind. {way_out}")
    if error.errno in _SHORTAGES:
        return DaemonUnavailable(f"lockd at {shown} cannot be reached: {_SHORTAGES[error.errno]}")
    return DaemonUnavailable(f"lockd at {shown} cannot be reached: {error.strerror or error}. {way_out}")


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _who_may(path: str) -> str:
    """Say who may connect, from the permissions of the socket if they can be seen."""
    try:
        status = os.stat(path)
    except OSError:
        return f"{printable(os.path.dirname(path))} is closed to it. Ask whoever runs lockd for membership in its group"
    if not status.st_mode & stat.S_IWGRP:
        return f"only uid {status.st_uid} may. Ask whoever runs lockd to open it to a group"
    return f"members of the group {_group_name(status.st_gid)} may. Join it, and log in again"


def _group_name(gid: int) -> str:
    import grp

    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
