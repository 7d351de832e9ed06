"""What lockd and systemd say to each other: sockets that are passed, notifications, the watchdog.

Spoken by hand, because it is a few environment variables and datagrams: sd_listen_fds(3), sd_notify(3) and
sd_watchdog_enabled(3) tell all of it. Another service manager that speaks the same is as good.
"""

from __future__ import annotations

import os
import re
import socket
from collections import deque
from collections.abc import Mapping
from typing import Final

from .listeners import ListenError, Sockets, adopt
from .logs import log
from .reactor import Reactor

#: The number of the first descriptor that is passed.
_FIRST_DESCRIPTOR: Final = 3

_SIGN_OF_LIFE: Final = "WATCHDOG=1"

#: How long a notification waits that the service manager has no room for. Some ten fit in while it is busy.
_RETRY_SECONDS: Final = 0.1

#: Signs of life in the time after which a daemon without any is ended. Two is usual, and one that comes late would be
#: one too few.
_SIGNS_PER_TIMEOUT: Final = 3


def passed_sockets(environ: Mapping[str, str] = os.environ, first: int = _FIRST_DESCRIPTOR) -> Sockets | None:
    """Return the sockets that were passed to this process, or None if none were.

    They are the daemon's from then on, and ready to take connections from. Their paths, permissions and backlogs are
    as they came.

    Args:
        environ: What systemd says about them.
        first: The number of the first one.

    Raises:
        ListenError: They are not the two that there have to be. The descriptors are as they were.
    """
    # Descriptors that were meant for the parent are none of ours, whatever their number.
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = environ.get("LISTEN_FDS", "")
    if not count.isascii() or not count.isdigit():
        raise ListenError(f'LISTEN_FDS is "{count}" and not the number of sockets that were passed')
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    if int(count) != len(names) or sorted(names) != sorted(Sockets._fields):
        raise ListenError(
            f"{count} sockets were passed, with the names {', '.join(names) or 'none'}: there have to be two, client"
            " and admin, each from a socket unit with that name as its FileDescriptorName=, and the service has to"
            " require both"
        )
    # By name: their order differs between the versions of systemd.
    descriptors = {name: first + index for index, name in enumerate(names)}
    client = adopt(descriptors["client"], "client")
    try:
        return Sockets(client, adopt(descriptors["admin"], "admin"))
    except ListenError:
        client.detach()
        raise


def is_supervised(environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether systemd has started this very process as a service. Its other variables are handed down to
    whatever a service starts."""
    return environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


class ServiceManager:
    """Whoever wants to know how the daemon is; nobody, if ``$NOTIFY_SOCKET`` names nobody.

    What is told arrives in order, and nothing ever waits for it: what finds no room is told later.
    """

    def __init__(self, reactor: Reactor, environ: Mapping[str, str] = os.environ) -> None:
        """Find out who wants to know, and whether they expect signs of life.

        Those come from the turns of the reactor. A daemon whose loop is stuck gives none, which is what they are for.
        """
        self._reactor = reactor
        self._untold: deque[bytes] = deque()
        #: As it is written in the environment: an @ stands for the zero byte of an abstract socket.
        self._address = environ.get("NOTIFY_SOCKET", "")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._sign_seconds = _watchdog_seconds(environ) / _SIGNS_PER_TIMEOUT
        if self._address and self._sign_seconds:
            self._give_sign_of_life()

    def tell(self, *assignments: str) -> None:
        """Tell something, such as ``READY=1``. Several things in one call are told at once."""
        if self._address:
            self._untold.append("\n".join(assignments).encode())
            # More than one of them: somebody has tried already, and will again.
            if len(self._untold) == 1:
                self._tell_untold()

    def close(self) -> None:
        """Tell nothing more."""
        self._address = ""
        self._untold.clear()
        self._socket.close()

    def _tell_untold(self) -> None:
        address = re.sub("^@", "\0", self._address)
        while self._untold:
            try:
                self._socket.sendto(self._untold[0], address)
            except BlockingIOError:
                self._reactor.call_at(self._reactor.clock() + _RETRY_SECONDS, self._tell_untold)
                return
            except OSError as error:
                log.warning("the service manager at %s cannot be told anything: %s", self._address, error)
            self._untold.popleft()

    def _give_sign_of_life(self) -> None:
        # While nobody listens one that is left to tell says as much as many.
        if _SIGN_OF_LIFE.encode() not in self._untold:
            self.tell(_SIGN_OF_LIFE)
        self._reactor.call_at(self._reactor.clock() + self._sign_seconds, self._give_sign_of_life)


def _watchdog_seconds(environ: Mapping[str, str]) -> float:
    """Return the time without a sign of life after which the daemon would be ended, or 0 if nobody looks."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    microseconds = environ.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isascii() and microseconds.isdigit() else 0.0
