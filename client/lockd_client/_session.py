"""One session with the daemon: what this process asks of it, and what it holds through it."""

from __future__ import annotations

import os
import sys
from _warnings import warn

from lockd_wire.messages import Failed, Granted, Lost, State, Ticket

from . import _ends as ends
from ._ask import described
from ._channel import Channel
from ._forks import renew_after_fork
from ._opening import open_connection
from ._refusals import plain_error, refusal
from ._standing import HANDED_OVER, Standing
from ._waiting import Waiting
from .errors import LockError, NotOwner, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lockd_wire.messages import DaemonMessage, Facts, Welcome

    from ._ask import Ask, WireItem
    from ._grant import Grant
    from ._standing import Held
    from ._transport import Transport
    from ._watcher import Watcher

#: How long a daemon that has gone is waited for. To start a service takes no longer, even while software is updated.
RECONNECT_SECONDS = 30.0


class Session:
    """One session with the daemon, for all threads of this process."""

    def __init__(self, path: str, program: str, reconnect_seconds: float, is_watched: bool) -> None:
        """Open it. Raises what `open_connection` does.

        Args:
            is_watched: Whether a thread is to notice by itself that the daemon has gone.
        """
        #: The process that the session belongs to. A child made by fork has a copy of this object, and nothing else.
        self.pid = os.getpid()
        transport, self._machine = open_connection(path, program)
        self._channel = Channel(transport, self._machine, path, program, reconnect_seconds)
        # The welcome by which there was something to inherit, and is no more.
        self._spent: Welcome | None = None
        renew_after_fork(self)
        if is_watched:
            self._channel.watch(self, calls=False)

    @property
    def end(self) -> ends.End | None:
        """Why the session is over, once it is."""
        return self._channel.end

    @property
    def leaves_nothing(self) -> bool:
        """Whether a next session of this process cannot meet anything that the daemon keeps for this one."""
        end = self.end
        return end is not None and (end.grants != ends.KEPT or self._machine.leaves_nothing())

    def acquire(self, waiting: Waiting, owner: int, ask: Ask, timeout: float | None) -> Granted | Failed:
        """Ask for a grant and return the answer.

        Whoever calls this has to `hold` the grant, or to `abandon` the request if anything raises before he has the
        grant where it belongs.
        """
        waiting.on_wait, channel = ask.on_wait, self._channel
        answer = channel.call(waiting, self._machine.acquire, owner, ask.said_with(timeout))
        # The usual thing, which needs no more than this.
        return answer if type(answer) is Granted and channel.end is None else self._outcome(waiting, answer)

    def adopt(self, waiting: Waiting, owner: int, ticket: str) -> Granted | Failed:
        """Ask for the grant that a ticket was made for. What `acquire` says holds for this as well."""
        return self._outcome(waiting, self._channel.call(waiting, self._machine.adopt, owner, ticket))

    def inherit(self, waiting: Waiting, owner: int) -> Granted | Failed:
        """Ask for a grant that an earlier program of this process has left behind. As for `acquire`."""
        return self._outcome(waiting, self._channel.call(waiting, self._machine.inherit, owner))

    @property
    def may_inherit(self) -> bool:
        """Whether an earlier program of this process may have left something behind."""
        welcome = self._machine.welcome
        return welcome is not None and welcome is not self._spent and "earlier_sessions" in welcome.limits

    def note_nothing_left(self) -> None:
        """Note that there is nothing to inherit any more."""
        self._spent = self._machine.welcome

    def _outcome(self, waiting: Waiting, answer: DaemonMessage) -> Granted | Failed:
        if type(answer) is Granted:
            end = self._channel.end
            if end is not None and end.grants != ends.KEPT:
                raise end.error()
            return answer
        self._machine.settle(waiting)
        if type(answer) is Failed:
            return answer
        raise _unexpected(answer)

    def refusal(self, answer: Failed, what: str, timeout: float | None) -> LockError:
        """Return what it means to the one who asked for ``what`` that it was refused."""
        return refusal(answer, what, timeout)

    def standing(self, answer: Granted, ask: Ask) -> Standing:
        """Return what was granted."""
        is_reentrant = ask.is_reentrant
        standing = self._machine.standing_of(answer.token) if is_reentrant else None
        if standing is None:
            standing = Standing(answer.token, ask.items, ask.is_tree)
            if ask.calls_back:
                standing.on_lost, standing.on_yield, standing.on_wait = ask.on_lost, ask.on_yield, ask.on_wait
        if is_reentrant:
            # The first entry need not have been made by a request that was.
            standing.is_reentrant = True
        return standing

    def hold(self, waiting: Waiting, grant: Grant, standing: Standing) -> None:
        """Note that what was granted is held."""
        self._machine.hold(waiting, grant, grant.owner, standing, self._collected)
        if standing.on_lost is not None or standing.on_yield is not None:
            self._channel.watch(self, calls=True)

    def convert(self, standing: Standing, mode: str, timeout: float | None) -> None:
        """Have a grant converted. If anything is raised, it has its old mode, or will have it in a moment."""
        from ._conversion import convert

        convert(self._channel, self._machine, standing, mode, timeout)

    def lower(self, standing: Standing, mode: str) -> None:
        """Convert a grant to a mode that keeps out nobody whom its mode lets in. Waits for nothing."""
        self._machine.lower(standing, mode)
        self._channel.settle()

    def ticket(self, standing: Standing) -> str:
        """Return a ticket for a grant."""
        waiting = Waiting()
        try:
            answer = self._channel.call(waiting, self._machine.hand_over, standing.token)
            self._machine.settle(waiting)
            if type(answer) is Ticket:
                return answer.ticket
            if type(answer) is Failed:
                raise ends.refusal_of_grant(answer, standing, described(standing.items), None)
            raise _unexpected(answer)
        except BaseException:
            self.abandon(waiting)
            raise

    def query(self, waiting: Waiting, name: str) -> Facts:
        """Ask who holds ``name``. For interrupts the same holds as for `acquire`."""
        answer = self._channel.call(waiting, self._machine.query, name)
        self._machine.settle(waiting)
        if type(answer) is State:
            return answer.facts
        if type(answer) is Failed:
            raise plain_error(answer.code, answer.sentence)
        raise _unexpected(answer)

    def abandon(self, waiting: Waiting) -> None:
        """Take a request back, whatever has become of it."""
        self._channel.abandon(waiting)

    def release_and_confirm(self, request: int, standing: Standing) -> None:
        """Do what `release` does, and wait until the daemon has done it. Raises what `confirm` does besides."""
        from ._confirming import confirm

        # Also where there is no daemon at the moment: it may have to tell that this was lost.
        self.has_lost(request, standing)
        self.release(request, standing)
        confirm(self._channel, self._machine, standing)

    def release(self, request: int, standing: Standing) -> None:
        """Give a grant up, which is named by the request that was granted. Waits for nothing.

        Raises:
            NotOwner: It is not held, or not by this process.
            LockLost: It was lost.
            DaemonUnavailable: It is held, but there is no way to tell the daemon.
        """
        machine, channel = self._machine, self._channel
        # An administrator may have taken away whatever it is.
        if channel.has_news():
            channel.look()
        held = machine.held.get(request)
        if channel.end is None and not self.release_if_held(request):
            raise _released_before(standing.items)
        end = channel.end
        if end is not None:
            if held is not None:
                # What became of the session became of this as well: the daemon was not told.
                machine.held[request] = held
            raise end.error_of_grant(described(standing.items))
        if standing.loss and standing.loss != HANDED_OVER:
            raise ends.loss(described(standing.items), standing.loss)

    def release_if_held(self, request: int) -> bool:
        """Give a grant up, and return whether it was held. Waits for nothing, and does not matter if done twice."""
        try:
            self._machine.give_up(request)
        except KeyError:
            return False
        finally:
            # Even if it was given up before: an interrupt may have come before the daemon was told.
            self._channel.settle()
        return True

    def holds(self, request: int) -> bool:
        """Whether a grant is held, as far as this process knows."""
        end, held = self._channel.end, self._machine.held.get(request)
        return held is not None and not held.standing.loss and (end is None or end.grants == ends.KEPT)

    def has_lost(self, request: int, standing: Standing) -> bool:
        """Whether the grant was lost. Looks at what the daemon has sent, and for a daemon if there is none."""
        self._channel.look()
        if self._channel.is_down:
            self._channel.mend()
            self._channel.look()
        if standing.loss:
            return standing.loss != HANDED_OVER
        end = self.end
        return end is not None and end.grants == ends.LOST and request in self._machine.held

    def error_of_grant(self, request: int, standing: Standing) -> LockError | None:
        """Return what there is to say against a grant, or None if it is held."""
        if self.has_lost(request, standing) or not self.holds(request):
            what, end = described(standing.items), self.end
            if standing.loss:
                return ends.loss(what, standing.loss)
            if end is not None:
                return end.error_of_grant(what)
            return _released_before(standing.items)
        return None

    def is_held_by(self, owner: int, ask: Ask) -> bool:
        """Whether that owner holds what ``ask`` asks for, or more."""
        return self.end is None and any(
            held.owner == owner and held.standing.is_as_good_as(ask) for held in tuple(self._machine.held.values())
        )

    def has_events(self) -> bool:
        """Whether there is anybody to call."""
        end = self.end
        if end is not None and end.grants == ends.LOST:
            self._machine.lose_all()
        return bool(self._machine.events)

    def take_event(self) -> tuple[Callable[[Grant], object] | None, Grant | None]:
        """Return whom to call and the grant that it is about, if anybody still has that, and forget about it."""
        events = self._machine.events
        keys = tuple(events)
        if not keys:
            return None, None
        standing = events.pop(keys[0])
        # Each of the two is called once.
        if keys[0][1] is Lost:
            callback, standing.on_lost = standing.on_lost, None
        else:
            callback, standing.on_yield = standing.on_yield, None
        return callback, self._machine.grant_of(standing)

    def stand_by(self, watcher: Watcher) -> Transport | None:
        """Return the connection that the watcher is to wait for. If it is None, it is told when that changes."""
        return self._channel.stand_by(watcher)

    @property
    def is_down(self) -> bool:
        """Whether there is no connection at present."""
        return self._channel.is_down

    def mend_in_time(self) -> None:
        """Try once to make another connection, if there is none and the last attempt is not too recent."""
        self._channel.mend_in_time()

    def pause_seconds(self) -> float:
        """Return how long it is until the next attempt."""
        return self._channel.pause_seconds()

    def look(self) -> None:
        """Deal with what has arrived, if no other thread is about to."""
        self._channel.look()

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._channel.fileno()

    def close(self) -> None:
        """End the session, which frees all that it holds."""
        self._channel.close()

    def _collected(self, held: Held, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        """Release a grant of which nobody knows any more. Called anywhere, so it waits for nothing."""
        # The exit of the process releases everything, and there is nobody left to be warned.
        if _is_finalizing() or self.end is not None:
            return
        if not self.release_if_held(held.request) or held.standing.loss:
            return
        warn(
            f"the lock {described(held.standing.items)} was still held when it was collected, and has been released: "
            "use `with`, or release it",
            ResourceWarning,
            stacklevel=2,
        )

    def __del__(self, _is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        # Whoever held something through it is gone as well, perhaps in one reference cycle with this, in which nobody
        # is told of anybody's end.
        channel = getattr(self, "_channel", None)
        if channel is not None and not _is_finalizing():
            channel.leave()

    def after_fork_in_child(self) -> None:
        """Make this copy know that it belongs to the parent."""
        self._channel.after_fork_in_child(self.pid)


def _released_before(items: tuple[WireItem, ...]) -> NotOwner:
    return NotOwner(f"{described(items)} is not held: this grant was released before")


def _unexpected(answer: DaemonMessage) -> ProtocolError:
    return ProtocolError(f"lockd gave an answer that does not belong to the request: {type(answer).__name__.upper()}")
