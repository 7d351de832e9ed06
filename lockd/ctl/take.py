"""Takes a lock and becomes the command: what ``lockctl exec`` is, and what the child of ``lockctl run`` does.

The process that connects is the one whose life the daemon watches, and executing a command does not make it another
process. So the lock is held until the command exits, neither longer nor shorter.
"""

from __future__ import annotations

import errno
import os
import time

from lockd_client import Client, Lock, connect
from lockd_client.errors import LockError, LockTimeout
from lockd_wire.names import fault_of_program

from . import statuses
from .complaints import complain, complain_of
from .signals import undo_python

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from .errand import Errand


def become(errand: Errand, announce: Callable[[Client, int], bool] | None = None) -> int:
    """Take the lock and execute the command in place of this program.

    Signals may end the process at any moment: the daemon sees that it is gone, and nothing else has to be put in order.

    Args:
        errand: What to do.
        announce: Called with the client and the token when the lock is held and the command would come next; returns
            whether it is still wanted.

    Returns:
        The exit status, if it came to nothing; why, has been said. The lock is not held.
    """
    asked_at = time.monotonic()
    try:
        with (
            connect(errand.socket, program=_program(errand), reconnect_timeout=errand.reconnect_timeout) as client,
            _handle(client, errand) as grant,
        ):
            if errand.is_verbose:
                complain(f'got "{errand.name}" after {time.monotonic() - asked_at:.3f} s, token {grant.token}')
            if announce is not None and not announce(client, grant.token):
                return statuses.SOFTWARE
            _execute(errand, grant.token)
    except LockTimeout as error:
        if not errand.is_quiet:
            complain(error)
        return errand.conflict_status
    except LockError as error:
        return complain_of(error)


def _handle(client: Client, errand: Errand) -> Lock:
    return client.lock_all(
        *errand.items,
        tree=errand.is_tree,
        lease=errand.lease,
        timeout=errand.timeout,
        label=errand.label,
        # It is all that a command can do.
        exit_releases=True,
        on_wait=complain if errand.is_verbose else None,
    )


def _program(errand: Errand) -> str:
    """Return what the command is called in other people's error messages."""
    name = os.path.basename(errand.command[0])
    return name if fault_of_program(name) is None else "lockctl"


def _execute(errand: Errand, token: int) -> NoReturn:
    """Execute the command, or say why that cannot be and exit."""
    command = errand.command
    environment = {**os.environ, "LOCKD_NAME": errand.name, "LOCKD_TOKEN": str(token)}
    undo_python()
    try:
        try:
            os.execvpe(command[0], command, environment)
        except OSError as error:
            if error.errno != errno.ENOEXEC:
                raise
            # A script whose first line names no interpreter: execvp(3) and the shells take it for one of the shell's.
            os.execve("/bin/sh", ("sh", error.filename, *command[1:]), environment)
    except OSError as error:
        complain(f'cannot execute "{command[0]}": {error.strerror}')
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        # Without a word to the daemon: an attendant that saw the session end before the process would call it a loss.
        os._exit(statuses.NOT_FOUND if is_missing else statuses.NOT_EXECUTABLE)
