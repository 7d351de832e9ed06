"""Locks between processes, by name: the client of lockd.

::

    from lockd_client import lock

    with lock("reports/daily", timeout=5, label="nightly run") as grant:
        publish(report, fencing_token=grant.token)

A lock is held until it is released or the process exits. Closing files, sockets or any other descriptors does not
release it. `lockd_client.errors` has what can go wrong.
"""

from ._client import Client
from ._default import adopt, connect, inherited, lock, lock_all, rlock, rwlock, semaphore
from ._grant import Grant
from ._lock import Lock
from .errors import (
    AccessDenied,
    BadRequest,
    DaemonUnavailable,
    DeadlockDetected,
    HeldByEarlierProgram,
    KindMismatch,
    LimitMismatch,
    LockError,
    LockLost,
    LockTimeout,
    NotOwner,
    ProtocolError,
    QuotaExceeded,
    SessionLost,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._admin import AdminClient
    from ._guarded import guarded
    from ._holders import Holder
    from ._path import path_lock
    from ._rwlock import RWLock
    from ._wrappers import locked
else:

    def __getattr__(name):
        # Few programs use these, and one that takes a lock and ends spends most of its time on what it imports.
        if name == "AdminClient":
            from ._admin import AdminClient as found
        elif name == "Holder":
            from ._holders import Holder as found
        elif name == "RWLock":
            from ._rwlock import RWLock as found
        elif name == "guarded":
            from ._guarded import guarded as found
        elif name == "locked":
            from ._wrappers import locked as found
        elif name == "path_lock":
            from ._path import path_lock as found
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return found

    def __dir__():
        return sorted({*globals(), *__all__})


__all__ = [
    "AccessDenied",
    "AdminClient",
    "BadRequest",
    "Client",
    "DaemonUnavailable",
    "DeadlockDetected",
    "Grant",
    "HeldByEarlierProgram",
    "Holder",
    "KindMismatch",
    "LimitMismatch",
    "Lock",
    "LockError",
    "LockLost",
    "LockTimeout",
    "NotOwner",
    "ProtocolError",
    "QuotaExceeded",
    "RWLock",
    "SessionLost",
    "adopt",
    "connect",
    "guarded",
    "inherited",
    "lock",
    "lock_all",
    "locked",
    "path_lock",
    "rlock",
    "rwlock",
    "semaphore",
]
