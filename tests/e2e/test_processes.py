"""Processes that live, die, fork, stop and become others: what only the kernel can show."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.actor import Actor
from support.daemon import DEADLINE_SECONDS, Daemon, command
from support.idle import is_idle, wait_until_idle, wake_ups
from support.raw import ACQUIRE, FAILED, FOREVER, GRANTED, QUERY, RELEASE, STATUS, TRY, Raw, frame
from support.sources import REPOSITORY

from .conftest import Connect

IMPORTS = f"""
import os, signal, socket, sys
sys.path.insert(0, {str(REPOSITORY / "tests")!r})
from support.raw import *
"""
SETUP = IMPORTS + 'raw = Raw.welcomed(path, "actor")'

Play = Callable[[], Actor]


@pytest.fixture
def play(daemon: Daemon, closing: ExitStack) -> Play:
    """Start a process that is connected to the daemon as ``raw``."""
    return lambda: closing.enter_context(Actor(SETUP, path=daemon.client_socket))


@pytest.fixture
def own_daemon(runtime_dir: Path) -> Iterator[Daemon]:
    """A daemon that the test may do anything to."""
    with Daemon(runtime_dir) as daemon:
        yield daemon


def test_a_holder_that_is_killed_frees_its_locks_though_a_child_has_its_socket(
    connect: Connect, play: Play, name: str
) -> None:
    waiter, holder = connect(), play()
    holder(f"raw.acquire(1, {name!r})")
    child = holder.fork()
    assert child("raw.sock.fileno()") == holder("raw.sock.fileno()")
    waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    waiter.pong(2)
    holder.kill()
    assert waiter.receive()[:2] == [GRANTED, 1]
    # The child lives, and what it has is the end of something that is over.
    assert child("raw.is_ended()") is True


def test_the_process_that_connected_is_the_one_whose_life_counts(connect: Connect, play: Play, name: str) -> None:
    """A child that uses its parent's connection acts for the parent. Its own death means nothing."""
    other, parent = connect(), play()
    child = parent.fork()
    child(f"raw.acquire(1, {name!r})")
    [entry] = other.ask(QUERY, 1, name)[3]["holders"]
    assert entry["pid"] == parent.pid
    child.begin("os._exit(0)")
    parent("os.waitpid(-1, 0)")
    other.pong(2)
    assert other.ask(ACQUIRE, 3, 1, [[name, "X"]], TRY, [])[0] == FAILED
    parent.kill()
    other.acquire(4, name)


def test_a_child_can_have_a_session_of_its_own(connect: Connect, play: Play, name: str) -> None:
    other, parent = connect(), play()
    token = parent(f"raw.acquire(1, {name!r})")
    child = parent.fork()
    child("own = Raw.welcomed(path)")
    # It cannot release what its parent holds.
    child(f"own.ask(RELEASE, 1, {token}, True)")
    assert other.ask(QUERY, 1, name)[3]["holders"][0]["token"] == token
    child(f"own.acquire(2, {name!r} + ' of the child')")
    parent.kill()
    other.acquire(2, name)
    assert other.ask(ACQUIRE, 3, 1, [[f"{name} of the child", "X"]], TRY, [])[0] == FAILED
    child.begin("os._exit(0)")
    other.acquire(4, f"{name} of the child")


def test_a_holder_that_closes_all_its_descriptors_keeps_its_locks(connect: Connect, play: Play, name: str) -> None:
    waiter, holder = connect(), play()
    token = holder(f"raw.acquire(1, {name!r})")
    holder("os.closerange(3, 1024)")
    assert waiter.ask(ACQUIRE, 1, 1, [[name, "X"]], 0.05, [])[0] == FAILED
    [entry] = waiter.ask(QUERY, 2, name)[3]["holders"]
    assert (entry["token"], entry["pid"], entry["attached"]) == (token, holder.pid, False)
    holder.exit()
    waiter.acquire(3, name)


def test_a_holder_that_becomes_another_program_keeps_its_locks(connect: Connect, play: Play, name: str) -> None:
    """The connection closes with exec, and the process goes on."""
    waiter, holder = connect(), play()
    holder(f"raw.acquire(1, {name!r})")
    holder.begin("os.execv('/bin/cat', ['cat'])")
    waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
    request = 1
    while waiter.ask(QUERY, request := request + 1, name)[3]["holders"][0]["attached"]:
        # Until the daemon has seen the end.
        assert request < 100_000
    # It reads its standard input, until that ends.
    holder.close()
    assert waiter.receive()[:2] == [GRANTED, 1]


def test_a_holder_that_is_stopped_keeps_its_locks(connect: Connect, play: Play, name: str) -> None:
    waiter, holder = connect(), play()
    token = holder(f"raw.acquire(1, {name!r})")
    os.kill(holder.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, holder.pid, os.WSTOPPED)
    assert waiter.ask(ACQUIRE, 1, 1, [[name, "X"]], 0.1, [])[0] == FAILED
    os.kill(holder.pid, signal.SIGCONT)
    holder(f"raw.send(RELEASE, 2, {token}, False)")
    waiter.acquire(2, name)


