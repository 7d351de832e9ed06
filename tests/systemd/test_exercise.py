"""``lockctl chaos restart`` as an administrator gives it, where systemd runs the daemon."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from support.idle import wait_until
from support.unit import Unit

LOCKCTL = "/opt/lockd/bin/lockctl"


def asked(unit: Unit, *words: str) -> Any:
    return json.loads(unit.lab.run(LOCKCTL, *words, "--json"))


@pytest.fixture
def token(unit: Unit) -> Iterator[int]:
    """Somebody on the machine holds a lock, under this token."""
    holder = subprocess.Popen(unit.lab.command(LOCKCTL, "exec", "db", "sleep", "1000"))
    wait_until(lambda: asked(unit, "show", "db")["holders_total"] == 1, "it is held")
    yield asked(unit, "show", "db")["holders"][0]["token"]
    holder.kill()
    holder.wait()


@pytest.mark.parametrize("stop_signal", ["kill", "term"])
def test_an_exercise_on_the_machine(stop_signal: str, unit: Unit, token: int) -> None:
    first = unit.pid
    found = asked(unit, "chaos", "restart", "--yes", "--rounds", "2", "--stop-signal", stop_signal)
    assert found["lost"] == []
    assert [found["rounds"][0]["pid"], found["rounds"][1]["next_pid"]] == [first, unit.pid]
    assert unit.restarts == 2
    assert [holder["token"] for holder in asked(unit, "show", "db")["holders"]] == [token]
    # None of its locks is left, and no name is abandoned.
    assert [row["name"] for row in asked(unit, "list")] == ["db"]
    assert asked(unit, "status")["abandoned"] == 0
