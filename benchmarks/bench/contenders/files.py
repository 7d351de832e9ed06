"""Locks on files, which only the kernel keeps, by the libraries for them and without one."""

from __future__ import annotations

import fcntl
import os
from abc import abstractmethod

from .base import Contender, Handle, Kind


class _FileLock(Contender):
    """A name is a file."""

    kind = Kind.KERNEL

    def __init__(self) -> None:
        self._directory = ""

    def start(self, directory: str) -> None:
        self._directory = directory

    def connect(self, name: str) -> Handle:
        return self._of_file(os.path.join(self._directory, name.replace("/", "-")))

    @abstractmethod
    def _of_file(self, path: str) -> Handle:
        """Return a handle of a file, which may not exist yet."""


class Flock(_FileLock):
    """A file that stays open, and the system call."""

    name = "flock"
    title = "fcntl.flock on an open file"

    def _of_file(self, path: str) -> Handle:
        file = open(path, "ab")  # noqa: SIM115  # The handle keeps it open.
        flock, number = fcntl.flock, file.fileno()
        return Handle(lambda: flock(number, fcntl.LOCK_EX), lambda: flock(number, fcntl.LOCK_UN), file)


class Filelock(_FileLock):
    """``filelock.FileLock``, which looks again every twentieth of a second."""

    name = "filelock"
    title = "filelock FileLock"
    driver = "filelock"

    def _of_file(self, path: str) -> Handle:
        from filelock import FileLock

        lock = FileLock(path)
        return Handle(lock.acquire, lock.release)


class Fasteners(_FileLock):
    """``fasteners.InterProcessLock``, which looks again after 0.01 to 0.1 s."""

    name = "fasteners"
    title = "fasteners InterProcessLock"
    driver = "fasteners"

    def _of_file(self, path: str) -> Handle:
        from fasteners import InterProcessLock

        lock = InterProcessLock(path)
        return Handle(lock.acquire, lock.release)


class Portalocker(_FileLock):
    """``portalocker.Lock``, which looks again every quarter of a second; its default would give up after 5 s."""

    name = "portalocker"
    title = "portalocker Lock"
    driver = "portalocker"

    def _of_file(self, path: str) -> Handle:
        from portalocker import Lock

        lock = Lock(path, timeout=3600)
        return Handle(lock.acquire, lock.release)
