"""lockd/admin/breaks.py: what administrators take away, and when anybody is told."""

from __future__ import annotations

import logging
import os
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd.admin import breaks, connection, desk
from lockd.core.actions import LossReason
from lockd.core.events import Peer
from lockd.core.records import SessionRecord
from lockd.core.state import Request
from lockd.keeper import Keeper
from lockd.packing import UnknownRecord, packed, unpacked
from lockd.peers import short_name
from lockd_wire import messages as m
from lockd_wire.codec import encode
from lockd_wire.limits import FRAME_BYTES_MAX, ROWS_MAX
from support.onlookers import fields_of
from support.shell import Shell, acquire


def broke(name: str = "db", token: int = 0, reason: str = "it hangs", **options: m.Scalar) -> m.Break:
    return m.Break(7, name, token, reason, options)


def tokens(report: Any) -> list[int]:
    assert report.facts["grants_total"] == len(report.facts["grants"])
    return [grant["token"] for grant in report.facts["grants"]]


def lost(token: int, covered: int, reason: str = "broken: it hangs") -> m.Lost:
    return m.Lost(0, covered, token, reason)


async def test_it_is_taken_away_and_told_with_the_reason(shell: Shell, autojump_clock: MockClock) -> None:
    holder, waiter, admin = await shell.welcomed("holder"), await shell.welcomed(), await shell.administrator()
    [token] = await holder.granted(acquire(1, label="nightly run"))
    assert await waiter.asks(acquire(1)) == []
    [report] = await admin.asks(broke())
    [row] = report.facts.pop("grants")
    assert report == m.Report(7, {"grants_total": 1, "last_token": token + 1})
    assert row.pop("process")
    assert row == {
        **{"name": "db", "names_total": 1, "pid": os.getpid(), "uid": os.getuid(), "program": "holder"},
        **{"label": "nightly run", "mode": "X", "permits": 0, "limit": 0, "held_seconds": 0, "token": token},
        **{"attached": True, "session": row["session"], "waiters_total": 1},
    }
    assert holder.has_heard() == [lost(token, 1)]
    [granted] = waiter.has_heard()
    assert [each["name"] for each in granted.facts["abandoned"]] == ["db"]
    assert (await shell.status())["breaks_total"] == 1
    # A second time there is nothing left.
    assert tokens((await admin.asks(broke(token=token)))[0]) == []


async def test_several_holders_are_told_apart(shell: Shell, autojump_clock: MockClock) -> None:
    one, other, admin = await shell.welcomed(), await shell.welcomed(), await shell.administrator()
    [first, second] = await one.granted(acquire(1, mode="S"), acquire(2, mode="S", owner=2))
    [third] = await other.granted(acquire(1, mode="S"))
    [failed] = await admin.asks(broke())
    words = '3 grants hold "db": name one of them by its token, or all'
    assert failed == m.AdminFailed(7, "bad_request", words)
    assert tokens((await admin.asks(broke(dry_run=True)))[0]) == [first, second, third]
    assert tokens((await admin.asks(broke("", second)))[0]) == [second]
    # One of another name is not meant, and neither is what came later than the question before.
    assert tokens((await admin.asks(broke("log", first)))[0]) == []
    assert tokens((await admin.asks(broke(all=True, up_to=second)))[0]) == [first]
    assert one.has_heard() == [lost(second, 2), lost(first, 2)]
    assert tokens((await admin.asks(broke(all=True)))[0]) == [third]
    assert other.has_heard() == [lost(third, 1)]


