"""What the daemon tells an administrator about, and with which fields."""

from __future__ import annotations

from collections.abc import Iterator
from logging import LogRecord
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd_wire import messages as m
from support.onlookers import fields_of, told
from support.shell import Shell, Start, acquire


@pytest.fixture
def records() -> Iterator[list[LogRecord]]:
    with told() as records:
        yield records


def events(records: list[LogRecord]) -> dict[str, dict[str, Any]]:
    """Return the fields of the messages that have some, by their event."""
    found = [fields_of(record) for record in records if hasattr(record, "lockd_fields")]
    return {each.pop("event").value: each for each in found}


async def test_a_deadlock_is_told_with_its_circle(
    records: list[LogRecord], shell: Shell, autojump_clock: MockClock
) -> None:
    one, other = await shell.welcomed("one"), await shell.welcomed("other")
    await one.granted(acquire(1, "db"))
    await other.granted(acquire(1, "log"))
    await one.asks(acquire(2, "log"))
    [failed] = await other.asks(acquire(2, "db", label="nightly"))
    assert failed.code == "deadlock"
    [record] = [record for record in records if "closed a deadlock" in record.getMessage()]
    assert record.levelname == "WARNING"
    assert '"db"' in record.getMessage()
    assert '"log"' in record.getMessage()
    assert record.getMessage().isprintable()
    assert set(events(records)["deadlock"]["name"]) == {"db", "log"}


async def test_of_a_long_circle_the_beginning_is_told(
    records: list[LogRecord], shell: Shell, autojump_clock: MockClock
) -> None:
    peer = await shell.welcomed()
    await peer.granted(*(acquire(owner, f"name {owner}", owner=owner) for owner in range(1, 41)))
    await peer.asks(*(acquire(40 + owner, f"name {owner % 40 + 1}", owner=owner) for owner in range(1, 41)))
    [record] = [record for record in records if "closed a deadlock" in record.getMessage()]
    assert record.getMessage().endswith("; and 32 more")
    assert events(records)["deadlock"]["name"] == tuple(f"name {number}" for number in range(1, 9))


async def test_each_uid_that_uses_its_quota_up_is_told_of_once_a_minute(
    records: list[LogRecord], start: Start, autojump_clock: MockClock
) -> None:
    shell = await start(quotas__grants_per_uid_max="1")
    one = await shell.welcomed("greedy")
    await one.granted(acquire(1, "db"))
    await one.asks(*(acquire(number, f"db {number}") for number in range(2, 50)))
    quota = [record for record in records if "refused a request" in record.getMessage()]
    assert len(quota) == 1
    assert events(records)["quota"]["program"] == "greedy"
    await trio.sleep(60)
    await one.asks(acquire(50, "log"))
    last = [record for record in records if "refused a request" in record.getMessage()][1:]
    assert "so were 47 more" in last[0].getMessage()


async def test_a_session_that_is_refused(records: list[LogRecord], start: Start, autojump_clock: MockClock) -> None:
    shell = await start(quotas__sessions_max="1", quotas__sessions_per_uid_max="1")
    await shell.welcomed()
    peer = shell.connect()
    await peer.asks(m.Hello(0, "lockd", 1, "late", {}))
    assert events(records)["session_refused"]["program"] == "late"


async def test_start_and_lock_order(records: list[LogRecord], shell: Shell, autojump_clock: MockClock) -> None:
    one, other = await shell.welcomed("one"), await shell.welcomed("other")
    for peer, names in ((one, ("a", "b")), (other, ("b", "a"))):
        tokens = [*await peer.granted(acquire(1, names[0])), *await peer.granted(acquire(2, names[1]))]
        peer.says(*(m.Release(number, token, False) for number, token in enumerate(tokens, start=3)))
        await wait_all_tasks_blocked()
    assert {"started", "lock_order"} <= set(events(records))
    admin = await shell.administrator()
    [answer] = await admin.asks(m.Orders(1, 0))
    assert len(answer.rows) == 1


async def test_without_the_checker_there_are_no_orders(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(diagnostics__lock_order="false")
    admin = await shell.administrator()
    assert await admin.asks(m.Orders(1, 0)) == [m.Rows(1, (), None)]


@pytest.mark.parametrize(("level", "is_told"), [("debug", True), ("info", False)])
async def test_debug_tells_every_request(
    records: list[LogRecord], start: Start, autojump_clock: MockClock, level: str, is_told: bool
) -> None:
    shell = await start(log_level=level)
    peer = await shell.welcomed()
    await peer.asks(acquire(1, "db", label="\x1b[2J"), m.Query(2, "db"), m.Cancel(3, 1))
    asked = [record.getMessage() for record in records if "asks: " in record.getMessage()]
    assert len(asked) == (3 if is_told else 0)
    assert all(message.isprintable() for message in asked)


async def test_a_long_hold_is_told_of_by_a_real_clock(
    records: list[LogRecord], start: Start, autojump_clock: MockClock
) -> None:
    shell = await start(diagnostics__long_hold_seconds="60")
    peer = await shell.welcomed()
    await peer.granted(acquire(1, "db"))
    await trio.sleep(59)
    assert "long_hold" not in events(records)
    await trio.sleep(2)
    assert events(records)["long_hold"]["name"] == ("db",)
