"""What breaks other daemons: each gets one clear error, harms nobody else, and leaves the daemon at rest."""

from __future__ import annotations

import os
import re
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from support.daemon import DEADLINE_SECONDS, Daemon
from support.idle import wait_until, wait_until_idle
from support.raw import (
    ACQUIRE,
    ADMIN_HELLO,
    ADMIN_WELCOME,
    FAILED,
    FOREVER,
    GRANTED,
    HELLO,
    QUERY,
    RELEASE,
    STATE,
    STATUS,
    TRY,
    WELCOME,
    Raw,
    frame,
    hello,
)

from .conftest import Connect

Stranger = Callable[[], Raw]


@pytest.fixture
def stranger(daemon: Daemon, closing: ExitStack) -> Stranger:
    """Connect to the client socket and say nothing."""
    return lambda: closing.enter_context(Raw(daemon.client_socket))


@pytest.fixture(autouse=True)
def bystanders(daemon: Daemon, name: str) -> Iterator[None]:
    """One holds, one waits, before, during and after; and the daemon comes to rest at the end."""
    mine = f"{name} of the bystanders"
    with Raw.welcomed(daemon.client_socket) as holder, Raw.welcomed(daemon.client_socket) as waiter:
        token = holder.acquire(1, mine)
        waiter.send(ACQUIRE, 1, 1, [[mine, "X"]], FOREVER, [])
        waiter.pong(2)
        yield
        # It still waits, and nobody else has got in between.
        waiter.pong(3)
        holder.send(RELEASE, 2, token, False)
        kind, id, _, _, _ = waiter.receive()
        assert (kind, id) == (GRANTED, 1)
    wait_until_idle(daemon.pid)


BAD = {
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
    "another protocol": b"GET /lock/db HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "an empty frame": bytes(4),
    "an oversize frame": (8193).to_bytes(4, "big") + bytes(8193),
    "the greatest frame": b"\xff\xff\xff\xff",
    "something that is no message": frame("hello"),
    "a deep one": b"\x00\x00\x20\x00" + b"\x91" * 8192,
    "one that announces 2^32 elements": b"\x00\x00\x00\x05" + b"\xdd\xff\xff\xff\xff",
}


@pytest.mark.parametrize("is_welcomed", [False, True])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_bytes_that_are_not_the_protocol(stranger: Stranger, bad: bytes, is_welcomed: bool) -> None:
    peer = stranger()
    if is_welcomed:
        peer.send_bytes(hello())
        assert peer.receive()[0] == WELCOME
    peer.send_bytes(bad)
    kind, id, covered, code, sentence, facts = peer.receive()
    assert (kind, id, covered, code, facts) == (FAILED, 0, 0, "protocol", {})
    assert re.fullmatch(r"[ -~]{20,300}", sentence)
    assert peer.is_ended()


def test_a_wrong_version(stranger: Stranger) -> None:
    peer = stranger()
    answer = peer.ask(HELLO, 0, "lockd", 7, "future", [])
    words = "the daemon speaks version 1 of the protocol and not 7: update the older of the two"
    assert answer == [FAILED, 0, 0, "version", words, {"supported": 1}]
    assert peer.is_ended()


def test_a_second_hello(connect: Connect) -> None:
    peer = connect()
    peer.send_bytes(hello())
    assert peer.receive() == [FAILED, 0, 0, "protocol", "a second HELLO came on one connection", {}]
    assert peer.is_ended()


@pytest.mark.parametrize("bad", ["two\nlines", "\x1b]0;owned\x07", "\x00", "\x85", "db\u2028", "\u202edb"])
def test_a_name_with_control_characters(connect: Connect, daemon: Daemon, bad: str) -> None:
    peer = connect()
    for question in (
        (ACQUIRE, 1, 1, [[bad, "X"]], TRY, []),
        (ACQUIRE, 2, 1, [["db", "X"]], TRY, [["label", bad]]),
        (ACQUIRE, 3, 1, [["db", bad]], TRY, []),
        (ACQUIRE, 4, 1, [["db", "X"]], TRY, [[bad, 1]]),
        (QUERY, 5, bad),
    ):
        kind, id, _, code, sentence, _ = peer.ask(*question)
        assert (kind, id, code) == (FAILED, question[1], "bad_request")
        assert sentence.isprintable()
    with Raw(daemon.client_socket) as refused:
        assert refused.ask(HELLO, 0, "lockd", 1, bad, [])[3] == "protocol"
    assert bad not in daemon.log


