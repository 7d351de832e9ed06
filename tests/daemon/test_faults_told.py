"""What those hear who ask a daemon for something that the machine has no room for, and what its log says."""

from __future__ import annotations

import errno
import logging
import os

import pytest
import trio
from trio.testing import MockClock

from lockd import pidfds
from lockd_wire import limits
from lockd_wire import messages as m
from support.faults_of_the_kernel import Faults, refused
from support.shell import Shell, acquire, hello, kinds

pytestmark = pytest.mark.usefixtures("autojump_clock")


def lasting(*seams: str, code: int) -> Faults:
    """Return what lets all of these calls fail, for this reason."""
    return Faults(seams, refused(code), 1, is_lasting=True)


async def test_without_descriptors_new_connections_wait_and_all_others_are_served(
    shell: Shell, caplog: pytest.LogCaptureFixture, autojump_clock: MockClock
) -> None:
    holder = await shell.welcomed()
    faults = lasting("accept", code=errno.EMFILE)
    with faults.installed():
        guests = [shell.connect() for _ in range(3)]
        for guest in guests:
            guest.says(hello())
        for request in range(1, 51, 2):
            [token] = await holder.granted(acquire(request))
            holder.says(m.Release(request + 1, token, False))
            await trio.sleep(1)
        # Tried ten times a second, and told of every ten seconds.
        assert 200 <= faults.failed <= 260
        assert caplog.messages == ["new connections have to wait: Too many open files"] * 3
        assert [guest.has_heard() for guest in guests] == [[]] * 3
        faults.end()
        await trio.sleep(0.2)
    assert [kinds(guest.has_heard()) for guest in guests] == [["Welcome"]] * 3


async def test_a_process_that_cannot_be_watched_is_told_so_and_the_next_is_let_in(shell: Shell) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with Faults({"peer's pidfd"}, refused(errno.EMFILE), 1, is_lasting=False).installed():
        guest = shell.connect()
        [failed] = await guest.asks(hello())
        assert (failed.code, guest.is_ended) == ("unavailable", True)
        assert failed.sentence.endswith("(Too many open files): try again later")
        guest.hangs_up()
        await (await shell.welcomed()).granted(acquire(1))
    # The socket, the connection, and the pidfd.
    assert len(os.listdir("/proc/self/fd")) == before + 3


async def test_while_the_journal_cannot_be_written_everybody_is_told(
    shell: Shell, caplog: pytest.LogCaptureFixture
) -> None:
    holder, first, others = await shell.welcomed(), await shell.welcomed(), [await shell.welcomed() for _ in range(5)]
    [token] = await holder.granted(acquire(1))
    faults = lasting("pwrite", code=errno.EROFS)
    with caplog.at_level(logging.INFO, "lockd"), faults.installed():
        # Nobody knew yet: it is granted, and not told.
        assert await first.asks(acquire(1, "log")) == []
        for number, other in enumerate(others, 1):
            for request in range(1, 4):
                [failed] = await other.asks(acquire(request, f"name {number}"))
                assert (failed.id, failed.code) == (request, "unavailable")
                assert "Read-only file system" in failed.sentence
        # What it releases is not kept yet, and what it is told then would say that it is.
        assert await holder.asks(m.Release(2, token, True), acquire(3)) == []
        guest = shell.connect()
        assert [answer.code for answer in await guest.asks(hello())] == ["unavailable"]
        admin = shell.connect_admin()
        answers = await admin.asks(m.AdminHello(0, limits.ADMIN_MAGIC, limits.VERSION), m.Status(1))
        assert "Read-only file system" in answers[1].facts["trouble"]
        faults.end()
        await trio.sleep(1)
    assert kinds(first.has_heard()) == ["Granted"]
    assert kinds(holder.has_heard()) == ["Done", "Failed"]
    assert [type(message) for message in await others[0].asks(acquire(4))] == [m.Granted]
    told = [message for message in caplog.messages if "journal" in message]
    assert [message.partition("journal ")[2].partition(" ")[2][:17] for message in told] == [
        "cannot be written",
        "be written again",
    ]


async def test_where_nobody_can_look_no_process_is_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a kernel on which processes are told by the time of their start."""
    pid = os.getpid()
    with os.fdopen(os.pidfd_open(pid)) as pidfd:
        device = os.fstat(pidfd.fileno()).st_dev
    monkeypatch.setattr(pidfds, "_anonymous_device", lambda: device)
    found = pidfds.found_again(pid, "")
    assert found is None
    before = len(os.listdir("/proc/self/fd"))
    with lasting("open", code=errno.EMFILE).installed(), pytest.raises(OSError, match="Too many open files"):
        pidfds.found_again(pid, "start 1")
    assert len(os.listdir("/proc/self/fd")) == before


async def test_what_the_end_of_a_connection_brings_about_is_told_when_it_is_written_down(
    shell: Shell, autojump_clock: MockClock
) -> None:
    """Also to somebody who is told something else in the same turn, behind that end."""
    rude, waiter = await shell.welcomed(release_on_eof=True), await shell.welcomed()
    await rude.granted(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    faults = lasting("pwrite", code=errno.EROFS)
    with faults.installed():
        rude.sends(b"\xff" * 8)
        waiter.says(m.Query(2, "db"))
        assert kinds(await waiter.hears()) == ["State"]
        faults.end()
        await trio.sleep(1)
    assert kinds(await waiter.hears()) == ["Granted"]
