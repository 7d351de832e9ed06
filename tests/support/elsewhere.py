"""A connection of bytes (`support.raw`) that another process has: one that can be killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from .actor import Actor
from .daemon import Daemon
from .raw import Raw
from .sources import REPOSITORY

_SETUP = f"""
import sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from support.raw import Raw
peer = Raw.welcomed(path, program)
"""


class Elsewhere(Actor):
    """A process with one connection, on which it has said HELLO.

    `peer` does there what a `Raw` does here, as far as JSON can carry what it takes and returns. With an exception it
    raises `ActorRaised`, with the name of that.
    """

    def __init__(self, daemon: Daemon, program: str) -> None:
        """Start it."""
        super().__init__(_SETUP, path=daemon.client_socket, program=program)
        self.peer = cast(Raw, _Peer(self))


class _Peer:
    def __init__(self, actor: Actor) -> None:
        self._actor = actor

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: object, **named: object) -> Any:
            return self._actor(f"peer.{method}(*{arguments!r}, **{named!r})")

        return call
