"""Clients that go by docs/protocol.md through whatever befalls the daemon: they come back, say again what was not
answered, and ask anew for what was refused because the daemon could not. Each notices what must not be."""

from __future__ import annotations

from collections import defaultdict, deque
from contextlib import suppress
from typing import Any, NamedTuple

from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.codec import TO_CLIENT

from .another_process import AnotherProcess
from .shell import Peer, hello


class Want(NamedTuple):
    """To hold a name, in a mode or with so many permits of so many."""

    name: str
    what: tuple[str] | tuple[int, int] = ("X",)


class Convert(NamedTuple):
    """To hold a name that one holds in another mode."""

    name: str
    mode: str


class Release(NamedTuple):
    """To hold a name no more, with a word that it is done or without."""

    name: str
    confirm: bool = False


class HangUp(NamedTuple):
    """To be without a connection for some rounds."""

    rounds: int


class Bye(NamedTuple):
    """To have no session any more."""


Wish = Want | Convert | Release | HangUp | Bye


class Hold(NamedTuple):
    """What a client was told that it has."""

    name: str
    what: tuple[str] | tuple[int, int]
    token: int


class Violation(AssertionError):
    """What must not happen has happened."""


class Ask:
    """A request from when it is said first until it is answered."""

    def __init__(self, message: m.ClientMessage, wish: Wish | None, asked_at: int) -> None:
        self.message = message
        self.wish = wish
        self.asked_at = asked_at
        #: When the daemon said that it waits.
        self.waits_since: int | None = None