def test_a_stopped_process_that_is_killed_holds_nothing(connect: Connect, play: Play, name: str) -> None:
    waiter, holder = connect(), play()
    holder(f"raw.acquire(1, {name!r})")
    os.kill(holder.pid, signal.SIGSTOP)
    holder.kill()
    waiter.acquire(1, name)


def test_two_hundred_waiters_are_served_in_the_order_of_arrival(connect: Connect, name: str) -> None:
    holder, asking = connect(), connect()
    token = holder.acquire(1, name)
    waiters = [connect() for _ in range(200)]
    for place, waiter in enumerate(waiters, start=1):
        waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
        waiter.pong(2)
        assert asking.ask(QUERY, place, name)[3]["waiters_total"] == place
    holder.send(RELEASE, 2, token, False)
    for waiter in waiters:
        kind, _, _, served, _ = waiter.receive()
        assert (kind, served) == (GRANTED, token + 1)
        token = served
        # One at a time: nobody else has been told anything.
        [entry] = asking.ask(QUERY, 1000 + token % 2**32, name)[3]["holders"]
        assert entry["token"] == token
        waiter.send(RELEASE, 3, token, False)


def test_a_shared_waiter_behind_an_exclusive_one_waits(connect: Connect, play: Play, name: str) -> None:
    reader, writer, late = play(), play(), connect()
    reading = reader(f"raw.acquire(1, {name!r}, 'S')")
    writer(f"raw.send(ACQUIRE, 1, 1, [[{name!r}, 'X']], None, [])")
    writer("raw.pong(2)")
    late.send(ACQUIRE, 1, 1, [[name, "S"]], FOREVER, [])
    late.pong(2)
    reader(f"raw.send(RELEASE, 2, {reading}, False)")
    writing = writer("raw.receive()[3]")
    assert late.ask(QUERY, 3, name)[3]["holders"][0]["mode"] == "X"
    writer(f"raw.send(RELEASE, 3, {writing}, False)")
    assert late.receive()[:2] == [GRANTED, 1]


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_release_that_was_sent_before_the_end_is_a_release(connect: Connect, play: Play, name: str, end: str) -> None:
    """A hundred children, each of which takes a lock, releases it without waiting for anything, and is gone."""
    other, parent = connect(), play()
    parent(f"""
def child():
    raw = Raw.welcomed(path)
    raw.send(RELEASE, 2, raw.acquire(1, {name!r}), False)
    {end}
""")
    for request in range(1, 101):
        parent("""
pid = os.fork()
if not pid:
    child()
os.waitpid(pid, 0)
""")
        answer = other.ask(ACQUIRE, request * 2, 1, [[name, "X"]], TRY, [])
        assert answer[0] == GRANTED, answer
        other.send(RELEASE, request * 2 + 1, answer[3], False)


def test_many_that_die_at_once_leave_nothing_behind(connect: Connect, play: Play, daemon: Daemon, name: str) -> None:
    """Each holds a name, waits for that of the one before, and for one that all of them want."""
    parent, other = play(), connect()
    parent(f"""
def child(number):
    raw = Raw.welcomed(path)
    raw.acquire(1, f"{name} {{number}}")
    raw.send(ACQUIRE, 2, 2, [[f"{name} {{number - 1}}", "X"]], None, [])
    raw.send(ACQUIRE, 3, 3, [[{name!r}, "X"]], None, [])
    raw.send(QUERY, 4, "ping")
    while raw.receive()[:2] != [STATE, 4]:
        pass
    os.write(written, b"x")
    signal.pause()
read, written = os.pipe()
children = []
for number in range(20):
    children.append(os.fork())
    if not children[-1]:
        try:
            child(number)
        finally:
            os._exit(1)
    os.read(read, 1)
""")
    with Raw.administrator(daemon.admin_socket) as admin:
        before = admin.ask(STATUS, 1)[2]
        parent("""
for pid in children:
    os.kill(pid, signal.SIGKILL)
for pid in children:
    os.waitpid(pid, 0)
""")
        for request, each in enumerate([name, *(f"{name} {number}" for number in range(-1, 20))], start=1):
            other.acquire(request, each)
        after = admin.ask(STATUS, 2)[2]
    # The first one got what nobody held.
    assert before["waiters"] - after["waiters"] == 2 * 20 - 2
    assert before["sessions"] - after["sessions"] == 20
    assert after["deaths_total"] - before["deaths_total"] == 20


