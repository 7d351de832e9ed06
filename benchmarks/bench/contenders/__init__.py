"""The contenders, each in a module of its own behind `base.Contender`."""

from __future__ import annotations

from .base import Contender, Handle, Kind
from .echo import CEcho, PythonEcho
from .etcd import Etcd
from .files import Fasteners, Filelock, Flock, Portalocker
from .lockd import Lockd
from .postgres import Postgres
from .redis_lock import Redis
from .semaphore import PosixSemaphore
from .zookeeper import ZooKeeper

__all__ = ["ALL", "OTHERS", "PEERS", "Contender", "Handle", "Kind"]

_CLASSES: tuple[type[Contender], ...] = (
    *(PythonEcho, CEcho, Lockd),
    *(Redis, Postgres, Etcd, ZooKeeper),
    *(Filelock, Fasteners, Portalocker, Flock, PosixSemaphore),
)

#: By name, in the order of the reports.
ALL: dict[str, type[Contender]] = {each.name: each for each in _CLASSES}

#: What lockd is compared with, and what takes part in any case.
PEERS = tuple(name for name, each in ALL.items() if each.kind in (Kind.SERVICE, Kind.KERNEL))
OTHERS = tuple(name for name in ALL if name not in PEERS)
