"""Asks each daemon that comes whether a command holds its lock still.

Only the process that has opened a session can resume it, and the command knows of none. So whoever attends to it hears
nothing of that session from the next daemon, and asks instead, like anybody else who wants to know who holds a name:
once over each connection, and once a second where there is a lease that may be taken at any time.
"""

from __future__ import annotations

import _socket
from time import monotonic

from lockd_client._facts import integer, maps
from lockd_client._program import introduction
from lockd_client._standing import LEASE
from lockd_wire.endpoints import fault_of_shared_directory
from lockd_wire.messages import Failed, Query, State, Welcome

from .conversation import Conversation

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lockd_wire._typing import Final
    from lockd_wire.messages import DaemonMessage, Facts

#: Why a grant is gone: reasons that no daemon gives. The journal of the one that granted it was lost.
STATE_LOST: Final = "state"
#: It is not known why.
TAKEN: Final = "taken"

#: How often a daemon is asked that may take the lock because of its lease.
_LEASE_SECONDS = 1.0

#: How often one is asked that is about to free the lock.
_RELEASE_SECONDS = 0.01

#: Between two attempts to reach a daemon: the first pause, and the longest.
_PAUSE_SECONDS = 0.01
_PAUSE_SECONDS_MAX = 1.0

#: What a token has below the epoch.
_COUNTER_BITS = 32


class Watch:
    """Watches over one grant of another process. Nothing here waits."""

    def __init__(self, path: str, names: tuple[str, ...], token: int, *, is_leased: bool) -> None:
        """Name the grant. Nobody is asked before `look` is called.

        Args:
            path: The daemon's socket.
            names: What was granted.
            token: The token of the grant.
            is_leased: Whether the daemon may take it at any time.
        """
        self._path = path
        self._names = names
        self._token = token
        self._is_leased = is_leased
        #: How long after an answer to ask again; None is over the next connection.
        self._seconds = _LEASE_SECONDS if is_leased else None
        self._conversation: Conversation | None = None
        #: Whether it has been answered, and by which epoch.
        self._is_welcome = False
        self._epoch = 0
        #: How many questions were asked over this connection.
        self._asked = 0
        #: The names that are to be asked about before the next pause.
        self._names_left: list[str] = []
        self._pause_seconds = _PAUSE_SECONDS
        #: On the monotonic clock; None while there is only news to wait for.
        self._due_at: float | None = monotonic()
        self._is_over = False
        self._reason = ""

    @property
    def seconds_left(self) -> float | None:
        """After how long to `look` although there is no news, or None."""
        return None if self._due_at is None else max(0.0, self._due_at - monotonic())

    @property
    def is_heard(self) -> bool:
        """Whether there is a daemon at present from which the end of the grant can be learnt."""
        return not self._is_over and self._conversation is not None

    def look(self) -> str:
        """Do what there is to do, and return why the grant is gone: `LEASE`, `STATE_LOST`, `TAKEN` or, if it is not
        known to be gone, nothing."""
        if not self._is_over and self._conversation is not None:
            self._listen(self._conversation)
        if self._due_at is not None and self._due_at <= monotonic():
            self._due_at = None
            if self._conversation is None:
                self._connect()
            else:
                self._ask(self._conversation)
        return self._reason

    def expect_end(self) -> None:
        """From now on ask so often that the end of the grant is noticed at once."""
        self._seconds = _RELEASE_SECONDS
        if self.is_heard and self._is_welcome and not self._names_left:
            self._due_at = monotonic()

    def close(self) -> None:
        """Hang up, and ask nobody any more."""
        self._is_over = True
        self._due_at = None
        if self._conversation is not None:
            self._conversation.close()

    def _connect(self) -> None:
        sock = _connected_socket(self._path)
        if sock is None:
            self._pause()
            return
        self._conversation = Conversation(sock)
        self._is_welcome = False
        # Nothing is answered before, so no answer can have been missed.
        self._conversation.say(introduction("lockctl"))
        # But the end can: a daemon that is just being killed hangs up on everybody before its listening socket is gone.
        self._listen(self._conversation)

    def _listen(self, conversation: Conversation) -> None:
        for message in conversation.messages():
            self._hear(conversation, message)
        if not conversation.is_open and not self._is_over:
            conversation.close()
            self._conversation = None
            self._pause()

    def _hear(self, conversation: Conversation, message: DaemonMessage) -> None:
        if isinstance(message, Welcome):
            self._is_welcome = True
            self._epoch = message.epoch
            self._asked = 0
            self._ask(conversation)
        elif isinstance(message, State):
            self._pause_seconds = _PAUSE_SECONDS
            self._judge(conversation, message.facts)
        elif isinstance(message, Failed):
            # It has no room, or grants nobody anything: not a matter of milliseconds.
            self._pause_seconds = _PAUSE_SECONDS_MAX
            conversation.close()

    def _ask(self, conversation: Conversation) -> None:
        self._names_left = self._names_left or list(self._names)
        self._asked += 1
        conversation.say(Query(self._asked, self._names_left[0]))

    def _judge(self, conversation: Conversation, facts: Facts) -> None:
        holders = maps(facts, "holders")
        tokens = [integer(holder, "token") for holder in holders]
        if self._token in tokens:
            self._names_left = []
            # Nobody but the command itself can have done that. As a program of the library's it learns of a loss, and
            # may release what it holds, which would look like one from here.
            if holders[tokens.index(self._token)].get("attached") is True:
                self.close()
        elif integer(facts, "holders_total") <= len(holders) or max(tokens, default=0) > self._token:
            # Those that came first are named, and ours had come before one of them.
            self.close()
            self._reason = self._reason_now()
        else:
            # All whom this answer names came before ours, and there are more. Another name may tell.
            del self._names_left[0]
        if self._is_over:
            return
        if self._names_left:
            self._ask(conversation)
        elif self._seconds is not None:
            self._due_at = monotonic() + self._seconds

    def _reason_now(self) -> str:
        if self._epoch != self._token >> _COUNTER_BITS:
            return STATE_LOST
        return LEASE if self._is_leased else TAKEN

    def _pause(self) -> None:
        self._names_left = []
        self._due_at = monotonic() + self._pause_seconds
        self._pause_seconds = min(2 * self._pause_seconds, _PAUSE_SECONDS_MAX)


def _connected_socket(path: str) -> _socket.socket | None:
    """Return a socket that is connected to a daemon, or None if that is not possible at once."""
    # The library would wait for a daemon that is too busy to accept anybody.
    if fault_of_shared_directory(path) is not None:
        return None
    sock = None
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_NONBLOCK)
        sock.connect(path)
    except OSError:
        if sock is not None:
            sock.close()
        return None
    return sock
