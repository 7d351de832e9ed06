"""A daemon that somebody starts again whenever it has ended, as systemd would."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final

from lockd.epoch import boot_id
from lockd.journal import Record, journal_path, recover

from .daemon import DEADLINE_SECONDS, Daemon
from .journals import header, journal_of

#: By which a process knows that systemd has started it as a service.
_AS_A_SERVICE: Final = ["/bin/sh", "-c", 'SYSTEMD_EXEC_PID=$$ exec "$@"', "sh"]


class SupervisedDaemon(Daemon):
    """A daemon with a supervisor, which stops with the block."""

    def __init__(
        self, directory: Path, between: Callable[[Daemon], object] = lambda _: None, *, says_so: bool = True
    ) -> None:
        """Start both.

        Args:
            directory: As for `Daemon`.
            between: Called while no daemon runs.
            says_so: Whether the daemon can know that it is supervised.
        """
        self._wrapping = _AS_A_SERVICE if says_so else []
        self._between = between
        self._is_over = False
        self.restarts = 0
        super().__init__(directory)
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)
        self._supervisor.start()

    def start(self) -> None:
        """Start it, as a service if it is to know that."""
        self._command, self._wrapping = [*self._wrapping, *self._command], []
        super().start()

    def _supervise(self) -> None:
        while True:
            self._process.wait()
            self._reader.join(DEADLINE_SECONDS)
            if self._is_over:
                return
            self._between(self)
            self.start()
            self.restarts += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_over = True
        super().__exit__(kind, error, traceback)
        self._supervisor.join(DEADLINE_SECONDS)


def forge_journal(daemon: Daemon, forge: Callable[[list[Record]], list[Record]]) -> None:
    """Write the journal of a daemon that does not run anew, sound, and with other records."""
    directory = str(daemon.runtime_dir)
    path = Path(journal_path(directory))
    recovered = recover(directory, boot_id())
    assert recovered.header is not None
    head = header(boot=recovered.header.boot_id, epoch=recovered.header.epoch)
    path.write_bytes(journal_of(forge(recovered.records), head=head))
