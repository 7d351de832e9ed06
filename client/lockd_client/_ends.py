"""Why a session is over, and what has become of what it held."""

from __future__ import annotations

from ._ask import described
from ._refusals import plain_error, refusal
from ._standing import BROKEN, HANDED_OVER, LEASE
from ._words import printable
from .errors import DaemonUnavailable, LockError, LockLost, NotOwner, ProtocolError, SessionLost

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lockd_wire.messages import Failed

    from ._standing import Standing

#: The daemon keeps it until this process exits, and cannot be told to do otherwise.
KEPT = "kept"
#: The daemon is gone, and all that it knew.
LOST = "lost"
#: It was given back, or has never been this process's.
GONE = "gone"

#: What somebody is told who wants to release or check a grant of a session that is over.
_GRANT_ERRORS: dict[str, type[LockError]] = {KEPT: DaemonUnavailable, LOST: LockLost, GONE: NotOwner}

#: The same for a single grant, by the reason that the daemon gave.
_LOSSES: dict[str, tuple[type[LockError], str]] = {
    LEASE: (LockLost, "the lease had run out when somebody else wanted it, who has been given it"),
    HANDED_OVER: (NotOwner, "it was handed over, and its ticket has been used"),
    BROKEN: (LockLost, "an administrator has taken it away"),
}


class End:
    """Why a session is over."""

    __slots__ = ("_error", "_sentence", "grants")

    def __init__(self, error: type[LockError], sentence: str, grants: str) -> None:
        self._error = error
        self._sentence = sentence
        #: What has become of the grants: `KEPT`, `LOST` or `GONE`.
        self.grants = grants

    def error(self) -> LockError:
        """Return what a call is told that needs the session."""
        return self._error(self._sentence)

    def error_of_grant(self, name: str) -> LockError:
        """Return what is told about a grant of that name."""
        return _GRANT_ERRORS[self.grants](f"{name}: {self._sentence}")


def away(path: str, seconds: float, error: Exception | None = None) -> DaemonUnavailable:
    """Return what a call is told that has waited for so long for a daemon which is away."""
    why = f"{error}" if error else f"lockd at {printable(path)} is away"
    return DaemonUnavailable(
        f"{why}. This was tried for {seconds:g} s. The session goes on as soon as there is a daemon: what this process "
        "holds it still holds, and what it has released is released then"
    )


def loss(what: str, reason: str) -> LockError:
    """Return what is told about a grant that was lost, while the session goes on."""
    kind, _, said = reason.partition(": ")
    error, sentence = _LOSSES.get(kind, (LockLost, "it was taken away"))
    why = said if kind in _LOSSES else reason
    return error(f"{what} is no longer held: {sentence}" + (f": {printable(why)}" if why else ""))


def unconfirmed(what: str) -> LockError:
    """Return what is told if a release was to be confirmed, and the daemon that answers is one that has lost its
    state."""
    return LockLost(
        f"{what} was lost or released, and it cannot be told which: the daemon has lost its state before it had "
        "confirmed the release"
    )


def refusal_of_grant(failed: Failed, standing: Standing, what: str, timeout: float | None) -> LockError:
    """Return what is told if something was to be done with a grant and the daemon refused."""
    # What was lost meanwhile is not the daemon's any more either, but that is not the news.
    return loss(described(standing.items), standing.loss) if standing.loss else refusal(failed, what, timeout)


def forgotten(path: str) -> End:
    """There is a daemon, but it does not know of this session."""
    sentence = (
        f"the daemon at {printable(path)} has lost its state, or has ended this session, and what this process held "
        "through it is lost"
    )
    return End(SessionLost, sentence, LOST)


def turned_out(words: Failed) -> End:
    """The daemon said why it ends the connection."""
    return refused(plain_error(words.code, words.sentence))


def refused(error: LockError) -> End:
    """The daemon does not have this session, or is none that this library understands."""
    return End(type(error), f"{error}. It keeps what this process holds until the process exits", KEPT)


def not_understood(path: str, error: Exception) -> End:
    """What came was not the protocol."""
    sentence = f"lockd at {printable(path)} sent what is not its protocol: {printable(str(error))}"
    return End(ProtocolError, f"{sentence}. It keeps what this process holds until the process exits", KEPT)


def closed() -> End:
    """The program closed the client."""
    return End(SessionLost, "this client was closed, and all that it held was released", GONE)


def inherited(pid: int) -> End:
    """The process is a child made by fork."""
    sentence = f"this belongs to process {pid}, from which this process was forked: a child takes locks of its own"
    return End(NotOwner, sentence, GONE)
