"""Requests that had been done, whose answers were lost, and that are said again: each row of the table in section 8 of
docs/protocol.md. That an answer was read here and thrown away is nothing that a daemon could know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import pytest

from support.daemon import Daemon
from support.raw import (
    ACQUIRE,
    ADOPT,
    BYE,
    CANCEL,
    CONVERT,
    DONE,
    FOREVER,
    GRANTED,
    HAND_OVER,
    QUERY,
    RELEASE,
    RESUME,
    STATE,
    TICKET,
    TRY,
    Raw,
    code_of,
)

from .conftest import Connect

#: Breaks the connections of all of these, and returns others for the same sessions.
Break = Callable[..., list[Raw]]


@pytest.fixture(params=["the connection", "the daemon"])
def after_the_end(request: pytest.FixtureRequest, daemon: Daemon, closing: ExitStack) -> Break:
    def after_the_end(*peers: Raw) -> list[Raw]:
        if request.param == "the daemon":
            daemon.kill()
            daemon.start()
        return [closing.enter_context(Raw.resumed(daemon.client_socket, peer.session)) for peer in peers]

    return after_the_end


def holders(peer: Raw, request: int, name: str) -> list[tuple[int, str]]:
    return [(each["token"], each["mode"]) for each in peer.facts_of(request, name)["holders"]]


def test_acquire_that_was_granted(connect: Connect, after_the_end: Break, name: str) -> None:
    peer = connect()
    token = peer.acquire(1, name)
    [peer] = after_the_end(peer)
    assert peer.covered == 1
    assert peer.acquire(1, name) == token
    assert holders(peer, 2, name) == [(token, "X")]
    # There is one of it, and not two.
    peer.release(3, token)
    assert holders(peer, 4, name) == []


def test_acquire_that_waits(connect: Connect, after_the_end: Break, name: str) -> None:
    holder, first, second = connect(), connect(), connect()
    token = holder.acquire(1, name)
    first.queue_up(1, [name, "X"])
    second.queue_up(1, [name, "X"])
    holder, second, first = after_the_end(holder, second, first)
    for waiter in (second, first):
        waiter.want(1, [name, "X"])
        waiter.pong(3)
    assert holder.facts_of(2, name)["waiters_total"] == 2
    holder.release(3, token)
    first.release(4, first.granted(1))
    second.granted(1)


def test_acquire_that_was_refused(connect: Connect, after_the_end: Break, name: str) -> None:
    holder, other = connect(), connect()
    token = holder.acquire(1, name)
    other.take(1, [f"{name} of the other", "X"])
    other.want(2, [name, "X"], timeout=TRY)
    other.failed(2, "timeout")
    holder, other = after_the_end(holder, other)
    holder.release(2, token)
    # It begins anew.
    other.take(2, [name, "X"])


def test_acquire_that_entered_again(connect: Connect, after_the_end: Break, name: str) -> None:
    peer, other = connect(), connect()
    token = peer.take(1, [name, "X"], reentrant=True)
    assert peer.take(2, [name, "X"], reentrant=True) == token
    other.take(1, [f"{name} too", "X"])
    peer, other = after_the_end(peer, other)
    for request in (1, 2):
        peer.want(request, [name, "X"], reentrant=True)
        answer = peer.receive()
        assert [answer[0], answer[1], answer[3]] == [GRANTED, request, token]
    peer.release(3, token)
    assert holders(other, 2, name) == [(token, "X")]
    # Nor is a release done twice.
    peer, other = after_the_end(peer, other)
    peer.release(3, token)
    assert holders(other, 3, name) == [(token, "X")]
    peer.release(4, token)
    assert holders(other, 4, name) == []


def test_adopt(connect: Connect, after_the_end: Break, name: str) -> None:
    maker, heir = connect(), connect()
    token = maker.acquire(1, name)
    ticket = maker.ask(HAND_OVER, 2, token)[3]
    assert heir.ask(ADOPT, 1, 1, ticket)[:4:3] == [GRANTED, token]
    [heir] = after_the_end(heir)
    answer = heir.ask(ADOPT, 1, 1, ticket)
    assert [answer[0], answer[1], answer[3]] == [GRANTED, 1, token]
    heir.release(2, token)
    assert holders(heir, 3, name) == []


def test_convert_that_was_done(connect: Connect, after_the_end: Break, name: str) -> None:
    peer = connect()
    token = peer.acquire(1, name)
    assert peer.ask(CONVERT, 2, token, "S", FOREVER, [])[0] == GRANTED
    [peer] = after_the_end(peer)
    answer = peer.ask(CONVERT, 2, token, "S", FOREVER, [])
    assert [answer[0], answer[1], answer[3]] == [GRANTED, 2, token]
    assert holders(peer, 3, name) == [(token, "S")]


def test_convert_that_waits(connect: Connect, after_the_end: Break, name: str) -> None:
    reader, writer = connect(), connect()
    token, other = writer.acquire(1, name, "S"), reader.acquire(1, name, "S")
    writer.send(CONVERT, 2, token, "X", FOREVER, [])
    writer.pong(3)
    reader, writer = after_the_end(reader, writer)
    writer.send(CONVERT, 2, token, "X", FOREVER, [])
    writer.pong(4)
    assert reader.facts_of(2, name)["waiters_total"] == 1
    reader.release(3, other)
    assert writer.granted(2) == token
    assert holders(reader, 4, name) == [(token, "X")]


def test_release(connect: Connect, after_the_end: Break, name: str) -> None:
    peer = connect()
    peer.acquire(1, f"{name} to stay")
    token = peer.acquire(2, name)
    peer.release(3, token)
    # Under another token, which is nothing to the release that is said again.
    later = peer.acquire(4, name)
    [peer] = after_the_end(peer)
    assert peer.covered == 4
    assert peer.ask(RELEASE, 3, token, True)[:2] == [DONE, 3]
    assert peer.acquire(4, name) == later
    assert holders(peer, 5, name) == [(later, "X")]


def test_cancel(connect: Connect, after_the_end: Break, name: str) -> None:
    peer, holder = connect(), connect()
    token = holder.acquire(1, name)
    peer.acquire(1, f"{name} to stay")
    peer.queue_up(2, [name, "X"])
    peer.send(CANCEL, 4, 2)
    peer.failed(2, "cancelled")
    holder, peer = after_the_end(holder, peer)
    peer.send(CANCEL, 4, 2)
    peer.pong(5)
    assert holder.facts_of(2, name)["waiters_total"] == 0
    holder.release(3, token)
    assert holders(peer, 6, name) == []


def test_cancel_of_what_was_granted_and_not_heard_of(connect: Connect, after_the_end: Break, name: str) -> None:
    peer = connect()
    peer.acquire(1, f"{name} to stay")
    peer.acquire(2, name)
    peer.send(CANCEL, 3, 2)
    peer.pong(4)
    [peer] = after_the_end(peer)
    # Both, in the order in which they were sent: nothing stays held.
    peer.send(ACQUIRE, 2, 1, [[name, "X"]], FOREVER, [])
    peer.send(CANCEL, 3, 2)
    assert peer.receive()[1] == 2
    assert holders(peer, 5, name) == []


def test_hand_over(connect: Connect, after_the_end: Break, name: str) -> None:
    peer = connect()
    token = peer.acquire(1, name)
    answer = peer.ask(HAND_OVER, 2, token)
    assert answer[0] == TICKET
    [peer] = after_the_end(peer)
    assert peer.ask(HAND_OVER, 2, token)[3] == answer[3]


def test_query(connect: Connect, after_the_end: Break, name: str) -> None:
    peer = connect()
    token = peer.acquire(1, name)
    peer.pong(2)
    [peer] = after_the_end(peer)
    answer = peer.ask(QUERY, 2, name)
    assert answer[:2] == [STATE, 2]
    assert answer[3]["holders"][0]["token"] == token


def test_bye(daemon: Daemon, connect: Connect, after_the_end: Break, name: str, closing: ExitStack) -> None:
    peer = connect()
    peer.acquire(1, name)
    peer.send(BYE, 2)
    assert peer.is_ended()
    after_the_end()
    again = closing.enter_context(Raw(daemon.client_socket))
    assert code_of(again.ask(RESUME, 0, "lockd", 1, peer.session)) == "session_lost"


def test_a_loss_is_told_until_it_is_acknowledged(connect: Connect, after_the_end: Break, name: str) -> None:
    holder, other = connect(), connect()
    holder.acquire(1, f"{name} to stay")
    token = holder.take(2, [name, "X"], lease=0)
    other.acquire(1, name)
    lost = [50, 0, 2, token, "lease"]
    assert holder.receive() == lost
    for _ in range(2):
        holder, other = after_the_end(holder, other)
        assert holder.receive() == lost
    holder.send(RELEASE, 3, token, False)
    holder.pong(4)
    holder, other = after_the_end(holder, other)
    # No notice comes before the answer.
    holder.pong(5)
