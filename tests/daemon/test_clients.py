"""lockd/clients.py: who gets a session, and what a session is told first."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.permissions import SOMEBODY, SOMEBODY_ELSE, needs_root
from support.shell import Shell, Start, acquire, hello

COMM = Path("/proc/self/comm")


async def test_hello_is_answered_with_all_that_a_client_has_to_know(shell: Shell, autojump_clock: MockClock) -> None:
    first, second = shell.connect(), shell.connect()
    [welcome] = await first.asks(hello())
    limits = {"frame_bytes_max": 8192, "name_bytes_max": 255, "label_bytes_max": 256, "items_max": 16}
    epoch = welcome.epoch
    assert welcome == m.Welcome(0, 0, 1, (epoch << 32) + 1, epoch, limits, ())
    assert await second.asks(hello()) == [m.Welcome(0, 0, 1, (epoch << 32) + 2, epoch, limits, ())]


REFUSED = {
    "another magic": (hello()._replace(magic="flockd"), "protocol", 'HELLO does not begin with "lockd"'),
    "an older version": (hello()._replace(version=0), "version", "version 1 of the protocol and not 0"),
    "a later version": (hello()._replace(version=2), "version", "version 1 of the protocol and not 2"),
    "an id": (hello()._replace(id=1), "protocol", "HELLO has the id 1: its id is 0"),
    "a long program": (hello("p" * 65), "protocol", "the program is 65 bytes long"),
    "a program that is no text": (hello("two\nlines"), "protocol", "the program has a control character in it"),
    "an unknown option": (hello(colour="red"), "protocol", "HELLO has an option that there is not"),
    "an image that is no text": (hello(image=7), "protocol", "image is not a text"),
    "a long image": (hello(image="ä" * 33), "protocol", "image has more than 64 bytes"),
    "a wrong option": (hello(release_on_eof=1), "protocol", "release_on_eof is neither true nor false"),
}


@pytest.mark.parametrize(("message", "code", "words"), REFUSED.values(), ids=REFUSED.keys())
async def test_a_hello_that_cannot_be_is_refused(
    shell: Shell, message: m.Hello, code: str, words: str, autojump_clock: MockClock
) -> None:
    peer = shell.connect()
    [failed] = await peer.asks(message, acquire(1))
    assert (failed.id, failed.covered, failed.code) == (message.id, 0, code)
    assert words in failed.sentence
    assert failed.facts == ({"supported": 1} if code == "version" else {})
    assert peer.is_ended
    assert (await shell.status())["sessions"] == 0


@pytest.mark.parametrize(
    "message",
    [
        *[m.Bye(1), acquire(1), m.Release(1, 1, True), m.Cancel(1, 1), m.Query(1, "db")],
        *[m.Convert(1, 1, "S", None, {}), m.HandOver(1, 1), m.Adopt(1, 1, "ticket"), m.Inherit(1, 1)],
    ],
)
async def test_nothing_goes_without_hello(shell: Shell, message: m.Message, autojump_clock: MockClock) -> None:
    peer = shell.connect()
    assert await peer.asks(message) == [m.Failed(0, 0, "protocol", "the first message has to be HELLO or RESUME", {})]
    assert peer.is_ended


async def test_a_second_hello_ends_the_connection_and_not_the_session(shell: Shell, autojump_clock: MockClock) -> None:
    peer = await shell.welcomed()
    await peer.granted(acquire(1))
    [failed] = await peer.asks(hello())
    assert (failed.id, failed.covered, failed.code) == (0, 1, "protocol")
    assert failed.sentence == "a second HELLO came on one connection"
    assert peer.is_ended
    assert (await shell.status())["detached"] == 1


async def test_hello_and_requests_may_come_in_one_piece(shell: Shell, autojump_clock: MockClock) -> None:
    peer = shell.connect()
    welcome, granted = await peer.asks(hello(), acquire(1))
    assert isinstance(welcome, m.Welcome)
    assert isinstance(granted, m.Granted)


@pytest.mark.parametrize("request_id", [7, 3])
async def test_ids_only_rise(shell: Shell, request_id: int, autojump_clock: MockClock) -> None:
    peer = await shell.welcomed()
    [token] = await peer.granted(acquire(7))
    # What follows is not looked at.
    [failed] = await peer.asks(m.Query(request_id, "db"), m.Release(8, token, True))
    assert failed == m.Failed(0, 7, "protocol", f"request id {request_id} came after 7: ids only rise", {})
    assert peer.is_ended
    assert (await shell.status())["grants"] == 1
    zero = await shell.welcomed()
    [failed] = await zero.asks(m.Query(0, "db"))
    assert (failed.id, failed.code) == (0, "protocol")


async def test_with_release_on_eof_a_hang_up_frees_everything(shell: Shell, autojump_clock: MockClock) -> None:
    holder, waiter = await shell.welcomed(release_on_eof=True), await shell.welcomed(release_on_eof=False)
    await holder.granted(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    holder.hangs_up()
    assert [type(answer) for answer in await waiter.hears()] == [m.Granted]
    waiter.hangs_up()
    assert (await shell.status())["detached"] == 1


async def program_of_a_holder(shell: Shell, program: str) -> str:
    holder, other = await shell.welcomed(program), await shell.welcomed()
    await holder.granted(acquire(1))
    [state] = await other.asks(m.Query(1, "db"))
    [entry] = state.facts["holders"]
    assert isinstance(entry["program"], str)
    return entry["program"]


async def test_a_program_is_called_what_it_calls_itself(shell: Shell, autojump_clock: MockClock) -> None:
    assert await program_of_a_holder(shell, "Größe 日本語") == "Größe 日本語"


@pytest.fixture
def call_oneself() -> Iterator[Callable[[bytes], int]]:
    """Change what the kernel calls this process."""
    before = COMM.read_bytes().removesuffix(b"\n")
    yield COMM.write_bytes
    COMM.write_bytes(before)


@pytest.mark.parametrize(
    ("comm", "shown"),
    [
        (b"backup", "backup"),
        (b"two\nlines", "two\\x0alines"),
        (b"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        (b"\xff\xfe", "\N{REPLACEMENT CHARACTER}" * 2),
        # The longest there can be, and what becomes of it still is no longer than a program may be.
        (b"\x01" * 15, "\\x01" * 15),
    ],
)
async def test_one_that_says_nothing_is_called_what_the_kernel_calls_it(
    shell: Shell, call_oneself: Callable[[bytes], int], comm: bytes, shown: str, autojump_clock: MockClock
) -> None:
    """A process chooses that name itself, with any bytes in it."""
    call_oneself(comm)
    assert await program_of_a_holder(shell, "") == shown


async def test_a_session_beyond_the_quota_is_refused(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(quotas__sessions_max="2", quotas__sessions_per_uid_max="2")
    first, _second, third = await shell.welcomed(), await shell.welcomed(), shell.connect()
    [failed] = await third.asks(hello(), acquire(1))
    assert (failed.id, failed.code) == (0, "quota")
    assert failed.sentence == "the daemon has all the 2 sessions it may have (sessions_max)"
    assert third.is_ended
    first.says(m.Bye(1))
    await shell.welcomed()


@needs_root
async def test_the_quota_of_one_uid_is_not_the_others(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(quotas__sessions_per_uid_max="1", client_socket__mode="0666")
    _open_to_all(shell)
    await shell.welcomed(uid=SOMEBODY)
    refused = shell.connect(uid=SOMEBODY)
    [failed] = await refused.asks(hello())
    assert failed.sentence == f"uid {SOMEBODY} has all the 1 sessions it may have (sessions_per_uid_max)"
    await shell.welcomed(uid=SOMEBODY_ELSE)


async def test_no_uid_fills_the_lobby(start: Start, autojump_clock: MockClock) -> None:
    """Who does not say HELLO makes room for the next: the one that has waited longest goes first."""
    shell = await start(connections__unintroduced_max="2")
    guest = await shell.welcomed()
    silent = [shell.connect() for _ in range(4)]
    heard = [await peer.hears() for peer in silent]
    words = f"uid {os.getuid()} has more than 2 connections that have not said HELLO"
    assert heard == [[m.Failed(0, 0, "protocol", words, {})]] * 2 + [[]] * 2
    assert [peer.is_ended for peer in silent] == [True, True, False, False]
    for peer in silent[2:]:
        assert isinstance((await peer.asks(hello()))[0], m.Welcome)
    assert (await guest.hears(), guest.is_ended) == ([], False)
    # There is room again.
    last = [shell.connect() for _ in range(2)]
    assert [await peer.hears() for peer in last] == [[], []]
    assert [peer.is_ended for peer in last] == [False, False]


async def test_the_smallest_lobby_is_one(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(connections__unintroduced_max="1")
    first, second = shell.connect(), shell.connect()
    assert [len(await first.hears()), len(await second.hears())] == [1, 0]
    assert isinstance((await second.asks(hello()))[0], m.Welcome)


@needs_root
async def test_the_lobby_of_one_uid_is_not_the_others(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(connections__unintroduced_max="1", client_socket__mode="0666")
    _open_to_all(shell)
    honest = shell.connect(uid=SOMEBODY)
    flood = [shell.connect(uid=SOMEBODY_ELSE) for _ in range(10)]
    await trio.testing.wait_all_tasks_blocked()
    assert [len(peer.has_heard()) for peer in flood] == [1] * 9 + [0]
    assert isinstance((await honest.asks(hello()))[0], m.Welcome)


def _open_to_all(shell: Shell) -> None:
    shell.directory.chmod(0o711)


async def test_a_connection_that_leaves_the_lobby_is_forgotten_there(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(connections__unintroduced_max="1")
    for _ in range(3):
        gone, garbage, refused = shell.connect(), shell.connect(), shell.connect()
        gone.hangs_up()
        garbage.sends(bytes(4))
        refused.sends(encode(hello()._replace(version=3)))
        await trio.testing.wait_all_tasks_blocked()
    last = shell.connect()
    assert isinstance((await last.asks(hello()))[0], m.Welcome)


async def test_one_that_has_hung_up_takes_nobodys_place(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(connections__unintroduced_max="2")
    first, gone = shell.connect(), shell.connect()
    gone.hangs_up()
    await trio.testing.wait_all_tasks_blocked()
    second = shell.connect()
    assert [await peer.hears() for peer in (first, second)] == [[], []]
    assert isinstance((await first.asks(hello()))[0], m.Welcome)


async def test_what_an_earlier_program_of_the_process_held_is_inherited(
    shell: Shell, autojump_clock: MockClock
) -> None:
    """WELCOME says that there is something, a request that would wait for it is refused, and INHERIT takes it over."""
    earlier = await shell.welcomed("first", image="first")
    tree = m.Acquire(1, 1, (("db/users", "X"),), None, {"tree": True, "label": "nightly"})
    [token] = await earlier.granted(tree)
    earlier.hangs_up()
    peer = shell.connect()
    [welcome] = await peer.asks(hello("second", image="second"))
    assert welcome.limits["earlier_sessions"] == 1
    [failed] = await peer.asks(acquire(1, "db", "S"))
    assert failed.code == "held_by_earlier_program"
    assert failed.sentence.startswith(
        f'"db" is held with intent exclusive by an earlier program of this process (pid {os.getpid()}, first, '
        '"nightly") for less than 0.1 s, and would be as long as the process lives: inherited() takes it over'
    )
    [holder] = failed.facts["holders"]
    assert (failed.facts["name"], holder["token"], holder["attached"]) == ("db", token, False)
    item: dict[str, m.Scalar] = {"name": "db/users", "mode": "X", "permits": 0, "limit": 0}
    granted, nothing = await peer.asks(m.Inherit(2, 5), m.Inherit(3, 5))
    assert granted == m.Granted(2, 2, token, {"items": (item,), "label": "nightly", "tree": True})
    assert nothing.code == "nothing_inherited"
    assert (await shell.status())["detached"] == 0


async def test_an_earlier_program_is_heard_out_before_the_next_one(shell: Shell, autojump_clock: MockClock) -> None:
    """Its connection had ended before this program began, however much there is to read before that end."""
    earlier = await shell.welcomed(image="first")
    tokens = await earlier.granted(*[acquire(number, f"name {number}") for number in range(1, 41)])
    # More than is read in one turn, and then the end.
    earlier.says(*[m.Release(41 + number, token, False) for number, token in enumerate(tokens[1:] * 10)])
    earlier.hangs_up()
    peer = shell.connect()
    welcome, failed, granted = await peer.asks(hello(image="second"), acquire(1, "name 1"), m.Inherit(2, 1))
    assert welcome.limits["earlier_sessions"] == 1
    assert failed.code == "held_by_earlier_program"
    assert granted.token == tokens[0]
    assert (await shell.status())["grants"] == 1
