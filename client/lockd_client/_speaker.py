"""What is said to the daemon: once over each connection, and until it is known to have been heard."""

from __future__ import annotations

from collections import deque

from lockd_wire import messages as m
from lockd_wire.codec import TO_DAEMON, encode
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX

from ._outbox import Outbox
from ._pending import RequestMade
from ._unsettled import Unsettled

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._pending import Pending
    from ._standing import Held, Lowering


class Speaker:
    """The part of the machine that speaks."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        #: What may have to be said again.
        self.unsettled = Unsettled()
        #: What the daemon has yet to be told: the grants that were given up, those that are to go back to a lower mode,
        #: and the requests that are taken back, these by their ids, or as they stood if nobody was left to take them
        #: back.
        self.owed: deque[Held | Lowering | RequestMade | int] = deque()
        #: Each request from the moment it is made until the one who made it has made use of the answer, by id.
        self.requests: dict[int, RequestMade] = {}
        #: Whether there is no connection at present. What is to be said waits for the next one.
        self.is_down = False
        #: Whether this session may have inherited what it has not been told of yet.
        self.may_have_inherited = False
        self._last_id = 0

    def inherit(self, pending: Pending, owner: int) -> None:
        """Ask for a grant that an earlier program of this process has left behind."""
        number = self._register(pending)
        self.may_have_inherited = True
        self._put(number, encode(m.Inherit(number, owner)))

    def confirm(self, pending: Pending) -> None:
        """Ask for an answer that comes when all has been done that was said before."""
        number = self._register(pending)
        # No grant has the token 0, so this releases nothing, however often it is said.
        self._put(number, encode(m.Release(number, 0, True)))

    def bye(self) -> int:
        """Say that the session, which has given up all it had, ends, and return what `has_heard` is to be asked for.

        It is not said again by itself: another session would end by it.
        """
        number = self._next_id()
        # Nothing proves that BYE is heard: the end of the connection, which answers it, may be that of the daemon, and
        # the next one keeps what it was not told to free. So the proof comes before it, and that is enough, because a
        # session that has nothing ends by itself.
        question = encode(m.Release(number, 0, True))
        self.outbox.put(question + encode(m.Bye(self._next_id())))
        self.unsettled.add(number, question)
        return number

    def has_heard(self, goodbye: int) -> bool:
        """Whether the daemon is known to have heard what was said before a `bye`, and to have nothing of this session
        any more."""
        return goodbye > 0 and not self.unsettled.awaits(goodbye) and not self.may_have_inherited

    def _register(self, pending: Pending) -> int:
        # From the first line on the request can be taken back, even if it was never sent: ids may leave gaps, and the
        # daemon ignores a cancel of an id that it has not seen.
        self._last_id = number = pending.id = self._last_id + 1
        # The callback is made of C: it cannot be interrupted, and takes no mutex.
        request = RequestMade(pending, self.owed.append)
        request.id = number
        self.requests[number] = request
        return number

    def _next_id(self) -> int:
        self._last_id = number = self._last_id + 1
        return number

    def _put(self, number: int, frame: bytes) -> None:
        """Say something that is answered, and see to it that it is said again over another connection."""
        # In this order: what was interrupted before it was noted is taken back, so it must not be said later on.
        if not self.is_down:
            self.outbox.put(frame)
        self.unsettled.add(number, frame)

    def _put_silent(self, number: int, frame: bytes) -> None:
        """Do the same for what need not be answered."""
        if not self.is_down:
            self.outbox.put(frame)
        self.unsettled.add_silent(number, frame)

    def _put_again(self) -> None:
        """Say over another connection all that is unsettled. Whoever is interrupted here does it once more."""
        self.outbox.clear()
        for frame in self.unsettled.frames():
            self.outbox.put(frame)

    def _unsent(self) -> Iterator[m.ClientMessage]:
        decoder = FrameDecoder(FRAME_BYTES_MAX)
        for frame, _ in self.outbox.frames:
            decoder.receive_data(frame)
            while (body := decoder.peek()) is not None:
                yield TO_DAEMON.decode(body)
                decoder.advance()
