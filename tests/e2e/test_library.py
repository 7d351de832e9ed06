"""The Python library against a real daemon, in real processes and with real signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from lockd_client import AdminClient, Client, connect, path_lock
from support.actor import Actor, ActorRaised
from support.daemon import DEADLINE_SECONDS, Daemon
from support.idle import wait_until
from support.library import SETUP, TRY, Play, Queue, interrupt_while_asleep
from support.permissions import SOMEBODY, needs_root


@pytest.fixture
def own_daemon(runtime_dir: Path) -> Iterator[Daemon]:
    """A daemon that the test may do anything to."""
    with Daemon(runtime_dir) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    """A client in the process of the test."""
    with connect(daemon.client_socket, program="the test") as client:
        yield client


WAYS_TO_WAIT: Final = {
    "acquire": "mine.acquire",
    "acquire with a timeout": "lambda: mine.acquire(timeout=600)",
    "with": "lambda: inside(mine)",
    "reader": "lambda: inside(rwlock(name).read())",
    "decorated": "lockd_client.locked(name)(lambda: None)",
}


@pytest.mark.parametrize("way", WAYS_TO_WAIT)
def test_an_interrupt_of_a_blocked_acquire_leaves_nothing(way: str, play: Play, queue: Queue) -> None:
    holder, waiter, third = play(), play(), play()
    assert holder(TRY) is True
    waiter.begin(f"outcome({WAYS_TO_WAIT[way]})")
    queue.wait_for(waiter.pid)
    interrupt_while_asleep(waiter.pid)
    assert waiter.result() == "KeyboardInterrupt: "
    # When this is answered, the daemon has heard all that was said before.
    assert waiter("mine.locked()") is True
    assert queue.waiters() == []

    third.begin("mine.acquire()")
    queue.wait_for(third.pid)
    holder("mine.release()")
    assert third.result() is True
    assert queue.holders() == [third.pid]
    waiter.begin("mine.acquire()")
    queue.wait_for(waiter.pid)
    third("mine.release()")
    assert waiter.result() is True


HAS_A_THREAD: Final = """
import signal

def come():
    if on_signal:
        signal.sigwait({signal.SIGUSR1})
    got.append(inside(mine))

