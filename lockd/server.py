"""The daemon, put together: directories, epoch, sockets, reactor; and taken apart again."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Literal

import trio

from lockd.core.bounds import Quotas
from lockd.core.manager import LockManager
from lockd_wire.endpoints import ADMIN_SOCKET, CLIENT_SOCKET

from . import __version__, peers
from .admin.connection import AdminConnection
from .admin.share import Share
from .clients import ClientConnection, Lobby
from .config import Config
from .connection import Patience
from .directories import occupied
from .driver import Driver
from .journal import JournalError
from .keeper import Keeper
from .listeners import Listener, ListenError, Sockets, listen
from .logs import Event, fields, log
from .onlookers.history import History
from .onlookers.lookout import Lookout
from .reactor import Reactor, boottime
from .recovery import begin
from .reload import Reloader
from .settings import AdminSocketSettings, ClientSocketSettings
from .systemd import ServiceManager, passed_sockets
from .vitals import Vitals

#: Directories that are missing are made with this mode: the sockets' one to be passed through by whoever may use a
#: socket, the state's one private.
_RUNTIME_MODE = 0o755
_STATE_MODE = 0o700

#: Its connection, and the pidfd of its process.
_DESCRIPTORS_PER_SESSION = 2

#: For connections that belong to no session, and what the daemon needs itself.
_DESCRIPTORS_ASIDE = 256


async def serve(
    config: Config,
    *,
    reset_epoch: bool = False,
    read_again: Callable[[], Config] | None = None,
    clock: Callable[[], float] = boottime,
    worked: Callable[[], float] = time.process_time,
    task_status: trio.TaskStatus[Sockets] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run the daemon until SIGTERM, SIGINT or cancellation. On SIGHUP it reads its configuration again.

    Args:
        reset_epoch: Start although the epoch file is damaged: tokens may then repeat, and whoever checks them is to be
            told.
        read_again: Reads the configuration on SIGHUP. None: it is what it was.
        clock: Seconds on the clock by which everything is timed.
        worked: Seconds that this process has been at work.
        task_status: Told the sockets as soon as clients can connect.

    Raises:
        DirectoryError, EpochError, JournalError, ListenError: It could not start, and has changed nothing but, perhaps,
            the epoch.
    """
    with ExitStack() as stack:
        passed = passed_sockets()
        stack.enter_context(occupied(config.runtime_dir, _RUNTIME_MODE, "runtime"))
        stack.enter_context(occupied(config.state_dir, _STATE_MODE, "state"))
        descriptors = _raise_descriptor_limit()
        began_at = time.perf_counter()
        manager, journal, loss = begin(
            config.runtime_dir,
            config.state_dir,
            partial(LockManager, resume_window_seconds=config.sessions.resume_window_seconds),
            clock(),
            config.sessions.state_loss_delay_seconds,
            reset_epoch=reset_epoch,
        )
        stack.callback(journal.close)
        sockets = passed or _listen(config)
        for listening in sockets:
            stack.callback(listening.close)
        with _enough_room():
            reactor = Reactor(clock)
        stack.callback(reactor.close)
        keeper = Keeper(manager, journal, loss)
        driver = Driver(manager, reactor, keeper)
        stack.callback(driver.close)
        lookout = Lookout(manager, reactor, config.metrics, config.diagnostics)
        history = History(config.diagnostics.history_names_max)
        driver.onlookers.append(lookout)
        if history.names_max:
            driver.onlookers.append(history.look_on)
        _restore(driver)
        took = time.perf_counter() - began_at
        vitals = Vitals(
            *(manager, keeper, reactor, driver, history, lookout, Share(clock, worked)),
            *(clock(), took, loss is not None),
        )
        with _enough_room():
            service_manager = ServiceManager(reactor)
        stack.callback(service_manager.close)
        reloader = _reloader(config, read_again or (lambda: config), driver, descriptors)
        with _enough_room():
            _take_connections(config, sockets, vitals)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reactor.run, driver.finish_turn)
            await nursery.start(_obey_signals, nursery.cancel_scope, reloader, service_manager)
            log.info(
                "lockd %s (pid %d, epoch %d) listens on %s and, for administrators, on %s",
                __version__,
                os.getpid(),
                manager.epoch,
                sockets.client.getsockname(),
                sockets.admin.getsockname(),
                extra=fields(Event.STARTED, epoch=manager.epoch, release=__version__),
            )
            service_manager.tell("READY=1", f"STATUS=serving; epoch {manager.epoch}")
            task_status.started(sockets)
        driver.stop()
        log.info("stopped", extra=fields(Event.STOPPED))


def _restore(driver: Driver) -> None:
    try:
        driver.restore()
    except OSError as error:
        raise JournalError(
            f"a process that holds locks cannot be watched again: {error.strerror}: raise the limit of open files"
            " (ulimit -n, or LimitNOFILE= in the unit)"
        ) from error


