"""What every contender is to the harness."""

from __future__ import annotations

import enum
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple


class Kind(enum.Enum):
    """Which part a contender plays."""

    #: Excludes nobody: the least that any answer over a socket costs.
    FLOOR = "floor"
    LOCKD = "lockd"
    #: A server that is asked.
    SERVICE = "service"
    #: The kernel alone is asked.
    KERNEL = "kernel"


class Handle(NamedTuple):
    """One name, ready to be taken by this process. The functions are the contender's own, with nothing around them that
    would be measured as well."""

    acquire: Callable[[], object]
    release: Callable[[], object]
    #: Kept alive for as long as the handle is: connections, files.
    owner: object = None


class Contender(ABC):
    """Something that can be asked for a name.

    `start` and `stop` are called in the harness; `connect` in each process that works, after `start`.
    """

    name: ClassVar[str]
    #: What it is, for the reports.
    title: ClassVar[str]
    kind: ClassVar[Kind]
    #: A package that its driver is in, or None.
    driver: ClassVar[str | None] = None

    def missing(self) -> str | None:
        """Return what this machine lacks for it, in words; None: it can run."""
        if self.driver is not None and importlib.util.find_spec(self.driver) is None:
            return f"the Python package {self.driver} is not installed"
        return None

    @abstractmethod
    def start(self, directory: str) -> None:
        """Make ready what it needs, in this empty directory.

        Raises:
            ServerFailed: Its server does not run.
        """

    def stop(self) -> None:  # noqa: B027  # Most have nothing to stop.
        """Stop its server, if there is one. May be called without `start`."""

    def server_cpu_ns(self) -> int | None:
        """Return how much of a processor its server has used so far, or None if that cannot be told."""
        return None

    @abstractmethod
    def connect(self, name: str) -> Handle:
        """Return a handle of a name, for this process."""
