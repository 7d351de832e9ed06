"""What can go wrong with a lock.

::

    LockError
    ├── LockTimeout (TimeoutError)     not granted in time
    ├── DeadlockDetected               the wait would never have ended
    ├── HeldByEarlierProgram           this process holds it, since before it became this program
    ├── NotOwner (RuntimeError)        given back, but not held: a mistake of the caller
    ├── BadRequest (ValueError)        a name, mode or label that cannot be: a mistake of the caller
    ├── LimitMismatch (ValueError)     a semaphore that has another limit: a mistake of some caller
    ├── KindMismatch (TypeError)       a lock that is in use as a semaphore, or the other way round: likewise
    ├── LockLost                       it was held, and is no longer
    ├── SessionLost                    the session with the daemon is over
    ├── DaemonUnavailable              there is no daemon, or no way to it
    ├── AccessDenied                   the daemon does not serve this user
    ├── QuotaExceeded                  this user has all that one user may have
    └── ProtocolError                  what answers is not a lockd, or not one that this library understands

Each docstring says what is true once the exception has been raised.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._cycle import Step
    from ._holders import Holder


class LockError(Exception):
    """Anything that this library raises because of a lock. Never raised itself."""


class LockTimeout(LockError, TimeoutError):
    """The lock was not granted in time. Nothing is held and nothing waits: the place in the queue is gone.

    The message says who held the lock at that moment, since when, and what for.
    """

    def __init__(
        self,
        sentence: str,
        *,
        name: str = "",
        holders: tuple[Holder, ...] = (),
        holders_total: int = 0,
        position: int = 0,
        waiters_total: int = 0,
        waited_seconds: float = 0.0,
    ) -> None:
        super().__init__(sentence)
        self.name = name
        #: Who held it: the first few, those that came first in front.
        self.holders = holders
        #: How many held it.
        self.holders_total = holders_total
        #: The place in the queue: 1 would have been the next to be served. For a try, the place it would have had.
        self.position = position
        #: How many waited for it.
        self.waiters_total = waiters_total
        #: How long this request was in the queue.
        self.waited_seconds = waited_seconds


class DeadlockDetected(LockError):
    """Waiting would never have ended: what was asked for is held by somebody who waits, at the end, for this thread.

    Or by this thread itself. Nothing waits. Whatever the thread held, it still holds, and in the mode that it had: to
    get on, release that and begin anew. The message tells of every step, or of the first and last of many.
    """

    def __init__(self, sentence: str, *, name: str = "", cycle: tuple[Step, ...] = (), cycle_total: int = 0) -> None:
        super().__init__(sentence)
        #: What this thread would have waited for.
        self.name = name
        #: Who waits for whom: every wait, from this thread's on to the one that leads back to it.
        self.cycle = cycle
        #: How many waits there are in all: more than in ``cycle`` only where that are more than the daemon tells
        #: of, which is 2,000, or fewer where names and labels are long.
        self.cycle_total = cycle_total


class LimitMismatch(LockError, ValueError):
    """The semaphore is in use with another limit than the one that was given. Nothing has changed.

    All programs that use a semaphore have to agree on its limit. When nobody has it or waits for it any more, it can
    have another one.
    """


class KindMismatch(LockError, TypeError):
    """The name is in use as a lock, and was asked for as a semaphore, or the other way round. Nothing has changed."""


class HeldByEarlierProgram(LockError):
    """What was asked for is held by this very process: by a program that it was before an exec.

    The wait would last as long as the process. Nothing is held by this request, nothing waits, and what the earlier
    program holds it still holds; after a `Grant.convert` the lock is held in its old mode. To ask again is of no use
    before `inherited` has taken over what the earlier program held. So this is no `LockTimeout`, after which one asks
    again later, and no `DeadlockDetected`, after which one releases something and begins anew.
    """

    def __init__(self, sentence: str, *, name: str = "", holders: tuple[Holder, ...] = ()) -> None:
        super().__init__(sentence)
        #: What is held.
        self.name = name
        #: By whom, of the earlier programs: the first few.
        self.holders = holders


class NotOwner(LockError, RuntimeError):
    """What was to be released, checked or converted is not held: never, no longer, or not by this process. Or a ticket
    is not good for anything: it was used, or what it was made for has ended.

    Nothing has changed. After a fork this is what a child is told about the grants of its parent; the parent still
    holds them.
    """


class BadRequest(LockError, ValueError):
    """A name, mode, label or option cannot be. Nothing has changed."""


class LockLost(LockError):
    """The lock was held and is no longer, although nobody released it. Somebody else may hold it by now.

    What was done under it since it was lost may have met with what others did.
    """


class SessionLost(LockError):
    """The session with the daemon is over. Nothing that this call wanted is held.

    A restart of the daemon alone is no reason for it. What the session held before is lost as well, if the daemon has
    lost its state or has ended the session (then `Grant.lost` says so), and was
    released, if this program closed the client. A new session is opened by the next call, or for a client of your own
    by `connect`.
    """


class DaemonUnavailable(LockError):
    """The daemon cannot be reached, or cannot serve this now. This call has changed nothing.

    What was held before is still held: after a connection that breaks, the daemon keeps it until this process exits.
    What was released is released as soon as there is a daemon; so is what `release(confirm=True)` was about.
    """


class AccessDenied(LockError):
    """The daemon does not serve this user. Nothing that this call wanted is held.

    If it happens in the middle of a session, the daemon keeps what the session held before until this process exits.
    """


class QuotaExceeded(LockError):
    """This user, or the daemon, has as many sessions, locks or waiters as there may be. Nothing has changed."""


class ProtocolError(LockError):
    """What answers at the socket is not a lockd, or speaks a version that this library does not.

    The connection is closed, and nothing that this call wanted is held. If it happens in the middle of a session, the
    daemon keeps what the session held before until this process exits.
    """


def raise_unless_raised(error: LockError, raised: BaseException | None) -> None:
    """Raise ``error``, which came at the end of a block, unless the block has raised something itself.

    What the block raised is what the caller has to know, and not that the lock was lost or its parent's.
    """
    if raised is None:
        raise error
    raised.add_note(f"When the lock was to be released: {error}")
