"""docs/protocol.md, the options of ACQUIRE, with bytes alone: re-entry, leases, requests to yield, notices."""

from __future__ import annotations

import os

import pytest

from support.raw import CANCEL, GRANTED, LOST, QUERY, TRY, WAITING, YIELD_REQUESTED

from .conftest import Connect

#: How long a lease is that is to run out while somebody waits.
LEASE_SECONDS = 0.05


# reentrant


def test_each_entry_takes_one_release(connect: Connect, name: str) -> None:
    peer, waiter = connect(), connect()
    token = peer.take(1, [name, "X"], reentrant=True)
    waiter.queue_up(1, [name, "X"])
    # It passes the waiter, which waits for this owner anyway. Less than what is held will do as well.
    for request, mode in ((2, "X"), (3, "S"), (4, "IX")):
        assert peer.take(request, [name, mode], reentrant=True) == token
    assert [entry["mode"] for entry in peer.facts_of(5, name)["holders"]] == ["X"]
    for request in (6, 7, 8):
        peer.release(request, token)
        assert waiter.facts_of(request, name)["waiters_total"] == 1
    peer.release(9, token)
    assert waiter.granted(1) > token


def test_a_cancel_takes_one_entry_back(connect: Connect, name: str) -> None:
    peer, waiter = connect(), connect()
    token = peer.take(1, [name, "X"], reentrant=True)
    assert peer.take(2, [name, "X"], reentrant=True) == token
    waiter.queue_up(1, [name, "X"])
    peer.send(CANCEL, 3, 2)
    assert peer.facts_of(4, name)["holders_total"] == 1
    peer.send(CANCEL, 5, 1)
    waiter.granted(1)


def test_another_owner_of_the_same_session_has_to_wait(connect: Connect, name: str) -> None:
    peer = connect()
    peer.take(1, [name, "X"], reentrant=True)
    peer.want(2, [name, "X"], timeout=TRY, owner=2, reentrant=True)
    peer.failed(2, "timeout")


@pytest.mark.parametrize(("held", "wanted", "reentrant"), [("X", "X", False), ("S", "X", True), ("U", "IX", True)])
def test_what_is_no_reentry_would_wait_for_itself(
    connect: Connect, name: str, held: str, wanted: str, reentrant: bool
) -> None:
    peer = connect("peer")
    token = peer.take(1, [name, held], reentrant=True)
    peer.want(2, [name, wanted], reentrant=reentrant)
    facts = peer.failed(2, "deadlock")
    assert facts["cycle_total"] == 1
    [step] = facts["cycle"]
    assert (step["pid"], step["blocker_pid"], step["queued"]) == (os.getpid(), os.getpid(), False)
    assert (step["name"], step["mode"], step["blocker_mode"]) == (name, wanted, held)
    assert peer.facts_of(3, name)["holders"][0]["token"] == token


def test_permits_and_several_names_can_be_entered_again(connect: Connect, name: str) -> None:
    peer, other = connect(), connect()
    a, pool = f"{name} a", f"{name} pool"
    token = peer.take(1, [a, "X"], [pool, 2, 3], reentrant=True)
    assert peer.take(2, [pool, 1, 3], reentrant=True) == token
    assert peer.take(3, [pool, 2, 3], [a, "S"], reentrant=True) == token
    # Without the option it is one grant more, of what is left.
    assert peer.take(4, [pool, 1, 3]) > token
    other.want(1, [pool, 1, 3], timeout=TRY)
    other.failed(1, "timeout")


# lease


def test_a_lease_that_has_run_out_is_taken_as_soon_as_somebody_waits_and_not_before(
    connect: Connect, name: str
) -> None:
    holder, waiter = connect("holder"), connect()
    token = holder.take(1, [name, "X"], lease=0, label="nightly")
    # A try is nobody who waits.
    waiter.want(1, [name, "X"], timeout=TRY)
    waiter.failed(1, "timeout")
    assert holder.facts_of(2, name)["holders"][0]["token"] == token
    waiter.want(2, [name, "X"])
    assert holder.receive() == [LOST, 0, 2, token, "lease"]
    answer = waiter.receive()
    assert answer[:2] == [GRANTED, 2]
    # What it was held for may be half done.
    [entry] = answer[4]["abandoned"]
    assert (entry["name"], entry["pid"], entry["program"], entry["label"]) == (name, os.getpid(), "holder", "nightly")
    # It is not the old holder's any more, whatever that says.
    holder.release(3, token)
    assert waiter.facts_of(3, name)["holders"][0]["token"] == answer[3]


