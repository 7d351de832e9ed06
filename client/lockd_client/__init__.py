"""Locks between processes, by name: the client of lockd.

::

    from lockd_client import lock

    with lock("reports/daily", timeout=5, label="nightly run") as grant:
        publish(report, fencing_token=grant.token)

A lock is held until it is released or the process exits. Closing files, sockets or any other descriptors does not
release it. `lockd_client.errors` has what can go wrong.
"""

from ._admin import AdminClient
from ._client import Client
from ._default import adopt, connect, inherited, lock, lock_all, rlock, rwlock, semaphore
from ._grant import Grant
from ._guarded import guarded
from ._holders import Holder
from ._lock import Lock
from ._path import path_lock
from ._rwlock import RWLock
from ._wrappers import locked
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
