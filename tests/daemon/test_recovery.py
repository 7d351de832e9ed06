"""lockd/recovery.py, lockd/keeper.py: what a daemon begins with, and that nobody is told what is not written down."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd import peers
from lockd.connection import Connection
from lockd.journal.files import Files
from lockd.journal.journal import Journal
from lockd.keeper import Keeper
from lockd_wire import limits
from lockd_wire import messages as m
from support.shell import Peer, Shell, Start, acquire, hello, kinds, start_shell

#: Starts a daemon that is gone at the end of the block, without a word.
Run = Callable[..., AbstractAsyncContextManager[Shell]]


@pytest.fixture
def run(runtime_dir: Path, closing: ExitStack) -> Run:
    @asynccontextmanager
    async def run(**options: str) -> AsyncIterator[Shell]:
        async with trio.open_nursery() as nursery:
            yield await start_shell(runtime_dir, nursery, closing, **options)
            nursery.cancel_scope.cancel()

    return run


def resume(session: int) -> m.Resume:
    return m.Resume(0, limits.MAGIC, limits.VERSION, session)


async def opened(shell: Shell) -> tuple[Peer, m.Welcome]:
    """Connect and say HELLO."""
    peer = shell.connect()
    [welcome] = await peer.asks(hello())
    assert isinstance(welcome, m.Welcome)
    return peer, welcome


# Nobody is told what is not written down


class Log:
    """What the daemon does, in its order: what it writes into the journal and what it sends."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._written = bytearray()
        #: The tokens that somebody was told of and that were not in the journal then.
        self.too_early: list[int] = []
        self.told = 0
        write, offer = Files.write, Connection._offer

        def logged_write(files: Files, descriptor: int, data: bytes | memoryview, offset: int) -> int:
            self._written += data
            return write(files, descriptor, data, offset)

        def logged_offer(connection: Connection) -> None:
            self._look_at(bytes(connection._outbox))
            offer(connection)

        patch.setattr(Files, "write", logged_write)
        patch.setattr(Connection, "_offer", logged_offer)

    def _look_at(self, outbox: bytes) -> None:
        # The head of GRANTED, then the id, what is covered, and the token, in 64 bits each.
        at = outbox.find(b"\x95\x22")
        while at >= 0:
            token = outbox[at + 20 : at + 29]
            assert token[0] == 0xCF
            self.told += 1
            if token not in self._written:
                self.too_early.append(int.from_bytes(token[1:], "big"))
            at = outbox.find(b"\x95\x22", at + 1)


async def _some_grants(start: Start) -> None:
    shell = await start()
    holder, waiter = await shell.welcomed(), await shell.welcomed()
    for request in range(1, 100, 2):
        [token] = await holder.granted(acquire(request))
        assert await waiter.asks(acquire(request)) == []
        holder.says(m.Release(request + 1, token, False))
        [granted] = await waiter.hears()
        waiter.says(m.Release(request + 1, granted.token, False))