def test_one_that_dies_before_the_daemon_looks_leaves_nothing_behind(own_daemon: Daemon, name: str) -> None:
    """The daemon is stopped; somebody connects, asks for a lock, and dies; the daemon goes on."""
    with Raw.welcomed(own_daemon.client_socket) as other:
        own_daemon.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, own_daemon.pid, os.WSTOPPED)
        with Actor(IMPORTS, path=own_daemon.client_socket) as dead:
            dead("raw = Raw(path)")
            dead(f"raw.send_bytes(hello() + frame(ACQUIRE, 1, 1, [[{name!r}, 'X']], None, []))")
            dead.kill()
        own_daemon.send_signal(signal.SIGCONT)
        other.acquire(1, name)
        with Raw.administrator(own_daemon.admin_socket) as admin:
            assert admin.ask(STATUS, 1)[2]["sessions"] == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_daemon_in_order(runtime_dir: Path, number: signal.Signals) -> None:
    with Daemon(runtime_dir) as daemon, Raw.welcomed(daemon.client_socket) as peer:
        peer.acquire(1, "db")
        daemon.send_signal(number)
        assert peer.is_ended()
        ended = os.waitid(os.P_PID, daemon.pid, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        assert (ended.si_code, ended.si_status) == (os.CLD_EXITED, 0)
        daemon.stop()
        assert f" stopping on {number.name}\n" in daemon.log
        assert daemon.log.endswith(" stopped\n")


def test_a_daemon_that_was_killed_is_replaced_and_a_living_one_is_not(own_daemon: Daemon, closing: ExitStack) -> None:
    first = closing.enter_context(Raw.welcomed(own_daemon.client_socket))
    first.acquire(1, "db")
    inode = os.stat(own_daemon.client_socket).st_ino
    second = _serve(own_daemon)
    assert second.returncode == 1
    assert (
        f"another lockd runs in the runtime directory {own_daemon.runtime_dir} (pid {own_daemon.pid})" in second.stderr
    )
    assert second.stderr.count("\n") == 1
    assert os.stat(own_daemon.client_socket).st_ino == inode
    first.pong(2)
    own_daemon.kill()
    assert first.is_ended()
    # Its sockets are still there, and dead.
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(ConnectionRefusedError):
        sock.connect(own_daemon.client_socket)
    own_daemon.start()
    with Raw.resumed(own_daemon.client_socket, first.session) as again:
        again.pong(3)


def _serve(daemon: Daemon) -> subprocess.CompletedProcess[str]:
    directories = ["--runtime-dir", str(daemon.runtime_dir), "--state-dir", str(daemon.state_dir)]
    return subprocess.run(
        [command("lockd"), "serve", *directories],
        capture_output=True,
        text=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )


def test_a_bug_of_our_own_ends_the_daemon_at_once(runtime_dir: Path) -> None:
    """With a traceback and a status that says so: never half alive."""
    program = f"""
import sys
from lockd.core import requests
from lockd.core.events import Query

def bug(*arguments):
    raise ZeroDivisionError("planted by a test")

requests.HANDLERS[Query] = bug
from lockd.main import main
sys.exit(main(["serve", "--runtime-dir", "{runtime_dir}/run", "--state-dir", "{runtime_dir}/state"]))
"""
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "listens on" not in (line := process.stderr.readline()):
            assert line, "it has ended"
        with Raw.welcomed(f"{runtime_dir}/run/lockd.sock") as peer:
            peer.acquire(1, "db")
            peer.send(QUERY, 2, "db")
            assert peer.is_ended()
        rest = process.stderr.read()
        assert process.wait(DEADLINE_SECONDS) not in (0, None)
    assert "ZeroDivisionError: planted by a test" in rest


def test_an_idle_daemon_does_not_wake_up(own_daemon: Daemon, name: str) -> None:
    """With sessions that hold, wait without a limit, and are detached, all of which need nothing."""
    holder, waiter, gone = (Raw.welcomed(own_daemon.client_socket) for _ in range(3))
    with holder, waiter, gone:
        holder.acquire(1, name)
        gone.acquire(1, f"{name} too")
        waiter.send(ACQUIRE, 1, 1, [[name, "X"]], FOREVER, [])
        waiter.pong(2)
        gone.close()
        holder.pong(2)
        wait_until_idle(own_daemon.pid)
        before = wake_ups(own_daemon.pid)
        for _ in range(20):
            subprocess.run(["true"], check=True)
        assert (wake_ups(own_daemon.pid), is_idle(own_daemon.pid)) == (before, True)
        # The control: it does wake up for something.
        holder.pong(3)
        wait_until_idle(own_daemon.pid)
        assert wake_ups(own_daemon.pid) > before


@pytest.mark.parametrize(
    "program",
    [
        "while True: pass",
        # A descriptor that is always ready, as after a hang-up that nobody takes notice of.
        "import os, select; e = select.epoll(); r, w = os.pipe(); e.register(r); os.close(w)\nwhile True: e.poll(60)",
        "import select; e = select.epoll()\nwhile True: e.poll(0.05)",
    ],
)
def test_whoever_spins_or_asks_again_and_again_is_not_idle(program: str) -> None:
    """The control for `support.idle`."""
    command = [sys.executable, "-c", f"print(flush=True)\n{program}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(AssertionError, match="is idle"):
            wait_until_idle(process.pid, looks=200)
        process.kill()


def test_a_frame_of_one_is_never_anothers(connect: Connect) -> None:
    """Halves that come in turns from two connections are two frames."""
    one, other = connect("one"), connect("other")
    first, second = frame(QUERY, 1, "one"), frame(QUERY, 2, "other")
    for byte in range(max(len(first), len(second))):
        one.send_bytes(first[byte : byte + 1])
        other.send_bytes(second[byte : byte + 1])
    assert (one.receive()[3]["name"], other.receive()[3]["name"]) == ("one", "other")
