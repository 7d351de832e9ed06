"""lockd/systemd.py: which sockets are taken over, and what the service manager is told."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd.listeners import ListenError, Sockets
from lockd.reactor import Reactor
from lockd.systemd import ServiceManager, is_supervised, passed_sockets

#: Where nothing else is open.
FIRST = 700

Pass = Callable[..., dict[str, str]]


@pytest.fixture
def handed(runtime_dir: Path, closing: ExitStack) -> Pass:
    """Pass sockets as systemd does, with these names and in this order, and return the environment that tells so."""

    def handed(*names: str, make: Callable[[str], socket.socket] | None = None) -> dict[str, str]:
        for number, name in enumerate(names, FIRST):
            with (make or listening)(str(runtime_dir / f"{number}-{name}.sock")) as sock:
                os.dup2(sock.fileno(), number)
            closing.callback(close, number)
        return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(names)), "LISTEN_FDNAMES": ":".join(names)}

    return handed


def listening(path: str, kind: int = socket.SOCK_STREAM) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, kind)
    sock.bind(path)
    os.chmod(path, 0o640)
    sock.listen()
    return sock


def close(descriptor: int) -> None:
    """Close what may have been closed by its owner."""
    with suppress(OSError):
        os.close(descriptor)


@pytest.mark.parametrize("names", [("client", "admin"), ("admin", "client")])
def test_sockets_are_known_by_their_names(handed: Pass, runtime_dir: Path, names: tuple[str, str]) -> None:
    sockets = passed_sockets(handed(*names), FIRST)
    assert sockets is not None
    with sockets.client, sockets.admin:
        for name in Sockets._fields:
            sock: socket.socket = getattr(sockets, name)
            path = sock.getsockname()
            assert path.endswith(f"-{name}.sock")
            assert not os.get_inheritable(sock.fileno())
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(path)
                sock.accept()[0].close()
            # There is nobody any more, and a daemon waits for nobody.
            with pytest.raises(BlockingIOError):
                sock.accept()
    # They are systemd's, and there when the daemon is gone.
    assert {os.stat(runtime_dir / path).st_mode & 0o777 for path in os.listdir(runtime_dir)} == {0o640}
    assert len(os.listdir(runtime_dir)) == 2


@pytest.mark.parametrize("pid", ["", "1", "client"])
def test_what_was_meant_for_another_process_is_left_alone(handed: Pass, pid: str) -> None:
    assert passed_sockets(handed("client", "admin") | {"LISTEN_PID": pid}, FIRST) is None
    os.fstat(FIRST)


def test_without_systemd_there_are_none() -> None:
    assert passed_sockets({}) is None


@pytest.mark.parametrize("names", [("client",), ("admin",), ("client", "client"), ("client", "admin", "lockd.socket")])
def test_it_has_to_be_these_two(handed: Pass, names: tuple[str, ...]) -> None:
    with pytest.raises(ListenError) as caught:
        passed_sockets(handed(*names), FIRST)
    told = (
        f"{len(names)} sockets were passed, with the names {', '.join(names)}: there have to be two, client and admin"
    )
    assert str(caught.value).startswith(told)
    for number in range(FIRST, FIRST + len(names)):
        os.fstat(number)


def test_sockets_without_names_are_nobodys(handed: Pass) -> None:
    environ = handed("client", "admin")
    del environ["LISTEN_FDNAMES"]
    with pytest.raises(ListenError, match="2 sockets were passed, with the names none: there have to be two"):
        passed_sockets(environ, FIRST)


@pytest.mark.parametrize("count", ["", "two", "-1", "2x", "²"])
def test_a_count_that_is_none_is_told(handed: Pass, count: str) -> None:
    with pytest.raises(ListenError, match=f'LISTEN_FDS is "{count}" and not the number of sockets'):
        passed_sockets(handed("client", "admin") | {"LISTEN_FDS": count}, FIRST)


def seqpacket(path: str) -> socket.socket:
    return listening(path, socket.SOCK_SEQPACKET)


def deaf(path: str) -> socket.socket:
    return socket.socket(socket.AF_UNIX)


def internet(path: str) -> socket.socket:
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


@pytest.mark.parametrize("make", [seqpacket, deaf, internet])
def test_what_is_no_socket_of_ours_is_refused(handed: Pass, make: Callable[[str], socket.socket]) -> None:
    words = f'descriptor {FIRST}, passed as the socket "client", is no Unix stream socket that listens'
    with pytest.raises(ListenError, match=words):
        passed_sockets(handed("client", "admin", make=make), FIRST)
    os.fstat(FIRST)


def test_what_is_no_socket_at_all_is_refused(handed: Pass, tmp_path: Path) -> None:
    environ = handed("client", "admin")
    with open(tmp_path / "file", "w") as file:
        os.dup2(file.fileno(), FIRST + 1)
    words = f'descriptor {FIRST + 1}, passed as the socket "admin", cannot be used: Socket operation on non-socket'
    with pytest.raises(ListenError, match=words):
        passed_sockets(environ, FIRST)
    # The other one is as open as before.
    os.fstat(FIRST)


class Listener:
    """A service manager that writes down what it is told."""

    def __init__(self, path: str) -> None:
        self.address = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind("\0" + path[1:] if path.startswith("@") else path)

    def heard(self) -> list[str]:
        """Return what has come since the last time."""
        heard = []
        try:
            while True:
                heard.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return heard

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def reactor(closing: ExitStack) -> Reactor:
    reactor = Reactor(trio.current_time)
    closing.callback(reactor.close)
    return reactor


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, runtime_dir: Path, closing: ExitStack) -> Listener:
    path = str(runtime_dir / "notify")
    listener = Listener(path if request.param == "path" else f"@{path}")
    closing.callback(listener.close)
    return listener


@pytest.fixture
def told(reactor: Reactor, systemd: Listener, closing: ExitStack) -> Callable[..., ServiceManager]:
    """What the daemon has to talk to, with these variables in its environment."""

    def told(**environ: str) -> ServiceManager:
        manager = ServiceManager(reactor, {"NOTIFY_SOCKET": systemd.address, **environ})
        closing.callback(manager.close)
        return manager

    return told


def run_for_ever(reactor: Reactor, nursery: trio.Nursery) -> None:
    nursery.start_soon(reactor.run, lambda: None)


def test_what_is_told_at_once_is_one_message(told: Callable[..., ServiceManager], systemd: Listener) -> None:
    manager = told()
    manager.tell("READY=1", "STATUS=serving")
    manager.tell("STOPPING=1")
    assert systemd.heard() == ["READY=1\nSTATUS=serving", "STOPPING=1"]


async def test_nobody_is_told_where_nobody_asks(reactor: Reactor, autojump_clock: MockClock) -> None:
    manager = ServiceManager(reactor, {"WATCHDOG_USEC": "1000000"})
    manager.tell("READY=1")
    manager.close()


async def test_signs_of_life_come_three_times_as_often_as_they_have_to(
    told: Callable[..., ServiceManager],
    systemd: Listener,
    reactor: Reactor,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    told(WATCHDOG_USEC="9000000", WATCHDOG_PID=str(os.getpid()))
    run_for_ever(reactor, nursery)
    await wait_all_tasks_blocked()
    assert systemd.heard() == ["WATCHDOG=1"]
    for _ in range(5):
        await trio.sleep(2.9)
        assert systemd.heard() == []
        await trio.sleep(0.1)
        await wait_all_tasks_blocked()
        assert systemd.heard() == ["WATCHDOG=1"]


@pytest.mark.parametrize(
    "environ", [{}, {"WATCHDOG_USEC": "9000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "?"}]
)
async def test_nobody_gets_signs_of_life_unasked(
    told: Callable[..., ServiceManager],
    systemd: Listener,
    reactor: Reactor,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
    environ: dict[str, str],
) -> None:
    told(**environ)
    run_for_ever(reactor, nursery)
    await trio.sleep(1000)
    assert systemd.heard() == []


async def test_a_loop_that_is_stuck_gives_none(
    told: Callable[..., ServiceManager], systemd: Listener, reactor: Reactor, autojump_clock: MockClock
) -> None:
    """The rest of the process runs: time passes, and trio switches between tasks."""
    told(WATCHDOG_USEC="9000000")
    assert systemd.heard() == ["WATCHDOG=1"]
    is_free = trio.Event()

    async def run_after_a_while() -> None:
        await is_free.wait()
        await reactor.run(lambda: None)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_after_a_while)
        await trio.sleep(1000)
        assert systemd.heard() == []
        is_free.set()
        await wait_all_tasks_blocked()
        assert systemd.heard() == ["WATCHDOG=1"]
        nursery.cancel_scope.cancel()


async def test_what_finds_no_room_is_told_later_and_in_order(
    told: Callable[..., ServiceManager],
    systemd: Listener,
    reactor: Reactor,
    nursery: trio.Nursery,
    autojump_clock: MockClock,
) -> None:
    manager = told(WATCHDOG_USEC="9000000")
    run_for_ever(reactor, nursery)
    numbers = [f"STATUS={number}" for number in range(1000)]
    for number in numbers:
        manager.tell(number)
    # While nobody listens no more signs of life pile up than one.
    await trio.sleep(100)
    heard = []
    while more := systemd.heard():
        heard += more
        await trio.sleep(0.2)
    assert [each for each in heard if each != "WATCHDOG=1"] == numbers
    first = heard.index("STATUS=0")
    last = heard.index("STATUS=999")
    assert heard[first:last].count("WATCHDOG=1") == 0
    assert heard[last:].count("WATCHDOG=1") <= 2


async def test_a_service_manager_that_is_gone_is_complained_of_and_no_more(
    told: Callable[..., ServiceManager], systemd: Listener, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    manager = told()
    systemd.close()
    manager.tell("READY=1")
    assert caplog.messages == [
        f"the service manager at {systemd.address} cannot be told anything: [Errno 111] Connection refused"
    ]


def test_who_is_supervised() -> None:
    pid = os.getpid()
    assert is_supervised({"SYSTEMD_EXEC_PID": str(pid)})
    # A shell in a terminal has these of the service that it was started by.
    assert not is_supervised({"SYSTEMD_EXEC_PID": str(pid + 1), "INVOCATION_ID": "1f" * 16, "NOTIFY_SOCKET": "@x"})
    assert not is_supervised({})
