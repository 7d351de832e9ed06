"""Has a scripted daemon decide as the real one does: by the lock manager itself, on a clock that the test sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.invariants import check
from lockd.core.manager import LockManager
from lockd.core.modes import Mode
from lockd.translate import event_of, message_of
from lockd_client import Client
from lockd_wire import messages as m

from .scripted_daemon import Answers, ScriptedDaemon

#: What is held under one token: how often it was entered, and the names with their modes, as the protocol has them.
Holding = tuple[int, tuple[tuple[str, str] | tuple[str, int, int], ...]]


class Judge:
    """The script of a scripted daemon: every message becomes an event of a lock manager.

    There is a session of its own for what somebody else holds.
    """

    def __init__(self, daemon: ScriptedDaemon) -> None:
        self._daemon = daemon
        self._manager = LockManager(1)
        self._now = 0.0
        # The ids of the daemon and of the manager, both ways.
        self._ids: dict[int, int] = {}
        self._connections: dict[int, int] = {}
        self._others = self._open("others")
        self._last_id = 0
        #: Called before a message is dealt with, and afterwards: what happens in the world at that moment.
        self.beforehand: Callable[[m.ClientMessage], object] = lambda message: None
        self.afterwards: Callable[[m.ClientMessage], object] = lambda message: None
        daemon.script = self._decide

    def hold(self, name: str, mode: Mode = Mode.EXCLUSIVE) -> Callable[[], None]:
        """Take a lock in the name of somebody else, and return a function that gives it back."""
        self._last_id += 1
        request = self._last_id
        self._handle(e.Acquire(self._others, request, request, (e.Item(name, mode),), e.NO_TERMS))
        token = self._manager.sessions[self._others].grants[request].token
        return lambda: self._release(token)

    def want(self, name: str, mode: Mode = Mode.EXCLUSIVE) -> Callable[[], None]:
        """Wait for a lock in the name of somebody else, and return a function that gives that up."""
        self._last_id += 1
        request = self._last_id
        self._handle(e.Acquire(self._others, request, request, (e.Item(name, mode),), e.NO_TERMS))
        return lambda: self._cancel(request)

    def leave_behind(self, *asks: e.Acquire) -> None:
        """Have held so much, as an earlier program of the clients' process. The ids of the requests have to rise."""
        session = self._open("earlier", "earlier")
        for ask in asks:
            self._handle(ask._replace(session=session))
        self._handle(e.Disconnected(session))

    def pass_time(self, seconds: float) -> None:
        """Let time go by. There is no other clock."""
        self._now += seconds
        self._handle(e.Tick())

    def holdings(self, session: int = 1) -> dict[int, Holding]:
        """Return what a session holds, by token. What it has inherited and not asked for yet nobody knows of."""
        return {
            grant.token: (1 + len(grant.entries or ()), tuple(map(_as_said, filter(_is_asked, grant.items))))
            for grant in self._manager.sessions[self._ids[session]].grants.values()
            if grant.id > 0
        }

    def waiting(self, session: int = 1) -> int:
        """Return how many requests of a session wait."""
        return len(self._manager.sessions[self._ids[session]].waiting)

    def assert_agrees(self, client: Client, session: int = 1) -> None:
        """Assert that a client thinks to hold exactly what it does, and in that mode, and that it waits for nothing."""
        # When this is answered the daemon has heard all that the client said, and the client all that it was told.
        assert client.lock("nothing").locked() is False
        machine = client.session()._machine
        entries: Counter[int] = Counter()
        thought: dict[int, Holding] = {}
        for held in tuple(machine.held.values()):
            if not held.standing.loss:
                entries[held.standing.token] += 1
                thought[held.standing.token] = (entries[held.standing.token], held.standing.items)
        assert thought == self.holdings(session)
        assert self.waiting(session) == 0
        # One that was interrupted before it was sent is never answered, and changes nothing.
        assert all(conversion.is_given_up for conversion in machine.conversions.values())
        assert not machine.requests
        assert not machine.owed

    def _decide(self, session: int, message: m.ClientMessage) -> Answers | None:
        # The daemon itself sees to the connection.
        if isinstance(message, m.Hello):
            core = self._open(message.program, str(message.options["image"]))
            self._ids[session], self._connections[core] = core, session
            return None
        if isinstance(message, m.Resume):
            # To the manager the session was never away.
            return None
        self.beforehand(message)
        self._handle(event_of(self._ids[session], message))
        self._daemon.covered[session] = max(message.id, self._daemon.covered[session])
        self.afterwards(message)
        return None if isinstance(message, m.Bye) else []

    def _open(self, program: str, image: str = "") -> int:
        peer = e.Peer(1, 0, 0, "the process of the test")
        [opened] = self._manager.handle(e.OpenSession(peer, program, False, image), self._now)
        assert isinstance(opened, a.Opened)
        return opened.session

    def _release(self, token: int) -> None:
        self._last_id += 1
        self._handle(e.Release(self._others, self._last_id, token, False))

    def _cancel(self, request: int) -> None:
        self._last_id += 1
        self._handle(e.Cancel(self._others, self._last_id, request))

    def _handle(self, event: e.Event) -> None:
        with self._daemon.changing():
            for action in self._manager.handle(event, self._now):
                if isinstance(action, a.Answer | a.Notice) and action.session in self._connections:
                    self._daemon.say(self._connections[action.session], message_of(action, 0))
            check(self._manager)


def _is_asked(item: e.Item) -> bool:
    return item.is_asked


def _as_said(item: e.Item) -> tuple[str, str] | tuple[str, int, int]:
    if isinstance(item.demand, Mode):
        return item.name, item.demand.value
    return item.name, item.demand.permits, item.demand.limit