class Ground:
    """What all clients have been told, put together."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self._instants = 0
        self._told_tokens: defaultdict[str, list[tuple[tuple[str] | tuple[int, int], int]]] = defaultdict(list)

    def instant(self) -> int:
        """Return a number greater than all before."""
        self._instants += 1
        return self._instants

    def granted(self, client: Client, ask: Ask, hold: Hold) -> None:
        """Take note of a grant that a client is told of.

        Raises:
            Violation: Somebody else holds the name, its tokens do not rise, or somebody has been overtaken.
        """
        for other in self.clients:
            for theirs in other.held.values():
                if other is not client and theirs.name == hold.name and _clash(theirs.what, hold.what):
                    raise Violation(f"{client.label} was granted {hold}, and {other.label} has {theirs}")
            for waiting in other.asked.values():
                if (
                    isinstance(waiting.wish, Want)
                    and waiting.wish.name == hold.name
                    and waiting.waits_since is not None
                    and waiting.waits_since < ask.asked_at
                    and _clash(waiting.wish.what, hold.what)
                    and other is not client
                    and not other.is_dead
                ):
                    raise Violation(f"{client.label} was granted {hold} and came later than {other.label}, who waits")
        if isinstance(ask.wish, Want):
            # Several who share it may be told in another order.
            if any(hold.token <= token for what, token in self._told_tokens[hold.name] if _clash(what, hold.what)):
                raise Violation(f"the tokens of {hold.name} do not rise: {hold}")
            self._told_tokens[hold.name].append((hold.what, hold.token))


def _clash(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    # Of two permits there is enough for both, of the modes only S goes with S.
    return len(one) == 1 and len(other) == 1 and "X" in one + other


class Client:
    """One program, with what it wants in its order."""

    def __init__(
        self, ground: Ground, label: str, path: str, wishes: list[Wish], process: AnotherProcess | None = None
    ) -> None:
        """Make a client that has not connected yet.

        Args:
            ground: Shared by all clients.
            label: What it is called.
            path: The socket.
            wishes: What it wants; it goes on to the next one when it has got what it asked for.
            process: Whose connection it is to be; None: the test's.
        """
        ground.clients.append(self)
        self.label = label
        self.process = process
        self.held: dict[int, Hold] = {}
        self.asked: dict[int, Ask] = {}
        self.session = 0
        self.refusals: list[str] = []
        #: The ids of requests that were refused: nothing is to come of them.
        self.refused: set[int] = set()
        self.is_dead = False
        self.has_left = False
        self._ground = ground
        self._path = path
        self._wishes = deque(wishes)
        self._peer: Peer | None = None
        self._is_welcome = False
        self._last_id = 0
        self._rounds_away = 0
        self._granted_before: dict[int, int] = {}

    @property
    def is_content(self) -> bool:
        """Whether the client has all that it wants, and the daemon has heard all."""
        return self.is_dead or (not self._wishes and not self.asked and (self._is_welcome or self.has_left))

    @property
    def is_connected(self) -> bool:
        """Whether the client has a connection on which it was welcomed."""
        return self._is_welcome

    def wants_more(self, *wishes: Wish) -> None:
        """Have more wishes."""
        self._wishes.extend(wishes)

    def dies(self) -> None:
        """Kill the process, and with it all that it wants. Its connection stays open, as in a forked child."""
        assert self.process is not None
        self.process.dies()
        self.is_dead = True
        self.held.clear()

    def close(self) -> None:
        """Hang up."""
        if self._peer is not None:
            self._peer.hangs_up()
        self._peer, self._is_welcome = None, False

    def speak(self) -> None:
        """Say what there is to say now."""
        if self.is_dead or self.has_left:
            return
        if self._rounds_away:
            self._rounds_away -= 1
            return
        if self._peer is None:
            self._connect()
        while self._is_welcome and self._wishes and self._say(self._wishes[0]):
            self._wishes.popleft()
        if self._is_welcome and not self._wishes and self.asked and self._owes_only_releases():
            # Whatever is answered tells that the release has been heard.
            self._ask(None, m.Query(self._next_id(), "nothing"))

    def listen(self) -> None:
        """Hear what the daemon has said."""
        peer = self._peer
        if peer is None or self.is_dead:
            return
        for message in peer.has_heard():
            self._hear(message)
            if self._peer is not peer:
                return
        if peer.is_ended:
            # If BYE was the last word: whether that was heard, the next answer tells.
            self.close()

    def _see_whether_it_has_left(self) -> None:
        if any(isinstance(ask.message, m.Bye) for ask in self.asked.values()):
            self.has_left = True
            self.asked.clear()

    def _owes_only_releases(self) -> bool:
        return all(isinstance(ask.message, m.Release) for ask in self.asked.values())

    def _connect(self) -> None:
        with suppress(ConnectionRefusedError, FileNotFoundError):
            if self.process is None:
                self._peer = Peer(self._path, TO_CLIENT)
            else:
                self._peer = Peer(self._path, TO_CLIENT, connect=self.process.connect)
            first = m.Resume(0, limits.MAGIC, limits.VERSION, self.session) if self.session else hello(self.label)
            self._send(first)

    def _send(self, message: m.ClientMessage) -> None:
        assert self._peer is not None
        # Whoever has hung up is found when the answers are read.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._peer.says(message)

    def _next_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _ask(self, wish: Wish | None, message: m.ClientMessage) -> None:
        self.asked[message.id] = Ask(message, wish, self._ground.instant())
        self._send(message)

    def _say(self, wish: Wish) -> bool:
        """Say a wish if that is possible now, and return whether the next one may follow."""
        if any(not isinstance(ask.message, m.Release) or ask.message.confirm for ask in self.asked.values()):
            return False
        match wish:
            case Want():
                item: Any = (wish.name, *wish.what)
                self._ask(wish, m.Acquire(self._next_id(), 1, (item,), None, {"wait_notice": True}))
            case Convert():
                hold = self._held(wish.name)
                self._ask(wish, m.Convert(self._next_id(), hold.token, wish.mode, None, {}))
            case Release():
                hold = self.held.pop(self._held(wish.name).token)
                self._ask(wish, m.Release(self._next_id(), hold.token, wish.confirm))
            case HangUp():
                self.close()
                self._rounds_away = wish.rounds
            case Bye():
                self._ask(wish, m.Bye(self._next_id()))
        return True

    def _held(self, name: str) -> Hold:
        return next(hold for hold in self.held.values() if hold.name == name)

    def _hear(self, message: m.DaemonMessage) -> None:
        if isinstance(message, m.Granted) and self._granted_before.get(message.id) == message.token:
            # Once because it was granted when the client came back, and once because the client asked again.
            return
        if message.id and message.id not in self.asked:
            raise Violation(f"{self.label} did not ask for {message}")
        for number in [number for number in self.asked if number <= message.covered]:
            if isinstance(self.asked[number].message, m.Release) and number != message.id:
                del self.asked[number]
        match message:
            case m.Welcome():
                self._welcome(message)
            case m.Failed():
                self._failed(message)
            case m.Granted():
                self._granted(message)
            case m.Done() | m.State():
                del self.asked[message.id]
            case m.Waiting():
                self.asked[message.request].waits_since = self._ground.instant()
            case _:
                raise Violation(f"{self.label} was told {message}")

    def _welcome(self, welcome: m.Welcome) -> None:
        if self.session and welcome.session != self.session:
            raise Violation(f"{self.label} has resumed session {self.session} and is welcomed in {welcome.session}")
        self.session, self._is_welcome = welcome.session, True
        for ask in self.asked.values():
            self._send(ask.message)

    def _granted(self, granted: m.Granted) -> None:
        ask = self.asked.pop(granted.id)
        assert isinstance(ask.wish, Want | Convert), granted
        what = ask.wish.what if isinstance(ask.wish, Want) else (ask.wish.mode,)
        hold = Hold(ask.wish.name, what, granted.token)
        if isinstance(ask.wish, Convert) and granted.token not in self.held:
            raise Violation(f"{self.label} has converted something else: {granted}")
        self._ground.granted(self, ask, hold)
        self.held[granted.token] = hold
        self._granted_before[granted.id] = granted.token

    def _failed(self, failed: m.Failed) -> None:
        self.refusals.append(f"{failed.code}: {failed.sentence}")
        if failed.code == "session_lost":
            self._start_anew()
        elif failed.code != "unavailable":
            raise Violation(f"{self.label} was told {failed}")
        elif failed.id:
            ask = self.asked.pop(failed.id)
            if ask.waits_since is not None:
                raise Violation(f"{self.label} waited, and was told {failed}")
            self.refused.add(failed.id)
            if ask.wish is not None:
                self._wishes.appendleft(ask.wish)
        else:
            self.close()

    def _start_anew(self) -> None:
        """Have another session: the one before had nothing that anybody knew of, so nobody kept it."""
        if self.held or any(ask.waits_since is not None for ask in self.asked.values()):
            raise Violation(f"{self.label} has lost its session, with {self.held}")
        lost = [ask.wish for ask in self.asked.values() if isinstance(ask.wish, Want)]
        self._see_whether_it_has_left()
        self._wishes.extendleft(reversed(lost))
        self.asked.clear()
        self.close()
        self.session = self._last_id = 0
        self.refused.clear()
        self._granted_before.clear()