def test_a_lease_runs_out_while_somebody_waits(connect: Connect, name: str) -> None:
    holder, waiter = connect(), connect()
    token = holder.take(1, [name, "X"], lease=LEASE_SECONDS)
    waiter.want(1, [name, "X"], wait_notice=True)
    # Told at once if there is something left of it.
    answers = [waiter.receive()]
    while answers[-1][0] != GRANTED:
        answers.append(waiter.receive())
    assert [answer[0] for answer in answers] == [WAITING, GRANTED]
    assert holder.receive() == [LOST, 0, 1, token, "lease"]


def test_a_lease_that_has_not_run_out_is_not_taken(connect: Connect, name: str) -> None:
    holder, waiter = connect(), connect()
    token = holder.take(1, [name, "X"], lease=3600)
    waiter.queue_up(1, [name, "X"])
    assert holder.facts_of(2, name)["holders"][0]["token"] == token
    holder.release(3, token)
    waiter.granted(1)


def test_whoever_can_share_takes_no_lease(connect: Connect, name: str) -> None:
    holder, reader = connect(), connect()
    token = holder.take(1, [name, "S"], lease=0)
    reader.take(1, [name, "S"])
    assert holder.facts_of(2, name)["holders"][0]["token"] == token


# yield


def test_a_holder_is_asked_once_to_yield(connect: Connect, name: str) -> None:
    holder, one, other = connect("holder"), connect(), connect()
    token = holder.take(1, [name, "X"], **{"yield": True})
    holder.pong(2)
    one.queue_up(1, [name, "X"])
    kind, id, covered, told, facts = holder.receive()
    assert (kind, id, covered, told) == (YIELD_REQUESTED, 0, 2, token)
    assert facts.keys() == {"name", "holders", "holders_total", "waiters_total"}
    assert (facts["name"], facts["holders_total"], facts["waiters_total"]) == (name, 1, 1)
    # Of the second waiter it is told nothing: the next that comes is the answer.
    other.queue_up(1, [name, "X"])
    assert holder.facts_of(3, name)["waiters_total"] == 2


def test_a_holder_that_others_wait_for_already_is_asked_at_once(connect: Connect, name: str) -> None:
    first, second, third = connect(), connect(), connect()
    token = first.take(1, [name, "X"])
    second.want(1, [name, "X"], **{"yield": True})
    second.pong(2)
    third.queue_up(1, [name, "X"])
    first.release(2, token)
    token = second.granted(1)
    assert second.receive()[:4] == [YIELD_REQUESTED, 0, 2, token]


def test_a_reader_is_not_asked_to_yield_to_readers(connect: Connect, name: str) -> None:
    holder, reader, writer = connect(), connect(), connect()
    token = holder.take(1, [name, "S"], **{"yield": True})
    reader.take(1, [name, "S"])
    holder.pong(2)
    writer.queue_up(1, [name, "X"])
    assert holder.receive()[:4] == [YIELD_REQUESTED, 0, 2, token]


# wait_notice


def test_a_request_that_has_to_wait_can_be_told_of(connect: Connect, name: str) -> None:
    holder, first, second = connect("holder"), connect(), connect()
    token = holder.take(1, [name, "X"], label="nightly")
    first.queue_up(1, [name, "X"])
    second.want(1, [name, "X"], wait_notice=True)
    kind, id, covered, request, facts = second.receive()
    assert (kind, id, covered, request) == (WAITING, 0, 1, 1)
    assert facts.keys() == {"name", "holders", "holders_total", "waiters_total", "position", "waited_seconds"}
    assert (facts["name"], facts["position"], facts["waited_seconds"]) == (name, 2, 0)
    [entry] = facts["holders"]
    assert (entry["program"], entry["label"], entry["token"]) == ("holder", "nightly", token)


def test_a_request_that_does_not_wait_is_told_nothing_but_its_answer(connect: Connect, name: str) -> None:
    peer, other = connect(), connect()
    peer.want(1, [name, "X"], wait_notice=True)
    peer.granted(1)
    other.want(1, [name, "X"], timeout=TRY, wait_notice=True)
    other.failed(1, "timeout")
    assert other.ask(QUERY, 2, name)[1] == 2
