"""Locks for files, by path."""

from __future__ import annotations

import os

from lockd_wire.names import name_of_path

from . import _modes as modes
from ._default import default_client
from ._lock import Lock
from .errors import BadRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Unpack

    from ._ask import Terms
    from ._client import Client


def path_lock(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    mode: str = modes.EXCLUSIVE,
    client: Client | None = None,
    **terms: Unpack[Terms],
) -> Lock:
    """Return a handle of the lock for the file with this path, without taking it.

    All paths to the file that differ in symbolic links, ``..`` or the working directory are one lock: its name is made
    of the path that `os.path.realpath` returns now. The file need not exist, and neither this nor the daemon opens it:
    a lock is taken by those who ask for it, and stops nobody else. Hard links are different paths, and so different
    locks.

    Args:
        path: The path, with any bytes in it.
        client: The client to take it through, if not the one of the module.

    The other arguments are those of `lock`.

    Raises:
        BadRequest: The path is empty or has a zero byte in it, or is too long for `tree`, or the label cannot be.
    """
    given = os.fsencode(path)
    if not given or b"\0" in given:
        raise BadRequest(f"{given!r} is no path of a file")
    name = name_of_path(os.path.realpath(given))
    if terms.get("tree") and not name.startswith("path:"):
        raise BadRequest(f"{given!r} is too long for a name in a tree: its name is a hash, which has nothing above it")
    return (client or default_client()).lock(name, mode=mode, **terms)
