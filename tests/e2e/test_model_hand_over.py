"""What passes from one process to another, with bytes alone: grants by a ticket, and the news of who died."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon
from support.elsewhere import Elsewhere
from support.permissions import SOMEBODY, effective_uid, needs_root
from support.raw import ADOPT, BYE, GRANTED, HAND_OVER, LOST, RELEASE, STATUS, TICKET, TRY, Raw

from .conftest import Connect

Start = Callable[[str], Elsewhere]


@pytest.fixture
def start(daemon: Daemon, closing: ExitStack) -> Start:
    """Start a process with a connection."""
    return lambda program: closing.enter_context(Elsewhere(daemon, program))


@pytest.fixture
def admin(daemon: Daemon, closing: ExitStack) -> Raw:
    return closing.enter_context(Raw.administrator(daemon.admin_socket))


def ticket_for(peer: Raw, request: int, token: int) -> str:
    """Ask for a ticket."""
    answer = peer.ask(HAND_OVER, request, token)
    assert answer[:2] == [TICKET, request], answer
    ticket = answer[3]
    assert isinstance(ticket, str)
    return ticket


def adopted(name: str, label: str = "", mode: str = "X") -> dict[str, Any]:
    """Return the facts of a grant of one lock that was adopted."""
    return {"items": [{"name": name, "mode": mode, "permits": 0, "limit": 0}], "label": label}


# HAND_OVER and ADOPT


def test_a_grant_changes_hands_and_is_held_all_the_time(start: Start, connect: Connect, name: str) -> None:
    maker, heir, waiter = start("maker"), start("heir"), connect("waiter")
    token = maker.peer.take(1, [name, "X"], label="nightly")
    waiter.queue_up(1, [name, "X"])
    ticket = ticket_for(maker.peer, 2, token)
    # In between it is what it was.
    [entry] = waiter.facts_of(3, name)["holders"]
    assert (entry["token"], entry["pid"]) == (token, maker.pid)
    heir.peer.send(ADOPT, 1, 1, ticket)
    assert heir.peer.granted(1, adopted(name, "nightly")) == token
    assert maker.peer.receive() == [LOST, 0, 2, token, "handed_over"]
    [entry] = waiter.facts_of(4, name)["holders"]
    assert (entry["token"], entry["pid"], entry["program"], entry["label"]) == (token, heir.pid, "heir", "nightly")
    # The maker has nothing to say any more, and its end changes nothing.
    maker.peer.release(3, token)
    maker.kill()
    heir.peer.pong(2)
    assert waiter.facts_of(5, name)["holders"][0]["pid"] == heir.pid
    heir.peer.release(3, token)
    waiter.granted(1)


def test_there_is_one_ticket_for_a_grant(connect: Connect, name: str) -> None:
    """Whoever has lost the answer asks again."""
    maker = connect()
    token = maker.take(1, [name, "X"])
    assert ticket_for(maker, 2, token) == ticket_for(maker, 3, token)


def test_a_ticket_works_once(start: Start, connect: Connect, name: str) -> None:
    maker, first, second = start("maker"), connect("first"), connect("second")
    token = maker.peer.take(1, [name, "X"])
    ticket = ticket_for(maker.peer, 2, token)
    first.send(ADOPT, 1, 1, ticket)
    first.granted(1, adopted(name))
    second.send(ADOPT, 1, 1, ticket)
    assert second.failed(1, "not_owner") == {}
    assert second.facts_of(2, name)["holders"][0]["program"] == "first"
    # Its new holder may hand it on, by another ticket.
    another = ticket_for(first, 2, token)
    assert another != ticket
    second.send(ADOPT, 3, 1, another)
    assert second.granted(3, adopted(name)) == token


def test_several_names_a_tree_and_permits_go_together(start: Start, connect: Connect, name: str) -> None:
    maker, heir = start("maker"), connect("heir")
    leaf, pool = f"{name}/users/42", f"{name} pool"
    token = maker.peer.take(1, [leaf, "X"], [pool, 2, 3], tree=True)
    heir.send(ADOPT, 1, 7, ticket_for(maker.peer, 2, token))
    # Of the tree what was asked for, and not what it means for the ancestors.
    asked = [(leaf, "X", 0, 0), (pool, "", 2, 3)]
    items = [dict(zip(("name", "mode", "permits", "limit"), item, strict=True)) for item in asked]
    assert heir.granted(1, {"items": items, "label": "", "tree": True}) == token
    for request, each in enumerate((name, f"{name}/users", leaf, pool), start=2):
        assert [entry["program"] for entry in heir.facts_of(request, each)["holders"]] == ["heir"]
    heir.release(10, token)
    assert heir.facts_of(11, name)["holders_total"] == 0


def test_a_ticket_dies_with_its_maker(start: Start, connect: Connect, name: str) -> None:
    maker, heir = start("maker"), connect("heir")
    ticket = ticket_for(maker.peer, 2, maker.peer.take(1, [name, "X"]))
    maker.kill()
    # The lock is free, as after any death, and whoever has the ticket now has nothing.
    heir.want(1, [name, "X"])
    answer = heir.receive()
    assert (answer[:2], answer[4]["abandoned"][0]["pid"]) == ([GRANTED, 1], maker.pid)
    heir.send(ADOPT, 2, 1, ticket)
    heir.failed(2, "not_owner")


def test_a_ticket_is_worth_nothing_after_the_release(connect: Connect, name: str) -> None:
    maker, heir = connect(), connect()
    token = maker.take(1, [name, "X"])
    ticket = ticket_for(maker, 2, token)
    maker.release(3, token)
    heir.send(ADOPT, 1, 1, ticket)
    heir.failed(1, "not_owner")


@needs_root
def test_a_ticket_is_for_processes_of_the_same_uid(runtime_dir: Path, closing: ExitStack, name: str) -> None:
    config = runtime_dir / "lockd.toml"
    config.write_text('[client_socket]\nmode = "0666"\n')
    runtime_dir.chmod(0o711)
    with Daemon(runtime_dir, "--config", str(config)) as daemon:
        maker, heir = (closing.enter_context(Raw.welcomed(daemon.client_socket)) for _ in range(2))
        with effective_uid(SOMEBODY):
            stranger = closing.enter_context(Raw.welcomed(daemon.client_socket, "stranger"))
        token = maker.take(1, [name, "X"])
        ticket = ticket_for(maker, 2, token)
        answer = stranger.ask(ADOPT, 1, 1, ticket)
        assert (answer[1], answer[3], answer[5]) == (1, "not_owner", {})
        assert f"uid {os.getuid()}" in answer[4]
        # And it has not been used up by that.
        assert stranger.facts_of(2, name)["holders"][0]["uid"] == os.getuid()
        heir.send(ADOPT, 1, 1, ticket)
        assert heir.granted(1, adopted(name)) == token


def test_tickets_cannot_be_told_from_each_other(connect: Connect, name: str) -> None:
    """Nothing about one helps to guess another: long, and without anything in common."""
    peer = connect()
    tickets = [
        ticket_for(peer, 2 * number, peer.take(2 * number - 1, [f"{name} {number}", "X"])) for number in range(1, 30)
    ]
    assert len({ticket[:8] for ticket in tickets}) == len(tickets)
    assert min(map(len, tickets)) >= 32


def test_the_lease_and_the_wish_to_be_told_go_along(connect: Connect, name: str) -> None:
    maker, heir, waiter = connect(), connect(), connect()
    token = maker.take(1, [name, "X"], lease=0)
    heir.send(ADOPT, 1, 1, ticket_for(maker, 2, token))
    heir.granted(1, adopted(name))
    waiter.want(1, [name, "X"])
    assert heir.receive() == [LOST, 0, 1, token, "lease"]
    assert waiter.receive()[0] == GRANTED


# What is said of the dead


def abandoned(answer: list[Any]) -> list[dict[str, Any]]:
    """Return what a grant says about who died."""
    assert answer[0] == GRANTED, answer
    entries = answer[4].get("abandoned", [])
    assert isinstance(entries, list)
    return entries


def test_the_next_holders_are_told_until_one_has_seen_to_it(
    start: Start, connect: Connect, admin: Raw, name: str
) -> None:
    before = admin.ask(STATUS, 1)[2]["abandoned"]
    victim, reader, writer = start("victim"), connect("reader"), connect("writer")
    victim.peer.take(1, [name, "X"], label="half of it")
    reader.want(1, [name, "S"])
    victim.kill()
    answer = reader.receive()
    [entry] = abandoned(answer)
    assert entry.pop("ago_seconds") >= 0
    assert entry == {
        **{"name": name, "pid": victim.pid, "uid": os.getuid(), "program": "victim", "label": "half of it"},
    }
    assert admin.ask(STATUS, 2)[2]["abandoned"] == before + 1
    # A reader mends nothing, so the next one is told as well.
    reader.release(2, answer[3])
    writer.want(1, [name, "X"])
    answer = writer.receive()
    assert [entry["pid"] for entry in abandoned(answer)] == [victim.pid]
    writer.release(2, answer[3])
    assert admin.ask(STATUS, 3)[2]["abandoned"] == before
    reader.take(3, [name, "X"])


def test_of_a_semaphore_it_is_said_once(start: Start, connect: Connect, name: str) -> None:
    victim, first, second = start("victim"), connect(), connect()
    victim.peer.take(1, [name, 2, 3])
    first.want(1, [name, 2, 3])
    victim.kill()
    assert [entry["pid"] for entry in abandoned(first.receive())] == [victim.pid]
    second.take(1, [name, 1, 3])


@pytest.mark.parametrize("mode", ["S", "IX", "IS"])
def test_who_did_not_write_leaves_nothing_half_done(start: Start, connect: Connect, name: str, mode: str) -> None:
    victim, other = start("victim"), connect()
    victim.peer.take(1, [name, mode])
    other.want(1, [name, "X"])
    victim.kill()
    other.granted(1)


@pytest.mark.parametrize("mode", ["U", "SIX", "X"])
def test_who_may_have_written_may_have(start: Start, connect: Connect, name: str, mode: str) -> None:
    victim, other = start("victim"), connect()
    victim.peer.take(1, [name, mode])
    other.want(1, [name, "X"])
    victim.kill()
    assert len(abandoned(other.receive())) == 1


def test_a_release_that_was_sent_before_the_death_counts(start: Start, connect: Connect, name: str) -> None:
    victim, other = start("victim"), connect()
    token = victim.peer.take(1, [name, "X"])
    victim.peer.send(RELEASE, 2, token, False)
    victim.kill()
    other.want(1, [name, "X"])
    other.granted(1)


def test_bye_is_an_orderly_release(start: Start, connect: Connect, name: str) -> None:
    leaver, other = start("leaver"), connect()
    leaver.peer.take(1, [name, "X"])
    other.queue_up(1, [name, "X"])
    leaver.peer.send(BYE, 2)
    other.granted(1)


def test_only_what_was_asked_for_is_abandoned_and_not_its_ancestors(start: Start, connect: Connect, name: str) -> None:
    victim, other = start("victim"), connect()
    victim.peer.take(1, [f"{name}/a", "X"], tree=True)
    other.want(1, [f"{name}/b", "X"], tree=True)
    other.granted(1)
    other.want(2, [name, "S"], owner=2, timeout=TRY)
    other.failed(2, "timeout")
    victim.kill()
    other.want(3, [f"{name}/a", "X"], tree=True)
    assert [entry["name"] for entry in abandoned(other.receive())] == [f"{name}/a"]
