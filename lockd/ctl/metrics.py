"""``lockctl metrics``: what Prometheus reads, on standard output or in a file."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress

from lockd_client import AdminClient
from lockd_client.errors import LockError

from . import statuses
from .complaints import complain
from .output import Output
from .reports import admin_path, complain_of_admin

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse


def metrics(options: argparse.Namespace) -> int:
    """Ask, print or write the answer, and return the exit status."""
    try:
        with AdminClient(admin_path(options)) as admin:
            text = admin.metrics()
    except LockError as error:
        return complain_of_admin(error)
    if options.textfile is None:
        output = Output()
        # The patterns in it are the configuration's, which may have anything in them.
        for line in text.splitlines():
            output.line(line)
        return output.finish()
    try:
        _replace(options.textfile, text)
    except OSError as error:
        complain(f"{options.textfile} cannot be written: {error.strerror}")
        return statuses.NOT_WRITTEN
    return statuses.OK


def _replace(path: str, text: str) -> None:
    """Put a file with ``text`` in the place of another one, for everybody to read. Nobody ever sees a part of it.

    Raises:
        OSError: What was there is there still.
    """
    # The collector reads whatever ends in .prom.
    descriptor, unfinished = tempfile.mkstemp(prefix=".lockd-metrics-", dir=os.path.dirname(path) or ".")
    try:
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(file.fileno(), 0o644)
        os.rename(unfinished, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)
        raise
