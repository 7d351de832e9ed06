"""Somebody who connects, says HELLO and hangs up, again and again."""

from __future__ import annotations

import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

from .idle import wait_until
from .raw import Raw, hello


class Visitors:
    """Visits the daemon for as long as the block lasts."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._visit, daemon=True)
        #: Visits that were answered. One that the daemon's end cut short is neither answered nor refused.
        self.served = 0
        #: Visits for which there was no socket, or nobody behind it.
        self.refused: list[OSError] = []

    def wait_for_more(self) -> None:
        """Wait until somebody has been served who connected after this call."""
        # The next one may have connected before.
        served = self.served + 2
        wait_until(lambda: self.served >= served, "visitors are served")

    def wait_for_refusal(self) -> None:
        """Wait until somebody has been refused."""
        wait_until(lambda: bool(self.refused), "a visitor is refused")

    def _visit(self) -> None:
        while not self._is_over.is_set():
            try:
                peer = Raw(self._path)
            except OSError as error:
                self.refused.append(error)
                self._is_over.wait(0.001)
                continue
            # The connection may have been cut before HELLO or behind it.
            with peer, suppress(EOFError, BrokenPipeError, ConnectionResetError):
                peer.send_bytes(hello())
                peer.receive()
                self.served += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
