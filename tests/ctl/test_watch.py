"""What can be known of a grant by asking who holds its names: an answer names the first four holders alone."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from lockd.ctl import watch as watching
from lockd.ctl.watch import TAKEN, Watch
from lockd_client import Client, connect
from lockd_client._standing import LEASE
from support.daemon import Daemon
from support.idle import wait_until
from support.lockctl import Lockctl

LIMIT = 10


@pytest.fixture(autouse=True)
def news() -> Iterator[None]:
    """SIGIO would be deadly. Here somebody looks all the time."""
    before = signal.signal(signal.SIGIO, lambda *_: None)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def others(daemon: Daemon, name: str) -> Iterator[ExitStack]:
    """Four who hold a permit each of the semaphore ``name``."""
    with ExitStack() as stack:
        for _ in range(4):
            client = stack.enter_context(connect(daemon.client_socket))
            stack.enter_context(client.semaphore(name, LIMIT))
        yield stack


def ask_once(watch: Watch) -> str:
    """Look until all has been asked that there is to ask, and return what came of it."""
    reasons = [""]

    def is_answered() -> bool:
        reasons.append(watch.look())
        # Only then it has something to do later on.
        return bool(reasons[-1]) or (watch.is_heard and watch.seconds_left is not None)

    wait_until(is_answered, "the daemon has answered")
    return reasons[-1]


def test_a_daemon_that_is_gone_before_there_is_news_of_it_is_asked_again(
    daemon: Daemon, client: Client, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The listening socket of one that is killed takes somebody in, and is gone before that one can ask for news."""
    reach = watching._connected_socket

    def reach_the_dying(path: str) -> socket.socket:
        monkeypatch.setattr(watching, "_connected_socket", reach)
        near, far = socket.socketpair()
        far.close()
        return near

    monkeypatch.setattr(watching, "_connected_socket", reach_the_dying)
    with client.lock(name) as grant:
        watch = Watch(daemon.client_socket, (name,), grant.token, is_leased=False)
        assert watch.look() == ""
        assert watch.seconds_left is not None
        wait_until(lambda: watch.look() == "" and not watch.is_heard and watch.seconds_left is None, "it has asked")


def test_a_grant_is_held_until_it_is_gone(daemon: Daemon, lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("exec", name, "sh", "-c", "echo $LOCKD_TOKEN; read line")
    token = int(program.line())
    watch = Watch(daemon.client_socket, (name,), token, is_leased=True)
    assert ask_once(watch) == ""
    program.say("end")
    assert program.wait() == 0
    wait_until(lambda: watch.look() == LEASE, "it is known to be gone")
    assert (watch.is_heard, watch.seconds_left) == (False, None)


def test_only_who_has_a_lease_loses_it_by_that(daemon: Daemon, client: Client, name: str) -> None:
    with client.lock(name) as grant:
        pass
    for is_leased, reason in ((True, LEASE), (False, TAKEN)):
        assert ask_once(Watch(daemon.client_socket, (name,), grant.token, is_leased=is_leased)) == reason


def test_one_that_is_attached_again_is_left_to_its_holder(daemon: Daemon, client: Client, name: str) -> None:
    with client.lock(name) as grant:
        watch = Watch(daemon.client_socket, (name,), grant.token, is_leased=True)
        assert watch.look() == ""
        assert watch.is_heard
        wait_until(lambda: bool(watch.look()) or not watch.is_heard, "nobody is asked any more")
    assert (watch.look(), watch.seconds_left) == ("", None)


def test_of_one_that_stands_behind_four_others_nothing_is_known(
    daemon: Daemon, client: Client, name: str, others: ExitStack
) -> None:
    with connect(daemon.client_socket) as fifth, fifth.semaphore(name, LIMIT):
        with client.semaphore(name, LIMIT) as grant:
            watch = Watch(daemon.client_socket, (name,), grant.token, is_leased=True)
            assert ask_once(watch) == ""
        with closing(Watch(daemon.client_socket, (name,), grant.token, is_leased=True)) as another:
            assert ask_once(another) == ""
        others.close()
        wait_until(lambda: watch.look() == LEASE, "it is known to be gone")


def test_those_who_came_later_tell_that_it_is_gone(daemon: Daemon, client: Client, name: str) -> None:
    with client.semaphore(name, LIMIT) as grant:
        pass
    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(stack.enter_context(connect(daemon.client_socket)).semaphore(name, LIMIT))
        assert ask_once(Watch(daemon.client_socket, (name,), grant.token, is_leased=True)) == LEASE


@pytest.mark.usefixtures("others")
def test_another_name_of_the_grant_may_tell(daemon: Daemon, client: Client, name: str) -> None:
    also = f"{name}/also"
    with connect(daemon.client_socket) as late, late.semaphore(name, LIMIT):
        with client.lock_all((name, 1, LIMIT), also) as grant:
            pass
        assert ask_once(Watch(daemon.client_socket, (name, also), grant.token, is_leased=True)) == LEASE
