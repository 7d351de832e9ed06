"""The admin socket: who holds what, who waits, and how the daemon is."""

from __future__ import annotations

import os

from lockd_wire import messages as m
from lockd_wire.codec import FROM_ADMIN, encode
from lockd_wire.endpoints import admin_socket
from lockd_wire.errors import RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import ADMIN_MAGIC, FRAME_BYTES_MAX, VERSION
from lockd_wire.names import fault_of_label, fault_of_name

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
    """A conversation on the admin socket, for one thread at a time. It asks, and nothing but `break_` changes anything.

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
        self._is_watching = False
        renew_after_fork(self)
        self._ask(lambda number: m.AdminHello(number, ADMIN_MAGIC, VERSION), m.AdminWelcome)

    def status(self) -> _Row:
        """Return how the daemon is: its version, age, and counts of what there is and of what has happened."""
        return dict(self._ask(m.Status, m.Report).facts)

    def names(
        self,
        prefix: str = "",
        *,
        held: bool = False,
        contended: bool = False,
        older_than: float | None = None,
    ) -> Iterator[_Row]:
        """Yield each name that begins with ``prefix`` and is held or waited for, in no particular order.

        One that is there all the time is among them, exactly once. Others may be or not.

        Args:
            prefix: How the names begin.
            held: Only those that somebody holds.
            contended: Only those for which somebody waits.
            older_than: Only those that somebody has held for longer than so many seconds.

        Raises:
            BadRequest: The daemon cannot look for that.
        """
        options: dict[str, m.Scalar] = {}
        if held:
            options["held"] = True
        if contended:
            options["contended"] = True
        if older_than is not None:
            options["older_than"] = older_than
        return self._pages(lambda number, cursor: m.List(number, prefix, cursor, options))

    def show(self, name: str) -> _Row:
        """Return who holds a name, who waits for it, the first of each, and who has not released it.

        Raises:
            BadRequest: There cannot be such a name.
        """
        checked_text("name", name, fault_of_name)
        return dict(self._ask(lambda number: m.Show(number, name), m.Report).facts)

    def sessions(self) -> Iterator[_Row]:
        """Yield each session, in no particular order."""
        return self._pages(m.Sessions)

    def graph(self) -> Iterator[_Row]:
        """Yield who waits for whom: for each of the first waiters for a name the first of those in its way there."""
        return self._pages(m.Graph)

    def history(self, name: str) -> Iterator[_Row]:
        """Yield what happened to a name lately: how what was held and waited for has ended, in that order, then who
        holds it (``granted``) and who waits for it (``queued``).

        Raises:
            BadRequest: There cannot be such a name.
            DaemonUnavailable: The daemon was told to remember nothing.
        """
        checked_text("name", name, fault_of_name)
        return self._pages(lambda number, cursor: m.History(number, name, cursor))

    def watch(self, prefix: str = "") -> Iterator[_Row]:
        """Return an iterator over what happens, from now on, to the names that begin with ``prefix``: rows as of
        `history`, in the order in which it happens.

        A row whose ``what`` is ``missed`` says how many (``missed``) were not told there: the daemon tells a bounded
        number in a bounded time, and waits for nobody. The iterator waits for the next row as long as that takes. The
        conversation is for this alone from then on, and ends with the iterator: to ask something else takes another.

        Raises:
            DaemonUnavailable: (also the iterator) The daemon has gone away. What happens until it is back is not told.
        """
        self._ask(lambda number: m.Watch(number, prefix), m.Report)
        self._is_watching = True
        return self._events(self._last_id)

    def break_(
        self,
        name: str = "",
        *,
        reason: str,
        token: int = 0,
        all_of_them: bool = False,
        dry_run: bool = False,
        kill: bool = False,
        up_to: int | None = None,
    ) -> _Row:
        """Take grants away from their holders, who are told, and let whoever waits have them.

        The holder does not stop at that: it may go on writing, beside whoever has the lock now, until it looks. Where
        that must not be, end its process instead, which frees all that it holds.

        Args:
            name: Of which name. All grants of it, which has to be one, unless ``all_of_them``.
            reason: Why: it is logged, and the holder is told.
            token: Which grant; with a name, only if it is of that name. 0: whatever is held of the name.
            all_of_them: However many they are.
            dry_run: Take nothing away, only tell what it would be.
            kill: Take nothing away: the caller ends the processes itself, and has it logged and counted here.
            up_to: Of the grants of a name only those with a token up to this one. What was granted after the answer to
                an earlier question has a greater one than the ``last_token`` in that.

        Returns:
            What was taken away, as it was before: ``grants``, the first of them, and ``grants_total``; 0 where nobody
            held it.

        Raises:
            BadRequest: There cannot be such a name or reason, or there are several grants, and not all are meant.
                Nothing has changed.
            AccessDenied: This user may ask and not change anything. Nothing has changed.
            DaemonUnavailable: The daemon cannot write down now what changes, and nothing has changed; or it has not
                answered, and then it may have been done, or may yet be. Asking again tells.
        """
        if not token:
            checked_text("name", name, fault_of_name)
        checked_text("reason", reason, fault_of_label)
        flags = {"all": all_of_them, "dry_run": dry_run, "kill": kill}
        options: dict[str, m.Scalar] = {flag: True for flag, is_set in flags.items() if is_set}
        if up_to is not None:
            options["up_to"] = up_to
        return dict(self._ask(lambda number: m.Break(number, name, token, reason, options), m.Report).facts)

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

    def _events(self, number: int) -> Iterator[_Row]:
        try:
            while True:
                happened = self._answer(None)
                if not isinstance(happened, m.Happened) or happened.id != number:
                    raise self._not_lockd(f"a {type(happened).__name__} is nothing that happened")
                if happened.missed:
                    yield {"what": "missed", "missed": happened.missed}
                yield from happened.rows
        finally:
            self.close()

    def _ask(self, question: Callable[[int], m.AdminRequest], expected: type[_Answer]) -> _Answer:
        if not self._is_open:
            raise DaemonUnavailable("this conversation with lockd has ended: make another AdminClient")
        if self._is_watching:
            raise DaemonUnavailable("this conversation with lockd is for watching: make another AdminClient")
        try:
            self._last_id += 1
            self._outbox.put(encode(question(self._last_id)))
            answer = self._answer(ANSWER_SECONDS)
            if type(answer) is m.AdminFailed and answer.id in (0, self._last_id):
                raise plain_error(answer.code, answer.sentence)
            if not isinstance(answer, expected) or answer.id != self._last_id:
                raise self._not_lockd(f"a {type(answer).__name__} is no answer to this question")
            return answer
        except BaseException:
            self.close()
            raise

    def _answer(self, seconds: float | None) -> m.AdminReply:
        is_open = True
        try:
            send_if_possible(self._transport, self._outbox)
            self._transport.set_timeout(seconds)
            while (body := self._decoder.peek()) is None:
                if not is_open:
                    raise DaemonUnavailable(f"lockd at {printable(self._path)} has hung up without an answer")
                is_open = self._transport.receive(self._decoder.receive_data)
            self._decoder.advance()
            return FROM_ADMIN.decode(body)
        except TimeoutError:
            raise DaemonUnavailable(f"lockd at {printable(self._path)} has not answered for {seconds:g} s") from None
        except OSError as error:
            raise DaemonUnavailable(f"lockd at {printable(self._path)}: {error.strerror or error}") from None
        except RemoteWireError as error:
            raise self._not_lockd(str(error)) from None

    def _not_lockd(self, fault: str) -> LockError:
        return ProtocolError(f"what answers at {printable(self._path)} is not lockd's admin socket: {printable(fault)}")
