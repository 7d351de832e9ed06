"""The process behind the admin socket, by the kernel's word, so that none but the daemon is ever killed."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import time

from lockd_client import AdminClient
from lockd_client._addresses import connected_socket
from lockd_client._refusals import plain_error
from lockd_client.errors import AccessDenied, DaemonUnavailable, LockError, ProtocolError
from lockd_wire import messages as m
from lockd_wire.codec import FROM_ADMIN, encode
from lockd_wire.errors import RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import ADMIN_MAGIC, FRAME_BYTES_MAX, VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from types import TracebackType
    from typing import Any, Self

#: How long the daemon may take to answer before anything has been done to it.
_ANSWER_SECONDS = 5.0

#: Between two attempts to reach a daemon that is gone.
_PAUSE_SECONDS = 0.01

_READ_BYTES = 4096

#: What the kernel says of whoever has written something: pid, uid, gid.
_CREDENTIALS = struct.Struct("3i")


class DaemonProcess:
    """The process that answers on an admin socket, held by a pidfd: its number can be used again, and this cannot."""

    def __init__(self, path: str) -> None:
        """Find it.

        Args:
            path: The admin socket.

        Raises:
            DaemonUnavailable: There is no daemon, or it is not to be seen which process it is.
            AccessDenied: This user is no administrator.
            ProtocolError: What answers is not a lockd that this version understands.
        """
        with _Witness(path) as witness:
            pid = witness.ask(m.AdminHello(1, ADMIN_MAGIC, VERSION), m.AdminWelcome)[0]
            self.pidfd = _opened(pid, path)
            try:
                # It has answered before the pidfd was opened and answers behind that: so it had this pid all the time.
                again, report = witness.ask(m.Status(2), m.Report)
                #: What it says of itself, as docs/protocol.md has it.
                self.status: dict[str, Any] = dict(report.facts)
                if again != pid or self.status["pid"] != pid:
                    raise DaemonUnavailable(
                        f"what answers at {path} is pid {again}, and says that it is pid {self.status['pid']}: somebody"
                        " stands between it and lockctl, or it sees other pids. Run lockctl where the daemon runs"
                    )
            except BaseException:
                os.close(self.pidfd)
                raise
        self.pid = pid
        self._path = path

    def end(self, number: signal.Signals, timeout_seconds: float) -> float:
        """Send it a signal, wait until it is gone, and return when it was sent, on the monotonic clock.

        Raises:
            AccessDenied: This user may not.
            DaemonUnavailable: It was gone before, or is still there after that time.
        """
        try:
            signal.pidfd_send_signal(self.pidfd, number)
        except PermissionError:
            raise AccessDenied(
                f"this user may not send {number.name} to lockd (pid {self.pid}): its own user may, and root"
            ) from None
        except ProcessLookupError:
            raise DaemonUnavailable(f"lockd (pid {self.pid}) has ended by itself meanwhile") from None
        sent_at = time.monotonic()
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        if not poll.poll(timeout_seconds * 1000):
            raise DaemonUnavailable(f"lockd (pid {self.pid}) was sent {number.name} and has not ended: see its log")
        return sent_at

    def wait_for_next(self, give_up_at: float) -> dict[str, Any]:
        """Wait until another daemon answers and return what it says of itself.

        Raises:
            DaemonUnavailable: None does in time.
        """
        while True:
            try:
                with AdminClient(self._path) as admin:
                    return admin.status()
            except DaemonUnavailable as error:
                if time.monotonic() >= give_up_at:
                    raise DaemonUnavailable(
                        f"lockd (pid {self.pid}) was ended, and nobody has started it again. Start it, and find out why"
                        f" ({error})"
                    ) from None
            time.sleep(_PAUSE_SECONDS)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.pidfd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _opened(pid: int, path: str) -> int:
    try:
        # 0 is one that has no number here.
        if pid > 0:
            return os.pidfd_open(pid)
    except OSError:
        pass
    raise DaemonUnavailable(
        f"the process that answers at {path} is not to be seen from here. Run lockctl where the daemon runs"
    )


class _Witness:
    """A conversation on the admin socket of which the kernel tells who has written each answer.

    SO_PEERCRED would tell who made the socket: under systemd that is not the daemon.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._socket: _socket.socket = connected_socket(path, "LOCKD_ADMIN_SOCKET")
        self._socket.settimeout(_ANSWER_SECONDS)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._decoder = FrameDecoder(FRAME_BYTES_MAX)

    def ask(self, question: m.AdminRequest, expected: type[Any]) -> tuple[int, Any]:
        """Return by which process a question was answered, and the answer."""
        try:
            self._socket.sendall(encode(question))
            writers = set()
            while (body := self._decoder.peek()) is None:
                writers.add(self._receive())
            self._decoder.advance()
            answer = FROM_ADMIN.decode(body)
        except OSError as error:
            raise DaemonUnavailable(f"lockd at {self._path}: {error.strerror or error}") from None
        except RemoteWireError as error:
            raise self._not_lockd(str(error)) from None
        if isinstance(answer, m.AdminFailed):
            raise plain_error(answer.code, answer.sentence)
        if not isinstance(answer, expected):
            raise self._not_lockd(f"a {type(answer).__name__} is no answer to this question")
        return (writers.pop() if len(writers) == 1 else 0), answer

    def _receive(self) -> int:
        data, ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
        if not data:
            raise DaemonUnavailable(f"lockd at {self._path} has hung up without an answer")
        self._decoder.receive_data(data)
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
                pid: int = _CREDENTIALS.unpack(content)[0]
                return pid
        return 0

    def _not_lockd(self, fault: str) -> LockError:
        return ProtocolError(f"what answers at {self._path} is not lockd's admin socket: {fault}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()
