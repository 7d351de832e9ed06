"""Locks of our own, taken before the daemon is ended and looked at when it is back.

Of what others have it cannot be told from outside whether it was released or lost. Here every holder, every waiter and
the order between them are known, so that each can be compared.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from lockd_client import connect
from lockd_client._words import quoted
from lockd_client.errors import DaemonUnavailable, LockError

from .chaos_picture import Tally
from .chaos_process import HoldingProcess
from .chaos_threads import AT_ONCE_SECONDS, Pulse, Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any

    from lockd_client import AdminClient, Client, Grant, Lock
    from lockd_client._ask import WireItem

#: Between two questions whether something has come about.
_PAUSE_SECONDS = 0.01


class _Line(NamedTuple):
    """Holders of some names, and who waits behind them in this order. A name is the end of one."""

    holders: Sequence[Sequence[WireItem]]
    waiters: Sequence[Sequence[WireItem]]
    is_tree: bool = False


_X, _S = "exclusive", "shared"
_LINES = (
    _Line([[("exclusive", _X)]], [[("exclusive", _X)]] * 3),
    # The second waiter could be served beside the holders, and has to stay behind the first.
    _Line([[("shared", _S)]] * 2, [[("shared", _X)], [("shared", _S)]]),
    _Line([[("permits", 2, 3)], [("permits", 1, 3)]], [[("permits", 2, 3)], [("permits", 1, 3)]]),
    _Line(
        [[("several/one", _X), ("several/other", _S)]],
        [[("several/one", _X)], [("several/one", _X), ("several/other", _X)]],
    ),
    _Line([[("tree/branch/leaf", _X)]], [[("tree", _X)]], is_tree=True),
)

#: Held during the whole exercise: two at once would end each other's daemon.
_ALONE = "lockd/chaos-restart"

#: Held by a process that is not connected any more.
_PROCESS = "process"

#: Taken and released all the time.
_PULSE = "pulse"

#: Of each name who holds it and who waits for it: which probe, and how.
_Shown: TypeAlias = "Mapping[str, Mapping[str, list[tuple[str, str]]]]"


class Probes:
    """Sessions that hold and wait. When they are closed, nothing of them is left."""

    def __init__(self, prefix: str, program: str, socket: str | None, patience_seconds: float) -> None:
        """Prepare them.

        Args:
            prefix: What all their names begin with.
            program: What they call themselves to the daemon.
            socket: The daemon's; None leaves it to the environment.
            patience_seconds: How long they wait for a daemon that is away.
        """
        self._prefix = prefix
        self._socket = socket
        self._program = program
        self._patience_seconds = patience_seconds
        self._clients: list[Client] = []
        self._holders: list[tuple[_Line, Lock, Grant]] = []
        self._waiters: list[tuple[_Line, Waiter]] = []
        self._process: HoldingProcess | None = None
        self._pulse: Pulse | None = None
        self._standing: _Shown = {}
        self._tokens: list[int] = []
        #: What has become of them, once `losses` has looked.
        self.tallies: dict[str, Tally] = {}

    def set_up(self, admin: AdminClient) -> tuple[int, int]:
        """Have them hold and wait, and return how many do the one and the other.

        Raises:
            LockError: They cannot.
        """
        # First of all: it is made by a fork, and later there are threads.
        self._process = HoldingProcess(self._prefix + _PROCESS, self._socket, self._program)
        self._tokens.append(self._process.token)
        self._alone = self._client().lock(_ALONE, timeout=0, label="one exercise at a time", exit_releases=True)
        self._alone.__enter__()
        behind_process = _Line([], [[(_PROCESS, _X)]])
        for line in _LINES:
            for items in line.holders:
                handle = self._handle(line, items, f"holder {len(self._tokens)}", AT_ONCE_SECONDS)
                grant = handle.__enter__()
                self._holders.append((line, handle, grant))
                self._tokens.append(grant.token)
        for line in (*_LINES, behind_process):
            for items in line.waiters:
                label = f"waiter {len(self._waiters)}"
                waiter = Waiter(label, partial(self._handle, line, items, label, self.waiting_seconds))
                self._waiters.append((line, waiter))
                waiter.start()
                waiter.wait_until_queued()
        self._pulse = Pulse(self._handle(behind_process, [(_PULSE, _X)], "", self.waiting_seconds))
        self._pulse.start()
        self._standing = self._shown(admin)
        if not all(described["held"] for described in self._standing.values()):
            raise DaemonUnavailable("the two sockets, for programs and for administrators, are not of the same daemon")
        return len(self._tokens), len(self._waiters)

    @property
    def waiting_seconds(self) -> float:
        """How long they wait for a lock: longer than for a daemon."""
        return 2 * self._patience_seconds + AT_ONCE_SECONDS

    @property
    def longest_call_seconds(self) -> float:
        """How long the longest call took of a program that worked on while the daemon was away."""
        return 0.0 if self._pulse is None else self._pulse.longest_seconds

    def losses(self, admin: AdminClient) -> Iterator[str]:
        """Yield, in words, what is not as it was before."""
        self._wait_until_attached(admin)
        shown = self._shown(admin)
        self.tallies = _tallies(self._standing, shown)
        yield from _differences(self._prefix, self._standing, shown)
        for _, handle, grant in self._holders:
            try:
                # Asks the daemon: the session has come back when it is answered.
                handle.locked()
                grant.check()
            except LockError as error:
                yield f"{quoted(handle.name)} is lost to its holder, token {grant.token}: {error}"
        for line, handle, _ in self._holders:
            yield from self._intrusions(line, handle)
        yield from (f"{each.title}: {each.fault}" for _, each in self._waiters if each.fault)
        for _, waiter in self._waiters:
            if waiter.token:
                yield f"{waiter.title} was let in while others held it, with token {waiter.token}"

    def serve(self, patience_seconds: float) -> Iterator[str]:
        """Release what is held, and yield, in words, who was not served in his turn within that time."""
        assert self._process is not None
        assert self._pulse is not None
        for _, waiter in self._waiters:
            waiter.leave()
        for _, _, grant in self._holders:
            try:
                grant.release()
            except LockError:
                # Lost, as was said already.
                continue
        self._process.close()
        give_up_at = time.monotonic() + patience_seconds
        tokens: dict[int, int] = {}
        for line, waiter in self._waiters:
            waiter.wait_until_served(give_up_at)
            if waiter.fault:
                yield f"{waiter.title}, when it was free: {waiter.fault}"
                continue
            # Each has a greater token than whoever was served before.
            if waiter.token <= tokens.get(id(line), max(self._tokens)):
                yield f"{waiter.title} was served before its turn, with token {waiter.token}"
            tokens[id(line)] = waiter.token
        self._pulse.stop()
        self._pulse.join(patience_seconds)
        yield from self._pulse.faults()

    def close(self) -> None:
        """Leave nothing behind: the daemon has heard it when this returns."""
        self.give_up()
        for client in self._clients:
            client.close()

    def give_up(self) -> None:
        """Wait for nobody: as soon as lockctl has exited, nothing of them is left."""
        if self._process is not None:
            self._process.close()
        if self._pulse is not None:
            self._pulse.stop()
        for _, waiter in self._waiters:
            waiter.leave()

    def left_behind(self, admin: AdminClient) -> Iterator[str]:
        """Yield, in words, which of their names are still in use when they are closed."""
        yield from (f"{quoted(row['name'])} is still in use" for row in admin.names(self._prefix))

    def _handle(
        self,
        line: _Line,
        items: Sequence[WireItem],
        label: str,
        timeout: float,
        on_wait: Callable[[object], object] | None = None,
    ) -> Lock:
        named: list[Any] = [(self._prefix + name, *how) for name, *how in items]
        # Whoever ends lockctl leaves no name abandoned.
        return self._client().lock_all(
            *named, tree=line.is_tree, label=label, timeout=timeout, on_wait=on_wait, exit_releases=True
        )

    def _client(self) -> Client:
        client = connect(self._socket, program=self._program, reconnect_timeout=self._patience_seconds)
        self._clients.append(client)
        return client

    def _wait_until_attached(self, admin: AdminClient) -> None:
        """Wait, but not for ever, until those who wait have come back: until then they may be passed."""
        give_up_at = time.monotonic() + AT_ONCE_SECONDS
        while time.monotonic() < give_up_at and any(
            row["waiting"] and not row["attached"] for row in admin.sessions() if row["program"] == self._program
        ):
            time.sleep(_PAUSE_SECONDS)

    def _intrusions(self, line: _Line, held: Lock) -> Iterator[str]:
        everything = [(item[0].removeprefix(self._prefix), *_all_of(item)) for item in held.items]
        intruder = self._handle(line, everything, "intruder", 0)
        try:
            if intruder.acquire(blocking=False):
                intruder.release()
                yield f"{quoted(held.name)} was granted to another session although it is held"
        except LockError as error:
            yield f"{quoted(held.name)} cannot be asked for: {error}"

    def _shown(self, admin: AdminClient) -> _Shown:
        names = {item[0] for line in _LINES for items in (*line.holders, *line.waiters) for item in items} | {_PROCESS}
        return {name: _described(admin.show(self._prefix + name)) for name in sorted(names)}


def _described(facts: Mapping[str, Any]) -> dict[str, list[tuple[str, str]]]:
    """Return who holds and who waits for a name, as far as a restart may change nothing of it."""
    return {
        "held": [(each["label"], f"with token {each['token']} {_how(each)}") for each in facts["holders"]],
        "waited for": [(each["label"], f"at place {each['position']} {_how(each)}") for each in facts["waiters"]],
    }


def _how(facts: Mapping[str, Any]) -> str:
    return f"({facts['mode'] or facts['permits']})"


def _all_of(item: WireItem) -> tuple[Any, ...]:
    """Return what nobody can have beside any holder."""
    return (_X,) if len(item) == 2 else (item[2], item[2])


def _differences(prefix: str, before: _Shown, after: _Shown) -> Iterator[str]:
    for name, described in before.items():
        for what, earlier in described.items():
            later = after[name][what]
            if earlier != later:
                was, now = (", ".join(map(" ".join, each)) or "nobody" for each in (earlier, later))
                yield f"{quoted(prefix + name)} was {what} by {was}, and now by {now}"


def _tallies(before: _Shown, after: _Shown) -> dict[str, Tally]:
    tallies = {}
    for kind, what in (("grants", "held"), ("waiters", "waited for")):
        earlier, later = ({(name, row) for name in shown for row in shown[name][what]} for shown in (before, after))
        # Who has several names is one.
        probes = {probe for _, (probe, _) in earlier}
        changed = {probe for _, (probe, _) in earlier - later}
        tallies[kind] = Tally(len(probes), len(probes - changed))
    return tallies
