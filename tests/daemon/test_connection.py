"""lockd/connection.py: bytes that come in pieces or not at all, answers that nobody reads, hang-ups of every kind."""

from __future__ import annotations

import errno
import logging
import os
import re
import socket
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.shell import Shell, Start, acquire, hello, kinds

HELLO = encode(hello())
ACQUIRE = encode(acquire(1))
OUTBOX_BYTES_MAX = 16384


def query(request: int, name: str = "nobody's") -> m.Query:
    return m.Query(request, name)


async def test_a_frame_may_be_split_anywhere(shell: Shell, autojump_clock: MockClock) -> None:
    data = HELLO + ACQUIRE
    for split in range(1, len(data)):
        peer = shell.connect()
        peer.sends(data[:split])
        heard = await peer.hears()
        assert kinds(heard) == ["Welcome"] * (split >= len(HELLO))
        peer.sends(data[split:])
        heard += await peer.hears()
        assert kinds(heard) == ["Welcome", "Granted"]
        peer.says(m.Bye(2))


async def test_bytes_may_come_one_by_one(shell: Shell, autojump_clock: MockClock) -> None:
    peer = shell.connect()
    heard = []
    for byte in HELLO + ACQUIRE:
        peer.sends(bytes([byte]))
        heard += await peer.hears()
    assert kinds(heard) == ["Welcome", "Granted"]


async def test_more_requests_than_one_read_takes_are_all_answered_in_order(
    shell: Shell, autojump_clock: MockClock
) -> None:
    peer = await shell.welcomed()
    heard = await peer.asks(*[query(request) for request in range(1, 1001)])
    assert [answer.id for answer in heard] == list(range(1, 1001))


async def test_hello_is_waited_for_five_seconds(shell: Shell, autojump_clock: MockClock) -> None:
    silent, slow = shell.connect(), shell.connect()
    # Bytes that come do not make it longer: there has to be a HELLO.
    for byte in HELLO[:4]:
        slow.sends(bytes([byte]))
        await trio.sleep(1.2)
    assert (await silent.hears(), silent.is_ended) == ([], False)
    assert (await slow.hears(), slow.is_ended) == ([], False)
    await trio.sleep(0.3)
    for peer in (silent, slow):
        assert await peer.hears() == [m.Failed(0, 0, "protocol", "no HELLO came within 5 seconds", {})]
        assert peer.is_ended


async def test_who_has_said_hello_may_be_silent_for_ever(shell: Shell, autojump_clock: MockClock) -> None:
    peer = await shell.welcomed()
    await trio.sleep(86400)
    assert kinds(await peer.asks(acquire(1))) == ["Granted"]


async def test_a_frame_that_was_begun_has_to_end_within_a_minute(shell: Shell, autojump_clock: MockClock) -> None:
    holder, other = await shell.welcomed(), await shell.welcomed()
    await holder.granted(acquire(1))
    holder.sends(encode(query(2))[:7])
    await trio.sleep(59)
    assert (await holder.hears(), holder.is_ended) == ([], False)
    await trio.sleep(1.1)
    complaint = "a frame was begun and not finished within 60 seconds"
    assert await holder.hears() == [m.Failed(0, 1, "protocol", complaint, {})]
    assert holder.is_ended
    # The connection has ended, and not the session.
    [state] = await other.asks(query(1, "db"))
    assert [holder["attached"] for holder in state.facts["holders"]] == [False]


async def test_a_frame_that_ends_in_time_is_forgotten(shell: Shell, autojump_clock: MockClock) -> None:
    peer = await shell.welcomed()
    begun = encode(query(1))
    peer.sends(begun[:7])
    await trio.sleep(59)
    peer.sends(begun[7:])
    await trio.sleep(3600)
    assert kinds(await peer.hears()) == ["State"]
    assert not peer.is_ended


