"""One run of the daemon, with the same clients each time, in which something fails: what happens, and what must not."""

from __future__ import annotations

import gc
import os
import signal
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from lockd import reactor, server
from lockd.core.invariants import check
from lockd.core.manager import LockManager
from lockd.core.records import Record
from lockd.directories import DirectoryError
from lockd.driver import Driver
from lockd.epoch import EpochError, boot_id
from lockd.journal import JournalError, files, journal, recover
from lockd.listeners import ListenError
from lockd.packing import Loss, unpacked
from lockd_wire import limits
from lockd_wire import messages as m

from .another_process import AnotherProcess
from .faults_of_the_kernel import Faults
from .patient_clients import Bye, Client, Convert, Ground, HangUp, Release, Violation, Want, Wish
from .shell import Shell, never_at_work

#: What a daemon says that cannot start. It is started again, as systemd would.
_EXPLAINED: Final = (DirectoryError, EpochError, JournalError, ListenError)

_ROUND_SECONDS: Final = 0.06
#: When everybody has long got what there is to be had.
_ROUNDS_MAX: Final = 300

#: Until the daemon has tried again whatever did not work.
_HEALING_SECONDS: Final = 1.0

_DEATH_ROUND: Final = 8
_STOP_ROUND: Final = 14
_LATE_ROUND: Final = 5

_PERMIT: Final = (1, 2)


