"""docs/protocol.md, CONVERT, with bytes alone."""

from __future__ import annotations

import pytest

from support.raw import CANCEL, CONVERT, FOREVER, GRANTED, RELEASE, TRY, WAITING, Raw

from .conftest import Connect


def modes_of(peer: Raw, request: int, name: str) -> list[str]:
    """Ask for the mode of each holder."""
    return [entry["mode"] for entry in peer.facts_of(request, name)["holders"]]


def test_up_at_once_where_nobody_else_is(connect: Connect, name: str) -> None:
    peer = connect()
    token = peer.take(1, [name, "S"])
    assert peer.ask(CONVERT, 2, token, "X", TRY, []) == [GRANTED, 2, 2, token, {}]
    assert modes_of(peer, 3, name) == ["X"]


def test_up_waits_for_the_other_holders_and_ahead_of_the_queue(connect: Connect, name: str) -> None:
    peer, reader, writer, late = connect(), connect(), connect(), connect()
    token, other = peer.take(1, [name, "S"]), reader.take(1, [name, "S"])
    writer.queue_up(1, [name, "X"])
    peer.send(CONVERT, 2, token, "X", FOREVER, [])
    peer.pong(3)
    late.queue_up(1, [name, "IS"])
    reader.release(2, other)
    assert peer.granted(2) == token
    assert modes_of(late, 3, name) == ["X"]
    peer.release(4, token)
    writer.release(3, writer.granted(1))
    late.granted(1)


@pytest.mark.parametrize(("old", "new", "let_in"), [("X", "S", "S"), ("X", "IX", "IX"), ("SIX", "IS", "IX")])
def test_down_takes_effect_at_once_and_lets_in_who_can_share(
    connect: Connect, name: str, old: str, new: str, let_in: str
) -> None:
    peer, waiter = connect(), connect()
    token = peer.take(1, [name, old])
    waiter.queue_up(1, [name, let_in])
    assert peer.ask(CONVERT, 2, token, new, TRY, []) == [GRANTED, 2, 2, token, {}]
    waiter.granted(1)
    assert modes_of(peer, 3, name) == [new, let_in]


def test_all_names_of_the_grant_or_none_and_no_semaphore(connect: Connect, name: str) -> None:
    peer, reader, asking = connect(), connect(), connect()
    a, b, pool = f"{name} a", f"{name} b", f"{name} pool"
    token = peer.take(1, [a, "S"], [b, "S"], [pool, 2, 3])
    other = reader.take(1, [b, "S"])
    peer.send(CONVERT, 2, token, "X", FOREVER, [])
    peer.pong(3)
    assert modes_of(asking, 1, a) == ["S"]
    reader.release(2, other)
    assert peer.granted(2) == token
    assert (modes_of(asking, 2, a), modes_of(asking, 3, b), modes_of(asking, 4, pool)) == (["X"], ["X"], [""])


def test_the_ancestors_follow(connect: Connect, name: str) -> None:
    peer, whole, asking = connect(), connect(), connect()
    leaf = f"{name}/users/42"
    token = peer.take(1, [leaf, "S"], tree=True)
    reading = whole.take(1, [name, "S"])
    assert modes_of(asking, 1, name) == ["IS", "S"]
    peer.send(CONVERT, 2, token, "X", FOREVER, [])
    peer.pong(3)
    whole.release(2, reading)
    assert peer.granted(2) == token
    assert [modes_of(asking, *where) for where in ((2, name), (3, f"{name}/users"), (4, leaf))] == [
        ["IX"],
        ["IX"],
        ["X"],
    ]
    # And down again.
    peer.ask(CONVERT, 4, token, "IS", TRY, [])
    assert [modes_of(asking, *where) for where in ((5, name), (6, leaf))] == [["IS"], ["IS"]]