got = []
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
thread = threading.Thread(target=come)
thread.start()
"""


@pytest.mark.parametrize("reader", ["main thread", "other thread"])
def test_an_interrupt_of_one_thread_is_no_concern_of_another(reader: str, play: Play, queue: Queue) -> None:
    """The thread that came first reads for both."""
    holder = play()
    assert holder(TRY) is True
    waiter = play(HAS_A_THREAD, on_signal=reader == "main thread")
    if reader == "other thread":
        queue.wait_for(waiter.pid)
        waiter.begin("outcome(mine.acquire)")
    else:
        waiter.begin("outcome(mine.acquire)")
        queue.wait_for(waiter.pid)
        os.kill(waiter.pid, signal.SIGUSR1)
    queue.wait_for(waiter.pid, waiter.pid)
    interrupt_while_asleep(waiter.pid)
    assert waiter.result() == "KeyboardInterrupt: "
    queue.wait_for(waiter.pid)

    holder("mine.release()")
    waiter("thread.join()")
    assert waiter("len(got)") == 1
    assert waiter(TRY) is True


@pytest.mark.parametrize("end", ["interrupt", "timeout", "death"])
def test_a_reader_goes_as_soon_as_the_writer_before_it_waits_no_more(end: str, play: Play, queue: Queue) -> None:
    reader, writer, late = play("mine = rwlock(name).read()"), play(), play("mine = rwlock(name).read()")
    assert reader(TRY) is True
    if end == "timeout":
        timeouts = queue.admin.status()["timeouts_total"]
        writer.begin("outcome(lambda: mine.acquire(timeout=0.5))")
        # On a busy machine nobody may look before it has waited long enough.
        wait_until(
            lambda: bool(queue.waiters()) or queue.admin.status()["timeouts_total"] > timeouts, "the writer waits"
        )
        late.begin("mine.acquire()")
        assert writer.result() is False
    else:
        writer.begin("outcome(mine.acquire)")
        queue.wait_for(writer.pid)
        late.begin("mine.acquire()")
        queue.wait_for(writer.pid, late.pid)
        if end == "interrupt":
            interrupt_while_asleep(writer.pid)
        else:
            writer.kill()
    assert late.result() is True
    assert queue.holders() == [reader.pid, late.pid]


def test_a_timeout_says_who_holds_it_and_leaves_nothing(play: Play, queue: Queue, name: str) -> None:
    holder, first, second = play("mine = lock(name, label='nightly run')"), play(), play()
    assert holder(TRY) is True
    first.begin("mine.acquire()")
    queue.wait_for(first.pid)
    with pytest.raises(ActorRaised) as refused:
        second("inside(lock(name, timeout=0.05))")
    assert re.fullmatch(
        rf'LockTimeout: "{re.escape(name)}" was not granted within 0\.05 s: '
        rf'held exclusively by pid {holder.pid} \(actor_process\.py, "nightly run"\) since [\d :-]+, '
        r"(just now|\S+ s ago); you were 2nd in the queue",
        str(refused.value),
    )
    assert [each["pid"] for each in queue.waiters()] == [first.pid]

    holder("mine.release()")
    assert first.result() is True
    first("mine.release()")
    assert second("mine.acquire()") is True


def test_a_lock_that_is_collected_is_released_with_a_warning(play: Play, queue: Queue, name: str) -> None:
    holder, other = play(), play()
    assert holder(TRY) is True
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    holder("""
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    del mine
""")
    assert other.result() is True
    [(category, message)] = holder("[(each.category.__name__, str(each.message)) for each in caught]")
    assert category == "ResourceWarning"
    assert message.startswith(f'the lock "{name}" was still held when it was collected, and has been released')


COUNTS: Final = """
def count(times):
    for _ in range(times):
        with lock(name), open(path, "r+") as file:
            before = int(file.read())
            file.seek(0)
            file.write(str(before + 1))