@contextmanager
def small_files() -> Iterator[None]:
    """Let all happen to a journal of kilobytes that otherwise happens to one of megabytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "STEP_BYTES", 4096)
        patch.setattr(files, "RESERVE_BYTES", 1024)
        patch.setattr(journal, "LEAST_BYTES", 512)
        patch.setattr(journal, "FACTOR", 1)
        patch.setattr(journal.Journal.step, "__defaults__", (4,))
        # It is no part of what is looked at, and takes real time.
        patch.setattr(reactor, "_LINGER_SECONDS", 0)
        yield


class Run:
    """A daemon, its clients, and a fault that ends some rounds after it has begun."""

    def __init__(self, directory: Path, faults: Faults, ends_after: int, *, is_killed: bool, may_end: bool) -> None:
        """Start nothing yet.

        Args:
            directory: Where the daemon lives.
            faults: What fails.
            ends_after: How many rounds after the first failure the fault is over.
            is_killed: Whether the daemon is killed then, so that only what it has written is left.
            may_end: Whether the daemon may end by itself: nothing but want of memory is a reason.
        """
        self.faults = faults
        #: Why the daemon did not start, or ended, in words.
        self.ends: list[str] = []
        self.ground = Ground()
        self.starts = 0
        self.compactions = 0
        self._ends_after = ends_after
        self._is_killed = is_killed
        self._may_end = may_end
        self._stack = ExitStack()
        self._shell = Shell(directory, self._stack)
        self._config = self._shell.config(
            # Nobody is passed by, however long it takes to come back.
            sessions__resume_window_seconds="600",
        )
        self._drivers: list[Driver] = []
        self._scope = trio.CancelScope()
        self._is_running = False
        self._was_short_of_memory = False

    async def play(self) -> None:
        """Let everybody live through it.

        Raises:
            Violation, AssertionError: What must not happen has happened.
        """
        before = _descriptors()
        with self._stack, _without_sigterm(), small_files(), self._remembered(), self.faults.installed():
            process = self._stack.enter_context(AnotherProcess())
            self._enlist(process)
            try:
                async with trio.open_nursery() as nursery:
                    await self._live(nursery)
                    await self._look_at_the_end(nursery)
                    nursery.cancel_scope.cancel()
            finally:
                for client in self.ground.clients:
                    client.close()
        self._look_for_descriptors(before)

    def _look_for_descriptors(self, before: set[int]) -> None:
        if self._was_short_of_memory:
            # As the kernel does when a process ends. Of the sockets it has been done.
            for left in _descriptors() - before:
                os.close(left)
        if left_open := _descriptors() - before:
            raise Violation(f"{len(left_open)} descriptors are left open")

    def _enlist(self, process: AnotherProcess) -> None:
        make = partial(Client, self.ground, path=self._shell.client_socket)
        shared = ("S",)
        make(
            label="ann",
            wishes=[
                *(Want("db"), Want("page", shared), Convert("page", "X"), Release("page")),
                *(Release("db"), Want("seats", _PERMIT)),
            ],
        )
        make(label="bob", wishes=[Want("db"), Release("db"), Want("page", shared), Release("page", True), Want("hall")])
        make(label="cid", wishes=[Want("db"), Release("db", True), Want("seats", _PERMIT), Want("log")])
        make(
            label="gil",
            wishes=[Want("page", shared), Want("nest"), HangUp(3), Want("egg"), Release("page"), Release("egg", True)],
        )
        self._dying = make(label="dee", wishes=[Want("log")], process=process)

    async def _live(self, nursery: trio.Nursery) -> None:
        """Go on until the fault is over and everybody has what there is to be had."""
        failed_round: int | None = None
        for number in range(_ROUNDS_MAX):
            await self._ensure_running(nursery)
            if number == _LATE_ROUND:
                wishes: list[Wish] = [Want("tmp"), Release("tmp"), Bye()]
                Client(self.ground, "fay", self._shell.client_socket, wishes)
            if number == _DEATH_ROUND:
                self._dying.dies()
            if number == _STOP_ROUND and self._is_running:
                os.kill(os.getpid(), signal.SIGTERM)
            await self._round(is_asking=number % 3 == 1)
            if failed_round is None and self.faults.failed:
                failed_round = number
            if failed_round is not None and number == failed_round + self._ends_after:
                if self._is_killed:
                    self._scope.cancel()
                    await wait_all_tasks_blocked()
                self.faults.end()
            is_over = failed_round is None or number > failed_round + self._ends_after
            if number > _STOP_ROUND and is_over and all(client.is_content for client in self.ground.clients):
                self.faults.end()
                return
        waiting = {client.label: [*client.asked.values()] for client in self.ground.clients if not client.is_content}
        raise Violation(f"the daemon does not serve again: {list(waiting)}; {self.ends}")

    async def _round(self, *, is_asking: bool) -> None:
        admin = None
        if is_asking and self._is_running:
            admin = self._shell.connect_admin()
            admin.says(m.AdminHello(0, limits.ADMIN_MAGIC, limits.VERSION), m.Status(1), m.List(2, "", 0, {}))
        # One half after the other, so that somebody speaks who has had nothing to do with what just failed.
        for half in (self.ground.clients[::2], self.ground.clients[1::2]):
            for client in half:
                client.speak()
            await trio.sleep(_ROUND_SECONDS / 2)
            await wait_all_tasks_blocked()
        for client in self.ground.clients:
            client.listen()
        if admin is not None:
            admin.hangs_up()
        with self.faults.paused():
            self._check()

    def _check(self) -> None:
        """Look at what a daemon knows, and at what the next one would."""
        if self._is_running and not self._scope.cancel_called:
            manager = self._drivers[-1].manager
            check(manager)
            self._check_knowledge(manager, "the daemon")
            self._check_refused(manager)
        directory = self._shell.directory / "run"
        if (directory / "journal").exists():
            kept = recover(str(directory), boot_id())
            manager = LockManager(1)
            manager.restore(_records(unpacked(values) for values in kept.records), trio.current_time())
            self._check_knowledge(manager, "the journal")

    def _check_knowledge(self, manager: LockManager, keeper: str) -> None:
        for client in self.ground.clients:
            for hold in client.held.values():
                grant = manager.grants.get(hold.token)
                if grant is None or grant.session.id != client.session or grant.items[0].name != hold.name:
                    raise Violation(f"{client.label} was told of {hold}, and {keeper} does not know of it")

    def _check_refused(self, manager: LockManager) -> None:
        for client in self.ground.clients:
            session = manager.sessions.get(client.session)
            if session is not None and client.refused & (session.grants.keys() | session.waiting.keys()):
                raise Violation(f"what {client.label} was refused was done all the same")

    async def _look_at_the_end(self, nursery: trio.Nursery) -> None:
        """See that all is as the clients think, also for a daemon that is started anew, and that all of it can end."""
        assert not self._dying.held
        for _ in range(2):
            await trio.sleep(_HEALING_SECONDS)
            await self._compare()
            self._scope.cancel()
            await wait_all_tasks_blocked()
            await self._ensure_running(nursery)
            for client in self._living():
                client.listen()
            while not all(client.is_content and (client.is_connected or client.has_left) for client in self._living()):
                await self._round(is_asking=False)
        for client in self._living():
            client.wants_more(*(Release(hold.name) for hold in client.held.values()), Bye())
        while not all(client.has_left for client in self._living()):
            await self._round(is_asking=False)
        facts = await self._shell.status()
        if any(facts[field] for field in ("grants", "waiters", "sessions", "trouble")):
            raise Violation(f"something is left: {facts}")

    async def _compare(self) -> None:
        facts = await self._shell.status()
        held = {hold.name: set[int]() for client in self._living() for hold in client.held.values()}
        for client in self._living():
            for hold in client.held.values():
                held[hold.name].add(hold.token)
        counted = {"grants": sum(map(len, held.values())), "waiters": 0, "detached": 0, "trouble": ""}
        counted["sessions"] = sum(not client.has_left for client in self._living())
        if {field: facts[field] for field in counted} != counted:
            raise Violation(f"the clients count {counted}, and the daemon {facts}")
        admin = await self._shell.administrator()
        for number, (name, tokens) in enumerate(held.items(), 1):
            [report] = await admin.asks(m.Show(number, name))
            if {holder["token"] for holder in report.facts["holders"]} != tokens:
                raise Violation(f"{name} is held under {tokens}: {report.facts}")
        admin.hangs_up()

    def _living(self) -> list[Client]:
        return [client for client in self.ground.clients if not client.is_dead]

    async def _ensure_running(self, nursery: trio.Nursery) -> None:
        if not self._is_running:
            settled = trio.Event()
            self._scope = trio.CancelScope()
            nursery.start_soon(self._serve, settled)
            await settled.wait()

    async def _serve(self, settled: trio.Event) -> None:
        run = self

        class Started(trio.TaskStatus[object]):
            def started(self, value: object = None) -> None:
                run._is_running = True
                run.starts += 1
                settled.set()

        remains: list[Exception] = []
        try:
            with self._scope:
                await server.serve(self._config, clock=trio.current_time, worked=never_at_work, task_status=Started())
        except Exception as error:
            remains.append(error)
            self._judge(error)
        finally:
            self._is_running = False
            if any(isinstance(leaf, MemoryError) for error in remains for leaf in _leaves(error)):
                self._was_short_of_memory = True
                _close_sockets_of(remains)
            settled.set()

    def _judge(self, error: Exception) -> None:
        for leaf in _leaves(error):
            self.ends.append(repr(leaf))
            is_explained = isinstance(leaf, _EXPLAINED) and not self._is_running
            if not is_explained and not (self._may_end and isinstance(leaf, MemoryError)):
                raise Violation(f"the daemon ended: {leaf!r}") from error

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        """Keep every driver that is made, and count the compactions."""

        def remember(driver: Driver, *arguments: Any) -> None:
            make(driver, *arguments)
            self._drivers.append(driver)

        def counted(log: journal.Journal, *arguments: Any, **keywords: Any) -> None:
            start_compaction(log, *arguments, **keywords)
            self.compactions += log.is_compacting

        make = Driver.__init__
        start_compaction = journal.Journal.start_compaction
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Driver, "__init__", remember)
            patch.setattr(journal.Journal, "start_compaction", counted)
            yield


@contextmanager
def _without_sigterm() -> Iterator[None]:
    """Let SIGTERM be the daemon's alone: one that comes as it ends by itself would end the tests."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _leaves(error: Exception) -> tuple[Exception, ...]:
    return error.exceptions if isinstance(error, ExceptionGroup) else (error,)


def _close_sockets_of(remains: list[Exception]) -> None:
    """Close what a daemon without memory had no time to close, as the kernel does when a process ends. Only its errors
    know of it: a client whose connection it had just taken would wait for ever."""
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        remains.clear()
        gc.collect()


def _descriptors() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")}


def _records(entries: Iterator[Record | Loss]) -> Iterator[Record]:
    return (entry for entry in entries if not isinstance(entry, Loss))