PARTS = {
    "nothing": b"",
    "a part of the length": hello()[:2],
    "the length alone": hello()[:4],
    "half of HELLO": hello()[:9],
    "HELLO": hello(),
    "HELLO and a part": hello() + frame(QUERY, 1, "db")[:6],
    "HELLO and a request": hello() + frame(QUERY, 1, "db"),
    "HELLO and a lock": hello() + frame(ACQUIRE, 1, 1, [["hang-up", "X"]], TRY, []),
    "garbage": bytes(4),
}


def _close(sock: socket.socket) -> None:
    sock.close()


def _shut_both(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_RDWR)


def _shut_writing(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_WR)


def _shut_reading(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_RD)


@pytest.mark.parametrize("hang_up", [_close, _shut_both, _shut_writing, _shut_reading])
@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS.keys())
def test_a_hang_up_in_every_state_lets_the_daemon_rest(
    daemon: Daemon, stranger: Stranger, part: bytes, hang_up: Callable[[socket.socket], None]
) -> None:
    """A daemon that does not take notice of a hang-up is told of it again and again, as fast as it can listen."""
    peer = stranger()
    peer.send_bytes(part)
    hang_up(peer.sock)
    # While the half-closed ones are still open, too. One that has not said HELLO is given five seconds.
    wait_until_idle(daemon.pid)


def test_ten_thousand_requests_whose_answers_nobody_reads(daemon: Daemon, connect: Connect, name: str) -> None:
    """The peer is cut off, and what it holds is still held."""
    other = connect()
    with Raw.welcomed(daemon.client_socket) as peer:
        token = peer.acquire(1, name)
        # It is the sender that has to stop, or is told that nobody is there any more.
        with suppress(BrokenPipeError, ConnectionResetError):
            for request in range(2, 10_002):
                peer.send(QUERY, request, name)
        answers = 0
        while not peer.is_ended():
            answers += 1
        assert 0 < answers < 10_000
        [entry] = other.ask(QUERY, 2, name)[3]["holders"]
        assert (entry["token"], entry["attached"]) == (token, False)
    told = f"cut off pid {os.getpid()} (uid {os.getuid()}): it left"
    wait_until(lambda: told in daemon.log, "the daemon says so")


def test_ten_thousand_requests_whose_answers_are_read(connect: Connect, name: str) -> None:
    """The control: it is not their number."""
    peer = connect()
    requests = b"".join(frame(QUERY, request, name) for request in range(1, 10_001))
    sending = threading.Thread(target=peer.send_bytes, args=[requests])
    sending.start()
    assert [peer.receive()[1] for _ in range(10_000)] == list(range(1, 10_001))
    sending.join()


def test_a_flood_does_not_keep_the_others_waiting(daemon: Daemon, connect: Connect, closing: ExitStack) -> None:
    """Twenty connections send as fast as they can. A bystander is served meanwhile, again and again."""
    bystander = connect()
    flooding = threading.Event()
    over = threading.Event()

    def flood(peer: Raw) -> None:
        request = 0
        while not over.is_set():
            block = b"".join(frame(QUERY, request + place, "flood") for place in range(1, 301))
            peer.send_bytes(block)
            for _ in range(300):
                assert peer.receive()[0] == STATE
            request += 300
            flooding.set()

    floods = [threading.Thread(target=flood, args=[connect()]) for _ in range(4)]
    for thread in floods:
        thread.start()
    assert flooding.wait(DEADLINE_SECONDS)
    for request in range(1, 51):
        bystander.pong(request)
    over.set()
    for thread in floods:
        thread.join()