def count_in_threads(threads, times):
    started = [threading.Thread(target=count, args=(times,)) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
"""


def test_twenty_threads_share_one_connection(
    play: Play, queue: Queue, client: Client, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "counter"
    path.write_text("0")
    threads, other = play(COUNTS, path=str(path)), play(COUNTS, path=str(path))
    with client.lock(name):
        threads.begin("count_in_threads(20, 10)")
        other.begin("count(100)")
        wait_until(lambda: queue.admin.show(name)["waiters_total"] == 21, "all of them wait")
        sessions = [row["waiting"] for row in queue.admin.sessions() if row["pid"] == threads.pid]
        assert sessions == [20]
    threads.result()
    other.result()
    assert path.read_text() == "300"


def test_a_handle_that_a_child_inherits_is_another_ones_in_the_child(play: Play, queue: Queue) -> None:
    parent = play("""
got = []
waiting = threading.Thread(target=lambda: got.append(inside(lock(name + " too"))))
""")
    other = play("too = lock(name + ' too')")
    assert other("too.acquire()") is True
    assert parent(TRY) is True
    # It is forked while one of its threads is in the middle of a call.
    parent("waiting.start()")
    queue.wait_for(parent.pid, name=other("too.name"))
    child = parent.fork()
    pid = child("os.getpid()")
    with pytest.raises(ActorRaised, match=r"^NotOwner: .* belongs to process .* a child takes locks of its own"):
        child("mine.release()")

    child.begin("mine.acquire()")
    queue.wait_for(pid)
    parent("mine.release()")
    assert child.result() is True
    assert queue.holders() == [pid]
    parent.begin("mine.acquire()")
    queue.wait_for(parent.pid)
    child("mine.release()")
    assert parent.result() is True

    child.begin("os._exit(0)")
    parent("os.waitpid(-1, 0)")
    other("too.release()")
    parent("waiting.join()")
    assert parent("len(got)") == 1


CLOSES_EVERYTHING: Final = """
import fcntl, gc, socket

client = lockd_client.connect()
mine = client.lock(name)

def close_everything_and_open(open_stranger):
    number = client.fileno()
    os.closerange(3, 65536)
    os.dup2(open_stranger(), number)
    return number

def a_file():
    global stranger
    stranger = open(path, "r+b", buffering=0)
    return stranger.fileno()

def a_socket():
    global stranger, peer
    stranger, peer = socket.socketpair()
    # Out of the way of the number.
    peer = socket.socket(fileno=fcntl.fcntl(peer.detach(), fcntl.F_DUPFD, 1000))
    peer.send(b"precious")
    return stranger.fileno()
"""


@pytest.mark.parametrize(
    ("stranger", "question", "untouched"),
    [
        ("a_file", "[open(path).read(), stranger.tell()]", ["precious", 0]),
        (
            "a_socket",
            "[outcome(lambda: peer.recv(1, socket.MSG_DONTWAIT))[:15], stranger.recv(9, socket.MSG_PEEK).decode()]",
            ["BlockingIOError", "precious"],
        ),
    ],
)
def test_not_a_byte_goes_into_what_took_the_number_of_the_connection(
    stranger: str, question: str, untouched: list[object], play: Play, queue: Queue, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("precious")
    holder, other = play(CLOSES_EVERYTHING, path=str(path)), play()
    assert holder(TRY) is True
    number = holder(f"close_everything_and_open({stranger})")
    assert holder(question) == untouched

    # What it says goes over a connection of its own again, with the same session.
    assert other(TRY) is False
    for call in ("mine.release()", "client.lock('another').acquire()", TRY, "mine.locked()"):
        holder(call)
        assert holder(question) == untouched
    holder("client = None; gc.collect()")
    assert holder(question) == untouched
    assert holder(f"os.fstat({number}).st_ino == os.fstat(stranger.fileno()).st_ino") is True

    assert other(TRY) is False
    assert queue.holders() == [holder.pid]
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    holder.exit()
    assert other.result() is True


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_daemon_that_ends_and_is_started_again(end: str, own_daemon: Daemon, play: Play, name: str) -> None:
    holder, waiter, third = play(of=own_daemon), play(of=own_daemon), play(of=own_daemon)
    assert holder(TRY) is True
    holder("grant = mine.grant")
    third("client = lockd_client.connect()")
    waiter.begin("mine.acquire() and mine.grant.token")
    with AdminClient(own_daemon.admin_socket) as admin:
        Queue(admin, name).wait_for(waiter.pid)
    getattr(own_daemon, end)()
    own_daemon.start()

    holder("grant.check()")
    assert holder("grant.lost") is False
    with AdminClient(own_daemon.admin_socket) as admin:
        queue = Queue(admin, name)
        assert queue.holders() == [holder.pid]
        queue.wait_for(waiter.pid)
    assert third("client.lock(name).acquire(blocking=False)") is False
    holder("mine.release()")
    assert waiter.result() > holder("grant.token")
    assert holder(TRY) is False


def test_a_daemon_that_has_lost_everything(own_daemon: Daemon, play: Play, name: str) -> None:
    holder = play(of=own_daemon)
    assert holder(TRY) is True
    holder("grant = mine.grant")
    own_daemon.kill()
    (own_daemon.runtime_dir / "journal").unlink()
    own_daemon.start()
    for use in ("grant.check()", "mine.release()"):
        with pytest.raises(ActorRaised, match=f'^LockLost: "{re.escape(name)}": '):
            holder(use)
    assert holder("grant.lost") is True
    with pytest.raises(
        ActorRaised, match=r"^DaemonUnavailable: .*although a daemon has run since this machine started"
    ):
        holder(TRY)


def test_a_daemon_that_is_started_when_it_was_missed(runtime_dir: Path, closing: ExitStack) -> None:
    socket = str(runtime_dir / "run" / "lockd.sock")
    actor = closing.enter_context(Actor(SETUP, {**os.environ, "LOCKD_SOCKET": socket}, name="db"))
    with pytest.raises(ActorRaised) as refused:
        actor("mine.acquire()")
    assert str(refused.value) == (
        f"DaemonUnavailable: there is no lockd at {socket}: no such socket. Start one with `lockd serve`, or set "
        "LOCKD_SOCKET to the socket of the one that runs"
    )
    with Daemon(runtime_dir):
        assert actor("mine.acquire()") is True


MAIL_SERVER: Final = """
import socketserver

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"220 mail.example ESMTP\\r\\n")
        self.rfile.read()

