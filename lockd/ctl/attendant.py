"""The process beside the command of ``lockctl run``.

Everything that can happen comes to it as a signal, news on a socket as SIGIO, so that one call waits for all of it and
tells who has sent a signal. The command is in the same process group, as under flock(1): Ctrl-C and Ctrl-Z reach it by
themselves, pipes and terminals work as without lockctl, and who ends the whole group ends the command.

Before the child becomes the command it sends a copy of its connection to the daemon, which only this process reads from
then on. It tells what could not be seen otherwise: that the lock is lost, because its lease was taken; and, after the
end of the command, that the lock is free, so that the next line of a script finds it free.

The end of the daemon is no loss: the next one knows the lock from the journal, and the command by the kernel. But the
session is the command's, and nobody else can take it up again. So from then on this process watches in another way.
"""

from __future__ import annotations

import _socket
import os
import sys
from time import monotonic

from lockd_wire.endpoints import client_socket
from lockd_wire.messages import Lost

from . import statuses
from .complaints import complain
from .conversation import Conversation
from .signals import die_of, is_from_kernel, signal, stop_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .errand import Errand
    from .watch import Watch

#: What is passed on to the command.
_PASSED_ON = frozenset(
    {
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGALRM,
        signal.SIGWINCH,
        signal.SIGTSTP,
        signal.SIGCONT,
    }
)

#: What an attendant waits for. All of it has to be blocked, so that it comes here and nowhere else.
AWAITED = _PASSED_ON | {signal.SIGCHLD, signal.SIGIO}

#: How long the daemon may take to notice that the command has exited. If it takes longer, nobody waits for that.
_RELEASE_SECONDS = 1.0

#: More than is sent over the link.
_READ_BYTES = 4096

#: How the lock was lost, by the reason that LOST gives, or `Watch.look`.
_LOSSES = {
    "lease": 'the lease of "{name}" had run out when somebody else wanted it, who has been given it',
    "broken": 'an administrator has taken "{name}" away',
    "state": 'lockd has lost its state, and knows no more who held "{name}"',
}
_OTHER_LOSS = 'lockd has taken "{name}" away'


class Attendant:
    """Waits for one command."""

    def __init__(self, child: int, errand: Errand, link: _socket.socket, kill_after_seconds: float) -> None:
        """Attend to ``child``. `AWAITED` has to be blocked.

        Args:
            child: The process that takes the lock and becomes the command.
            errand: What it does.
            link: Brings the child's connection, and the token.
            kill_after_seconds: After the loss of the lock, from SIGTERM to SIGKILL.
        """
        self._child = child
        self._errand = errand
        self._link = link
        self._kill_after_seconds = kill_after_seconds
        #: The child's, until it ends.
        self._conversation: Conversation | None = None
        self._token = 0
        #: What there is afterwards.
        self._watch: Watch | None = None
        self._is_lost = False
        #: As `os.waitpid` tells it, once the child has exited.
        self._wait_status: int | None = None
        self._received: set[int] = set()

    def attend(self) -> int:
        """Wait until the child has exited and the lock is free, and return the exit status for that."""
        while not self._has_exited():
            info = self._next_signal()
            if info is None or info.si_signo == signal.SIGIO:
                self._look_for_loss()
            elif info.si_signo in _PASSED_ON:
                self._pass_on(info)
        self._wait_until_free()
        return self._end()

    def _next_signal(self) -> signal.struct_siginfo | None:
        """Wait for a signal, or until there is something to do without one."""
        seconds = None if self._watch is None or self._is_lost else self._watch.seconds_left
        return signal.sigwaitinfo(AWAITED) if seconds is None else signal.sigtimedwait(AWAITED, seconds)

    def _has_exited(self) -> bool:
        if self._wait_status is None:
            pid, status = os.waitpid(self._child, os.WNOHANG)
            if pid:
                self._wait_status = status
        return self._wait_status is not None

    def _pass_on(self, info: signal.struct_siginfo) -> None:
        number = info.si_signo
        self._received.add(number)
        # The child has what comes from the keyboard already, and what it sent itself, to the whole group perhaps.
        if not is_from_kernel(info) and info.si_pid != self._child:
            self._send(number)
        if number == signal.SIGTSTP:
            stop_here()

    def _send(self, number: int) -> None:
        try:
            os.kill(self._child, number)
        except PermissionError:
            complain(f"{signal.strsignal(number)}: the command, pid {self._child}, is another user's by now")

    def _look_for_loss(self) -> None:
        if self._is_lost:
            return
        reason = self._reason_for_loss()
        # The end of the command ends the session too, and is no loss.
        if reason and not self._has_exited():
            self._lose(reason)

    def _reason_for_loss(self) -> str:
        if self._conversation is None and self._watch is None:
            self._receive_conversation()
        if self._conversation is not None:
            for message in self._conversation.messages():
                if isinstance(message, Lost):
                    return message.reason
            if not self._conversation.is_open and not self._has_exited():
                self._conversation.close()
                self._conversation = None
                self._watch = self._begin_watch()
        return "" if self._watch is None else self._watch.look()

    def _receive_conversation(self) -> None:
        try:
            token, ancillary, _, _ = self._link.recvmsg(
                _READ_BYTES, _socket.CMSG_LEN(4), _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        for _, _, rights in ancillary:
            number = int.from_bytes(rights, sys.byteorder)
            self._conversation = Conversation(_socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, number))
            self._token = int(token)

    def _begin_watch(self) -> Watch:
        from .watch import Watch

        errand = self._errand
        names = tuple([item[0] for item in errand.items])
        return Watch(errand.socket or client_socket(), names, self._token, is_leased=errand.lease is not None)

    def _lose(self, reason: str) -> None:
        from .processes import end_family

        self._is_lost = True
        kind, _, said = reason.partition(": ")
        how = _LOSSES.get(kind, _OTHER_LOSS).format(name=self._errand.name)
        why = f" ({said})" if said else ""
        complain(f"{how}{why}: ending the command, pid {self._child}")
        for pid in end_family(self._child, self._kill_after_seconds):
            complain(f"pid {pid} is another user's, and goes on without the lock")

    def _wait_until_free(self) -> None:
        if self._watch is not None:
            self._watch_until_free(self._watch)
            return
        # The news of it may still be waiting behind the news of the exit.
        if self._conversation is None:
            self._receive_conversation()
        if self._conversation is not None:
            self._conversation.wait_for_end(_RELEASE_SECONDS)

    def _watch_until_free(self, watch: Watch) -> None:
        give_up_at = monotonic() + _RELEASE_SECONDS
        watch.expect_end()
        while not watch.look() and watch.is_heard and (left := give_up_at - monotonic()) > 0:
            seconds = watch.seconds_left
            signal.sigtimedwait({signal.SIGIO}, left if seconds is None else min(seconds, left))

    def _end(self) -> int:
        assert self._wait_status is not None
        if self._is_lost:
            return statuses.LOST
        if os.WIFEXITED(self._wait_status):
            return os.WEXITSTATUS(self._wait_status)
        number = os.WTERMSIG(self._wait_status)
        # A shell goes by this when it decides whether Ctrl-C was meant for the whole script.
        if number in self._received:
            die_of(number)
        return statuses.SIGNALLED + number
