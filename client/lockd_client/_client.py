"""A program's side of lockd: one session, opened when it is needed."""

from __future__ import annotations

import os
import sys
from _thread import RLock
from _warnings import warn

from lockd_wire.endpoints import client_socket
from lockd_wire.names import fault_of_program

from . import _modes as modes
from ._ask import Ask, checked_text, lock_item, semaphore_item, several
from ._forks import renew_after_fork
from ._lock import Lock
from ._program import default_program
from ._session import RECONNECT_SECONDS, Session
from ._words import printable
from .errors import BadRequest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self, Unpack

    from ._ask import Terms, WireItem
    from ._grant import Grant
    from ._rwlock import RWLock


class Client:
    """A session with the daemon, for all threads of this process.

    Made by `connect`. The functions of the module (`lockd_client.lock` and so on) share one that this library makes
    itself, which is what most programs want; a client of your own is for another daemon than the usual, or for giving
    everything back at a time of your choosing.

    A child made by fork cannot use it: it calls `connect` itself.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        program: str | None,
        *,
        reconnect_timeout: float = RECONNECT_SECONDS,
        watch: bool = False,
        is_default: bool = False,
    ) -> None:
        self._is_default = is_default
        self._reconnect_timeout = reconnect_timeout
        self._is_watched = watch
        self._session: Session | None = None
        self._path = None if path is None else os.fsdecode(path)
        self._program = None if program is None else checked_text("program", program, fault_of_program)
        # A signal handler may want to open the session while the thread that it interrupted is about to.
        self._opening = RLock()
        renew_after_fork(self)

    def lock(self, name: str, *, mode: str = modes.EXCLUSIVE, **terms: Unpack[Terms]) -> Lock:
        """Return a handle of the lock with this name. `lockd_client.lock` describes the arguments."""
        return Lock(self, Ask((lock_item(name, mode),), **terms))

    def rlock(self, name: str, *, mode: str = modes.EXCLUSIVE, **terms: Unpack[Terms]) -> Lock:
        """Return a handle of a lock that the thread which holds it may take again. See `lockd_client.rlock`."""
        terms["reentrant"] = True
        return self.lock(name, mode=mode, **terms)

    def rwlock(self, name: str, **terms: Unpack[Terms]) -> RWLock:
        """Return a lock that many may hold to read, or one to write. The arguments are those of `lock`."""
        from ._rwlock import RWLock

        return RWLock(self, name, terms)

    def semaphore(self, name: str, limit: int, permits: int = 1, **terms: Unpack[Terms]) -> Lock:
        """Return a handle of a semaphore, for some of its permits. See `lockd_client.semaphore`."""
        return Lock(self, Ask((semaphore_item(name, permits, limit),), **terms))

    def lock_all(self, *wanted: Lock | str | WireItem, **terms: Unpack[Terms]) -> Lock:
        """Return a handle of several locks and semaphores at once. See `lockd_client.lock_all`."""
        if not terms.get("tree") and any([isinstance(each, Lock) and each.is_tree for each in wanted]):
            raise BadRequest(
                "one of the handles was made with tree=True: say it of all of them, lock_all(..., tree=True)"
            )
        return Lock(self, Ask(several(tuple([item for each in wanted for item in _items_of(each)])), **terms))

    def adopt(
        self,
        ticket: str,
        *,
        on_yield: Callable[[Grant], object] | None = None,
        on_lost: Callable[[Grant], object] | None = None,
    ) -> Grant:
        """Take over what another process of this user holds, by the ticket that `Grant.handover` gave it.

        The token stays the same. In no moment between is it free.

        Args:
            ticket: The ticket.
            on_yield: As for `lockd_client.lock`; called if the one who took the lock asked for it as well.
            on_lost: As for `lockd_client.lock`.

        Raises:
            NotOwner: The ticket was used before, or is of another user, or whoever made it has released the lock or is
                gone. Nothing has changed.
            BadRequest: Whoever made it has something more of the same name, which only he can have beside it. Nothing
                has changed.
            DaemonUnavailable: There is no daemon.
        """
        from ._adoption import adopt, checked_ticket

        ticket = checked_ticket(ticket)
        return adopt(self.session(), ticket, on_yield, on_lost)

    def inherited(self) -> list[Grant]:
        """Take over what this process held before it became this program by exec, and return the grants.

        The process has lived on, so all that an earlier program of it held is held still, though its connection is
        gone. This thread owns it from now on, under the same tokens: it is released like anything else, by
        ``with grant:`` or `Grant.release`. What was entered more than once (`rlock`) is entered once. What earlier
        programs waited for they wait for no more. Usually there is nothing, and then the daemon is not asked.

        A thread that asks for what is there to be inherited is told so (`HeldByEarlierProgram`) and does not wait for
        itself. A forked child is another process and inherits nothing.

        Raises:
            DaemonUnavailable: There is no daemon, or it cannot write down what changes hands.

        If this or anything else is raised, a KeyboardInterrupt for instance, what had been returned to this thread by
        then has been released, and the rest can be inherited still.
        """
        session = self.session()
        if not session.may_inherit:
            return []
        from ._adoption import inherited

        return inherited(session)

    def fileno(self) -> int:
        """Return the descriptor of the connection: to wait until it hangs up, say, but not to be read or closed."""
        return self.session().fileno()

    def close(self) -> None:
        """Release everything that this client holds, and end its session.

        The daemon has done it when this returns, unless it takes longer than a second, or the daemon is away or goes
        away before it has answered: then a thread tells it as soon as it is back, and ends when one has heard it. May
        be called more than once; after an interrupt, call it again, or forget the client.
        """
        if self._session is not None:
            self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def open_session(self) -> Session | None:
        """The session, if there is one that is not over."""
        session = self._session
        return session if session is not None and session.end is None else None

    def session(self) -> Session:
        """Return the session, after opening it if it is not.

        Raises:
            DaemonUnavailable: There is no daemon.
            AccessDenied: It does not serve this user.
            ProtocolError: What answers is not a lockd that this library understands.
            SessionLost: The session is over, and this client is not the one that opens another.
            NotOwner: The client belongs to the process from which this one was forked.
        """
        session = self._session
        return session if session is not None and session.end is None else self._opened_session()

    def _opened_session(self) -> Session:
        with self._opening:
            old = self._session
            if old is not None and old.end is None:
                return old
            if old is not None and old.end is not None and not (self._is_default and old.leaves_nothing):
                raise old.end.error()
            path, program = self._path or client_socket(), self._program or default_program()
            opened = Session(path, program, self._reconnect_timeout, self._is_watched)
            if self._session is not old and self._session is not None:
                # A signal handler was here meanwhile.
                opened.close()
                return self._session
            self._session = opened
            return opened

    def after_fork_in_child(self) -> None:
        """Give up what belongs to the parent."""
        self._opening = RLock()
        if self._is_default:
            self._session = None

    def __repr__(self) -> str:
        session = self._session
        where = f" at {printable(self._path)}" if self._path else ""
        if session is None:
            return f"<lockd_client.Client{where}, not connected yet>"
        return f"<lockd_client.Client{where}, {'connected' if session.end is None else 'not connected'}>"

    def __reduce__(self) -> tuple[Callable[[], Client], tuple[()]]:
        if not self._is_default:
            raise TypeError(
                "a client of your own, and what it made, cannot be pickled or copied: it is a session of this process. "
                "What lockd_client.lock returns can"
            )
        from ._default import default_client

        return default_client, ()

    def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # What is still held through it keeps the session open.
        if not _is_finalizing() and not self._is_default and self.open_session is not None:
            warn(f"{self!r} was never closed", ResourceWarning, stacklevel=2, source=self)


def _items_of(wanted: object) -> tuple[WireItem, ...]:
    """Return what asks for something that `lock_all` was given."""
    if isinstance(wanted, Lock):
        return wanted.items
    if isinstance(wanted, str):
        return (lock_item(wanted, modes.EXCLUSIVE),)
    if isinstance(wanted, tuple) and len(wanted) == 2:
        return (lock_item(*wanted),)
    if isinstance(wanted, tuple) and len(wanted) == 3:
        return (semaphore_item(*wanted),)
    raise BadRequest(
        f"{wanted!r} cannot be locked: a name can, a pair of name and mode, a triple of name, permits and limit, and a "
        "handle"
    )