server = socketserver.ThreadingUnixStreamServer(path, Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
"""


def test_a_socket_of_something_else(play: Play, daemon: Daemon, runtime_dir: Path) -> None:
    socket = str(runtime_dir / "mail.sock")
    play(MAIL_SERVER, path=socket)
    actor = play()
    with pytest.raises(ActorRaised) as refused:
        actor(f"lockd_client.connect({socket!r})")
    assert str(refused.value).startswith(f"ProtocolError: what answers at {socket} is no lockd: ")
    # The two sockets of a daemon are not the same thing.
    with pytest.raises(ActorRaised, match=r"^ProtocolError: "):
        actor(f"lockd_client.connect({daemon.admin_socket!r})")
    with pytest.raises(ActorRaised, match=r"^ProtocolError: "):
        actor(f"lockd_client.AdminClient({daemon.client_socket!r})")
    assert actor(TRY) is True


@needs_root
def test_a_daemon_that_serves_others_only(own_daemon: Daemon, play: Play, runtime_dir: Path) -> None:
    actor = play(f"os.setgroups([]); os.setgid({SOMEBODY}); os.setuid({SOMEBODY})", of=own_daemon)
    socket = re.escape(own_daemon.client_socket)
    with pytest.raises(
        ActorRaised, match=f"^AccessDenied: this user may not connect to lockd at {socket}: .* is closed"
    ):
        actor("mine.acquire()")
    runtime_dir.chmod(0o711)
    os.chmod(own_daemon.client_socket, 0o600)
    with pytest.raises(ActorRaised, match=f"^AccessDenied: .* {socket}: only uid 0 may. Ask whoever runs lockd"):
        actor("mine.acquire()")
    # The control: it was for that.
    os.chmod(own_daemon.client_socket, 0o666)
    assert actor("mine.acquire()") is True


@needs_root
def test_a_socket_in_a_directory_of_somebody_else(own_daemon: Daemon, play: Play, runtime_dir: Path) -> None:
    """In /tmp, say, where whoever comes first can make a directory that others take for the daemon's."""
    actor = play(of=own_daemon)
    runtime_dir.chmod(0o1777)
    os.chown(own_daemon.runtime_dir, SOMEBODY, SOMEBODY)
    with pytest.raises(ActorRaised) as refused:
        actor("mine.acquire()")
    assert str(refused.value) == (
        f"DaemonUnavailable: the socket {own_daemon.client_socket} is not to be trusted: {own_daemon.runtime_dir} "
        "belongs to somebody else or can be written by others, so a daemon in it could be anybody's"
    )
    # Not even a connection was made.
    os.chown(own_daemon.runtime_dir, os.getuid(), os.getgid())
    with AdminClient(own_daemon.admin_socket) as admin:
        assert list(admin.sessions()) == []
    assert actor("mine.acquire()") is True


SPAWNS: Final = """
import multiprocessing, sys
import lockd_client

def work(lock):
    assert lock.grant is None
    with lock as grant:
        print(grant.name, grant.label, grant.mode, flush=True)

if __name__ == "__main__":
    lock = lockd_client.lock(sys.argv[1], label="from the parent")
    lock.acquire()
    worker = multiprocessing.get_context("spawn").Process(target=work, args=(lock,))
    worker.start()
    print(worker.pid, flush=True)
    sys.stdin.readline()
    lock.release()
    worker.join()
    sys.exit(worker.exitcode)
"""


def test_a_pickled_lock_is_taken_by_a_worker(daemon: Daemon, queue: Queue, name: str, tmp_path: Path) -> None:
    program = tmp_path / "spawns.py"
    program.write_text(SPAWNS)
    command = [sys.executable, str(program), name]
    pipe, environment = subprocess.PIPE, daemon.environment()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, encoding="utf-8") as parent:
        assert parent.stdout is not None
        queue.wait_for(int(parent.stdout.readline()))
        assert queue.holders() == [parent.pid]
        out, _ = parent.communicate("go on\n", DEADLINE_SECONDS)
    assert out == f"{name} from the parent exclusive\n"
    assert parent.returncode == 0