async def test_a_frame_in_three_pieces_is_forgotten_too(shell: Shell, autojump_clock: MockClock) -> None:
    peer = await shell.welcomed()
    begun = encode(query(1))
    for piece in (begun[:3], begun[3:7], begun[7:]):
        peer.sends(piece)
        await trio.sleep(20)
    await trio.sleep(3600)
    assert kinds(await peer.hears()) == ["State"]
    assert not peer.is_ended


async def test_the_minute_is_that_of_each_frame(shell: Shell, autojump_clock: MockClock) -> None:
    """One who is always in the middle of some frame, as whoever sends without a pause is, is not late."""
    peer = await shell.welcomed()
    rest = b""
    for request in range(1, 11):
        frame = encode(query(request))
        peer.sends(rest + frame[:5])
        rest = frame[5:]
        await trio.sleep(30)
    heard = await peer.hears()
    assert [answer.id for answer in heard] == list(range(1, 10))
    await trio.sleep(31)
    assert kinds(await peer.hears()) == ["Failed"]
    assert peer.is_ended


async def test_a_slow_reader_is_cut_off_and_not_robbed(
    shell: Shell, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    slow, other = await shell.welcomed(), await shell.welcomed()
    [token] = await slow.granted(acquire(1))
    requests = 0
    with caplog.at_level(logging.WARNING, "lockd"):
        while not caplog.records:
            requests += 100
            assert requests < 100_000, "nobody has cut it off"
            slow.says(*[query(id) for id in range(requests - 98, requests + 2)])
            await trio.testing.wait_all_tasks_blocked()
    told = rf"cut off pid {os.getpid()} \(uid {os.getuid()}\): it left \d+ bytes of answers unread"
    assert [re.fullmatch(told, record.getMessage()) is not None for record in caplog.records] == [True]
    # It has what the kernel had taken, then the end, and no word about it: there was no room for one.
    assert set(kinds(slow.has_heard())) == {"State"}
    assert slow.is_ended
    [state] = await other.asks(query(1, "db"))
    assert [(holder["token"], holder["attached"]) for holder in state.facts["holders"]] == [(token, False)]
    assert (await shell.status())["detached"] == 1


async def test_a_reader_who_was_slow_gets_everything(shell: Shell, autojump_clock: MockClock) -> None:
    slow = await shell.welcomed()
    # What the kernel buffers for a socket, as far as small messages go, and something on top that the daemon keeps.
    requests = 3000
    for begin in range(1, requests, 500):
        slow.says(*[query(id) for id in range(begin, begin + 500)])
        await trio.testing.wait_all_tasks_blocked()
    heard: list[Any] = []
    while len(heard) < requests:
        news = await slow.hears()
        assert news, f"nothing comes after {len(heard)} answers"
        heard += news
    assert [answer.id for answer in heard] == list(range(1, requests + 1))
    # And is served as before.
    assert kinds(await slow.asks(acquire(requests + 1))) == ["Granted"]


async def test_many_answers_in_one_turn_are_no_sign_of_a_slow_reader(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(connections__outbox_bytes_max=str(OUTBOX_BYTES_MAX))
    peer = await shell.welcomed("p" * 64)
    await peer.granted(*[acquire(request, mode="S", label="l" * 256) for request in range(1, 5)])
    heard = await peer.asks(*[query(request, "db") for request in range(5, 55)])
    assert len(heard) == 50
    assert sum(len(encode(answer)) for answer in heard) > 4 * OUTBOX_BYTES_MAX
    assert not peer.is_ended


async def test_an_answer_that_cannot_be_sent_is_never_left_out(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    """The peer would wait for it for ever, or take the next one for it. So its connection ends, and not its session."""
    peer, other = await shell.welcomed(), await shell.welcomed()
    send = socket.socket.send

    def without_memory(sock: socket.socket, data: bytes) -> int:
        if sock.getsockname() == shell.client_socket:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        return send(sock, data)

    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "send", without_memory)
        assert await peer.asks(acquire(1)) == []
    assert peer.is_ended
    assert caplog.messages == [f"no answers for pid {os.getpid()}, so it is cut off: No buffer space available"]
    [state] = await other.asks(query(1, "db"))
    assert [holder["attached"] for holder in state.facts["holders"]] == [False]


async def test_whoever_says_no_more_is_answered_before_it_is_hung_up_on(
    shell: Shell, autojump_clock: MockClock
) -> None:
    peer = await shell.welcomed()
    peer.says(acquire(1), query(2))
    peer.sock.shutdown(socket.SHUT_WR)
    assert kinds(await peer.hears()) == ["Granted", "State"]
    assert peer.is_ended
    assert (await shell.status())["detached"] == 1


async def test_whoever_listens_no_more_is_still_heard(shell: Shell, autojump_clock: MockClock) -> None:
    """A half-closed socket must neither end the daemon nor keep it busy."""
    deaf, other = await shell.welcomed(), await shell.welcomed()
    deaf.sock.shutdown(socket.SHUT_RD)
    deaf.says(acquire(1), query(2))
    assert await other.asks(acquire(1, timeout=0)) != []
    deaf.says(query(3), acquire(4, "log"))
    status = await shell.status()
    assert (status["grants"], status["sessions"], status["detached"]) == (2, 2, 0)
    deaf.hangs_up()
    assert (await shell.status())["detached"] == 1


async def test_whoever_listens_no_more_while_answers_wait_for_it(shell: Shell, autojump_clock: MockClock) -> None:
    deaf = await shell.welcomed()
    for begin in range(1, 3001, 500):
        deaf.says(*[query(id) for id in range(begin, begin + 500)])
        await trio.testing.wait_all_tasks_blocked()
    deaf.sock.shutdown(socket.SHUT_RD)
    deaf.says(acquire(3001))
    status = await shell.status()
    assert (status["grants"], status["sessions"], status["detached"]) == (1, 1, 0)


@pytest.mark.parametrize("kept", [0, 1, 4, 7])
async def test_whoever_hangs_up_in_the_middle_of_a_frame(shell: Shell, kept: int, autojump_clock: MockClock) -> None:
    peer = await shell.welcomed()
    peer.sends(ACQUIRE[:kept])
    peer.hangs_up()
    status = await shell.status()
    assert (status["sessions"], status["grants"]) == (0, 0)


async def test_whoever_hangs_up_without_reading(shell: Shell, autojump_clock: MockClock) -> None:
    """The kernel then says ECONNRESET and EPIPE where it would say nothing else but the end."""
    peer, waiter = await shell.welcomed(), await shell.welcomed()
    peer.says(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    peer.says(m.Release(2, 0, True), query(3))
    peer.hangs_up()
    status = await shell.status()
    assert (status["sessions"], status["detached"], status["grants"], status["waiters"]) == (2, 1, 1, 1)


async def test_what_was_sent_before_a_hang_up_counts(shell: Shell, autojump_clock: MockClock) -> None:
    """However much it is: it is read in the order in which it was sent, and the end comes last."""
    peer, waiter = await shell.welcomed(), await shell.welcomed()
    [token] = await peer.granted(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    peer.says(*[query(request) for request in range(2, 1000)], m.Release(1000, token, False))
    peer.hangs_up()
    assert kinds(await waiter.hears()) == ["Granted"]
    assert (await shell.status())["sessions"] == 1


GARBAGE = {
    "another protocol": b"GET / HTTP/1.1\r\n\r\n",
    "no length": bytes(4),
    "a length beyond the bound": (8193).to_bytes(4, "big"),
    "the greatest length": b"\xff" * 4,
    "no msgpack": bytes.fromhex("00000001 c1"),
    "half of a msgpack": bytes.fromhex("00000002 92 01"),
    "two msgpacks": bytes.fromhex("00000002 90 90"),
    "no array": bytes.fromhex("00000001 01"),
    "an empty array": bytes.fromhex("00000001 90"),
    "an unknown type": bytes.fromhex("00000003 92 1f 01"),
    "a type of the daemon's own": encode(m.Done(1, 1)),
    "a type of the admin socket's": encode(m.Status(1)),
    "a field too few": bytes.fromhex("00000003 92 07 01"),
    "a field too many": bytes.fromhex("00000004 93 03 01 01"),
    "a field of the wrong kind": bytes.fromhex("00000004 93 07 01 01"),
    "a negative id": bytes.fromhex("00000003 92 03 ff"),
    "a boolean id": bytes.fromhex("00000003 92 03 c3"),
    "text that is no UTF-8": bytes.fromhex("00000005 93 07 01 a1 ff"),
    "binary data": bytes.fromhex("00000006 93 07 01 c4 01 61"),
    "a map": bytes.fromhex("00000004 93 07 01 80"),
    "arrays in arrays in arrays": b"\x00\x00\x08\x00" + b"\x91" * 2048,
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_ends_its_connection_and_nothing_else(
    shell: Shell, garbage: bytes, autojump_clock: MockClock
) -> None:
    stranger, holder, bystander = shell.connect(), await shell.welcomed(), await shell.welcomed()
    await holder.granted(acquire(1))
    assert await bystander.asks(acquire(1)) == []
    for peer, covered in ((stranger, 0), (holder, 1)):
        # What follows the garbage is not looked at.
        peer.sends(garbage + encode(query(9)))
        [failed] = await peer.hears()
        assert (failed.id, failed.covered, failed.code) == (0, covered, "protocol")
        assert failed.sentence.isprintable()
        assert peer.is_ended
    # What the holder held is still held, and the bystander still waits.
    assert await bystander.hears() == []
    assert not bystander.is_ended
    status = await shell.status()
    assert (status["sessions"], status["detached"], status["grants"], status["waiters"]) == (2, 1, 1, 1)


async def test_what_came_before_garbage_counts(shell: Shell, autojump_clock: MockClock) -> None:
    peer = await shell.welcomed()
    peer.sends(encode(acquire(1)) + encode(query(2)) + bytes(4) + encode(acquire(3, "log")))
    assert kinds(await peer.hears()) == ["Granted", "State", "Failed"]
    assert (await shell.status())["grants"] == 1


async def test_after_the_word_about_its_mistake_a_peer_is_told_nothing(shell: Shell, autojump_clock: MockClock) -> None:
    """Not even that it has got what it waits for, if that happens in the same turn."""
    holder, peer = await shell.welcomed(), await shell.welcomed()
    [token] = await holder.granted(acquire(1))
    assert await peer.asks(acquire(1)) == []
    peer.sends(bytes(4))
    holder.says(m.Release(2, token, False))
    assert kinds(await peer.hears()) == ["Failed"]
    assert peer.is_ended


async def test_a_length_beyond_the_bound_is_refused_before_the_rest_comes(
    shell: Shell, autojump_clock: MockClock
) -> None:
    peer = shell.connect()
    peer.sends((2**31).to_bytes(4, "big"))
    assert kinds(await peer.hears()) == ["Failed"]


async def test_a_flood_from_one_does_not_keep_the_others_waiting(shell: Shell, autojump_clock: MockClock) -> None:
    """A turn takes a bounded piece from each. Tokens tell in which order the daemon did things."""
    flooder, other = await shell.welcomed(), await shell.welcomed()
    flood = [acquire(request, f"flood/{request}") for request in range(1, 2001)]
    flooder.says(*flood)
    other.says(acquire(1))
    [granted] = await other.hears()
    answers = await flooder.hears()
    first = answers[0].token
    assert granted.token - first <= 2048 // len(encode(flood[0])) + 1
    assert len(answers) == len(flood), "and the flood has been served as well"
