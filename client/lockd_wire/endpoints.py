"""Where the daemon's sockets are.

Two programs that found two daemons would both hold "the" lock, so the answer may not depend on who happens to run: the
environment variable decides, then the system's directory wherever it exists, then the user's own. Daemon and clients
ask the same functions.
"""

from __future__ import annotations

import os
import stat

from ._typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

CLIENT_SOCKET = "lockd.sock"
ADMIN_SOCKET = "admin.sock"
SYSTEM_RUNTIME_DIRECTORY = "/run/lockd"
USER_RUNTIME_DIRECTORIES = "/run/user"


def runtime_directory(
    environ: Mapping[str, str] | None = None,
    *,
    system: str = SYSTEM_RUNTIME_DIRECTORY,
    users: str = USER_RUNTIME_DIRECTORIES,
    uid: int | None = None,
) -> str:
    """Return the directory in which a user's programs look for the daemon, whether it exists or not.

    The system's wherever that exists, and for root in any case. Else ``lockd`` in ``$XDG_RUNTIME_DIR`` or, because cron
    and su do not set that variable, in the directory that it usually names, ``/run/user/UID``; and on machines that
    have no such directories, ``/tmp/lockd-UID``.

    Args:
        environ: The environment, if not that of this process.
        system: The system's directory.
        users: Where each user has a directory that is named by the uid.
        uid: The user, if not that of this process.
    """
    environ = os.environ if environ is None else environ
    uid = os.getuid() if uid is None else uid
    if uid == 0 or os.path.isdir(system):
        return system
    for parent in (environ.get("XDG_RUNTIME_DIR", ""), os.path.join(users, str(uid))):
        # A relative path would be another directory in each working directory.
        if os.path.isabs(parent) and os.path.isdir(parent):
            return os.path.join(parent, "lockd")
    return f"/tmp/lockd-{uid}"


def client_socket(environ: Mapping[str, str] | None = None) -> str:
    """Return the path of the socket for clients: ``$LOCKD_SOCKET``, else ``lockd.sock`` in `runtime_directory`."""
    environ = os.environ if environ is None else environ
    return environ.get("LOCKD_SOCKET") or os.path.join(runtime_directory(environ), CLIENT_SOCKET)


def admin_socket(environ: Mapping[str, str] | None = None) -> str:
    """Return the path of the admin socket: ``$LOCKD_ADMIN_SOCKET``, else ``admin.sock`` beside `client_socket`."""
    environ = os.environ if environ is None else environ
    return environ.get("LOCKD_ADMIN_SOCKET") or os.path.join(os.path.dirname(client_socket(environ)), ADMIN_SOCKET)


def fault_of_shared_directory(path: str, *, uid: int | None = None) -> str | None:
    """Say why a socket at ``path`` must not be believed, or return None.

    Where everybody may write, as in ``/tmp``, anybody can make a directory before its owner does, and put a daemon of
    their own in it. There the directory of the socket has to belong to root or to the user with this ``uid`` (that of
    this process, if none is given), and nobody else may write in it. That it does not exist is a fault as well:
    somebody could make it between this look at it and the connect.
    """
    uid = os.getuid() if uid is None else uid
    directory = os.path.dirname(os.path.abspath(path))
    if not _everybody_may_write(os.path.dirname(directory)) and not _everybody_may_write(directory):
        return None
    try:
        status = os.lstat(directory)
    except OSError as error:
        return (
            f"{directory} is not there ({error.strerror}), and anybody could make it: start a daemon with `lockd serve`"
        )
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (0, uid) or status.st_mode & 0o022:
        return f"{directory} belongs to somebody else or can be written by others, so a daemon in it could be anybody's"
    return None


def _everybody_may_write(directory: str) -> bool:
    try:
        return bool(os.stat(directory).st_mode & stat.S_IWOTH)
    except OSError:
        return False