async def test_a_dry_run_and_the_news_of_a_kill_change_nothing(
    shell: Shell, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    holder, admin = await shell.welcomed("holder"), await shell.administrator()
    [token] = await holder.granted(acquire(1))
    assert tokens((await admin.asks(broke(dry_run=True, kill=True)))[0]) == [token]
    assert caplog.messages == []
    assert tokens((await admin.asks(broke("", token, kill=True)))[0]) == [token]
    assert "ends the process that has grant" in caplog.messages[0]
    assert fields_of(caplog.records[0])["event"] == "kill"
    assert holder.has_heard() == []
    status = await shell.status()
    assert (status["grants"], status["breaks_total"], status["kills_total"]) == (1, 0, 1)


async def test_it_is_logged_with_who_did_it(
    shell: Shell, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    holder, admin = await shell.welcomed("holder"), await shell.administrator()
    items = (("db", "X"), ("pool", 1, 2))
    [token] = await holder.granted(m.Acquire(1, 1, items, None, {"label": "why"}))
    await admin.asks(broke(reason="weiß nicht"))
    uid, pid = os.getuid(), os.getpid()
    did = f'uid {uid}, pid {pid} ({short_name(pid)}) broke grant {token} of "db" and 1 more'
    held = f'held exclusively by pid {pid} (holder, "why") for less than 0.1 s'
    assert caplog.record_tuples == [("lockd", logging.WARNING, f"{did}, {held}: weiß nicht")]
    by = {"by_uid": uid, "by_pid": pid, "by_program": short_name(pid), "reason": "weiß nicht"}
    told = fields_of(caplog.records[0])
    assert told == {
        **{"event": "broken", "name": ("db", "pool"), "pid": pid, "uid": uid, "program": "holder", "label": "why"},
        **{"session": told["session"], "token": token},
        **by,
    }


async def test_of_many_holders_those_are_described_that_are_told(
    shell: Shell, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name may have ten thousand, and others wait meanwhile."""
    described: list[str] = []
    describe = breaks._described

    def describe_and_count(desk: desk.Desk, name: str, grant: Request) -> breaks._Described:
        described.append(name)
        return describe(desk, name, grant)

    monkeypatch.setattr(breaks, "_described", describe_and_count)
    holder, admin = await shell.welcomed(), await shell.administrator()
    await holder.granted(*(acquire(number, mode="S", owner=number) for number in range(1, 31)))
    [report] = await admin.asks(broke(dry_run=True))
    assert (report.facts["grants_total"], len(report.facts["grants"]), len(described)) == (30, ROWS_MAX, ROWS_MAX)
    [report] = await admin.asks(broke(all=True))
    assert (report.facts["grants_total"], len(report.facts["grants"])) == (30, ROWS_MAX)
    assert (await shell.status())["breaks_total"] == 30


async def test_nobody_is_told_before_it_is_written_down(
    shell: Shell, full: set[str], autojump_clock: MockClock
) -> None:
    holder, waiter, admin = await shell.welcomed(), await shell.welcomed(), await shell.administrator()
    [token] = await holder.granted(acquire(1))
    assert await waiter.asks(acquire(1)) == []
    full.add("write")
    # The first that finds out is the break itself: it is done, and not told of.
    assert await admin.asks(broke()) == []
    assert (holder.has_heard(), waiter.has_heard()) == ([], [])
    # From then on it is known, and nothing more is taken away.
    other = await shell.administrator()
    [failed] = await other.asks(broke("", token + 1))
    assert failed.code == "unavailable"
    assert (await shell.status())["breaks_total"] == 1
    full.clear()
    await trio.sleep(1)
    assert tokens((await admin.hears())[0]) == [token]
    assert holder.has_heard() == [lost(token, 1)]
    assert [granted.token for granted in waiter.has_heard()] == [token + 1]


async def test_a_daemon_that_tells_before_it_has_written_is_noticed(
    shell: Shell, full: set[str], autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Keeper.write
    monkeypatch.setattr(Keeper, "write", lambda keeper: write(keeper) or True)
    with pytest.raises(AssertionError):
        await test_nobody_is_told_before_it_is_written_down(shell, full, autojump_clock)


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (broke("a\nb"), 'the name "a\\x0ab" has a control character'),
        (broke(""), 'the name "" is empty'),
        (broke(reason=""), "a break needs a reason: the holder is told, and it is logged"),
        (broke(reason="\x1b[31m"), "the reason has a control character"),
        (broke(reason="a" * 257), "the reason is 257 bytes long"),
        (broke(force=True), '"force" is not an option of BREAK, which has all, dry_run, kill, up_to'),
        (broke(all=1), "the option all of BREAK cannot have this value"),
        (broke(up_to=True), "the option up_to of BREAK cannot have this value"),
    ],
)
async def test_what_cannot_be(shell: Shell, message: m.Break, words: str, autojump_clock: MockClock) -> None:
    holder, admin = await shell.welcomed(), await shell.administrator()
    await holder.granted(acquire(1))
    [failed] = await admin.asks(message)
    assert (failed.id, failed.code) == (7, "bad_request")
    assert failed.sentence.startswith(words)
    assert (await shell.status())["grants"] == 1


async def test_whoever_may_only_ask(shell: Shell, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        connection, "Administrator", lambda pid, uid, may_change: desk.Administrator(pid, uid, may_change=False)
    )
    holder, admin = await shell.welcomed(), await shell.administrator()
    await holder.granted(acquire(1))
    for message in (broke(), broke(dry_run=True), broke(kill=True)):
        [failed] = await admin.asks(message)
        assert failed.code == "access_denied"
    assert (await shell.status())["grants"] == 1


def test_what_is_owed_to_a_session_is_kept_with_what_was_said() -> None:
    losses = ((7, LossReason.LEASE), (8, LossReason.BROKEN, "it hangs"))
    record = SessionRecord(1, Peer(1, 2, 3, "inode 4"), "test", False, 0.5, False, 9, losses)
    values = msgspec.msgpack.decode(msgspec.msgpack.encode(packed(record)), type=tuple)
    assert unpacked(values) == record
    with pytest.raises(UnknownRecord):
        unpacked(packed(record._replace(losses=((7, "eaten"),))))  # type: ignore[arg-type]  # Of a later version.


async def test_as_much_as_can_be_told_fits(shell: Shell, autojump_clock: MockClock) -> None:
    holder, admin = await shell.welcomed("p" * 64), await shell.administrator()
    name, others = "n" * 255, tuple((f"{number}", "S") for number in range(15))
    for request in range(1, ROWS_MAX + 2):
        await holder.granted(m.Acquire(request, request, ((name, "S"), *others), None, {"label": "l" * 256}))
    [report] = await admin.asks(broke(name, all=True))
    assert (len(report.facts["grants"]), report.facts["grants_total"]) == (ROWS_MAX, ROWS_MAX + 1)
    assert len(encode(report)) <= FRAME_BYTES_MAX


async def test_a_name_that_only_a_tree_has_taken(shell: Shell, autojump_clock: MockClock) -> None:
    """What is told of a token alone is what was asked for."""
    holder, admin = await shell.welcomed(), await shell.administrator()
    [token] = await holder.granted(acquire(1, "db/users")._replace(options={"tree": True}))
    [report] = await admin.asks(broke("", token, dry_run=True))
    assert [row["name"] for row in report.facts["grants"]] == ["db/users"]
    [report] = await admin.asks(broke("db"))
    [row] = report.facts["grants"]
    assert (row["name"], row["mode"], row["names_total"], row["token"]) == ("db", "IX", 2, token)


async def test_the_one_who_broke_it_may_hold_it_itself(shell: Shell, autojump_clock: MockClock) -> None:
    """Everything in one turn: the grant, the break, and whoever comes next."""
    holder, admin = await shell.welcomed(), await shell.administrator()
    holder.says(acquire(1))
    await wait_all_tasks_blocked()
    holder.says(m.Release(2, 1, False), acquire(3, timeout=0))
    answers = await admin.asks(broke(), m.Status(8))
    assert [answer.id for answer in answers] == [7, 8]
    assert [type(message) for message in holder.has_heard()][:1] == [m.Granted]