def test_the_second_of_two_readers_that_both_want_to_write_is_refused_at_once(connect: Connect, name: str) -> None:
    one, other = connect("one"), connect("other")
    first, second = one.take(1, [name, "S"], label="first"), other.take(1, [name, "S"], label="second")
    one.send(CONVERT, 2, first, "X", FOREVER, [])
    one.pong(3)
    other.send(CONVERT, 2, second, "X", FOREVER, [])
    facts = other.failed(2, "deadlock")
    assert facts["cycle_total"] == 2
    keys = ("program", "label", "mode", "blocker_program", "blocker_label", "blocker_mode", "queued")
    assert [tuple(step[key] for key in keys) for step in facts["cycle"]] == [
        ("other", "second", "X", "one", "first", "S", False),
        ("one", "first", "X", "other", "second", "S", False),
    ]
    # It still holds what it held, and the first goes on.
    assert modes_of(other, 3, name) == ["S", "S"]
    other.release(4, second)
    assert one.granted(2) == first


def test_update_is_for_that(connect: Connect, name: str) -> None:
    """Only one at a time can be on its way from reading to writing, and so it always arrives."""
    updater, reader, other = connect(), connect(), connect()
    token, reading = updater.take(1, [name, "U"]), reader.take(1, [name, "S"])
    other.queue_up(1, [name, "U"])
    updater.send(CONVERT, 2, token, "X", FOREVER, [])
    updater.pong(3)
    reader.release(2, reading)
    assert updater.granted(2) == token
    updater.release(4, token)
    other.granted(1)


def test_a_conversion_that_is_cancelled_leaves_what_was_held(connect: Connect, name: str) -> None:
    peer, reader, waiter = connect(), connect(), connect()
    token = peer.take(1, [name, "S"])
    reader.take(1, [name, "S"])
    peer.send(CONVERT, 2, token, "X", FOREVER, [])
    peer.pong(3)
    waiter.queue_up(1, [name, "S"])
    peer.send(CANCEL, 4, 2)
    assert peer.failed(2, "cancelled") == {}
    waiter.granted(1)
    assert modes_of(peer, 5, name) == ["S", "S", "S"]


def test_a_cancel_of_a_conversion_that_came_through_changes_nothing(connect: Connect, name: str) -> None:
    peer = connect()
    token = peer.take(1, [name, "S"])
    assert peer.ask(CONVERT, 2, token, "X", TRY, [])[0] == GRANTED
    peer.send(CANCEL, 3, 2)
    assert modes_of(peer, 4, name) == ["X"]


@pytest.mark.parametrize("timeout", [TRY, 0.05])
def test_a_conversion_that_is_not_granted_in_time_leaves_what_was_held(
    connect: Connect, name: str, timeout: float
) -> None:
    peer, reader = connect(), connect()
    token, other = peer.take(1, [name, "S"]), reader.take(1, [name, "S"])
    peer.send(CONVERT, 2, token, "X", timeout, [])
    facts = peer.failed(2, "timeout")
    assert (facts["name"], facts["position"], facts["waited_seconds"] >= timeout) == (name, 1, True)
    assert [entry["token"] for entry in facts["holders"]] == [token, other]
    assert modes_of(peer, 3, name) == ["S", "S"]


def test_a_release_takes_its_conversion_along(connect: Connect, name: str) -> None:
    peer, reader, writer = connect(), connect(), connect()
    token, other = peer.take(1, [name, "S"]), reader.take(1, [name, "S"])
    writer.queue_up(1, [name, "X"])
    peer.send(CONVERT, 2, token, "X", FOREVER, [])
    peer.send(RELEASE, 3, token, False)
    peer.failed(2, "cancelled")
    reader.release(2, other)
    writer.granted(1)


def test_a_conversion_that_has_to_wait_can_be_told_of(connect: Connect, name: str) -> None:
    peer, reader = connect(), connect()
    token = peer.take(1, [name, "S"])
    reader.take(1, [name, "S"])
    peer.send(CONVERT, 2, token, "X", FOREVER, [["wait_notice", True]])
    kind, id, covered, request, facts = peer.receive()
    assert (kind, id, covered, request) == (WAITING, 0, 2, 2)
    assert (facts["name"], facts["position"], facts["holders_total"]) == (name, 1, 2)
