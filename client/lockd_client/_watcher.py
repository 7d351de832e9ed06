"""Notices what happens while no call is under way: that the daemon has gone, or that somebody is to be called, because
a grant is lost or somebody waits for it.

A thread of its own, because a holder does not wait for the daemon. It reads nothing while another thread does, and
keeps nothing alive: it knows the session by a weak reference, and what it calls belongs to the grants. While nothing
happens it sleeps in poll, and if there is nobody to be called, only the end of the connection wakes it.
"""

from __future__ import annotations

import sys
from _thread import allocate_lock, get_ident, start_new_thread

from ._setbacks import Setbacks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from weakref import ref

    from ._session import Session
    from ._transport import Transport


class Watcher:
    """The thread that notices."""

    def __init__(self, session: ref[Session], calls: bool) -> None:
        self._session = session
        #: Whether there may be somebody to be called.
        self.calls = calls
        #: Whether the connection has ended by its word, until it has waited for somebody to deal with that.
        self.has_seen_the_end = False
        self._gate = allocate_lock()
        # Held by the thread that calls, so that it is one at a time.
        self._calling = allocate_lock()
        self._thread: list[int] = []
        self._has_ended = self._is_retired = False
        #: Whether the thread waits for the connection, or is about to, and not at the gate.
        self.polls = False

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return bool(self._thread) and not self._has_ended

    def start(self) -> None:
        """Start the thread."""
        try:
            # One expression, so that no interrupt leaves a thread of which nobody knows.
            self._thread.extend(map(start_new_thread, (self._run,), ((),)))
        except RuntimeError:
            # The interpreter is about to exit.
            return

    # These four are called in sections.

    def close_gate(self) -> None:
        """Make the thread wait when it comes to the gate."""
        self._gate.acquire(False)

    def open_gate(self) -> None:
        """Let the thread through, if it waits or when it comes."""
        if self._gate.locked():
            self._gate.release()

    def successor(self, calls: bool) -> Watcher:
        """Return another one, which is started. The thread of this one ends as soon as it wakes up.

        If no thread can be started, this one goes on and is returned itself.
        """
        watcher = Watcher(self._session, calls)
        watcher._calling = self._calling
        watcher.start()
        if not watcher.is_alive:
            return self
        self._is_retired = True
        self.open_gate()
        return watcher

    def wake(self) -> None:
        """Have those called who are to be called now."""
        self.open_gate()
        if self.polls and self.calls:
            # What brought the news has been read by somebody else, so nothing may ever come to wake the thread.
            try:
                start_new_thread(self._help, ())
            except RuntimeError:
                # The interpreter is about to exit.
                return

    def _run(self) -> None:
        setbacks = Setbacks()
        try:
            while setbacks.outlive(self._step):
                pass
        finally:
            self._has_ended = True

    def _step(self) -> bool:
        """Do what there is to do, wait until there may be more, and return whether there can be."""
        session = self._session()
        if session is None or self._is_retired:
            return False
        session.look()
        session.mend_in_time()
        if self.calls:
            self._call_all(session)
        if session.end is not None:
            return False
        transport, is_down, pause = session.stand_by(self), session.is_down, session.pause_seconds()
        del session
        if transport is not None:
            self._wait_for(transport)
        elif is_down:
            self._gate.acquire(True, pause)
        else:
            self._gate.acquire()
        self.polls, self.has_seen_the_end = False, transport is not None and not self.calls
        return True

    def _wait_for(self, transport: Transport) -> None:
        try:
            if self.calls:
                _wait_for_data(transport.number)
            else:
                _wait_for_end(transport.number)
        finally:
            transport.end_of_wait(get_ident())

    def _help(self) -> None:
        session = self._session()
        if session is not None:
            self._call_all(session)

    def _call_all(self, session: Session) -> None:
        # Whoever calls looks again when he has let go of the mutex, so whoever does not get it leaves all to him.
        while session.has_events() and self._calling.acquire(False):
            try:
                _call_one(session)
            finally:
                self._calling.release()


def _wait_for_data(number: int) -> None:
    """Wait until the connection with this descriptor can be read, or has ended.

    If the descriptor belongs to something else by now, the look at the session that follows finds that out.
    """
    import select

    poll = select.poll()
    poll.register(number, select.POLLIN)
    poll.poll()


def _wait_for_end(number: int) -> None:
    """Do the same, but let data come without taking notice of it."""
    import select

    poll = select.poll()
    poll.register(number, select.POLLRDHUP)
    poll.poll()


def _call_one(session: Session) -> None:
    callback, grant = session.take_event()
    if callback is None or grant is None:
        return
    try:
        callback(grant)
    except BaseException:
        # As for any other thread: it is shown, and the next one is called.
        sys.excepthook(*sys.exc_info())
