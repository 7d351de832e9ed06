"""A process that does what it is told, one thing at a time."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from .children import Children, DemoFailed

_WORDS_MAX = 4096

#: What a puppet can do, by the word that calls for it. Each returns the answer, which is not empty.
Actions = Mapping[str, Callable[[], str]]


class Puppet:
    """A forked process with a few things that it can do.

    It is told over its standard input and answers there, so that it can close every other descriptor that it has.
    """

    def __init__(self, children: Children, prepare: Callable[[], Actions]) -> None:
        """Fork it. What it can do is prepared there."""
        # Keeps each message apart from the next.
        self._strings, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

        def obey() -> None:
            os.dup2(its_end.fileno(), 0)
            its_end.close()
            self._strings.close()
            actions = prepare()
            while order := os.read(0, _WORDS_MAX):
                os.write(0, actions[order.decode()]().encode()[:_WORDS_MAX])
            # Here, with everything still in its hands: what it holds is to be freed by its exit and by nothing else.
            os._exit(os.EX_OK)

        self.pid = children.fork(obey)
        self._children = children
        its_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        self._strings.close()

    def ask(self, order: str) -> str:
        """Tell it to do something and return its answer."""
        self.tell(order)
        return self.hear()

    def tell(self, order: str) -> None:
        """Tell it to do something, without waiting for the answer."""
        self._strings.send(order.encode())

    def hear(self) -> str:
        """Wait for the answer to what it was told.

        Raises:
            DemoFailed: It has exited instead.
        """
        answer = self._strings.recv(_WORDS_MAX).decode()
        if not answer:
            raise DemoFailed(f"process {self.pid} exited with status {self._children.wait(self.pid)}")
        return answer

    def exit(self) -> None:
        """Have it exit, and return when it has."""
        # An empty message reads as end of file, which closing would not be: puppets forked later have this end as well.
        self._strings.send(b"")
        self._children.wait(self.pid)
