"""What the real journal makes of messages with fields."""

from __future__ import annotations

import json

import lockd_client
from support.idle import wait_until
from support.unit import CLIENT_SOCKET, Unit

NAME = "reports/daily run"


def test_the_journal_finds_what_is_known_of_a_name(unit: Unit) -> None:
    unit.configure("[diagnostics]\nconvoy_waiters = 1\n")
    path = unit.lab.path(CLIENT_SOCKET)
    with (
        lockd_client.connect(path) as holder,
        lockd_client.connect(path) as waiter,
        holder.lock(NAME, label="nightly"),
    ):
        assert not waiter.lock(NAME).acquire(timeout=0.01)

    def found() -> list[dict[str, str]]:
        lines = unit.lab.run("journalctl", "--quiet", "--output=json", f"LOCKD_NAME={NAME}").splitlines()
        return [json.loads(line) for line in lines]

    wait_until(lambda: len(found()) == 2, "the journal has both messages")
    began, over = found()
    assert [entry["LOCKD_EVENT"] for entry in (began, over)] == ["convoy", "convoy_over"]
    assert [entry["PRIORITY"] for entry in (began, over)] == ["4", "6"]
    assert began["_SYSTEMD_UNIT"] == unit.NAME
    assert began["LOCKD_WAITERS"] == "1"
    assert f'"{NAME}"' in began["MESSAGE"]
    assert began["MESSAGE"] in unit.log
    # What has no fields is there as ever, and so is what it says when it begins.
    assert "listens on" in unit.log
