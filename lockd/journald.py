"""The native protocol of systemd's journal: a message with fields that can be searched for.

Spoken by hand, as the rest of what lockd and systemd say to each other is: one datagram for a message, a line for each
field (systemd's page "Native Journal Protocol" tells all of it).
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from array import array
from collections.abc import Iterable
from typing import Final

#: Where the journal listens.
JOURNAL_SOCKET: Final = "/run/systemd/journal/socket"

_LENGTH: Final = struct.Struct("<Q")

#: The reader wants to be sure that a file it is passed stays as it is.
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

_TOO_LONG: Final = frozenset({errno.EMSGSIZE, errno.ENOBUFS})


def packed_fields(fields: Iterable[tuple[str, str]]) -> bytes:
    """Return a message. A field may be there several times; its name is capitals, digits and underscores."""
    return b"".join(_packed(name.encode(), value.encode("utf-8", "backslashreplace")) for name, value in fields)


def _packed(name: bytes, value: bytes) -> bytes:
    if b"\n" not in value:
        return b"%s=%s\n" % (name, value)
    return b"%s\n%s%s\n" % (name, _LENGTH.pack(len(value)), value)


class JournalSocket:
    """A way to the journal on which nobody ever waits."""

    def __init__(self, path: str = JOURNAL_SOCKET) -> None:
        """Make ready to send to ``path``. Nothing is sent, and nobody need be there.

        Raises:
            OSError: There is no descriptor.
        """
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def send(self, message: bytes) -> bool:
        """Send a message and return whether the journal has it. If it is away, or busy, it has not."""
        try:
            self._socket.sendto(message, self._path)
        except OSError as error:
            return error.errno in _TOO_LONG and self._send_as_file(message)
        return True

    def close(self) -> None:
        """Send nothing more."""
        self._socket.close()

    def _send_as_file(self, message: bytes) -> bool:
        """Pass a message that is too long for a datagram as a file in memory that nobody can change any more."""
        try:
            file = os.memfd_create("lockd-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            try:
                with open(file, "wb", closefd=False) as writer:
                    writer.write(message)
                fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
                descriptors = (socket.SOL_SOCKET, socket.SCM_RIGHTS, array("i", [file]))
                self._socket.sendmsg([b""], [descriptors], 0, self._path)
            finally:
                os.close(file)
        except OSError:
            return False
        return True
