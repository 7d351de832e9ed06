"""The connection to the daemon as bytes, safe against interrupts and against programs that close what is not theirs."""

from __future__ import annotations

import _socket
import sys
from _thread import get_ident

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: More than the daemon ever has for us at once. Python allocates this before each read, so it is no more than a page.
_READ_SIZE = (4096,)
_READ_AT_ONCE = (_socket.MSG_DONTWAIT,)

#: Without MSG_NOSIGNAL a dead daemon would kill those programs that have made SIGPIPE deadly again.
_SEND_FLAGS = (_socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL,)

#: Asks for a number that no other socket ever has on this machine. Linux 4.12 and newer; the socket module has no name
#: for it.
_SO_COOKIE = 57
_COOKIE_BYTES = 8

_TAKEN = "its descriptor was closed by this program"


class DescriptorTaken(OSError):
    """The number of our descriptor is closed, or belongs to something else by now."""


class Transport:
    """A connected socket, shared by the threads of this process and by nobody else."""

    def __init__(self, sock: _socket.socket) -> None:
        #: The number of the descriptor, as it was.
        self.number = sock.fileno()
        self._cookie = sock.getsockopt(_socket.SOL_SOCKET, _SO_COOKIE, _COOKIE_BYTES)
        # Asks whether something has arrived, once somebody has wanted to know.
        self._poll_news: Callable[[int], list[tuple[int, int]]] | None = None
        # The threads that wait by its number, which has to stand for it until they have woken up: poll looks the number
        # up once more then. The last of them closes what was given up meanwhile.
        self._waiters: set[int] = set()
        self._is_given_up = False
        # Last, because there is something to close from then on, and all that it takes has to be there.
        self._sock = sock

    def check(self) -> None:
        """Make sure that the number still stands for our socket.

        A program may close all descriptors that it does not know of (`os.closerange`), and the next file that it opens
        gets our number. Not a byte may go into that file or be read from it. The system is asked before each send and
        read, in the way that takes it least: fstat takes Python three times as long.

        Raises:
            DescriptorTaken: It does not.
        """
        try:
            cookie = self._sock.getsockopt(_socket.SOL_SOCKET, _SO_COOKIE, _COOKIE_BYTES)
        except OSError:
            raise DescriptorTaken(_TAKEN) from None
        if cookie != self._cookie:
            raise DescriptorTaken(_TAKEN)

    def sending(self, data: bytes) -> Iterator[int]:
        """Return an iterator whose one item is how many bytes were sent; they are sent when it is asked for it.

        Raises:
            DescriptorTaken: See `check`.
            BlockingIOError: (the iterator) The daemon has so much unread that there is no room for more.
            OSError: (the iterator) The connection is gone.
        """
        self.check()
        return map(self._sock.send, (data,), _SEND_FLAGS)

    def receive(self, store: Callable[[bytes], None]) -> bool:
        """Wait for bytes, give them to ``store``, and return whether there were any: otherwise the stream has ended."""
        # From recv to the store without a bytecode in between, because it is between bytecodes that a signal handler
        # runs and may raise: the bytes that had just been read would be gone, and the stream with them.
        return bool([*map(store, filter(None, map(self._sock.recv, _READ_SIZE)))])

    def receive_at_once(self, store: Callable[[bytes], None]) -> bool:
        """Do the same with what has arrived.

        Raises:
            BlockingIOError: Nothing has.
        """
        return bool([*map(store, filter(None, map(self._sock.recv, _READ_SIZE, _READ_AT_ONCE)))])

    def has_news(self) -> bool:
        """Whether something has arrived, or the end of the connection has. May be wrong if the descriptor is not ours
        any more: whoever reads finds out."""
        poll = self._poll_news
        if poll is None:
            poll = self._poll_news = _polling(self.number)
        try:
            return bool(poll(0))
        except RuntimeError:
            # Another thread is asking. It may be told something.
            return True

    def wait_for_room(self, *, or_data: bool = False) -> None:
        """Wait until something can be sent, or else, if ``or_data``, received."""
        import select

        self._poll(select.POLLOUT | (select.POLLIN if or_data else 0), None)

    def wait_for_hang_up(self, timeout_seconds: float) -> None:
        """Wait until the daemon has closed its end, but no longer than that."""
        import select

        self._poll(select.POLLRDHUP, timeout_seconds * 1000)

    def begin_to_wait(self, thread: int) -> None:
        """Let the number stand for this connection until `end_of_wait`, even if it is closed before."""
        self._waiters.add(thread)

    def end_of_wait(self, thread: int) -> None:
        """Let the number go, if the connection was closed and this thread is the last that has waited for it."""
        self._waiters.discard(thread)
        # Whoever closes looks in the other order, so that one of both closes the descriptor.
        if self._is_given_up and not self._waiters:
            self.drop_copy()

    def _poll(self, events: int, milliseconds: float | None) -> None:
        import select

        thread = get_ident()
        try:
            self.begin_to_wait(thread)
            self.check()
            poll = select.poll()
            poll.register(self.number, events)
            poll.poll(milliseconds)
        finally:
            self.end_of_wait(thread)

    def set_timeout(self, seconds: float | None) -> None:
        """Let reads raise TimeoutError after that long, or never."""
        self._sock.settimeout(seconds)

    def close(self) -> bool:
        """End the connection, also for a thread of ours that is reading from it or waits for it.

        Returns:
            False if that was not possible, because the descriptor was taken.
        """
        try:
            self.check()
            self._sock.shutdown(_socket.SHUT_RDWR)
        except DescriptorTaken:
            self._sock.detach()
            return False
        except OSError:
            # The daemon has ended it already.
            pass
        self._is_given_up = True
        if not self._waiters:
            self._sock.close()
        return True

    def drop_copy(self) -> None:
        """Close this process's copy of a descriptor whose connection belongs to its parent."""
        if self._sock.fileno() < 0:
            # It is closed, or was given up, and the number is nobody's business.
            return
        try:
            self.check()
        except DescriptorTaken:
            self._sock.detach()
            return
        self._sock.close()

    def after_fork_in_child(self) -> None:
        """Close the copy that this process, a child made by fork, has of it."""
        self.drop_copy()

    def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # A default argument, because at exit the module may have lost its names. The exit of the process closes the
        # descriptor, and warnings about that would tell nobody anything.
        sock = getattr(self, "_sock", None)
        if sock is None:
            # Interrupted while it was made.
            return
        if _is_finalizing():
            sock.detach()
        else:
            self.drop_copy()


def _polling(number: int) -> Callable[[int], list[tuple[int, int]]]:
    import select

    poll = select.poll()
    poll.register(number, select.POLLIN)
    return poll.poll
