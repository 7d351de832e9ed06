"""A process whose connections the test speaks over: by the kernel's word they are that process's."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Final, Self

#: Connects each socket that comes over its standard input, and says whether that went well. With the least of imports:
#: many of these are started.
_PROGRAM: Final = """
import _socket, sys
control = _socket.socket(fileno=0)
while True:
    path, passed, _, _ = control.recvmsg(200, 64)
    if not path:
        break
    connection = _socket.socket(fileno=int.from_bytes(passed[0][2][:4], sys.byteorder))
    try:
        connection.connect(path)
    except OSError:
        control.send(b"refused")
    else:
        control.send(b"connected")
    connection.close()
"""


class AnotherProcess:
    """One that lives until it is told to die, or the block ends."""

    def __init__(self) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _PROGRAM], stdin=theirs.fileno())
        self.pid: Final = self._process.pid

    def connect(self, sock: socket.socket, path: str) -> None:
        """Connect ``sock`` as this process.

        Raises:
            ConnectionRefusedError: Nobody listens there, or there is no such socket.
        """
        socket.send_fds(self._control, [path.encode()], [sock.fileno()])
        if self._control.recv(20) != b"connected":
            raise ConnectionRefusedError(path)

    def dies(self) -> None:
        """Kill the process. The kernel says so on its pidfd when this returns."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self._control.close()
        self.dies()
