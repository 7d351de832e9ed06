"""A connection to the daemon that is made anew when it ends, and the machine that speaks over it."""

from __future__ import annotations

from _thread import allocate_lock
from time import monotonic, sleep

from lockd_wire.errors import RemoteWireError

from . import _ends as ends
from ._pauses import Pauses
from ._settling import Settler
from ._transport import DescriptorTaken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from weakref import ref

    from ._machine import Machine
    from ._opening import Opened
    from ._transport import Transport
    from ._waiting import Waiting
    from ._watcher import Watcher

_SHORTAGE_SECONDS = 0.01


class Connection:
    """What a channel knows of its connection, and what becomes of that.

    All methods with an underscore but the last two are called in sections (see `_channel`).
    """

    def __init__(
        self, transport: Transport, machine: Machine, path: str, program: str, reconnect_seconds: float
    ) -> None:
        #: Why the session is over, once it is.
        self.end: ends.End | None = None
        self._transport = transport
        self._machine = machine
        # Looked at so often that they are worth having at hand.
        self._owed = machine.owed
        self._unsent = machine.outbox.frames
        self._path, self._program, self._reconnect_seconds = path, program, reconnect_seconds
        self._mutex = allocate_lock()
        # Which thread is in a section, so that a signal handler on that thread is not made to wait for it.
        self._inside = 0
        # Weakly, so that a reader who goes without a word leaves nothing behind.
        self._reader: ref[Waiting] | None = None
        # Whether the reader found the connection to have ended, until a section has dealt with that.
        self._has_ended = False
        # Since when there is no connection.
        self._down_at = 0.0
        # Whether the session is to be ended, and what asks, if that was said over this connection, whether the daemon
        # has heard it.
        self._is_leaving = False
        self._goodbye = 0
        self._settler = Settler()
        self._pauses = Pauses()
        self._watcher: Watcher | None = None

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._transport.number

    @property
    def is_down(self) -> bool:
        """Whether there is no connection, although one is needed."""
        return self._machine.is_down and (self.end is None or self._is_leaving)

    def _present_reader(self) -> Waiting | None:
        reader = self._reader() if self._reader is not None else None
        return None if reader is None or reader.has_left else reader

    def _glance(self) -> None:
        if self._present_reader() is None and not self._machine.is_down:
            self._receive(wait=False)
            self._handle_received()

    def _flush(self) -> None:
        machine = self._machine
        if machine.is_down:
            return
        try:
            machine.outbox.flush(self._transport.sending)
        except BlockingIOError:
            return
        except DescriptorTaken:
            self._go_down()
        except OSError:
            # What can still be read says why.
            self._glance()

    def _handle_received(self) -> None:
        machine = self._machine
        try:
            machine.handle_received()
        except RemoteWireError as error:
            self._finish(ends.not_understood(self._path, error))
            return
        if machine.events and self._watcher is not None:
            self._watcher.wake()
        if machine.last_words is not None:
            self._finish(ends.turned_out(machine.last_words))
        elif self._has_ended:
            self._go_down()

    def _go_down(self) -> None:
        """Give the connection up. The session goes on over the next one, unless the daemon has heard that it ends."""
        if self._is_leaving and self._machine.has_heard(self._goodbye):
            self._finish(ends.closed())
            return
        self._has_ended = False
        self._goodbye = 0
        if not self._machine.is_down:
            self._down_at = monotonic()
        watcher = self._watcher
        self._transport.close()
        if watcher is not None and watcher.polls:
            # The program may have closed the descriptor under it. Then it waits for what has the number by now, for
            # good.
            self._watcher = watcher.successor(watcher.calls)
        self._machine.go_down()
        self._wake_all()

    def _come_up(self, opened: Opened | None) -> None:
        if opened is None or self._is_another_session(opened):
            self._finish(ends.forgotten(self._path))
            return
        if self.end is not None and not self._is_leaving:
            return
        # It is about the connection before.
        self._has_ended = False
        self._transport, decoder, welcome = opened
        self._machine.come_up(decoder, welcome)
        self._flush()
        self._handle_received()
        self._wake_all()

    def _is_another_session(self, opened: Opened) -> bool:
        """Whether it has not what this process has, which may have got it since the daemon was asked."""
        machine = self._machine
        assert machine.welcome is not None
        return opened.welcome.session != machine.welcome.session and (machine.has_something or self._is_leaving)

    def _finish(self, end: ends.End) -> None:
        self._is_leaving = False
        if self.end is None:
            self.end = end
        self._wake_all()
        self._transport.close()

    def _is_settled(self) -> bool:
        """Return whether nothing is left to be done for the thread that asks this, which ends then."""
        machine = self._machine
        if self._is_leaving:
            self._go_on_leaving()
            is_settled = not self._is_leaving
        elif machine.is_down:
            is_settled = not self.is_down or not machine.unsettled
        else:
            is_settled = not self._unsent or self.end is not None
        if is_settled:
            self._settler.is_running = False
        return is_settled

    def _go_on_leaving(self) -> None:
        """Say all that ends the session, once over each connection, until the daemon has heard it (see `_go_down`) or
        does not know the session any more."""
        machine = self._machine
        if machine.is_down:
            if not machine.leaves_something:
                self._finish(ends.closed())
        elif not self._goodbye:
            machine.give_up_all()
            machine.queue_owed()
            self._goodbye = machine.bye()
            self._flush()

    def _wake_all(self) -> None:
        self._machine.wake_all()
        if self._watcher is not None:
            self._watcher.open_gate()

    def _wait_for_room(self) -> None:
        try:
            self._transport.wait_for_room()
        except DescriptorTaken:
            # The section that follows finds out the same, and deals with it.
            return
        except OSError:
            # The system cannot wait, for lack of memory, and this is tried again.
            sleep(_SHORTAGE_SECONDS)

    def _receive(self, *, wait: bool) -> None:
        """Store what arrives, or with ``wait=False`` what has arrived. Only for the reader, or while there is none."""
        transport, store = self._transport, self._machine.decoder.receive_data
        try:
            transport.check()
            if wait and not self._unsent:
                is_open = transport.receive(store)
            else:
                if wait:
                    transport.wait_for_room(or_data=True)
                while is_open := transport.receive_at_once(store):
                    pass
            if not is_open:
                self._has_ended = True
        except BlockingIOError:
            return
        except OSError:
            # The connection is broken, or its descriptor was closed by the program. Either way there can be another.
            self._has_ended = True
