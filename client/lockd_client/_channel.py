"""A connection that is shared by the threads of this process.

Whoever waits reads for all (XCB does it so): one thread at a time has the *reading role* and is in `recv`; the others
sleep, each at a gate of its own, until the reader finds their answers or leaves the role to one of them. No thread runs
in the background.

A mutex guards the machine. What runs under it is called a *section*, and never waits. A thread that gives something up
does not wait for the mutex either, because it may be a finalizer or a signal handler that runs in the middle of a
section of the same thread: it puts down what is owed, and whoever is inside looks for that once he has left.

An interrupt may raise between any two bytecodes. It finds the machine in a state that the next section can go on from,
and the thread whose call it ends takes its request back and leaves the role to another (`Channel.abandon`).
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident, start_new_thread
from _weakref import ref
from time import monotonic

from . import _ends as ends
from ._connection import Connection
from ._waiting import Waiting
from .errors import AccessDenied, DaemonUnavailable, DeadlockDetected, LockError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar, TypeVarTuple, Unpack

    from lockd_wire import messages as m
    from lockd_wire.messages import DaemonMessage

    from ._session import Session
    from ._transport import Transport
    from ._watcher import Watcher

    _T = TypeVar("_T")
    _Ts = TypeVarTuple("_Ts")

#: How long `Channel.close` waits for the daemon to hang up, which says that everything is free.
CLOSE_SECONDS = 1.0

#: How long a call in any case waits for another thread's attempt to reach a daemon that is away.
ATTEMPT_SECONDS = 1.0

_IN_A_HANDLER = (
    "a signal handler asked for a lock while the thread that it interrupted was talking to lockd, and would wait for "
    "itself: release locks in a signal handler, but take them elsewhere"
)


class Channel(Connection):
    """A connection to the daemon and its machine, for any number of threads."""

    def call(self, waiting: Waiting, ask: Callable[..., None], *arguments: object) -> DaemonMessage:
        """Call ``ask(waiting, *arguments)``, which is a method of the machine, and wait for the answer.

        If this raises, or if anything does before the answer has been made use of, the caller has to `abandon` it.
        """
        self._section(self._begin, waiting, ask, arguments)
        while (answer := waiting.answer) is None:
            if waiting.notice is not None:
                self._tell(waiting, waiting.notice)
            elif self._machine.is_down:
                self._wait_for_daemon(waiting)
            elif waiting.is_reader:
                self._receive(wait=True)
            elif self._unsent:
                self._wait_for_room()
            else:
                waiting.sleep()
            self._section(self._look, waiting)
        return answer

    def watch(self, session: Session, *, calls: bool) -> None:
        """Have a thread notice the end of the connection, and if ``calls``, call those who have asked to be called."""
        from ._watcher import Watcher

        self._section(self._watch, session, Watcher, calls)

    def stand_by(self, watcher: Watcher) -> Transport | None:
        """Return the connection that the watcher is to wait for, and then to tell `Transport.end_of_wait`. If it is
        None, the watcher's gate is opened when that changes, or when there is somebody to call."""
        return self._section(self._stand_by, watcher)

    def abandon(self, waiting: Waiting) -> None:
        """Take a request back, whatever has become of it, and leave the reading role to somebody else."""
        waiting.has_left = True
        self._machine.abandon(waiting)
        self._section(self._leave, waiting)

    def settle(self) -> None:
        """Tell the daemon what is owed, as far as that is possible without waiting.

        If a thread is in a section, be it this one, the rest is left to it: it calls this when it has left the section.
        """
        mutex = self._mutex
        while self._owed and self.end is None:
            entered: list[bool] = []
            try:
                # Tried and noted in one expression: an interrupt in between would leave the mutex locked for ever.
                entered.extend(map(mutex.acquire, (False,)))
                if not entered[0]:
                    return
                self._inside = get_ident()
                self._machine.queue_owed()
                self._flush()
                if (self._unsent or self._machine.is_down) and self.end is None:
                    self._settler.start(self)
            finally:
                if entered and entered[0]:
                    self._inside = 0
                    mutex.release()

    def mend(self, *, ends_if_refused: bool = False) -> None:
        """Try once to make another connection, if there is none and no other thread is about to.

        Whether it has come to anything, `is_down` says.

        Args:
            ends_if_refused: Whether the session is over if the daemon says that it will not have it.
        """
        if self._inside == get_ident():
            return
        waiting = Waiting()
        try:
            self._section(self._take_role, waiting)
            if waiting.is_reader and self.is_down:
                self._reconnect(0)
        except (AccessDenied, ProtocolError) as error:
            if ends_if_refused:
                self._section(self._finish, ends.refused(error))
        except LockError:
            return
        finally:
            waiting.has_left = True
            self._section(self._leave_all, waiting)

    def mend_in_time(self, *, ends_if_refused: bool = False) -> None:
        """Do the same in the background, where it is not done too often."""
        if self.is_down and self._section(self._pauses.is_over):
            self.mend(ends_if_refused=ends_if_refused)

    def pause_seconds(self) -> float:
        """Return how long it is until it may be done in the background again."""
        return self._pauses.seconds_left()

    def look(self) -> None:
        """Deal with what has arrived, if no thread is about to, so that a connection that has ended is noticed."""
        if self.end is None and self._inside != get_ident():
            self._section(self._glance)

    def has_news(self) -> bool:
        """Whether something may have arrived. Costs less than to `look`."""
        return self.end is None and self._transport.has_news()

    def is_settled(self) -> bool:
        """Return whether the thread that asks this, which is the one that settles things, has no more to do."""
        return self._section(self._is_settled)

    def speak_on(self) -> None:
        """Send what there was no room for, as soon as there is, or wait until what was said last has been heard."""
        if self._unsent:
            self._wait_for_room()
            self._section(self._flush)
        else:
            self._wait_for_hang_up()

    def close(self) -> None:
        """Say goodbye, which frees everything, and wait for the daemon to hang up.

        If there is no daemon, or it has not heard it for sure by then, a thread says it until one has.
        """
        self.look()
        if self.is_down:
            self.mend()
        if (self.end is None or self._is_leaving) and self._section(self._say_goodbye):
            self._wait_for_hang_up()

    def leave(self) -> None:
        """Do the same, if nobody has a reference to this any more but a thread that settles things. Waits for
        nothing: if something may be left, a thread does that."""
        if self.end is not None and not self._is_leaving:
            return
        if self._settler.is_running or self._machine.leaves_something:
            try:
                start_new_thread(self.close, ())
            except RuntimeError:
                # The interpreter is about to exit, or there can be no more threads. What follows is all that is left.
                pass
            else:
                return
        self._say_goodbye()
        self._transport.close()

    def after_fork_in_child(self, pid: int) -> None:
        """Give up what belongs to process ``pid``, from which this one was forked."""
        if self.end is None:
            self.end = ends.inherited(pid)
        self._is_leaving = False
        self._transport.drop_copy()
        self._mutex = allocate_lock()
        self._inside = 0

    def _section(self, section: Callable[[Unpack[_Ts]], _T], *args: *_Ts) -> _T:
        thread = get_ident()
        if self._inside == thread:
            raise DeadlockDetected(_IN_A_HANDLER)
        try:
            # Only `with` on a mutex made in C leaves no bytecode, between locking and unlocking, from which an
            # interrupt could escape without unlocking.
            with self._mutex:
                self._inside = thread
                try:
                    return section(*args)
                finally:
                    self._inside = 0
        finally:
            if self._owed:
                self.settle()

    # What follows runs in sections.

    def _begin(self, waiting: Waiting, ask: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if self.end is not None:
            raise self.end.error()
        if self._owed:
            self._machine.queue_owed()
        if self._machine.is_down:
            waiting.asked_at = monotonic()
        ask(waiting, *arguments)
        self._flush()
        if self._reader is None and self._machine.decoder.is_empty:
            # What `_look` would come to, which is the usual thing.
            self._reader = ref(waiting)
            waiting.is_reader = True
        else:
            self._look(waiting)

    def _look(self, waiting: Waiting) -> None:
        """See whether the answer is there, and otherwise whether this thread reads next or sleeps."""
        other = None
        if not waiting.is_reader:
            other = self._present_reader()
            if other is None:
                self._reader = ref(waiting)
                waiting.is_reader = True
        if other is None:
            self._handle_received()
        if self._unsent:
            self._flush()
        if waiting.answer is not None:
            self._leave(waiting)
        elif self.end is not None:
            raise self.end.error()
        elif other is not None:
            if other.thread == waiting.thread:
                raise DeadlockDetected(_IN_A_HANDLER)
            waiting.prepare_to_sleep()

    def _take_role(self, waiting: Waiting) -> None:
        if self._present_reader() is None:
            self._reader = ref(waiting)
            waiting.is_reader = True

    def _step_back(self, waiting: Waiting) -> None:
        """Leave the reading role to another thread, for as long as this one is busy."""
        waiting.notice = None
        waiting.is_busy = True
        if waiting.is_reader:
            waiting.is_reader = False
            self._reader = None
            self._machine.wake_one()
            if self._watcher is not None:
                self._watcher.open_gate()

    def _watch(self, session: Session, make_watcher: type[Watcher], calls: bool) -> None:
        watcher = self._watcher
        if watcher is None or not watcher.is_alive:
            self._watcher = make_watcher(ref(session), calls)
            self._watcher.start()
        elif calls and not watcher.calls:
            self._watcher = watcher.successor(calls)
        elif self._machine.events:
            watcher.wake()

    def _stand_by(self, watcher: Watcher) -> Transport | None:
        if (self._machine.events and watcher.calls) or self.end is not None or watcher is not self._watcher:
            watcher.open_gate()
            return None
        # What somebody reads who is about to notice it would wake the watcher over and over.
        is_noticed = (watcher.calls or watcher.has_seen_the_end) and self._present_reader() is not None
        watcher.polls = not is_noticed and not self._machine.is_down
        if not watcher.polls:
            watcher.close_gate()
            return None
        self._transport.begin_to_wait(get_ident())
        return self._transport

    def _leave(self, waiting: Waiting) -> None:
        # First of all, so that an interrupt behind this line leaves no role with a thread that has gone.
        waiting.has_left = True
        if self.end is not None:
            self._machine.wake_all()
        # Not by `is_reader`: who leaves a second time, by `abandon`, may have been followed by another reader.
        elif self._present_reader() is None:
            self._reader = None
            # The usual thing is that there is nobody else.
            requests = self._machine.requests
            if len(requests) > (waiting.id in requests):
                self._machine.wake_one()
            if self._watcher is not None:
                self._watcher.open_gate()

    def _leave_all(self, waiting: Waiting) -> None:
        """Leave the role, and what there is no room for to the thread that settles things."""
        self._leave(waiting)
        if self._unsent and self.end is None:
            self._settler.start(self)

    def _say_goodbye(self) -> bool:
        """Return whether all of it was sent, so that somebody has to wait for the answer and `_hang_up`. Otherwise a
        thread sees to it, or there was nothing to be said."""
        self._is_leaving = True
        if self.end is None:
            self.end = ends.closed()
        # Before their requests are taken back: who has none any more cannot be found.
        self._wake_all()
        self._go_on_leaving()
        is_said = self._is_leaving and not self._machine.is_down and not self._unsent
        if self._is_leaving and not is_said:
            self._settler.start(self)
        return is_said

    def _hang_up(self, transport: Transport) -> None:
        """Give up a connection over which goodbye was said and which has been waited for, and if that may not have been
        heard, have a thread say it over another."""
        if transport is self._transport:
            self._glance()
            if self._is_leaving and not self._machine.is_down:
                self._go_down()
        if self._is_leaving:
            self._settler.start(self)

    # What follows runs outside of sections, and may wait.

    def _wait_for_hang_up(self) -> None:
        transport = self._transport
        try:
            transport.wait_for_hang_up(CLOSE_SECONDS)
        except OSError:
            # The program has closed the descriptor, or the system cannot wait. Another connection is tried then.
            return
        finally:
            self._section(self._hang_up, transport)

    def _tell(self, waiting: Waiting, notice: m.Waiting) -> None:
        from ._wait import Wait

        self._section(self._step_back, waiting)
        # Once: said again over another connection, the request may be told again that it has to wait.
        on_wait, waiting.on_wait = waiting.on_wait, None
        if on_wait is not None:
            on_wait(Wait(notice.facts))
        waiting.is_busy = False
        self._section(self._look, waiting)

    def _wait_for_daemon(self, waiting: Waiting) -> None:
        """Reconnect, or wait for another thread to do so, for as long as this call may wait for that."""
        give_up_at = max(self._down_at, waiting.asked_at) + self._reconnect_seconds
        if waiting.is_reader:
            self._reconnect(give_up_at)
        elif not waiting.sleep_until(max(give_up_at, monotonic() + ATTEMPT_SECONDS)) and self.is_down:
            raise ends.away(self._path, self._reconnect_seconds)

    def _reconnect(self, give_up_at: float) -> None:
        from ._opening import reopen_connection

        machine = self._machine
        assert machine.welcome is not None
        try:
            opened = reopen_connection(
                self._path,
                self._program,
                machine.welcome.session,
                lambda: machine.has_something or self._is_leaving,
                lambda: self.end is None and monotonic() < give_up_at,
            )
        except DaemonUnavailable as error:
            if self.end is not None:
                return
            raise ends.away(self._path, self._reconnect_seconds, error) from None
        self._section(self._come_up, opened)
