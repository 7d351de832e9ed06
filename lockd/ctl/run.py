"""``lockctl run``: starts a child that takes the lock and becomes the command, and attends to it.

So the lock is the command's own and does not depend on this process, which waits for the command, passes signals on,
and ends as the command did.
"""

from __future__ import annotations

import _socket
import os
import sys

from . import statuses
from .attendant import AWAITED, Attendant
from .complaints import complain
from .signals import die_of_interrupts, request_news, signal
from .take import become

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from lockd_client import Client

    from .errand import Errand


def run(errand: Errand, kill_after_seconds: float) -> int:
    """Run the command under the lock, and exit as it did.

    If a signal that was sent to this process as well has ended the command, it ends this process too.

    Returns:
        The exit status, if there could not be a child; why, has been said.
    """
    # Whoever started us may ignore it, and then the exit of a child leaves nothing behind to wait for.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    ours, theirs = _socket.socketpair()
    request_news(ours)
    try:
        child = os.fork()
    except OSError as error:
        complain(f"cannot start a process: {error.strerror}")
        return statuses.NO_PROCESS
    if child == 0:
        ours.close()
        _live_as_child(errand, theirs, mask)
    theirs.close()
    # A tenth of the time that a short command takes under lockctl is what Python would take to tidy up.
    os._exit(Attendant(child, errand, ours, kill_after_seconds).attend())


def _live_as_child(errand: Errand, link: _socket.socket, mask: set[signal.Signals | int]) -> NoReturn:
    status = statuses.SOFTWARE
    try:
        die_of_interrupts()
        # Who kills lockctl while it waits for the lock does not want the command any more. SIGKILL cannot be passed on,
        # but it closes the other end of the link, and SIGIO is deadly to whoever neither waits for it nor ignores it.
        request_news(link)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        status = become(errand, lambda client, token: _hand_over(client, token, link))
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _hand_over(client: Client, token: int, link: _socket.socket) -> bool:
    """Give the attendant the token and a copy of the connection, and return whether it is still there."""
    number = client.fileno()
    rights = (_socket.SOL_SOCKET, _socket.SCM_RIGHTS, number.to_bytes(4, sys.byteorder))
    try:
        link.sendmsg([b"%d" % token], [rights])
    except OSError:
        return False
    return True
