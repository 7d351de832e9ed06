"""lockd/driver.py: what the death of a process brings about, whatever else happens in the same turn."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd import peers
from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.shell import Peer, Shell, acquire, hello, kinds


class Cast:
    """Processes that do nothing but live and die, and that the daemon takes for its peers.

    So one test can speak for many processes, and everything it lets happen happens before the daemon's next turn.
    """

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._speaking: subprocess.Popen[bytes] | None = None

    def identify(self, connection: object) -> peers.Identity:
        """Stand in for `peers.identify`."""
        assert self._speaking is not None
        pid = self._speaking.pid
        return peers.Identity(pid, os.getuid(), os.getgid(), os.pidfd_open(pid))

    async def welcomed(self, shell: Shell) -> tuple[subprocess.Popen[bytes], Peer]:
        """Start a process and let it say HELLO."""
        return self.speaks_next(), await shell.welcomed()

    def speaks_next(self) -> subprocess.Popen[bytes]:
        """Start a process whose the next HELLO will be."""
        self._speaking = self._start()
        return self._speaking

    def _start(self) -> subprocess.Popen[bytes]:
        process = self._stack.enter_context(subprocess.Popen(["cat"], stdin=subprocess.PIPE))
        self._stack.callback(process.kill)
        return process


@pytest.fixture
def cast(monkeypatch: pytest.MonkeyPatch, closing: ExitStack) -> Cast:
    cast = Cast(closing)
    monkeypatch.setattr(peers, "identify", cast.identify)
    return cast


def dies(process: subprocess.Popen[bytes]) -> None:
    """Kill a process. The kernel says so on its pidfd when this returns."""
    process.kill()
    process.wait()


async def test_the_death_of_a_process_frees_all_it_held(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    holder, connection = await cast.welcomed(shell)
    _, waiter = await cast.welcomed(shell)
    await connection.granted(acquire(1), acquire(2, "log"))
    assert await waiter.asks(acquire(1), acquire(2, "log")) == []
    dies(holder)
    assert kinds(await waiter.hears()) == ["Granted", "Granted"]
    # Its descriptors are still open here, as they would be in a forked child. That changes nothing.
    assert (await connection.hears(), connection.is_ended) == ([], True)
    status = await shell.status()
    assert (status["deaths_total"], status["grants"]) == (1, 2)


async def test_a_dead_waiter_is_out_of_the_queue(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    _, holder = await cast.welcomed(shell)
    dead, connection = await cast.welcomed(shell)
    _, last = await cast.welcomed(shell)
    [token] = await holder.granted(acquire(1))
    assert await connection.asks(acquire(1)) + await last.asks(acquire(1)) == []
    # Both in one turn: the release would be its.
    holder.says(m.Release(2, token, False))
    dies(dead)
    assert kinds(await last.hears()) == ["Granted"]


async def test_a_detached_session_ends_with_its_process(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    holder, connection = await cast.welcomed(shell)
    _, waiter = await cast.welcomed(shell)
    await connection.granted(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    connection.hangs_up()
    await trio.sleep(86400)
    assert await waiter.hears() == []
    dies(holder)
    assert kinds(await waiter.hears()) == ["Granted"]


async def test_releases_count_that_were_sent_before_death_and_nothing_else_does(
    shell: Shell, cast: Cast, autojump_clock: MockClock
) -> None:
    process, connection = await cast.welcomed(shell)
    [token] = await connection.granted(acquire(1))
    granted_total = (await shell.status())["granted_total"]
    # The kernel tells of the death first, and what was sent is still unread then.
    dies(process)
    connection.says(acquire(2, "log"), m.Query(3, "db"), m.Release(4, token, True), acquire(5, "more"), m.Bye(6))
    heard = await connection.hears()
    assert heard == [m.Done(4, 4)]
    assert connection.is_ended
    status = await shell.status()
    assert (status["granted_total"], status["deaths_total"], status["sessions"]) == (granted_total, 1, 0)


async def test_last_words_are_heard_however_many_there_are(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    process, connection = await cast.welcomed(shell)
    tokens = await connection.granted(*[acquire(request, f"name/{request}") for request in range(1, 201)])
    dies(process)
    connection.says(*[m.Release(300 + place, token, True) for place, token in enumerate(tokens)])
    assert kinds(await connection.hears()) == ["Done"] * 200


async def test_last_words_end_where_they_make_no_sense(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    process, connection = await cast.welcomed(shell)
    [first, second] = await connection.granted(acquire(1), acquire(2, "log"))
    dies(process)
    connection.sends(encode(m.Release(3, first, True)) + bytes(4) + encode(m.Release(4, second, True)))
    assert kinds(await connection.hears()) == ["Done"]
    assert (await shell.status())["sessions"] == 0


async def test_last_words_whose_ids_do_not_rise(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    process, connection = await cast.welcomed(shell)
    [first, second] = await connection.granted(acquire(1), acquire(2, "log"))
    dies(process)
    connection.says(m.Release(3, first, True), m.Release(3, second, True))
    assert kinds(await connection.hears()) == ["Done", "Failed"]
    assert (await shell.status())["sessions"] == 0


async def test_half_of_a_frame_is_no_last_word(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    process, connection = await cast.welcomed(shell)
    [token] = await connection.granted(acquire(1))
    frame = encode(m.Release(2, token, True))
    connection.sends(frame[:5])
    await wait_all_tasks_blocked()
    dies(process)
    connection.sends(frame[5:-1])
    assert await connection.hears() == []
    assert (await shell.status())["sessions"] == 0


Happening = Callable[[subprocess.Popen[bytes], Peer], None]


def _hang_up_then_die(process: subprocess.Popen[bytes], connection: Peer) -> None:
    connection.hangs_up()
    dies(process)


def _die_then_hang_up(process: subprocess.Popen[bytes], connection: Peer) -> None:
    dies(process)
    connection.hangs_up()


def _say_bye_then_die(process: subprocess.Popen[bytes], connection: Peer) -> None:
    connection.says(m.Bye(2))
    dies(process)


def _die_then_bye(process: subprocess.Popen[bytes], connection: Peer) -> None:
    dies(process)
    connection.says(m.Bye(2))


def _send_garbage_and_die(process: subprocess.Popen[bytes], connection: Peer) -> None:
    connection.sends(bytes(4))
    dies(process)


@pytest.mark.parametrize(
    "happening", [_hang_up_then_die, _die_then_hang_up, _say_bye_then_die, _die_then_bye, _send_garbage_and_die]
)
async def test_the_end_of_connection_and_process_in_one_turn(
    shell: Shell, cast: Cast, happening: Happening, autojump_clock: MockClock
) -> None:
    process, connection = await cast.welcomed(shell)
    _, waiter = await cast.welcomed(shell)
    await connection.granted(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    happening(process, connection)
    assert kinds(await waiter.hears()) == ["Granted"]
    status = await shell.status()
    assert (status["sessions"], status["detached"], status["grants"]) == (1, 0, 1)


async def test_the_number_of_a_pidfd_may_be_another_descriptors_in_the_same_turn(
    shell: Shell, cast: Cast, autojump_clock: MockClock
) -> None:
    """BYE closes the pidfd; a connection that is accepted next gets its number; then comes the turn of the death."""
    process, leaving = await cast.welcomed(shell)
    number = _number_of_the_pidfd_of(process)
    leaving.says(m.Bye(1))
    newcomer = shell.connect()
    dies(process)
    await wait_all_tasks_blocked()
    assert os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
    assert (await newcomer.hears(), newcomer.is_ended) == ([], False)
    await cast.welcomed(shell)
    assert isinstance((await newcomer.asks(hello()))[0], m.Welcome)
    assert (await shell.status())["sessions"] == 2


async def test_the_number_of_a_pidfd_may_be_another_processs_in_the_same_turn(
    shell: Shell, cast: Cast, autojump_clock: MockClock
) -> None:
    """BYE closes the pidfd; the HELLO of a process that lives opens one; then comes the turn of the death."""
    dying, leaving = await cast.welcomed(shell)
    newcomer = shell.connect()
    await wait_all_tasks_blocked()
    number = _number_of_the_pidfd_of(dying)
    leaving.says(m.Bye(1))
    living = cast.speaks_next()
    newcomer.says(hello(), acquire(1))
    dies(dying)
    assert kinds(await newcomer.hears()) == ["Welcome", "Granted"]
    assert _number_of_the_pidfd_of(living) == number
    status = await shell.status()
    assert (status["sessions"], status["grants"], status["deaths_total"]) == (1, 1, 0)
    assert not newcomer.is_ended


def _descriptors() -> list[str]:
    return os.listdir("/proc/self/fd")


def _number_of_the_pidfd_of(process: subprocess.Popen[bytes]) -> str:
    [number] = [
        info.name
        for info in Path("/proc/self/fdinfo").iterdir()
        # The directory itself is gone by then.
        if info.exists() and f"\nPid:\t{process.pid}\n" in info.read_text()
    ]
    return number


async def test_sessions_leave_no_descriptors_behind(shell: Shell, cast: Cast, autojump_clock: MockClock) -> None:
    async def all_sorts() -> None:
        for happening in (_hang_up_then_die, _die_then_hang_up, _say_bye_then_die, _send_garbage_and_die):
            process, connection = await cast.welcomed(shell)
            await connection.granted(acquire(1))
            happening(process, connection)
            await wait_all_tasks_blocked()
            connection.hangs_up()
            assert process.stdin is not None
            process.stdin.close()

    await all_sorts()
    before = len(_descriptors())
    for _ in range(3):
        await all_sorts()
    assert len(_descriptors()) == before