async def test_no_grant_is_told_before_it_is_in_the_journal(
    start: Start, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    log = Log(monkeypatch)
    await _some_grants(start)
    assert (log.told, log.too_early) == (100, [])


async def test_a_daemon_that_tells_first_is_found_out(
    start: Start, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """So that the test above can fail."""
    log = Log(monkeypatch)
    write = Keeper.write

    def later(keeper: Keeper) -> bool:
        # All that there is to be sent has been sent when it is asked for the second time in a turn.
        is_second = getattr(later, "is_second", False)
        later.is_second = not is_second  # type: ignore[attr-defined]  # A function may have any.
        return write(keeper) if is_second else True

    monkeypatch.setattr(Keeper, "write", later)
    await _some_grants(start)
    assert log.told == 100
    assert log.too_early


# A full file system


async def test_what_cannot_be_written_is_not_told_and_heals(
    shell: Shell, full: set[str], caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    holder, other = await shell.welcomed(), await shell.welcomed()
    [token] = await holder.granted(acquire(1))
    full.add("write")
    assert await other.asks(acquire(1, "log")) == []
    await trio.sleep(10)
    assert await holder.asks(m.Release(2, token, True)) == []
    assert await other.asks(acquire(2, "third")) == []
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "No space left on device" in caplog.messages[0]
    full.clear()
    await trio.sleep(1)
    assert kinds(await holder.hears()) == ["Done"]
    granted, refused = await other.hears()
    assert (granted.id, refused.id, refused.code) == (1, 2, "unavailable")
    assert kinds(await other.asks(acquire(3, "third"))) == ["Granted"]


async def test_without_a_reserve_nothing_new_begins_and_all_else_goes_on(
    start: Start, full: set[str], autojump_clock: MockClock
) -> None:
    shell = await start()
    holder, welcome = await opened(shell)
    [token] = await holder.granted(acquire(1))
    full.add("allocate")
    request = 2
    while not (await shell.status())["trouble"]:
        # Until the space that is there for all is used up. What is left is for what cannot be refused.
        holder.says(
            *[
                each
                for n in range(20)
                for each in (acquire(request + 2 * n, "x", timeout=0), m.Cancel(request + 2 * n + 1, request + 2 * n))
            ]
        )
        request += 40
        await holder.hears()
        assert request < 100_000
    [refused] = await holder.asks(acquire(request, "new"))
    assert refused.code == "unavailable"
    assert "No space left on device" in refused.sentence
    [refused] = await shell.connect().asks(hello())
    assert refused.code == "unavailable"
    # What comes a second time may have been granted.
    again = shell.connect()
    welcome_again, granted = await again.asks(resume(welcome.session), acquire(1))
    assert (welcome_again.session, granted.token) == (welcome.session, token)
    assert kinds(await again.asks(m.Release(request + 1, token, True))) == ["Done"]
    full.clear()
    await trio.sleep(1)
    assert kinds(await again.asks(acquire(request + 2))) == ["Granted"]
    assert (await shell.status())["trouble"] == ""


async def test_a_compaction_that_comes_to_nothing_is_told_once(
    shell: Shell,
    full: set[str],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    peer = await shell.welcomed()
    monkeypatch.setattr(Journal, "compaction_is_due", True)
    full.add("make")
    for request in range(1, 4):
        await peer.granted(acquire(request, f"{request}"))
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "cannot be compacted: No space left on device" in caplog.messages[0]
    assert (await shell.status())["trouble"] == ""


# What a daemon begins with


async def test_a_daemon_that_was_cancelled_has_lost_nothing(run: Run, autojump_clock: MockClock) -> None:
    async with run() as shell:
        holder, welcome = await opened(shell)
        [token] = await holder.granted(acquire(1))
    async with run() as shell:
        again, other = shell.connect(), await shell.welcomed()
        assert [refused.code for refused in await other.asks(acquire(1, timeout=0))] == ["timeout"]
        [welcome_again, granted] = await again.asks(resume(welcome.session), acquire(1))
        assert (welcome_again.covered, granted.token) == (1, token)


async def test_nothing_is_granted_until_the_delay_is_over(
    run: Run, runtime_dir: Path, autojump_clock: MockClock
) -> None:
    async with run() as shell:
        await (await shell.welcomed()).granted(acquire(1))
    (runtime_dir / "run" / "journal").unlink()
    begun_at = trio.current_time()
    for seconds in (15, 8):
        # The second of them finds in the journal until when.
        async with run() as shell:
            peer = await shell.welcomed()
            [refused] = await peer.asks(acquire(1))
            assert refused.code == "unavailable"
            assert f"nothing is granted for another {seconds} s" in refused.sentence
            assert f"another {seconds} s" in (await shell.status())["trouble"]
            await trio.sleep(7)
    async with run() as shell:
        peer = await shell.welcomed()
        await trio.sleep(begun_at + 15.01 - trio.current_time())
        await peer.granted(acquire(1))
        assert (await shell.status())["trouble"] == ""


async def test_a_compaction_does_not_make_it_shorter(
    run: Run, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    async with run():
        pass
    (runtime_dir / "run" / "journal").unlink()
    renamed: list[str] = []
    rename = Files.rename

    def noted(files: Files, source: str, target: str) -> None:
        renamed.append(target)
        rename(files, source, target)

    monkeypatch.setattr(Files, "rename", noted)
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "compaction_is_due", True)
        async with run() as shell:
            renamed.clear()
            await shell.welcomed()
            await shell.status()
            assert renamed
    async with run() as shell:
        assert "nothing is granted for another" in (await shell.status())["trouble"]


async def test_a_process_without_a_number_has_some_time_to_come_back(
    run: Run, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    """It is of another pid namespace. The daemon of before had its pidfd, and this one cannot ask for one."""
    identify = peers.identify
    monkeypatch.setattr(peers, "identify", lambda sock: identify(sock)._replace(pid=0))
    async with run() as shell:
        (back, welcome), (away, _) = await opened(shell), await opened(shell)
        await back.granted(acquire(1, "back"))
        await away.granted(acquire(1, "away"))
    async with run() as shell:
        again = shell.connect()
        assert kinds(await again.asks(resume(welcome.session))) == ["Welcome"]
        assert (await shell.status())["grants"] == 2
        await trio.sleep(15.1)
        assert (await shell.status())["grants"] == 1
        await wait_all_tasks_blocked()
        assert not again.is_ended
