"""A process is killed in the middle of everything that the lock model has, and leaves nothing behind.

Each test has a daemon of its own, so that what is there is all that is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon
from support.elsewhere import Elsewhere
from support.idle import wait_until
from support.raw import ADOPT, CONVERT, FOREVER, GRANTED, HAND_OVER, LIST, LOST, STATUS, TICKET, Raw

#: What there is when nobody is there.
NOTHING = {"sessions": 0, "names": 0, "grants": 0, "waiters": 0, "detached": 0}


class Stage:
    """A victim, and those who survive it. At the end nothing may be left."""

    def __init__(self, daemon: Daemon, stack: ExitStack) -> None:
        self._daemon, self._stack = daemon, stack
        self.admin = stack.enter_context(Raw.administrator(daemon.admin_socket))
        self._asked = 0
        self.victim = stack.enter_context(Elsewhere(daemon, "victim"))

    def survivor(self, program: str = "survivor") -> Raw:
        """Connect. What this one has is free when the test ends."""
        return self._stack.enter_context(Raw.welcomed(self._daemon.client_socket, program, release_on_eof=True))

    def status(self) -> dict[str, Any]:
        """Ask the daemon how it is."""
        self._asked += 1
        facts = self.admin.ask(STATUS, self._asked)[2]
        assert isinstance(facts, dict)
        return facts

    def counts(self) -> tuple[int, int, int, int]:
        """Return how many sessions, names, grants and waiters there are."""
        status = self.status()
        return status["sessions"], status["names"], status["grants"], status["waiters"]

    def wait_for_the_death(self) -> None:
        """Kill the victim and return when its session is over."""
        sessions = self.status()["sessions"]
        self.victim.kill()
        wait_until(lambda: self.status()["sessions"] == sessions - 1, "the daemon notices the death")


@contextmanager
def everything_gone(daemon: Daemon) -> Iterator[ExitStack]:
    """Have all connections closed at the end, and see that the daemon is as empty as it was before."""
    with Raw.administrator(daemon.admin_socket) as admin:

        def left() -> dict[str, int]:
            facts = admin.ask(STATUS, 1)[2]
            return {key: facts[key] for key in NOTHING}

        assert left() == NOTHING
        with ExitStack() as stack:
            yield stack
        wait_until(lambda: left() == NOTHING, "nothing is left in the daemon")
        assert admin.ask(LIST, 2, "", 0, [])[2] == []


@pytest.fixture
def stage(runtime_dir: Path) -> Iterator[Stage]:
    with Daemon(runtime_dir) as daemon, everything_gone(daemon) as stack:
        yield Stage(daemon, stack)


def abandoned_by(answer: list[Any]) -> list[tuple[str, int]]:
    """Return what a grant says about who died: name and pid."""
    assert answer[0] == GRANTED, answer
    return [(entry["name"], entry["pid"]) for entry in answer[4].get("abandoned", [])]


def test_while_it_waits_for_several_names(stage: Stage) -> None:
    holder, behind_a, behind_b = stage.survivor(), stage.survivor(), stage.survivor()
    token = holder.take(1, ["c", "X"])
    stage.victim.peer.queue_up(1, ["a", "X"], ["b", "U"], ["c", "X"], ["pool", 3, 3])
    behind_a.queue_up(1, ["a", "X"])
    behind_b.queue_up(1, ["b", "X"], ["pool", 1, 3])
    stage.victim.kill()
    # Nobody is in their way but the victim, and that it has not got. It has left nothing half done either.
    behind_a.granted(1)
    behind_b.granted(1)
    assert holder.facts_of(2, "c")["waiters_total"] == 0
    assert stage.counts() == (3, 4, 3, 0)
    holder.release(3, token)


def test_while_it_holds_several_names(stage: Stage) -> None:
    waiter = stage.survivor()
    stage.victim.peer.take(1, ["a", "X"], ["b", "S"], ["pool", 2, 3])
    waiter.queue_up(1, ["a", "X"], ["b", "X"], ["pool", 2, 3])
    stage.victim.kill()
    assert abandoned_by(waiter.receive()) == [("a", stage.victim.pid), ("pool", stage.victim.pid)]
    assert stage.counts() == (1, 3, 1, 0)


def test_while_it_holds_permits(stage: Stage) -> None:
    other, large, small = stage.survivor(), stage.survivor(), stage.survivor()
    stage.victim.peer.take(1, ["pool", 2, 5])
    other.take(1, ["pool", 2, 5])
    large.queue_up(1, ["pool", 3, 5])
    small.queue_up(1, ["pool", 1, 5])
    stage.victim.kill()
    assert abandoned_by(large.receive()) == [("pool", stage.victim.pid)]
    assert [entry["permits"] for entry in small.facts_of(3, "pool")["holders"]] == [2, 3]
    assert stage.counts() == (3, 1, 2, 1)


def test_while_it_waits_for_permits(stage: Stage) -> None:
    holder, small = stage.survivor(), stage.survivor()
    holder.take(1, ["pool", 2, 3])
    stage.victim.peer.queue_up(1, ["pool", 3, 3])
    small.queue_up(1, ["pool", 1, 3])
    stage.victim.kill()
    small.granted(1)
    assert stage.counts() == (2, 1, 2, 0)


def test_while_it_converts(stage: Stage) -> None:
    reader, late = stage.survivor(), stage.survivor()
    token = stage.victim.peer.take(1, ["db", "S"])
    reader.take(1, ["db", "S"])
    stage.victim.peer.send(CONVERT, 2, token, "X", FOREVER, [])
    stage.victim.peer.pong(3)
    late.queue_up(1, ["db", "S"])
    stage.victim.kill()
    # It had only read.
    late.granted(1)
    assert stage.counts() == (2, 1, 2, 0)


def test_while_somebody_else_converts(stage: Stage) -> None:
    other = stage.survivor()
    stage.victim.peer.take(1, ["db", "S"])
    token = other.take(1, ["db", "S"])
    other.send(CONVERT, 2, token, "X", FOREVER, [])
    other.pong(3)
    stage.victim.kill()
    assert other.granted(2) == token
    assert stage.counts() == (1, 1, 1, 0)


def test_after_it_has_converted(stage: Stage) -> None:
    waiter = stage.survivor()
    token = stage.victim.peer.take(1, ["db", "S"])
    stage.victim.peer.send(CONVERT, 2, token, "X", FOREVER, [])
    assert stage.victim.peer.granted(2) == token
    waiter.queue_up(1, ["db", "X"])
    stage.victim.kill()
    # What it could do in the end is what counts.
    assert abandoned_by(waiter.receive()) == [("db", stage.victim.pid)]


def test_while_it_waits_in_a_tree(stage: Stage) -> None:
    reader, whole = stage.survivor(), stage.survivor()
    reading = reader.take(1, ["db/users/42", "S"], tree=True)
    stage.victim.peer.queue_up(1, ["db/users/42", "X"], ["db/log", "X"], tree=True)
    whole.queue_up(1, ["db", "S"])
    stage.victim.kill()
    # With the victim its intention to write below is gone, and a reader of the whole goes with the other reader.
    whole.granted(1)
    assert stage.counts() == (2, 3, 2, 0)
    reader.release(2, reading)


def test_while_it_holds_in_a_tree(stage: Stage) -> None:
    whole, other = stage.survivor(), stage.survivor()
    stage.victim.peer.take(1, ["db/users/42", "X"], tree=True)
    whole.queue_up(1, ["db", "X"])
    other.queue_up(1, ["db/users/42", "X"], tree=True)
    stage.victim.kill()
    # The whole of it was not held, and is not abandoned; the leaf was.
    whole.release(3, whole.granted(1))
    assert abandoned_by(other.receive()) == [("db/users/42", stage.victim.pid)]
    assert stage.counts() == (2, 3, 1, 0)


def test_while_it_has_entered_twice(stage: Stage) -> None:
    waiter = stage.survivor()
    token = stage.victim.peer.take(1, ["db", "X"], reentrant=True)
    assert stage.victim.peer.take(2, ["db", "X"], reentrant=True) == token
    waiter.queue_up(1, ["db", "X"])
    stage.victim.kill()
    assert abandoned_by(waiter.receive()) == [("db", stage.victim.pid)]
    assert stage.counts() == (1, 1, 1, 0)


def ticket_of(stage: Stage, token: int) -> str:
    answer = stage.victim.peer.ask(HAND_OVER, 2, token)
    assert answer[:2] == [TICKET, 2]
    ticket = answer[3]
    assert isinstance(ticket, str)
    return ticket


def test_after_it_has_made_a_ticket_that_nobody_has_brought(stage: Stage) -> None:
    waiter, heir = stage.survivor(), stage.survivor()
    ticket = ticket_of(stage, stage.victim.peer.take(1, ["db", "X"]))
    waiter.queue_up(1, ["db", "X"])
    stage.victim.kill()
    assert abandoned_by(waiter.receive()) == [("db", stage.victim.pid)]
    heir.send(ADOPT, 1, 1, ticket)
    assert heir.failed(1, "not_owner") == {}
    assert stage.counts() == (2, 1, 1, 0)


def test_after_somebody_has_brought_its_ticket(stage: Stage) -> None:
    waiter, heir = stage.survivor(), stage.survivor("heir")
    token = stage.victim.peer.take(1, ["db", "X"])
    heir.send(ADOPT, 1, 1, ticket_of(stage, token))
    assert heir.receive()[:4] == [GRANTED, 1, 1, token]
    waiter.queue_up(1, ["db", "X"])
    stage.wait_for_the_death()
    # The heir has it, and releases it in order.
    [entry] = waiter.facts_of(3, "db")["holders"]
    assert (entry["program"], entry["token"]) == ("heir", token)
    heir.release(2, token)
    waiter.granted(1)
    assert stage.counts() == (2, 1, 1, 0)


def test_after_it_has_adopted(stage: Stage) -> None:
    maker, waiter = stage.survivor(), stage.survivor()
    token = maker.take(1, ["db", "X"])
    answer = maker.ask(HAND_OVER, 2, token)
    stage.victim.peer.send(ADOPT, 1, 1, answer[3])
    assert maker.receive() == [LOST, 0, 2, token, "handed_over"]
    waiter.queue_up(1, ["db", "X"])
    stage.victim.kill()
    assert abandoned_by(waiter.receive()) == [("db", stage.victim.pid)]
    assert stage.counts() == (2, 1, 1, 0)


def test_in_the_middle_of_what_would_have_become_a_circle(stage: Stage) -> None:
    first, last = stage.survivor("first"), stage.survivor("last")
    mine = first.take(1, ["a", "X"])
    stage.victim.peer.take(1, ["b", "X"])
    its = last.take(1, ["c", "X"])
    first.queue_up(2, ["b", "X"])
    stage.victim.peer.queue_up(2, ["c", "X"])
    # It does close the circle, and another is refused; with the victim gone there is none.
    last.want(2, ["a", "X"])
    assert last.failed(2, "deadlock")["cycle_total"] == 3
    stage.victim.kill()
    assert abandoned_by(first.receive()) == [("b", stage.victim.pid)]
    last.queue_up(3, ["a", "X"])
    first.release(4, mine)
    assert last.receive()[0] == GRANTED
    assert last.facts_of(5, "c")["holders"][0]["token"] == its
    assert stage.counts() == (2, 3, 3, 0)


def test_with_a_lease_and_while_it_is_asked_to_yield(stage: Stage) -> None:
    waiter = stage.survivor()
    stage.victim.peer.take(1, ["db", "X"], lease=3600, **{"yield": True})
    waiter.queue_up(1, ["db", "X"], wait_notice=False)
    stage.victim.kill()
    assert abandoned_by(waiter.receive()) == [("db", stage.victim.pid)]
    assert stage.counts() == (1, 1, 1, 0)


def test_with_everything_at_once_and_nobody_left(stage: Stage) -> None:
    """By several threads of the victim."""
    peer = stage.victim.peer
    token = peer.take(1, ["db/users/42", "S"], tree=True, owner=1)
    peer.take(2, ["db/users/42", "S"], tree=True, owner=2)
    peer.send(CONVERT, 3, token, "X", FOREVER, [])
    peer.take(4, ["pool", 2, 3], owner=3, lease=0, reentrant=True)
    peer.take(5, ["pool", 1, 3], owner=3, lease=0, reentrant=True)
    peer.take(6, ["spare", "U"], owner=4, **{"yield": True})
    ticketed = peer.take(7, ["ticketed", "X"], owner=5)
    assert peer.ask(HAND_OVER, 8, ticketed)[:2] == [TICKET, 8]
    peer.queue_up(10, ["db/users/42", "X"], ["free", 1, 2], owner=6, timeout=3600)
    assert stage.counts() == (1, 7, 5, 2)
    stage.wait_for_the_death()
    assert stage.counts() == (0, 0, 0, 0)


def test_nothing_of_it_counts_against_its_uid_any_more(runtime_dir: Path) -> None:
    """What a uid may have, counted in grants, entries and waiters, can be had by others again."""
    config = runtime_dir / "lockd.toml"
    config.write_text("[quotas]\ngrants_per_uid_max = 5\nwaiters_per_uid_max = 1\n")
    with Daemon(runtime_dir, "--config", str(config)) as daemon, everything_gone(daemon) as stack:
        stage = Stage(daemon, stack)
        survivor = stage.survivor()
        for request in (1, 2):
            stage.victim.peer.take(request, ["db", "X"], reentrant=True)
        # It converts, too, and that is the one waiter that there may be.
        token = stage.victim.peer.take(3, ["log", "S"])
        survivor.take(1, ["log", "S"])
        stage.victim.peer.send(CONVERT, 4, token, "X", FOREVER, [])
        stage.victim.peer.pong(5)
        survivor.want(2, ["other", "X"])
        assert survivor.failed(2, "quota") == {}
        stage.wait_for_the_death()
        for request, name in ((3, "a"), (4, "b"), (5, "c")):
            survivor.take(request, [name, "X"])
        survivor.queue_up(6, ["a", "X"], owner=2)