#: A class that knows nothing of other processes. Between the read and the write it passes a gate, which is a lock that
#: the test holds.
ACCOUNT: Final = """
class Account:
    def __init__(self, path):
        self.path = path

    def balance(self):
        with open(self.path) as file:
            return int(file.read())

    def deposit(self, amount):
        balance = self.balance()
        inside(gate)
        with open(self.path, "w") as file:
            file.write(str(balance + amount))

gate = rwlock(gate).read()
Guarded = lockd_client.guarded(Account, lambda account: path_lock(account.path), methods=("balance", "deposit"))
"""


@pytest.mark.parametrize(("kind", "balance"), [("Guarded", 30), ("Account", 20)])
def test_a_guarded_class(
    kind: str, balance: int, play: Play, queue: Queue, client: Client, name: str, tmp_path: Path
) -> None:
    """The plain class, which is the control, loses what the first one has deposited."""
    path, gate = tmp_path / "account", f"gate of {name}"
    path.write_text("0")
    setup = f"{ACCOUNT}\naccount = {kind}({str(path)!r})"
    first, second = play(setup, gate=gate), play(setup, gate=gate)
    with client.lock(gate):
        first.begin("account.deposit(10)")
        queue.wait_for(first.pid, name=gate)
        second.begin("account.deposit(20)")
        if kind == "Guarded":
            queue.wait_for(second.pid, name=path_lock(path).name)
            assert len(queue.waiters(gate)) == 1
        else:
            queue.wait_for(first.pid, second.pid, name=gate)
            # So that the second one writes last.
            os.kill(second.pid, signal.SIGSTOP)
    first.result()
    os.kill(second.pid, signal.SIGCONT)
    second.result()
    assert first("account.balance()") == balance


#: Every byte that a file's name can have, and one that does not fit into a lock's name as it is.
ALL_BYTES: Final = bytes(each for each in range(1, 256) if each != ord("/"))


@pytest.mark.parametrize("file", [ALL_BYTES[:120], ALL_BYTES[120:], b"\xff", b"%FF", b" ", b"a\nb", ALL_BYTES])
def test_a_path_of_any_bytes_is_one_lock(file: bytes, play: Play, tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/" + file
    link = tmp_path / "link"
    link.symlink_to(os.fsdecode(path))
    one, other = play(path=path), play(path=path, link=str(link))
    one("mine = path_lock(path)")
    assert one(TRY) is True
    for same in ("path", "link", "os.fsdecode(path)", "b'/proc/../' + path", "b'/proc/self/root' + path"):
        other(f"mine = path_lock({same})")
        assert other(TRY) is False, same
    other("mine = path_lock(path[:-1] + b'!!')")
    assert other(TRY) is True
    one("mine.release()")
    other("mine = path_lock(link)")
    assert other("mine.acquire()") is True
    # It is about the file, and does nothing with it.
    assert not os.path.lexists(path)


def test_a_locked_function(play: Play, queue: Queue, client: Client, name: str) -> None:
    gate = f"gate of {name}"
    setup = """
@lockd_client.locked(name, label="publishing")
def publish(again=False):
    inside(rwlock(gate).read())
    return publish() if again else os.getpid()

@lockd_client.locked(name, timeout=0)
def publish_now():
    raise AssertionError
"""
    first, second = play(setup, gate=gate), play(setup, gate=gate)
    with client.lock(gate):
        first.begin("publish()")
        queue.wait_for(first.pid, name=gate)
        with pytest.raises(
            ActorRaised, match=r"^LockTimeout: .* is not free: held exclusively by pid \d+ .*\"publishing\""
        ):
            second("publish_now()")
        second.begin("publish()")
        queue.wait_for(second.pid)
    assert (first.result(), second.result()) == (first.pid, second.pid)
    with pytest.raises(ActorRaised, match=r"^DeadlockDetected: this thread already holds .*\"publishing\""):
        first("publish(again=True)")
    assert second("publish()") == second.pid
