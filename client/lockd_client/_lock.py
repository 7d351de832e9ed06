"""The handle of a lock: what a program has instead of a `threading.Lock`."""

from __future__ import annotations

from lockd_wire.errors import ErrorCode
from lockd_wire.messages import Granted

from . import _modes as modes
from ._ask import FOR_EVER, Ask, demand, described, seconds_of
from ._facts import integer
from ._grant import Grant
from ._owners import this_owner
from ._waiting import Waiting
from ._words import listed, quoted
from .errors import LockError, NotOwner, raise_unless_raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any

    from lockd_wire.messages import Facts

    from ._abandonment import Abandonment
    from ._ask import WireItem
    from ._client import Client
    from ._session import Session


class Lock:
    """The handle of a lock, which is a name: all handles with the name, in all processes, are about the same lock.

    Made by `lockd_client.lock` and its sisters, or the methods of `Client`; by some of them it is about permits of a
    semaphore, or about several names at once. Used as a `threading.Lock` is, with one difference: a thread that holds
    the lock and takes it again is told so (`DeadlockDetected`), and does not hang, unless the handle was made by
    `rlock`. Threads may share a handle, and any thread may release what another one acquired. A pickled handle becomes
    one that is not held.

    Being made asks nothing of the daemon.
    """

    __slots__ = ("__weakref__", "_ask", "_client", "_grants")

    def __init__(self, client: Client, ask: Ask) -> None:
        self._client = client
        self._ask = ask
        # In the order in which they were granted: one if the mode is exclusive, any number if it is shared. Some may
        # have ended, which only the session knows.
        self._grants: list[Grant] = []

    @property
    def name(self) -> str:
        """The name; of several, the first."""
        return self._ask.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are taken together."""
        return self._ask.names

    @property
    def mode(self) -> str:
        """The mode in which it is acquired, as "exclusive" or "shared"; of several names, that of the first; empty for
        a semaphore."""
        item = self._ask.items[0]
        return modes.word_of(item[1]) if len(item) == 2 else ""

    @property
    def is_tree(self) -> bool:
        """Whether the slashes in the names make a tree."""
        return self._ask.is_tree

    @property
    def items(self) -> tuple[WireItem, ...]:
        """What is asked for, as the protocol has it."""
        return self._ask.items

    @property
    def grant(self) -> Grant | None:
        """What was granted through this handle: to this thread, or else the latest, or None if nothing is held."""
        grant = self._pick()
        return grant if grant is not None and grant.is_held else None

    def acquire(self, blocking: bool = True, timeout: float | None = FOR_EVER) -> bool:
        """Wait for the lock and take it.

        Waiters are served in the order in which they came.

        Args:
            blocking: False means a try: the lock is taken if it is free, and nobody waits.
            timeout: The longest time to wait, in seconds. -1 stands for the handle's own timeout, and that is no limit
                unless the handle was made with one. None is no limit.

        Returns:
            Whether it was granted. If not, nothing is held and nothing waits.

        Raises:
            DeadlockDetected: This thread holds it already, or something for which whoever holds it waits. It keeps what
                it holds.
            LimitMismatch: It is a semaphore that has another limit. Nothing is held.
            KindMismatch: It is a lock and was asked for as a semaphore, or the other way round. Nothing is held.
            QuotaExceeded: This user has too many locks or waiters. Nothing is held.
            DaemonUnavailable: There is no daemon, or there has been none for `reconnect_timeout`, which is waited for
                on top of the timeout. Nothing is held.
            SessionLost: The daemon has lost its state, or has ended the session. Nothing is held.
            ValueError: The timeout is negative, or was given although `blocking` is false.

        Any other exception, a KeyboardInterrupt while it waits for instance, leaves nothing held and nothing waiting.
        """
        seconds = self._seconds(blocking, timeout)
        session = self._client.session()
        waiting = Waiting()
        try:
            owner = this_owner()
            answer = session.acquire(waiting, owner, self._ask, seconds)
            if isinstance(answer, Granted):
                self._keep(session, waiting, owner, answer)
                return True
            if answer.code == ErrorCode.TIMEOUT:
                return False
            raise session.refusal(answer, described(self._ask.items), seconds)
        except BaseException:
            session.abandon(waiting)
            raise

    def release(self, *, confirm: bool = False) -> None:
        """Give the lock up: what this thread acquired through the handle, or else what was acquired last.

        Waits for nothing, or with ``confirm=True`` until the daemon has done it. `Grant.release` says more. Raises what
        that does.
        """
        grant = None
        try:
            grant = self._pick()
            self._give_back(grant, confirm)
        except LockError:
            raise
        except BaseException:
            self._give_back_after_all(grant)
            raise

    def locked(self) -> bool:
        """Ask the daemon whether anybody holds the lock, or one of several, or any permits of a semaphore.

        The answer may be out of date before it is read: only a try (`acquire(blocking=False)`) is of use for a
        decision.
        """
        return any(map(self._is_held_by_anybody, self._ask.names))

    def _is_held_by_anybody(self, name: str) -> bool:
        session = self._client.session()
        waiting = Waiting()
        try:
            return integer(session.query(waiting, name), "holders_total") > 0
        except BaseException:
            session.abandon(waiting)
            raise

    def __enter__(self) -> Grant:
        """Take the lock as `acquire` does, and raise `LockTimeout` if it is not granted within the handle's timeout."""
        session = self._client.session()
        waiting = Waiting()
        # Here and in `acquire`, and not in a method that both call: an interrupt that came after that method and before
        # the caller has the grant would find nobody to take it back.
        try:
            owner, seconds = this_owner(), self._ask.seconds
            answer = session.acquire(waiting, owner, self._ask, seconds)
            if isinstance(answer, Granted):
                return self._keep(session, waiting, owner, answer)
            raise session.refusal(answer, described(self._ask.items), seconds)
        except BaseException:
            session.abandon(waiting)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An interrupt can come before the first line of this, as with every `with` whose end is written in Python. Then
        # the lock is still held, and the handle knows it: it can be released, and is when the handle is collected.
        grant = None
        try:
            grant = self._pick()
            self._give_back(grant, False)
        except LockError as error:
            raise_unless_raised(error, raised)
        except BaseException:
            self._give_back_after_all(grant)
            raise

    def __repr__(self) -> str:
        grant = self.grant
        items = listed([f"{quoted(item[0])} {demand(item)}" for item in self._ask.items])
        state = f"held, token {grant.token}" if grant is not None else "not held"
        return f"<lockd_client.Lock {items}, {state}>"

    def __reduce__(self) -> tuple[Callable[..., Lock], tuple[Client, tuple[WireItem, ...], dict[str, Any]]]:
        return _lock, (self._client, self._ask.items, self._ask.terms())

    def owned(self) -> bool:
        """Whether this thread holds the lock, through whatever handle, in a mode that is as good as this one's."""
        session = self._client.open_session
        return session is not None and session.is_held_by(this_owner(), self._ask)

    def _keep(self, session: Session, waiting: Waiting, owner: int, answer: Granted) -> Grant:
        ask, grants = self._ask, self._grants
        standing = session.standing(answer, ask)
        abandoned = _abandonments(answer.facts) if answer.facts else ()
        grant = Grant(session, owner, waiting.id, standing, ask.label, abandoned)
        session.hold(waiting, grant, standing)
        if grants:
            self._forget_what_ended()
        grants.append(grant)
        return grant

    def _give_back(self, grant: Grant | None, confirm: bool) -> None:
        if grant is None:
            raise NotOwner(f"{described(self._ask.items)} is not held through this handle")
        grant.release(confirm=confirm)
        self._forget(grant)

    def _give_back_after_all(self, grant: Grant | None) -> None:
        """Finish a release that was interrupted, so that nobody has to find out how far it had come."""
        grant = grant or self._pick()
        if grant is not None:
            grant.release_after_all()

    def _pick(self) -> Grant | None:
        """Return the latest grant of this thread, or else of any, and one that is held rather than one that is not."""
        grants = tuple(self._grants)
        if len(grants) == 1:
            return grants[0]
        owner = this_owner()
        return max(
            grants,
            key=lambda grant: (grant.is_held, grant.owner == owner, grant.request),
            default=None,
        )

    def _forget_what_ended(self) -> None:
        for grant in tuple(self._grants):
            if not grant.is_held:
                self._forget(grant)

    def _forget(self, grant: Grant) -> None:
        try:
            self._grants.remove(grant)
        except ValueError:
            # Another thread was faster.
            return

    def _seconds(self, blocking: bool, timeout: float | None) -> float | None:
        """Return the timeout as the protocol has it, after the rules of `threading.Lock.acquire`."""
        if not blocking:
            if timeout != FOR_EVER:
                raise ValueError("can't specify a timeout for a non-blocking call")
            return 0
        return self._ask.seconds if timeout == FOR_EVER else seconds_of(timeout)


def _lock(client: Client, items: tuple[WireItem, ...], terms: dict[str, Any]) -> Lock:
    return Lock(client, Ask(items, **terms))


def _abandonments(facts: Facts) -> tuple[Abandonment, ...]:
    from ._abandonment import abandonments

    return abandonments(facts)
