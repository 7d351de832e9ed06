"""What was granted."""

from __future__ import annotations

from . import _modes as modes
from ._ask import FOR_EVER, demand, described, seconds_of
from ._words import listed, quoted
from .errors import LockError, raise_unless_raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import NoReturn, Self

    from ._abandonment import Abandonment
    from ._session import Session
    from ._standing import Standing
    from ._upgrade import Upgrade


class Grant:
    """A lock, a number of permits or several of these, held.

    It ends when it is released, when the process exits, when it has a lease that is taken, or when the daemon has lost
    its state (in both of these it is `lost`). A restart of the daemon does not end it, nor does closing files, sockets
    or any other descriptors. Threads may pass it around: any of them may release it. As a context manager it is
    released at the end of the block.
    """

    __slots__ = ("__weakref__", "_session", "_standing", "abandoned", "label", "owner", "request")

    def __init__(
        self,
        session: Session,
        owner: int,
        request: int,
        standing: Standing,
        label: str,
        abandoned: tuple[Abandonment, ...],
    ) -> None:
        self._session = session
        #: By which request it was granted: a later one has a greater number.
        self.request = request
        self._standing = standing
        #: The thread that it was granted to, by a number that no other thread of this process ever has.
        self.owner = owner
        self.label = label
        #: Of each name whose last holder died or lost it while it could change things: who that was, and when. What the
        #: name stands for may be half done. Empty as a rule.
        self.abandoned = abandoned

    @property
    def token(self) -> int:
        """Greater than the token of every grant before it on this installation.

        Give it to what the lock protects, so that it can refuse one who comes with a smaller token than somebody before
        him.
        """
        return self._standing.token

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it is for."""
        return tuple([item[0] for item in self._standing.items])

    @property
    def name(self) -> str:
        """The name that it is for; of several, the first."""
        return self._standing.items[0][0]

    @property
    def mode(self) -> str:
        """The mode, as "exclusive" or "shared"; of several names, that of the first; empty for a semaphore."""
        item = self._standing.items[0]
        return modes.word_of(item[1]) if len(item) == 2 else ""

    @property
    def is_held(self) -> bool:
        """Whether it is held, as far as is known without a look at the connection; `check` looks."""
        return self._session.holds(self.request)

    @property
    def lost(self) -> bool:
        """Whether it ended although nobody released it, so that somebody else may hold the lock now.

        If the daemon is away, it is tried once to reach it, which takes up to 2 seconds. What it would say is not known
        then, and this is what was true last.
        """
        return self._session.has_lost(self.request, self._standing)

    def check(self) -> None:
        """Make sure that it is held.

        It can be lost between this and what follows it: only a resource that compares tokens is safe against that. For
        a daemon that is away the same holds as for `lost`.

        Raises:
            LockLost: It is not: somebody else may hold the lock now.
            NotOwner: It was released or handed over, or belongs to the process from which this one was forked.
        """
        error = self._session.error_of_grant(self.request, self._standing)
        if error is not None:
            raise error

    def convert(self, mode: str, timeout: float | None = FOR_EVER) -> None:
        """Change the mode in which the lock is held; of several names, of all locks among them. The token stays.

        To a mode that keeps out no more than the present one this happens at once. Otherwise it waits for the other
        holders, ahead of all who wait for the lock.

        Args:
            mode: The new one: "exclusive", "update", "shared", or "SIX", "IX", "IS".
            timeout: The longest time to wait, in seconds. 0 is a try, and -1 or None no limit.

        Raises:
            DeadlockDetected: Somebody else who has the lock wants to convert it as well, and each would wait for the
                other; or it would be a longer circle.
            LockTimeout: Others held it for too long.
            BadRequest: There is no such mode, or this is a semaphore, which has none.
            NotOwner: It is not held, or belongs to the process from which this one was forked.
            LockLost: It was lost.

        After any of the first three the lock is held in its old mode, and after an interrupt as well.
        """
        code, seconds = modes.CODES[modes.mode_of(mode)], seconds_of(timeout)
        self.check()
        self._session.convert(self._standing, code, seconds)

    def upgraded(self, mode: str = modes.EXCLUSIVE, timeout: float | None = FOR_EVER) -> Upgrade:
        """Return a context manager that holds the lock in a stronger mode within its block.

        ::

            with rwlock("x").update() as grant:
                ...                      # others may still read
                with grant.upgraded():
                    ...                  # nobody else

        Entering raises what `convert` does. At the end of the block the lock has its old mode again.
        """
        from ._upgrade import Upgrade

        return Upgrade(self, self._session, self._standing, mode, timeout)

    def handover(self) -> str:
        """Return a ticket with which another process of this user can take this over (`Client.adopt`).

        Until somebody does, it is held here, but cannot be converted or entered again (`rlock`): a release, the exit of
        this process or the end of the session make the ticket worthless. Afterwards it is no longer this process's,
        under the same token; to release it is no mistake then, and has no effect. The ticket works once. Whoever knows
        it can use it, so hand it over in private.

        Raises:
            NotOwner: It is not held, or belongs to the process from which this one was forked.
            LockLost: It was lost.
            BadRequest: It was entered more than once, or is being converted, or this thread holds something of the same
                name besides, which nobody else could hold beside it. Nothing has changed.
        """
        self.check()
        return self._session.ticket(self._standing)

    def release(self, *, confirm: bool = False) -> None:
        """Give it up. Waits for nothing: not for an answer, and not for a daemon that is busy or away.

        While the daemon is away, a thread waits for it and tells it, trying once a second at the most. A daemon that is
        killed before it has read the release is told again by the next call of this process, or at once by a client
        that was made with ``watch=True``. The exit of this process frees everything as well.

        Args:
            confirm: Wait until the daemon has done it: when this returns, others can have the lock, whatever happens to
                the daemon. (Entered more than once, by `rlock`, this is one entry less.) While the daemon is away this
                waits for up to the client's `reconnect_timeout`; for a daemon that is there, as long as it takes.

        Raises:
            NotOwner: It was released before, or belongs to the process from which this one was forked.
            LockLost: It was lost. What was done under it may have met with what others did.
            DaemonUnavailable: The daemon has refused to go on with this session, so the lock stays held until the
                process exits. Or, with `confirm`, it is away for too long: then it is as without `confirm`, and a
                thread goes on trying to tell it.
            AccessDenied: Only with `confirm`: the daemon that came back does not serve this user. Also as without
                `confirm`.
            DeadlockDetected: Only with `confirm`, by a signal handler, which would wait for the thread that it
                interrupted. Also as without `confirm`.

        A KeyboardInterrupt, or what else a signal handler raises meanwhile, ends the wait. The lock is released all the
        same.
        """
        release = self._session.release_and_confirm if confirm else self._session.release
        try:
            release(self.request, self._standing)
        except LockError:
            raise
        except BaseException:
            self.release_after_all()
            raise

    def release_after_all(self) -> None:
        """Finish a release that was interrupted: do nothing if it is not held."""
        self._session.release_if_held(self.request)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.release()
        except LockError as error:
            raise_unless_raised(error, raised)

    def __repr__(self) -> str:
        items = listed([f"{quoted(item[0])} {demand(item)}" for item in self._standing.items])
        state = "held" if self.is_held else "not held"
        label = f", label {quoted(self.label)}" if self.label else ""
        return f"<lockd_client.Grant {items}, {state}, token {self.token}{label}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"the grant of {described(self._standing.items)} belongs to this process and cannot be pickled or copied. "
            "A Lock can: the copy is not held. To give it to another process, there is handover()"
        )
