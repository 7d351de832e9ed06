"""The sockets that clients connect to: how they come to be, and how connections are taken from them."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from typing import Final, NamedTuple

from .logs import log
from .reactor import READABLE, Reactor

#: Linux 6.16 and newer; the socket module has no name for it. Without it a peer can send descriptors along, and closing
#: one of those can be made to take seconds (a TCP socket with SO_LINGER), in which the daemon serves nobody.
_SO_PASSRIGHTS: Final = 83

#: As many connections as the kernel allows to wait: a client whose connection is not taken yet waits, one that finds no
#: room has to try again.
_BACKLOG: Final = 4096

#: Connections taken in one turn.
_ACCEPTS_MAX: Final = 64

#: How long nobody is let in after the system has had no room for one more. Asking again at once would find the same,
#: for ever.
_PAUSE_SECONDS: Final = 0.1

#: How often that is told while it lasts.
_COMPLAINT_SECONDS: Final = 10.0

_PATH_BYTES_MAX: Final = 107


class ListenError(Exception):
    """A socket that cannot be listened on, with the reason in one sentence. Nothing that lives was touched."""


class Sockets(NamedTuple):
    """The two listening sockets."""

    client: socket.socket
    admin: socket.socket


def listen(path: str, mode: int, gid: int | None = None) -> socket.socket:
    """Return a listening socket at ``path`` with this mode and group.

    Nobody can connect before it has both. A socket that a dead daemon has left is replaced. The caller is the one
    daemon of the directory (`directories.occupied`).

    Raises:
        ListenError: Something lives at ``path``, or something is there that is no socket, or the system refuses.
    """
    if len(os.fsencode(path)) > _PATH_BYTES_MAX:
        raise ListenError(
            f"the socket path {path} is longer than the {_PATH_BYTES_MAX} bytes that the kernel allows: choose a "
            "shorter directory"
        )
    try:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    except OSError as error:
        raise ListenError(f"cannot listen on {path}: {error.strerror}") from error
    try:
        _remove_what_is_dead(path)
        # The file that bind() makes has the mode of the descriptor, so that it is never open to more people than this.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        if gid is not None:
            os.chown(path, -1, gid)
        refuse_descriptors(listener)
        listener.listen(_BACKLOG)
        os.chmod(path, mode)
    except OSError as error:
        listener.close()
        raise ListenError(f"cannot listen on {path}: {error.strerror}") from error
    except ListenError:
        listener.close()
        raise
    return listener


def adopt(descriptor: int, name: str) -> socket.socket:
    """Return the listening socket that a service manager has made and passed as ``descriptor``.

    Its path, its permissions and its backlog are left as they are.

    Args:
        name: What it is called in errors.

    Raises:
        ListenError: It is something else. The descriptor is as it was, and still open.
    """
    passed = f'descriptor {descriptor}, passed as the socket "{name}",'
    try:
        listener = socket.socket(fileno=descriptor)
    except OSError as error:
        raise ListenError(f"{passed} cannot be used: {error.strerror}") from error
    is_stream = (listener.family, listener.type) == (socket.AF_UNIX, socket.SOCK_STREAM)
    if not is_stream or not listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listener.detach()
        raise ListenError(
            f"{passed} is no Unix stream socket that listens: the socket unit has to have ListenStream= with a path,"
            " and Accept=no"
        )
    listener.setblocking(False)
    listener.set_inheritable(False)
    refuse_descriptors(listener)
    return listener


def refuse_descriptors(listener: socket.socket) -> None:
    """Let nobody pass descriptors over connections of this listener, where the kernel can do that."""
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)
    except OSError as error:
        if error.errno not in (errno.ENOPROTOOPT, errno.EINVAL):
            raise


class Listener:
    """Takes connections from one listening socket."""

    def __init__(self, sock: socket.socket, reactor: Reactor, welcome: Callable[[socket.socket], None]) -> None:
        """Start taking connections and give each, set not to block, to ``welcome``.

        Whatever OSError that raises means that there is no room for one more, as when accepting fails.
        """
        self._complained_at = -_COMPLAINT_SECONDS
        self._sock = sock
        self._reactor = reactor
        self._welcome = welcome
        reactor.watch(sock.fileno(), self._ready)

    def _ready(self, mask: int) -> None:
        for _ in range(_ACCEPTS_MAX):
            try:
                connection, _address = self._sock.accept()
            except BlockingIOError:
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                self._pause(error)
                return
            connection.setblocking(False)
            try:
                self._welcome(connection)
            except OSError as error:
                connection.close()
                self._pause(error)
                return

    def _pause(self, error: OSError) -> None:
        now = self._reactor.clock()
        if now - self._complained_at >= _COMPLAINT_SECONDS:
            self._complained_at = now
            log.error("new connections have to wait: %s", error.strerror)
        # Not forgotten: there might be no room to watch it again.
        self._reactor.rewatch(self._sock.fileno(), 0)
        self._reactor.call_at(now + _PAUSE_SECONDS, lambda: self._reactor.rewatch(self._sock.fileno(), READABLE))


def _remove_what_is_dead(path: str) -> None:
    """Remove the socket that a dead daemon left at ``path``, and nothing else.

    A new name that is then renamed would leave no moment without a socket, but the kernel shows the name of bind() for
    ever, in ``ss`` and to every peer."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode):
        raise ListenError(f"{path} exists and is no socket: move it out of the way, or choose another directory")
    if status.st_uid not in (0, os.geteuid()):
        raise ListenError(f"the socket {path} belongs to uid {status.st_uid}: it is not this daemon's to replace")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
        except BlockingIOError:
            # A full backlog is a sign of life as well.
            pass
    raise ListenError(f"a daemon listens on {path} already: stop that one first, or choose another directory")
