"""A semaphore of the kernel. Who dies holding it has it for ever."""

from __future__ import annotations

import os
import zlib

from .base import Contender, Handle, Kind


class PosixSemaphore(Contender):
    """``posix_ipc.Semaphore`` of one permit."""

    name = "posix_ipc"
    title = "posix_ipc Semaphore"
    kind = Kind.KERNEL
    driver = "posix_ipc"

    def __init__(self) -> None:
        self._prefix = ""

    def start(self, directory: str) -> None:
        # They are all in one place, whoever makes them.
        self._prefix = f"/bench-{os.getpid()}-"
        self._removed()

    def stop(self) -> None:
        if self._prefix:
            self._removed()

    def connect(self, name: str) -> Handle:
        import posix_ipc

        semaphore = posix_ipc.Semaphore(
            f"{self._prefix}{zlib.crc32(name.encode())}", posix_ipc.O_CREAT, mode=0o600, initial_value=1
        )
        return Handle(semaphore.acquire, semaphore.release, semaphore)

    def _removed(self) -> None:
        for file in os.listdir("/dev/shm"):
            if file.startswith("sem." + self._prefix[1:]):
                os.unlink(os.path.join("/dev/shm", file))
