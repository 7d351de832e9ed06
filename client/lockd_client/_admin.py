"""The admin socket: who holds what, who waits, and how the daemon is."""

from __future__ import annotations

import os

from lockd_wire import messages as m
from lockd_wire.codec import FROM_ADMIN, encode
from lockd_wire.endpoints import admin_socket
from lockd_wire.errors import RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import ADMIN_MAGIC, FRAME_BYTES_MAX, VERSION
from lockd_wire.names import fault_of_name

from ._addresses import connected_transport
from ._ask import checked_text
from ._forks import renew_after_fork
from ._opening import ANSWER_SECONDS, send_if_possible
from ._outbox import Outbox
from ._refusals import plain_error
from ._words import printable
from .errors import DaemonUnavailable, LockError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Any, Self, TypeVar

    _Answer = TypeVar("_Answer", m.AdminWelcome, m.Report, m.Rows)

    #: What is told of one thing, as docs/protocol.md describes it.
    _Row = dict[str, Any]


class AdminClient:
    """A conversation on the admin socket, for one thread at a time. It asks, and changes nothing.

    Every question is answered as things were at that moment. Any exception from one ends the conversation.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        """Connect.

        Args:
            path: The socket. By default ``$LOCKD_ADMIN_SOCKET``, or else ``admin.sock`` beside the clients' socket.

        Raises:
            DaemonUnavailable: There is no daemon.
            AccessDenied: This user is no administrator.
            ProtocolError: What answers is not a lockd that this library understands.
        """
        self._path = admin_socket() if path is None else os.fsdecode(path)
        self._transport = connected_transport(self._path, "LOCKD_ADMIN_SOCKET")
        self._outbox = Outbox()
        self._decoder = FrameDecoder(FRAME_BYTES_MAX)
        self._last_id = 0
        self._is_open = True
        renew_after_fork(self)
        self._ask(lambda number: m.AdminHello(number, ADMIN_MAGIC, VERSION), m.AdminWelcome)

    def status(self) -> _Row:
        """Return how the daemon is: its version, age, and counts of what there is and of what has happened."""
        return dict(self._ask(m.Status, m.Report).facts)

    def names(self, prefix: str = "") -> Iterator[_Row]:
        """Yield each name that begins with ``prefix`` and is held or waited for."""
        return self._pages(lambda number, cursor: m.List(number, prefix, cursor))

    def show(self, name: str) -> _Row:
        """Return who holds a name and who waits for it, the first of each.

        Raises:
            BadRequest: There cannot be such a name.
        """
        checked_text("name", name, fault_of_name)
        return dict(self._ask(lambda number: m.Show(number, name), m.Report).facts)

    def sessions(self) -> Iterator[_Row]:
        """Yield each session."""
        return self._pages(m.Sessions)

    def metrics(self) -> str:
        """Return all metrics in the text format of Prometheus."""
        return "".join(row["text"] for row in self._pages(m.Metrics))

    def lock_orders(self) -> Iterator[_Row]:
        """Yield each pair of names that was taken in opposite orders by different owners, the ``first`` one and the
        ``second`` one: who had which name, wanted which, why, and how long ago."""
        return self._pages(m.Orders)

    def close(self) -> None:
        """End the conversation. May be called more than once."""
        self._is_open = False
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def after_fork_in_child(self) -> None:
        """Give up what belongs to the parent."""
        self._is_open = False
        self._transport.drop_copy()

    def _pages(self, question: Callable[[int, int], m.AdminRequest]) -> Iterator[_Row]:
        def question_for_page(number: int) -> m.AdminRequest:
            return question(number, cursor)

        cursor = 0
        while True:
            page = self._ask(question_for_page, m.Rows)
            yield from page.rows
            if page.cursor is None:
                return
            cursor = page.cursor

    def _ask(self, question: Callable[[int], m.AdminRequest], expected: type[_Answer]) -> _Answer:
        if not self._is_open:
            raise DaemonUnavailable("this conversation with lockd has ended: make another AdminClient")
        try:
            self._last_id += 1
            self._outbox.put(encode(question(self._last_id)))
            answer = self._answer()
            if type(answer) is m.AdminFailed and answer.id in (0, self._last_id):
                raise plain_error(answer.code, answer.sentence)
            if not isinstance(answer, expected) or answer.id != self._last_id:
                raise self._not_lockd(f"a {type(answer).__name__} is no answer to this question")
            return answer
        except BaseException:
            self.close()
            raise

    def _answer(self) -> m.AdminReply:
        is_open = True
        try:
            send_if_possible(self._transport, self._outbox)
            self._transport.set_timeout(ANSWER_SECONDS)
            while (body := self._decoder.peek()) is None:
                if not is_open:
                    raise DaemonUnavailable(f"lockd at {printable(self._path)} has hung up without an answer")
                is_open = self._transport.receive(self._decoder.receive_data)
            self._decoder.advance()
            return FROM_ADMIN.decode(body)
        except TimeoutError:
            raise DaemonUnavailable(
                f"lockd at {printable(self._path)} has not answered for {ANSWER_SECONDS:g} s"
            ) from None
        except OSError as error:
            raise DaemonUnavailable(f"lockd at {printable(self._path)}: {error.strerror or error}") from None
        except RemoteWireError as error:
            raise self._not_lockd(str(error)) from None

    def _not_lockd(self, fault: str) -> LockError:
        return ProtocolError(f"what answers at {printable(self._path)} is not lockd's admin socket: {printable(fault)}")
