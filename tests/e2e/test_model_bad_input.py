"""What cannot be, with bytes alone: each is a clear error, and nothing has changed by it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.daemon import Daemon
from support.idle import wait_until
from support.permissions import SOMEBODY, effective_uid, needs_root
from support.raw import (
    ACQUIRE,
    ADOPT,
    CONVERT,
    FAILED,
    FOREVER,
    GRANTED,
    HAND_OVER,
    LIST,
    SHOW,
    STATUS,
    TICKET,
    TRY,
    Raw,
)

#: What of a STATUS must not change. The rest is time, and counts of what was refused.
STANDING = ("sessions", "detached", "names", "grants", "waiters", "abandoned", "granted_total", "leases_taken_total")


class Scene:
    """Locks and semaphores in use: one peer has some, another has some and waits, a third has made a ticket."""

    def __init__(self, socket: str, admin_socket: str, stack: ExitStack) -> None:
        def connect(program: str) -> Raw:
            return stack.enter_context(Raw.welcomed(socket, program, release_on_eof=True))

        self.admin = stack.enter_context(Raw.administrator(admin_socket))
        self.socket = socket
        self.peer, self.other, self.maker = connect("peer"), connect("other"), connect("maker")
        self.lock = self.peer.take(1, ["lock", "S"])
        self.pool = self.peer.take(2, ["pool", 2, 5])
        self.tree = self.peer.take(3, ["db/users/42", "X"], tree=True)
        self.shared = self.other.take(1, ["lock", "S"])
        self.other.queue_up(2, ["pool", 4, 5], label="many")
        self.ticketed = self.maker.take(1, ["ticketed", "X"])
        answer = self.maker.ask(HAND_OVER, 2, self.ticketed)
        assert answer[0] == TICKET, answer
        self.ticket = answer[3]

    def state(self) -> object:
        """Return all that the daemon says there is, but for how long."""
        status = self.admin.ask(STATUS, 1)[2]
        rows: list[dict[str, Any]] = []
        cursor: int | None = 0
        while cursor is not None:
            _, _, page, cursor = self.admin.ask(LIST, 2, "", cursor, [])
            rows += page
        shown = [self.admin.ask(SHOW, 3, row["name"])[2] for row in rows]
        return without_durations([{key: status[key] for key in STANDING}, rows, shown])


def without_durations(value: Any) -> Any:
    """Return the same without what changes by itself."""
    if isinstance(value, dict):
        return {key: without_durations(each) for key, each in value.items() if not key.endswith("_seconds")}
    return [without_durations(each) for each in value] if isinstance(value, list) else value


@pytest.fixture(scope="module")
def stage(daemon: Daemon) -> Iterator[Scene]:
    """One scene for the whole module: no test changes it, which is the point."""
    with ExitStack() as stack:
        yield Scene(daemon.client_socket, daemon.admin_socket, stack)


#: The ids of requests rise within a session, and the scene is everybody's.
_ids = iter(range(10, 2**31))


@pytest.fixture
def unchanged(stage: Scene) -> Iterator[Scene]:
    """The scene, in which nothing may have changed at the end."""
    before = stage.state()
    yield stage
    assert stage.state() == before
    # And everybody is still served.
    for peer in (stage.peer, stage.other, stage.maker):
        peer.pong(next(_ids))


def refused(peer: Raw, kind: int, *fields: object, code: str = "bad_request") -> str:
    """Send something that is refused with this code, no facts, and one clear sentence. Return that."""
    id = next(_ids)
    answer = peer.ask(kind, id, *fields)
    assert [*answer[:4], answer[5]] == [FAILED, id, id, code, {}], answer
    sentence = answer[4]
    assert isinstance(sentence, str)
    assert re.fullmatch(r"[^\n]{15,400}", sentence)
    assert sentence.isprintable()
    return sentence


X17 = [[f"name {number}", "X"] for number in range(17)]
LEVELS_17 = "/".join("abcdefghijklmnopq")
#: 16 names of five levels with nothing in common but the first one.
NAMES_65 = [[f"root/{number}/c/d/e", "X"] for number in range(16)]

#: What is wrong: items, options, and what the sentence has to name.
BAD_REQUESTS: dict[str, tuple[list[list[Any]], list[list[Any]], str]] = {
    "no item": ([], [], "1 to 16 names"),
    "17 items": (X17, [], "17"),
    "a name twice": ([["a", "X"], ["b", "S"], ["a", "X"]], [], '"a" is in the request twice'),
    "a name twice, in another mode": ([["a", "X"], ["a", "S"]], [], "twice"),
    "a name as both": ([["a", "X"], ["a", 1, 2]], [], "twice"),
    "an unknown mode": ([["a", "NL"]], [], '"NL" is not a mode: the modes are X, SIX, U, S, IX, IS'),
    "a mode in small letters": ([["a", "six"]], [], '"six"'),
    "an empty mode": ([["a", ""]], [], '""'),
    "a mode that gives orders": ([["a", "\x1b[2J"]], [], "is not a mode"),
    "an unknown mode beside a good one": ([["a", "X"], ["b", "Q"]], [], '"Q"'),
    "limit 0": ([["a", 1, 0]], [], "limit of 0"),
    "limit and permits 0": ([["a", 0, 0]], [], "limit of 0"),
    "a limit beyond the bound": ([["a", 1, 10**6 + 1]], [], "1000000"),
    "permits 0": ([["a", 0, 5]], [], "0 permits"),
    "permits over the limit": ([["a", 6, 5]], [], "limit of 5"),
    "permits over the limit of one that is in use": ([["pool", 6, 5]], [], "limit of 5"),
    "no name": ([["", 1, 5]], [], "empty"),
    "a tree too deep": ([[LEVELS_17, "X"]], [["tree", True]], "16 levels"),
    "a tree too deep beside a flat one": ([["a", "S"], [LEVELS_17, "S"]], [["tree", True]], "16 levels"),
    "levels that are empty": ([["a" + "/" * 16, "S"]], [["tree", True]], "no name in a tree"),
    "nothing behind the last slash": ([["a/", "S"]], [["tree", True]], "no name in a tree"),
    "65 names with their ancestors": (NAMES_65, [["tree", True]], "65 names"),
    "a semaphore above a tree": ([["a/b", "X"], ["a", 1, 2]], [["tree", True]], '"a"'),
    "an unknown option": ([["a", "X"]], [["priority", 7]], '"priority" is not an option of ACQUIRE'),
    "an option of another message": ([["a", "X"]], [["release_on_eof", True]], "release_on_eof"),
    "tree 1": ([["a", "X"]], [["tree", 1]], "tree is neither true nor false"),
    "tree nil": ([["a", "X"]], [["tree", None]], "tree"),
    "reentrant yes": ([["a", "X"]], [["reentrant", "yes"]], "reentrant"),
    "yield 0.5": ([["a", "X"]], [["yield", 0.5]], "yield"),
    "wait_notice 0": ([["a", "X"]], [["wait_notice", 0]], "wait_notice"),
    "a negative lease": ([["a", "X"]], [["lease", -0.5]], "lease is not a number of seconds from 0 on"),
    "a lease of true": ([["a", "X"]], [["lease", True]], "lease"),
    "a lease of text": ([["a", "X"]], [["lease", "30"]], "lease"),
    "a lease of nil": ([["a", "X"]], [["lease", None]], "lease"),
    "a label that is no text": ([["a", "X"]], [["label", 7]], "label is not a text"),
    "a label that is too long": ([["a", "X"]], [["label", "l" * 257]], "257"),
}


@pytest.mark.parametrize("timeout", [FOREVER, TRY])
@pytest.mark.parametrize(("items", "options", "told"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_an_acquire_that_cannot_be(
    unchanged: Scene, items: list[list[Any]], options: list[list[Any]], told: str, timeout: float | None
) -> None:
    assert told in refused(unchanged.peer, ACQUIRE, 1, items, timeout, options)


def test_the_bounds_themselves_can_be_reached(daemon: Daemon) -> None:
    """The control: one less is granted."""
    good: list[tuple[list[list[Any]], bool]] = [
        (X17[:16], False),
        ([["a", 10**6, 10**6]], False),
        ([[LEVELS_17[:-2], "X"]], True),
        (NAMES_65[1:], True),
    ]
    for items, is_tree in good:
        with Raw.welcomed(daemon.client_socket, release_on_eof=True) as peer:
            peer.release(2, peer.take(1, *items, tree=is_tree))


MISMATCHES: dict[str, tuple[list[Any], str, str]] = {
    "a lock as a semaphore": (["lock", 1, 5], "kind_mismatch", '"lock" is in use as a lock'),
    "a lock in a tree as a semaphore": (["db/users", 1, 5], "kind_mismatch", '"db/users" is in use as a lock'),
    "a semaphore as a lock": (["pool", "X"], "kind_mismatch", '"pool" is in use as a semaphore'),
    "a semaphore as a lock that many can share": (["pool", "IS"], "kind_mismatch", '"pool" is in use as a semaphore'),
    "another limit": (["pool", 1, 6], "limit_mismatch", "a limit of 5 and was asked for with 6"),
    "another limit that is too small for what is held": (["pool", 1, 1], "limit_mismatch", "a limit of 5"),
}


@pytest.mark.parametrize("owner", [1, 9])
@pytest.mark.parametrize(("item", "code", "told"), MISMATCHES.values(), ids=MISMATCHES.keys())
def test_what_is_something_else_already(unchanged: Scene, item: list[Any], code: str, told: str, owner: int) -> None:
    for items in ([item], [["another", "X"], item]):
        assert told in refused(unchanged.peer, ACQUIRE, owner, items, FOREVER, [], code=code)


def test_a_tree_below_a_semaphore(unchanged: Scene) -> None:
    told = refused(unchanged.peer, ACQUIRE, 1, [["pool/a", "X"]], FOREVER, [["tree", True]], code="kind_mismatch")
    assert '"pool"' in told


# CONVERT

Token = Callable[[Scene], int]

NOT_HELD: dict[str, Token] = {
    "0": lambda scene: 0,
    "made up": lambda scene: 2**63 - 1,
    "of another session": lambda scene: scene.shared,
    "of another session that hands it over": lambda scene: scene.ticketed,
}


@pytest.mark.parametrize("token", NOT_HELD.values(), ids=NOT_HELD.keys())
def test_a_grant_that_is_not_held(unchanged: Scene, token: Token) -> None:
    for mode in ("X", "IS"):
        told = refused(unchanged.peer, CONVERT, token(unchanged), mode, TRY, [], code="not_owner")
        assert "holds no grant with that token" in told
    assert "holds no grant" in refused(unchanged.peer, HAND_OVER, token(unchanged), code="not_owner")


@pytest.mark.parametrize("mode", ["NL", "", "x", "shared"])
def test_a_conversion_to_a_mode_that_there_is_not(unchanged: Scene, mode: str) -> None:
    told = refused(unchanged.peer, CONVERT, unchanged.lock, mode, FOREVER, [])
    assert f'"{mode}" is not a mode: the modes are X, SIX, U, S, IX, IS' in told


def test_a_conversion_of_permits(unchanged: Scene) -> None:
    assert "semaphores, which have no modes" in refused(unchanged.peer, CONVERT, unchanged.pool, "X", FOREVER, [])


@pytest.mark.parametrize("option", [["lease", 5], ["tree", True], ["label", "x"], ["reentrant", False], ["no", 1]])
def test_an_option_that_a_conversion_has_not(unchanged: Scene, option: list[object]) -> None:
    told = refused(unchanged.peer, CONVERT, unchanged.lock, "S", TRY, [option])
    assert f'"{option[0]}" is not an option of CONVERT' in told


def test_a_wrong_type_of_an_option_that_a_conversion_has(unchanged: Scene) -> None:
    told = refused(unchanged.peer, CONVERT, unchanged.lock, "S", TRY, [["wait_notice", "yes"]])
    assert told == "wait_notice is neither true nor false"


def test_a_conversion_of_what_is_being_handed_over(unchanged: Scene) -> None:
    assert "handed over" in refused(unchanged.maker, CONVERT, unchanged.ticketed, "S", TRY, [])


# HAND_OVER and ADOPT


@pytest.mark.parametrize("ticket", ["", "0", "made up", "t" * 1024, "\x1b[2J"])
def test_a_ticket_that_is_made_up(unchanged: Scene, ticket: str) -> None:
    told = refused(unchanged.peer, ADOPT, 1, ticket, code="not_owner")
    assert told.startswith("the ticket is not valid")


def test_a_part_of_a_ticket(unchanged: Scene) -> None:
    for part in (unchanged.ticket[:-1], unchanged.ticket[1:], unchanged.ticket.swapcase(), f"{unchanged.ticket} "):
        refused(unchanged.peer, ADOPT, 1, part, code="not_owner")


@pytest.fixture
def own_scene(runtime_dir: Path) -> Iterator[Scene]:
    """A scene that the test may change."""
    config = runtime_dir / "lockd.toml"
    config.write_text('[client_socket]\nmode = "0666"\n')
    runtime_dir.chmod(0o711)
    with Daemon(runtime_dir, "--config", str(config)) as daemon, ExitStack() as stack:
        yield Scene(daemon.client_socket, daemon.admin_socket, stack)


def test_a_ticket_that_was_used(own_scene: Scene) -> None:
    own_scene.peer.send(ADOPT, next(_ids), 1, own_scene.ticket)
    assert own_scene.peer.receive()[0] == GRANTED
    own_scene.maker.receive()
    before = own_scene.state()
    for peer in (own_scene.peer, own_scene.other, own_scene.maker):
        assert "it was used before" in refused(peer, ADOPT, 1, own_scene.ticket, code="not_owner")
    assert own_scene.state() == before


@needs_root
def test_a_ticket_of_another_uid(own_scene: Scene) -> None:
    with effective_uid(SOMEBODY), Raw.welcomed(own_scene.socket) as stranger:
        before = own_scene.state()
        told = refused(stranger, ADOPT, 1, own_scene.ticket, code="not_owner")
        assert f"made by uid {os.getuid()}" in told
        assert own_scene.state() == before


def test_a_grant_that_was_released(own_scene: Scene) -> None:
    peer = own_scene.peer
    peer.release(next(_ids), own_scene.tree)
    before = own_scene.state()
    refused(peer, CONVERT, own_scene.tree, "S", FOREVER, [], code="not_owner")
    refused(peer, HAND_OVER, own_scene.tree, code="not_owner")
    assert own_scene.state() == before


def test_a_grant_that_is_busy_cannot_be_converted_or_handed_over(own_scene: Scene) -> None:
    peer = own_scene.maker
    entered = peer.take(next(_ids), ["twice", "X"], reentrant=True)
    assert peer.take(next(_ids), ["twice", "X"], reentrant=True) == entered
    converting = peer.take(next(_ids), ["lock", "S"])
    peer.send(CONVERT, next(_ids), converting, "X", FOREVER, [])
    peer.pong(next(_ids))
    before = own_scene.state()
    assert "entered 2 times" in refused(peer, HAND_OVER, entered)
    assert "being converted" in refused(peer, HAND_OVER, converting)
    assert "being converted already" in refused(peer, CONVERT, converting, "U", FOREVER, [])
    assert own_scene.state() == before


# What is no message at all ends the connection, and nothing else.

BROKEN: dict[str, tuple[object, ...]] = {
    "33 items": (ACQUIRE, 1, 1, [[f"{number}", "X"] for number in range(33)], None, []),
    "an item of four": (ACQUIRE, 1, 1, [["a", 1, 5, 1]], None, []),
    "negative permits": (ACQUIRE, 1, 1, [["a", -1, 5]], None, []),
    "a negative limit": (ACQUIRE, 1, 1, [["a", 1, -5]], None, []),
    "permits of a half": (ACQUIRE, 1, 1, [["a", 0.5, 5]], None, []),
    "a limit of nil": (ACQUIRE, 1, 1, [["a", 1, None]], None, []),
    "a mode that is a number": (ACQUIRE, 1, 1, [["a", 5]], None, []),
    "an option that is an array": (ACQUIRE, 1, 1, [["a", "X"]], None, [["tree", []]]),
    "a lease without end": (ACQUIRE, 1, 1, [["a", "X"]], None, [["lease", float("inf")]]),
    "a lease that is no number": (ACQUIRE, 1, 1, [["a", "X"]], None, [["lease", float("nan")]]),
    "a conversion of a text": (CONVERT, 1, "token", "X", None, []),
    "a conversion without a mode": (CONVERT, 1, 1, None, None, []),
    "a conversion with a negative timeout": (CONVERT, 1, 1, "X", -1, []),
    "a negative token to hand over": (HAND_OVER, 1, -1),
    "a ticket that is a number": (ADOPT, 1, 1, 5),
    "a ticket that is longer than any text": (ADOPT, 1, 1, "t" * 1025),
    "an answer of the daemon's": (TICKET, 1, 1, "t"),
}


@pytest.mark.parametrize("fields", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_no_message(unchanged: Scene, fields: tuple[object, ...]) -> None:
    sessions = unchanged.admin.ask(STATUS, 1)[2]["sessions"]
    with Raw.welcomed(unchanged.socket) as peer:
        kind, id, covered, code, sentence, facts = peer.ask(*fields)
        assert (kind, id, covered, code, facts) == (FAILED, 0, 0, "protocol", {})
        assert sentence.isprintable()
        assert peer.is_ended()
    wait_until(lambda: unchanged.admin.ask(STATUS, 1)[2]["sessions"] == sessions, "its session has ended")