def test_descriptors_cannot_be_passed(daemon: Daemon, stranger: Stranger, closing: ExitStack) -> None:
    """The kernel would close what nobody takes inside of the daemon, which can be made to take as long as one likes."""
    admin = closing.enter_context(Raw(daemon.admin_socket))
    for peer in (stranger(), admin):
        try:
            socket.send_fds(peer.sock, [b"\0"], [0])
        except PermissionError:
            continue
        pytest.skip("this kernel is older than 6.16 and cannot refuse descriptors")


def test_connections_that_never_say_hello(daemon: Daemon, closing: ExitStack) -> None:
    silent = [closing.enter_context(Raw(daemon.client_socket)) for _ in range(200)]
    with Raw.welcomed(daemon.client_socket) as peer:
        peer.pong(1)
    # The first ones had to make room.
    told = silent[0].receive()
    assert (told[3], told[4]) == (
        "protocol",
        f"uid {os.getuid()} has more than 64 connections that have not said HELLO",
    )
    assert silent[0].is_ended()
    silent[-1].send_bytes(hello())
    assert silent[-1].receive()[0] == WELCOME


@pytest.fixture
def impatient(runtime_dir: Path) -> Iterator[Daemon]:
    config = runtime_dir / "lockd.toml"
    config.write_text("[connections]\nhello_seconds_max = 0.1\nframe_seconds_max = 0.1\n")
    with Daemon(runtime_dir, "--config", str(config)) as daemon:
        yield daemon
        wait_until_idle(daemon.pid)


@pytest.mark.parametrize("part", [b"", hello()[:2], hello()[:-1]])
def test_half_a_frame_for_a_hello(impatient: Daemon, part: bytes) -> None:
    with Raw(impatient.client_socket) as peer:
        peer.send_bytes(part)
        assert peer.receive() == [FAILED, 0, 0, "protocol", "no HELLO came within 0.1 seconds", {}]
        assert peer.is_ended()


def test_half_a_frame_for_a_request(impatient: Daemon) -> None:
    with Raw.welcomed(impatient.client_socket) as peer, Raw.welcomed(impatient.client_socket) as other:
        peer.acquire(1, "db")
        peer.send_bytes(frame(QUERY, 2, "db")[:-1])
        words = "a frame was begun and not finished within 0.1 seconds"
        assert peer.receive() == [FAILED, 0, 1, "protocol", words, {}]
        assert peer.is_ended()
        assert other.ask(QUERY, 1, "db")[3]["holders"][0]["attached"] is False


def test_no_descriptor_left(runtime_dir: Path, closing: ExitStack) -> None:
    """Those who are there are served, those who come have to wait, and when there is room again they get in."""
    with Daemon(runtime_dir) as daemon:
        bystander = closing.enter_context(Raw.welcomed(daemon.client_socket))
        # For one connection more, and not for the pidfd of its process.
        _let_it_have(daemon, more=1)
        unlucky = closing.enter_context(Raw(daemon.client_socket))
        kind, id, _, code, sentence, _ = unlucky.ask(HELLO, 0, "lockd", 1, "", [])
        assert (kind, id, code) == (FAILED, 0, "unavailable")
        assert "Too many open files" in sentence
        assert unlucky.is_ended()
        # Now one that stays, and one that has to wait.
        last = closing.enter_context(Raw(daemon.admin_socket))
        assert last.ask(ADMIN_HELLO, 0, "lockd-admin", 1)[0] == ADMIN_WELCOME
        waiting = closing.enter_context(Raw(daemon.admin_socket))
        waiting.send(ADMIN_HELLO, 0, "lockd-admin", 1)
        told = "new connections have to wait: Too many open files"
        wait_until(lambda: told in daemon.log, "the daemon says so")
        bystander.acquire(1, "db")
        last.close()
        assert waiting.receive()[0] == ADMIN_WELCOME
        assert waiting.ask(STATUS, 1)[2]["grants"] == 1


def _let_it_have(daemon: Daemon, more: int) -> None:
    numbers = [int(number) for number in os.listdir(f"/proc/{daemon.pid}/fd")]
    # The lowest free numbers are given out first, and there are no gaps.
    assert sorted(numbers) == list(range(len(numbers)))
    limit = len(numbers) + more
    resource.prlimit(daemon.pid, resource.RLIMIT_NOFILE, (limit, limit))