@contextmanager
def _enough_room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ListenError(
            f"cannot wait for connections: {error.strerror}: raise the limit of open files (ulimit -n, or LimitNOFILE="
            " in the unit) or that of what is waited for (fs.epoll.max_user_watches)"
        ) from error


def _raise_descriptor_limit() -> int:
    """Ask for as many descriptors as the system would allow, since the quotas decide how many there will be, and return
    how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard


def _affordable(quotas: Quotas, descriptors: int) -> Quotas:
    """Return the quotas, with no more sessions than there are descriptors for.

    A client whose session is refused is told why. When the descriptors have run out nobody can be told anything, and
    one uid could bring that about alone.
    """
    sessions_max = max((descriptors - _DESCRIPTORS_ASIDE) // _DESCRIPTORS_PER_SESSION, 1)
    if quotas.sessions_max <= sessions_max:
        return quotas
    log.info(
        "there are descriptors for %d sessions, and not for %d (quotas.sessions_max): a higher limit (LimitNOFILE= in "
        "a unit, ulimit -Hn in a shell) would allow for more",
        sessions_max,
        quotas.sessions_max,
    )
    # The same part of all as before, so that it takes as many users to keep the others out. What was little stays.
    part = quotas.sessions_per_uid_max * sessions_max // quotas.sessions_max
    little = min(quotas.sessions_per_uid_max, sessions_max // 2)
    return quotas._replace(sessions_max=sessions_max, sessions_per_uid_max=max(part, little, 1))


def _listen(config: Config) -> Sockets:
    gid, readers = _gid(config, "client_socket"), _gid(config, "admin_socket")
    client = listen(os.path.join(config.runtime_dir, CLIENT_SOCKET), config.client_socket.permissions, gid)
    try:
        permissions = config.admin_socket.permissions
        return Sockets(client, listen(os.path.join(config.runtime_dir, ADMIN_SOCKET), permissions, readers))
    except BaseException:
        client.close()
        raise


def _gid(config: Config, section: Literal["client_socket", "admin_socket"]) -> int | None:
    settings: ClientSocketSettings | AdminSocketSettings = getattr(config, section)
    try:
        return settings.gid()
    except KeyError:
        raise ListenError(f'there is no group "{settings.group}" ({section}.group)') from None


def _take_connections(config: Config, sockets: Sockets, vitals: Vitals) -> None:
    driver, reactor = vitals.driver, vitals.reactor
    patience = Patience(
        config.connections.outbox_bytes_max,
        config.connections.hello_seconds_max,
        config.connections.frame_seconds_max,
    )
    lobby = Lobby(config.connections.unintroduced_max)
    administrators = {0, os.geteuid(), *config.admin_socket.uids} - {peers.OVERFLOW_UID}
    readers = _gid(config, "admin_socket")
    no_member = (
        f" and no member of {config.admin_socket.group} (admin_socket.group)" if config.admin_socket.group else ""
    )

    def welcome_client(connection: socket.socket) -> None:
        _, uid, _ = peers.credentials(connection)
        ClientConnection(connection, uid, reactor, patience, driver, lobby)

    def welcome_administrator(connection: socket.socket) -> None:
        pid, uid, _ = peers.credentials(connection)
        may_change = uid in administrators
        may_read = may_change or (uid != peers.OVERFLOW_UID and readers in peers.groups(connection))
        admin = AdminConnection(connection, patience, vitals, may_change)
        if not may_read:
            extra = fields(Event.TURNED_AWAY, pid=pid, uid=uid)
            log.warning("turned pid %d of uid %d away from the admin socket", pid, uid, extra=extra)
            admin.turn_away(f"uid {uid} is no administrator of this daemon (admin_socket.uids){no_member}")

    Listener(sockets.client, reactor, welcome_client)
    Listener(sockets.admin, reactor, welcome_administrator)


def _reloader(config: Config, read_again: Callable[[], Config], driver: Driver, descriptors: int) -> Reloader:
    def apply(changed: Config) -> None:
        driver.manager.set_quotas(_affordable(changed.quotas.for_core(), descriptors))
        driver.tells_requests = changed.log_level == "debug"

    apply(config)
    return Reloader(config, read_again, apply)


async def _obey_signals(
    scope: trio.CancelScope,
    reloader: Reloader,
    service_manager: ServiceManager,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for number in signals:
            if number == signal.SIGHUP:
                service_manager.tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
                service_manager.tell("READY=1", f"STATUS=serving; {reloader.reload()}")
                continue
            log.info("stopping on %s", signal.Signals(number).name, extra=fields(Event.STOPPING))
            service_manager.tell("STOPPING=1")
            scope.cancel()
