"""The client's side of the protocol, without any I/O: what to send, what the answers mean, what is held and owed.

Whoever runs it (`_channel` does, with threads) moves bytes between it and a socket, one thread at a time. Every method
may be interrupted at any bytecode, by a KeyboardInterrupt say, and called again: what it does is either one step that
cannot be split, or can be done twice.
"""

from __future__ import annotations

from lockd_wire import fixed
from lockd_wire import messages as m
from lockd_wire.codec import TO_CLIENT, encode
from lockd_wire.errors import ErrorCode, RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX

from ._modes import covers
from ._pending import RequestMade, StepsAhead, id_of
from ._program import introduction
from ._speaker import Speaker
from ._standing import HANDED_OVER, Conversion, Held, Lowering, Standing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ._grant import Grant
    from ._pending import Pending

#: A refusal with one of these ends the connection, whichever request it answers.
_LAST_WORDS = frozenset({ErrorCode.PROTOCOL, ErrorCode.VERSION, ErrorCode.ACCESS_DENIED})


class Machine(Speaker):
    """One connection's worth of protocol."""

    def __init__(self, program: str) -> None:
        super().__init__()
        #: Its `receive_data` takes what was read.
        self.decoder = FrameDecoder(FRAME_BYTES_MAX)
        #: The answer to HELLO, once it is there.
        self.welcome: m.Welcome | None = None
        #: What the daemon said before it hung up, if anything.
        self.last_words: m.Failed | None = None
        #: What this session holds, by the requests that were granted.
        self.held: dict[int, Held] = {}
        #: Those of the requests that are conversions, and those whose answers nobody waits for. One that an interrupt
        #: has kept from being sent stays, because no answer comes; it does no harm.
        self.conversions: dict[int, Conversion] = {}
        #: What somebody has asked to be called for: that a grant was lost, or that somebody waits for it.
        self.events: dict[tuple[int, type[m.Lost | m.YieldRequested]], Standing] = {}
        # The ids of adoptions until they are answered.
        self._adoptions: set[int] = set()
        # Notices about grants that have come, but are not held yet.
        self._early: dict[int, list[m.Lost | m.YieldRequested]] = {}
        # Those of a deadlock whose refusal is about to come.
        self._steps = StepsAhead()
        self.outbox.put(encode(introduction(program)))

    def acquire(self, pending: Pending, owner: int, wanted: bytes) -> None:
        """Ask for a grant of what is wanted, which is said as `rest_of_acquire` has it."""
        number = self._register(pending)
        self._put(number, fixed.acquire(number, owner, wanted))

    def adopt(self, pending: Pending, owner: int, ticket: str) -> None:
        """Ask for the grant that a ticket was made for."""
        number = self._register(pending)
        frame = encode(m.Adopt(number, owner, ticket))
        self._adoptions.add(number)
        self._put(number, frame)

    def convert(
        self, pending: Pending, conversion: Conversion, mode: str, timeout: float | None, options: dict[str, m.Scalar]
    ) -> None:
        """Ask that a grant have another mode."""
        number = self._register(pending)
        frame = encode(m.Convert(number, conversion.standing.token, mode, timeout, options))
        self.conversions[number] = conversion
        self._put(number, frame)

    def hand_over(self, pending: Pending, token: int) -> None:
        """Ask for a ticket."""
        number = self._register(pending)
        self._put(number, encode(m.HandOver(number, token)))

    def query(self, pending: Pending, name: str) -> None:
        """Ask who holds a name."""
        number = self._register(pending)
        self._put(number, encode(m.Query(number, name)))

    @property
    def has_something(self) -> bool:
        """Whether this session has anything that a new one would not have."""
        # In this order: another thread may be about to `hold` what it was granted.
        return any([type(pending.answer) is m.Granted for pending in self._pendings()]) or any(
            [not held.standing.loss for held in tuple(self.held.values())]
        )

    @property
    def leaves_something(self) -> bool:
        """Whether the daemon may have anything of this session that it has not been told to free, or has not heard."""
        return bool(self.unsettled or self.owed or self.has_something or self.may_have_inherited)

    def go_down(self) -> None:
        """Note that the connection is gone. What was half received is gone with it."""
        # Last of all, so that whoever is interrupted here does it again.
        self.outbox.clear()
        self._steps.clear()
        self.decoder = FrameDecoder(FRAME_BYTES_MAX)
        self.is_down = True

    def come_up(self, decoder: FrameDecoder, welcome: m.Welcome) -> None:
        """Note that there is another connection, over which ``welcome`` was said, and say again what is unsettled.

        Args:
            decoder: What was received behind that.
        """
        self.queue_owed()
        self.unsettled.note_answer(0, welcome.covered)
        self._drop_taken_back()
        self._put_again()
        self.decoder, self.welcome = decoder, welcome
        self.is_down = False

    def standing_of(self, token: int) -> Standing | None:
        """Return what is held under a token. What was lost is not: another thread may have adopted it."""
        # A generator would be left in its middle, and Python drops an interrupt that comes while it ends one.
        for held in tuple(self.held.values()):
            if held.standing.token == token and not held.standing.loss:
                return held.standing
        return None

    def grant_of(self, standing: Standing) -> Grant | None:
        """Return a grant that has this standing, if anybody still has one."""
        for held in tuple(self.held.values()):
            grant = held() if held.standing is standing else None
            if grant is not None:
                return grant
        return None

    def lose_all(self) -> None:
        """Note that all that is held is lost, because the session is."""
        for held in tuple(self.held.values()):
            if held.standing.on_lost is not None and not held.standing.loss:
                self.events[held.standing.token, m.Lost] = held.standing

    def hold(
        self, pending: Pending, grant: Grant, owner: int, standing: Standing, on_gone: Callable[[Held], None]
    ) -> None:
        """Note that what was granted is held by ``grant``. ``on_gone`` is called if that goes while it is held."""
        held = Held(grant, on_gone)
        held.request, held.owner, held.standing = pending.id, owner, standing
        self.held[pending.id] = held
        self.requests.pop(pending.id, None)
        if self._early:
            for notice in self._early.pop(standing.token, ()):
                self._note(standing, notice)

    def lower(self, standing: Standing, mode: str) -> None:
        """Note that a grant is to go back to ``mode``, and take it for done if that cannot fail."""
        self.owed.append(Lowering(standing, mode))
        if covers(standing.common_mode(), mode):
            standing.items = standing.converted(mode)

    def fall_back(self, conversion: Conversion) -> None:
        """Note that a conversion is to be taken back, whatever has become of it."""
        if conversion.fallback is not None and not conversion.is_given_up:
            self.owed.append(Lowering(conversion.standing, conversion.fallback))
            conversion.give_up()

    def give_up(self, request: int) -> None:
        """Note that a grant is to be released, which is named by the request that was granted.

        Raises:
            KeyError: It is not held.
        """
        # One expression in C: no interrupt, thread or signal handler ever finds it in neither of the two or in both.
        self.owed.extend(map(self.held.pop, (request,)))

    def give_up_all(self) -> None:
        """Note that all that is held is to be released, and all requests are to be taken back."""
        # In this order: another thread may be about to `hold` what it was granted.
        self.owed.extend(tuple(self.requests))
        for request in tuple(self.held):
            self.give_up(request)

    def settle(self, pending: Pending) -> None:
        """Note that the answer to a request has been made use of."""
        if self.conversions:
            self.conversions.pop(pending.id, None)
        self.requests.pop(pending.id, None)

    def abandon(self, pending: Pending) -> None:
        """Note that a request is to be taken back: it is to leave the queue, or what it was granted be released.

        A conversion is undone.
        """
        answer = pending.answer
        if pending.id and (answer is None or type(answer) is m.Granted):
            self.owed.append(pending.id)
        elif self.conversions:
            self.conversions.pop(pending.id, None)
        if type(answer) is m.Granted:
            self.held.pop(pending.id, None)
            self._early.pop(answer.token, None)
        self.requests.pop(pending.id, None)

    def leaves_nothing(self) -> bool:
        """Whether the daemon, which can be told no more, keeps nothing for this session."""
        unsent = tuple(self._unsent())
        never_asked = {message.id for message in unsent if isinstance(message, m.Acquire | m.Adopt | m.Inherit)}
        to_cancel = {message.request for message in unsent if type(message) is m.Cancel}
        to_cancel.update(id_of(owed) for owed in self.owed if isinstance(owed, RequestMade | int))
        to_release = [owed for owed in (*unsent, *self.owed) if isinstance(owed, Held | m.Release)]
        return not self.held and not to_release and to_cancel <= never_asked

    def queue_owed(self) -> None:
        """Put messages into the outbox for all that is owed."""
        # If an interrupt comes between the last two lines, the same is said twice, which the protocol allows: to
        # release what is not held and to cancel what is over does nothing.
        while self.owed:
            owed = self.owed[0]
            if isinstance(owed, Held):
                self._release(owed)
            elif isinstance(owed, Lowering):
                self._lower(owed.standing, owed.mode)
            else:
                self._take_back(id_of(owed))
            self.owed.popleft()

    def handle_received(self) -> None:
        """Deal with every frame that is complete.

        Raises:
            RemoteWireError: That was not the protocol. The connection is of no further use.
        """
        decoder = self.decoder
        while (body := decoder.peek()) is not None:
            message = TO_CLIENT.decode(body)
            if self._steps:
                message = self._steps.put_into(message)
            number = message.id
            request = self.requests.get(number)
            if self.conversions:
                self._note_conversion(message)
            if self._adoptions:
                self._note_adoption(message)
            if request is None or type(message) is m.Failed:
                self._handle_unusual(message)
            pending = request() if request is not None else None
            if pending is not None:
                pending.answer = message
                pending.wake()
            # Last of all: an answer that was not made use of, because of an interrupt, is not settled.
            self.unsettled.note_answer(number, message.covered)
            if not decoder.advance():
                break

    def wake_one(self) -> None:
        """Wake one of those who sleep, if any does."""
        # It may be one who has his answer: whoever brought it may have been interrupted before he woke him.
        any(pending.wake() for pending in self._pendings())

    def wake_all(self) -> None:
        """Wake all who sleep."""
        for pending in self._pendings():
            pending.wake()

    def _pendings(self) -> Iterator[Pending]:
        for request in tuple(self.requests.values()):
            pending = request()
            if pending is not None:
                yield pending

    def _drop_taken_back(self) -> None:
        """Forget what nobody waits for any more, so that it is not said again."""
        # It has been taken back. If that has had its effect it will not be said again, and a request that began anew
        # would be granted to nobody.
        waiting = {pending.id for pending in self._pendings() if pending.answer is None}
        for number in self.unsettled.answerable:
            conversion = self.conversions.get(number)
            if conversion is not None and conversion.is_given_up and conversion.fallback is None:
                # What is held follows from its answer. To be said again it has to be taken back again.
                again = self._next_id()
                self.unsettled.add_silent(again, encode(m.Cancel(again, number)))
            elif number not in waiting:
                self.unsettled.drop(number)

    def _release(self, held: Held) -> None:
        standing = held.standing
        if standing.loss == HANDED_OVER:
            return
        # Of something that was lost it says that this has been heard.
        number = self._next_id()
        if self._adoptions or (standing.is_reentrant and self._is_entered_again(standing)):
            # By the token it would be taken away from the thread that adopts it, if it is this, and said twice after
            # an interrupt, it would take away two entries.
            self._put_silent(number, encode(m.Cancel(number, held.request)))
        else:
            self._put_silent(number, fixed.release(number, standing.token))

    def _is_entered_again(self, standing: Standing) -> bool:
        return any([held.standing is standing for held in tuple(self.held.values())])

    def _take_back(self, request: int) -> None:
        self.requests.pop(request, None)
        number = self._next_id()
        self._put_silent(number, encode(m.Cancel(number, request)))
        conversion = self.conversions.get(request)
        if conversion is not None:
            conversion.give_up()
            if conversion.fallback is not None:
                self._lower(conversion.standing, conversion.fallback)
            if conversion.is_answered:
                self.conversions.pop(request, None)

    def _lower(self, standing: Standing, mode: str) -> None:
        if standing.loss:
            return
        number = self._next_id()
        conversion = Conversion(standing, mode, mode, None)
        conversion.is_given_up = True
        # A try: there is nobody who could wait.
        frame = encode(m.Convert(number, standing.token, mode, 0, {}))
        self.conversions[number] = conversion
        self._put(number, frame)

    def _note_conversion(self, message: m.DaemonMessage) -> None:
        conversion = self.conversions.get(message.id)
        if conversion is None:
            return
        if type(message) is m.Granted:
            conversion.standing.items = conversion.after
        conversion.is_answered = True
        if conversion.is_given_up:
            self.conversions.pop(message.id, None)

    def _note_adoption(self, message: m.DaemonMessage) -> None:
        if type(message) is m.Granted and message.id in self._adoptions:
            # Another thread of this process may have made the ticket. The daemon tells other processes only.
            standing = self.standing_of(message.token)
            if standing is not None:
                standing.loss = HANDED_OVER
        # An adoption never waits. One that has no answer when a later request has was interrupted before it was sent.
        self._adoptions -= {number for number in self._adoptions if number <= message.id}

    def _handle_unusual(self, message: m.DaemonMessage) -> None:
        """Deal with what is no answer, or not only."""
        if type(message) is m.Failed and message.code == ErrorCode.NOTHING_INHERITED:
            self.may_have_inherited = False
        if type(message) is m.Failed and (message.id == 0 or message.code in _LAST_WORDS):
            self.last_words = message
        elif message.id == 0:
            if type(message) is m.Welcome and self.welcome in (None, message):
                self.welcome = message
            elif self.welcome is None or not isinstance(message, m.Waiting | m.YieldRequested | m.Lost | m.Steps):
                raise RemoteWireError(f"a {type(message).__name__} came that answers nothing")
            else:
                self._handle_notice(message)
        elif self.welcome is None or message.id > self._last_id:
            raise RemoteWireError(f"an answer came to a request, {message.id}, that was never made")
        # Else the request was taken back, and nobody waits for its answer any more.

    def _handle_notice(self, notice: m.Notice) -> None:
        if isinstance(notice, m.Waiting):
            request = self.requests.get(notice.request)
            pending = request() if request is not None else None
            if pending is not None:
                pending.notice = notice
                pending.wake()
            return
        if isinstance(notice, m.Steps):
            self._steps.note(notice)
            return
        # In this order, because another thread may be about to `hold` what the notice is about.
        if self._is_granted(notice.token):
            self._early.setdefault(notice.token, []).append(notice)
        standing = self.standing_of(notice.token)
        if standing is not None:
            self._note(standing, notice)

    def _note(self, standing: Standing, notice: m.Lost | m.YieldRequested) -> None:
        if isinstance(notice, m.YieldRequested):
            if standing.on_yield is not None:
                self.events[standing.token, m.YieldRequested] = standing
            return
        standing.loss = notice.reason
        if notice.reason != HANDED_OVER and standing.on_lost is not None:
            self.events[standing.token, m.Lost] = standing

    def _is_granted(self, token: int) -> bool:
        """Whether somebody has been granted this who has not made use of the answer yet."""
        for request in tuple(self.requests.values()):
            pending = request()
            answer = pending.answer if pending is not None else None
            if type(answer) is m.Granted and answer.token == token:
                return True
        return False
