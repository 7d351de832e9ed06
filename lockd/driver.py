"""The one owner of the lock manager: events go in, and what comes out reaches whom it concerns.

Nothing here awaits. An event changes the state, and the answers are in the outboxes, before anything else can happen;
they leave together at the end of the turn."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.happenings import Happening
from lockd.core.manager import LockManager
from lockd.core.state import Request
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode

from . import translate
from .connection import Connection, Connections
from .keeper import RETRY_SECONDS, Keeper
from .logs import Event, fields, log, safe
from .onlookers.refusals import QuotaDiary, tell_deadlock, tell_reordered
from .peers import Identity
from .pidfds import found_again, has_exited
from .reactor import Reactor

#: Requests after which there is more to keep.
_WANTS_MORE: Final = frozenset({e.Acquire, e.Adopt, e.Convert, e.HandOver, e.Inherit})

#: How long a process that cannot be looked for may take to come back after the start of the daemon.
_UNSEEN_SECONDS: Final = 15.0


#: Looks on.
Onlooker: TypeAlias = Callable[[list[tuple[Happening, Request]], float], None]


class Client:
    """What the shell knows of a session: how to reach it, and how to learn that its process is gone."""

    __slots__ = ("changed_at", "connection", "covered", "pidfd", "session")

    def __init__(self, connection: Connection | None, pidfd: int | None) -> None:
        #: 0 until it is opened.
        self.session = 0
        self.connection = connection
        self.pidfd = pidfd
        #: The greatest request id that has taken effect.
        self.covered = 0
        #: The keeper's `times_written` when the latest request was applied.
        self.changed_at = -1


class Driver:
    """Applies events and hands out what follows from them."""

    def __init__(self, manager: LockManager, reactor: Reactor, keeper: Keeper) -> None:
        self.manager = manager
        self.connections = Connections()
        #: Each is told, right after an event, what has become of requests by it (O1), and when. What is told is as it
        #: is at that moment only, and not yet in the journal.
        self.onlookers: list[Onlooker] = []
        #: How many grants administrators have said that they free by ending those who have them.
        self.kills_total = 0
        #: Whether each request is logged. Asked for each, so it is kept here.
        self.tells_requests = False
        self.sessions_refused_total = 0
        self._quota_diary = QuotaDiary()
        self._reactor = reactor
        self._keeper = keeper
        self._clients: dict[int, Client] = {}

    def open(
        self, connection: Connection, identity: Identity, program: str, release_on_eof: bool, image: str = ""
    ) -> Client | a.Refused:
        """Open a session for the process behind ``connection``, and watch that process.

        The pidfd in ``identity`` is the driver's from then on, whatever comes of it.

        Raises:
            OSError: The process cannot be watched. There is no session.
        """
        self._hear_earlier_programs(identity, image)
        client = Client(connection, identity.pidfd)
        # Before there is a session: one whose process is not watched would hold its locks for ever.
        self._watch(client)
        # Nobody would notice the end of a process that cannot be watched, so the end of its connection has to do.
        ends_at_eof = release_on_eof or identity.pidfd is None
        peer = e.Peer(identity.pid, identity.uid, identity.gid, identity.process)
        *others, outcome = self._handle(e.OpenSession(peer, program, ends_at_eof, image))
        self._route(others)
        if isinstance(outcome, a.Refused):
            self.sessions_refused_total += 1
            log.warning(
                "refused a session to pid %d (uid %d): %s",
                peer.pid,
                peer.uid,
                outcome.detail,
                extra=fields(Event.SESSION_REFUSED, pid=peer.pid, uid=peer.uid, program=program),
            )
            self._unwatch(client)
            return outcome
        assert isinstance(outcome, a.Opened)
        client.session = outcome.session
        self._clients[client.session] = client
        log.debug("session %d is open: pid %d (%s), uid %d", client.session, peer.pid, safe(program), peer.uid)
        return client

    def resume(
        self, connection: Connection, identity: Identity, session: int, welcome: Callable[[Client], None]
    ) -> bool:
        """Give a session another connection, if it is this process's own, and return whether it is.

        An older connection is cut. The pidfd in ``identity`` is the driver's from then on, whatever comes of it.

        Args:
            welcome: Called before anything else is said over the new connection.
        """
        peer = e.Peer(identity.pid, identity.uid, identity.gid, identity.process)
        actions = self._handle(e.Resume(session, peer))
        [(place, outcome)] = [
            (place, action) for place, action in enumerate(actions) if isinstance(action, a.Resumed | a.NotResumed)
        ]
        self._route(actions[:place])
        client = self._clients.get(session)
        if isinstance(outcome, a.NotResumed) or client is None:
            if identity.pidfd is not None:
                os.close(identity.pidfd)
            return False
        is_watched = self._is_watched_again(client, identity.pidfd)
        older, client.connection = client.connection, connection
        if older is not None:
            older.end()
        client.covered = outcome.covered
        welcome(client)
        self._route(actions[place + 1 :])
        if not is_watched:
            # It may come back when there is room.
            connection.end()
        log.debug("session %d has another connection", session)
        return True

    def break_grants(self, tokens: tuple[int, ...], detail: str) -> tuple[int, ...]:
        """Take grants away, and return which of them there were. It is to be told when it is in the journal."""
        actions = self._handle(e.Break(tokens, detail))
        [broken] = [action for action in actions if isinstance(action, a.Broken)]
        self._route([action for action in actions if action is not broken])
        return broken.tokens

    def restore(self) -> None:
        """Take over the sessions that a manager has from a recovery: watch the processes that still live, and end the
        sessions of the others.

        A process that this one has no number for (it is of another pid namespace) cannot be looked for. It has some
        time to come back by itself.

        Raises:
            OSError: A process cannot be watched. There is no going on without that.
        """
        ended = []
        for session in tuple(self.manager.sessions.values()):
            peer = session.peer
            client = Client(None, found_again(peer.pid, peer.process) if peer.pid else None)
            client.session, client.covered = session.id, session.last_request
            self._clients[session.id] = client
            self._watch(client)
            if client.pidfd is None and peer.pid:
                ended.append(session.id)
            elif client.pidfd is None:
                self._reactor.call_at(self._reactor.clock() + _UNSEEN_SECONDS, partial(self._give_up, client))
        for gone in ended:
            self.apply(e.ProcessExited(gone))

    def hear(self, client: Client, message: m.ClientMessage) -> None:
        """Apply what a message of a client's asks for."""
        if self.tells_requests:
            self._tell_request(client, message)
        self.request(client, translate.event_of(client.session, message))

    def request(self, client: Client, event: e.Request) -> None:
        """Apply a request of a client's."""
        # Applied here and now, or dropped because the session is gone: either way nothing is left to do for it.
        keeper, number = self._keeper, event.id
        # What comes a second time may have been granted already, and then it has to be told so.
        if number > client.covered:
            client.covered = number
            if keeper.is_degraded and self._turn_away(client, event):
                return
        client.changed_at = keeper.times_written
        if actions := self._handle(event):
            self._route(actions)

    def disconnected(self, client: Client) -> None:
        """The client's connection is closed."""
        client.connection = None
        self.apply(e.Disconnected(client.session))

    def apply(self, event: e.Event) -> None:
        """Let an event happen, and hand out what follows from it."""
        # Handing out fills outboxes and marks connections, and no event comes of it before the end of the turn.
        if actions := self._handle(event):
            self._route(actions)

    def finish_turn(self) -> float | None:
        """Do what time has made due, send what is to be sent, and return the next instant at which something is due."""
        keeper, connections, deadlines = self._keeper, self.connections, self.manager.deadlines
        if deadlines.earliest <= self._reactor.clock():
            self.apply(e.Tick())
        while keeper.write():
            # The end of a connection may change something that others have to be told.
            if not connections.flush():
                return self._reactor.clock() if keeper.tidy() else deadlines.next()
        return self._reactor.clock() + RETRY_SECONDS

    def _handle(self, event: e.Event) -> list[a.Action]:
        manager, now = self.manager, self._reactor.clock()
        actions = manager.handle(event, now)
        if happened := manager.happened:
            for onlooker in self.onlookers:
                onlooker(happened, now)
        return actions

    def _turn_away(self, client: Client, event: e.Request) -> bool:
        """Refuse a request that wants more if nothing new is granted at the moment, and return whether it is so."""
        trouble = self.trouble() if type(event) in _WANTS_MORE else ""
        if trouble and client.connection is not None:
            # It says that all before it is kept. If that is so, it need not wait until more can be kept.
            is_kept = client.changed_at < self._keeper.times_written
            send = client.connection.send_ahead if is_kept else client.connection.send
            send(m.Failed(event.id, client.covered, ErrorCode.UNAVAILABLE, trouble, {}))
        return bool(trouble)

    def trouble(self) -> str:
        """Return why nothing new is granted at the moment, in words; empty if all is well."""
        return self._keeper.trouble(self._reactor.clock())

    @property
    def is_full(self) -> bool:
        """Whether the journal has no room for anything new, a session for instance."""
        return self._keeper.fault is not None

    def stop(self) -> None:
        """Apply all that has arrived and nothing that arrives later, keep that, and tell whom it concerns."""
        self.connections.hear_out()
        self.finish_turn()

    def close(self) -> None:
        """Give back every descriptor. No session ends by this."""
        for client in self._clients.values():
            client.connection = None
            self._unwatch(client)
        self.connections.close()

    def _tell_request(self, client: Client, message: m.ClientMessage) -> None:
        peer = self.manager.sessions[client.session].peer if client.session in self.manager.sessions else None
        pid = 0 if peer is None else peer.pid
        log.debug(
            "session %d (pid %d) asks: %s",
            client.session,
            pid,
            message,
            extra=fields(Event.REQUEST, session=client.session, pid=pid),
        )

    def _hear_earlier_programs(self, identity: Identity, image: str) -> None:
        """Take all that the programs have sent that a process was before, up to the end of their connections. Those
        ended before this program began, whichever is read first."""
        for session in tuple(self.manager.processes.get((identity.pid, identity.process), {}).values()):
            connection = self._clients[session.id].connection
            if session.image != image and connection is not None:
                connection.catch_up()

    def _watch(self, client: Client) -> None:
        def died(mask: int) -> None:
            # The number may have been another descriptor's when this turn began.
            if client.pidfd is not None and has_exited(client.pidfd):
                self._process_exited(client)

        if client.pidfd is None:
            return
        try:
            self._reactor.watch(client.pidfd, died)
        except (OSError, MemoryError):
            os.close(client.pidfd)
            client.pidfd = None
            raise

    def _is_watched_again(self, client: Client, pidfd: int | None) -> bool:
        """Take over the pidfd of a process that has come back, if its session has none, and say if it is watched."""
        if client.pidfd is None:
            client.pidfd = pidfd
            try:
                self._watch(client)
            except OSError as error:
                log.error("pid %d cannot be watched again: %s", self.manager.sessions[client.session].peer.pid, error)
        elif pidfd is not None:
            os.close(pidfd)
        return client.pidfd is not None

    def _give_up(self, client: Client) -> None:
        if client.pidfd is None:
            self.apply(e.ProcessExited(client.session))

    def _process_exited(self, client: Client) -> None:
        if client.connection is not None:
            # Sent before it died, so it counts: what was released was not abandoned.
            client.connection.read_rest(lambda message: self._last_word(client, message))
        self.apply(e.ProcessExited(client.session))

    def _last_word(self, client: Client, message: m.ClientMessage) -> None:
        if isinstance(message, m.Release):
            self.hear(client, message)

    def _route(self, actions: list[a.Action]) -> None:
        for action in actions:
            if type(action) is a.Granted:
                # In front, and without another call, for being the usual one.
                client = self._clients[action.session]
                if client.connection is not None:
                    client.connection.send_frame(translate.frame_of(action, client.covered))
                continue
            match action:
                case a.SessionEnded():
                    self._session_ended(action)
                case a.Misbehaved():
                    connection = self._clients[action.session].connection
                    if connection is not None:
                        connection.fail(action.detail)
                case a.Reordered():
                    tell_reordered(action)
                case a.Failed(reason=a.Reason.DEADLOCK):
                    tell_deadlock(action)
                    self._tell_steps(action)
                    self._tell(action)
                case a.Failed(reason=a.Reason.QUOTA):
                    self._quota_diary.tell(action, self.manager.sessions.get(action.session), self._reactor.clock())
                    self._tell(action)
                case a.Opened() | a.Refused() | a.Resumed() | a.NotResumed() | a.Broken():
                    raise AssertionError(f"{action} answers an event that is not applied here")
                case _:
                    self._tell(action)

    def _tell(self, action: a.Answer | a.Notice) -> None:
        client = self._clients[action.session]
        connection = client.connection
        if connection is not None:
            connection.send_frame(translate.frame_of(action, client.covered))

    def _tell_steps(self, failed: a.Failed) -> None:
        """Tell of the steps of a circle for which there is no room in the refusal itself, ahead of it."""
        client = self._clients[failed.session]
        connection = client.connection
        if connection is None or len(failed.cycle) <= translate.STEPS_IN_REFUSAL:
            return
        # Nobody is cut off for what he did not ask for: some room is left for all else that he is told in this turn.
        room = connection.room * 3 // 4
        for frame in translate.frames_of_steps(failed, client.covered):
            room -= len(frame)
            if room < 0:
                return
            connection.send_frame(frame)

    def _session_ended(self, action: a.SessionEnded) -> None:
        client = self._clients.pop(action.session)
        self._unwatch(client)
        if client.connection is not None:
            # The connection has no session any more, so its end concerns nobody.
            connection, client.connection = client.connection, None
            connection.end()
        log.debug("session %d ended: %s", action.session, action.reason.value)

    def _unwatch(self, client: Client) -> None:
        if client.pidfd is not None:
            self._reactor.forget(client.pidfd)
            os.close(client.pidfd)
            client.pidfd = None
