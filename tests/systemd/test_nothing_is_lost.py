"""However the daemon ends, whoever held something holds it, and whoever waited is served in his turn."""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.actor import Actor
from support.idle import wait_until
from support.unit import Unit

WORKERS = 3

SETUP = """
import sys
from pathlib import Path
import lockd_client

def work(directory):
    # Until it is told to stop: adds one to what a file says, again and again, and returns how often.
    total, count = Path(directory, "total"), 0
    while not Path(directory, "enough").exists():
        with lockd_client.lock("total"):
            total.write_text(str(int(total.read_text()) + 1))
        count += 1
    return count
"""


class Company:
    """Processes on the unit's machine, of which some work without a pause."""

    def __init__(self, unit: Unit, stack: ExitStack) -> None:
        self._unit = unit
        self.holder, self.first, self.second, *self._workers = [
            stack.enter_context(_inhabitant(unit)) for _ in range(3 + WORKERS)
        ]
        self._directory = unit.lab.run("mktemp", "--directory", "/var/tmp/work-XXXXXX")
        self._outside = Path(unit.lab.path(self._directory))
        self.total = 0
        (self._outside / "total").write_text("0")
        for worker in self._workers:
            worker.begin(f"work({self._directory!r})")

    def wait_for_more_work(self) -> None:
        """Wait until something is done that was begun after this call."""
        enough = self._done() + WORKERS + 1
        wait_until(lambda: self._done() >= enough, "the workers go on")

    def finish(self) -> list[int]:
        """Stop the workers, and return what the file says and what they have done."""
        (self._outside / "enough").touch()
        done = sum(worker.result() for worker in self._workers)
        return [self._done(), done]

    def wait_until_so_many_wait(self, count: int) -> None:
        """Wait until the daemon says that so many wait for the database."""

        def is_so() -> bool:
            shown = json.loads(self._unit.lab.run("/opt/lockd/bin/lockctl", "show", "db", "--json"))
            return len(shown["waiters"]) == count

        wait_until(is_so, f"{count} wait")

    def _done(self) -> int:
        # Written by those who have the lock, and read here without it: for a moment the file is empty.
        self.total = int((self._outside / "total").read_text() or self.total)
        return self.total


def _inhabitant(unit: Unit) -> Actor:
    variables = ("LD_LIBRARY_PATH=/opt/python/lib", "PYTHONPATH=/opt/source/client:/opt/packages")
    python = f"/opt/python/bin/python{sysconfig.get_python_version()}"
    command = unit.lab.command(*variables, python, "/opt/source/tests/support/actor_process.py")
    return Actor(SETUP, python=command)


@pytest.fixture
def company(unit: Unit) -> Iterator[Company]:
    with ExitStack() as stack:
        yield Company(unit, stack)


def restart(unit: Unit) -> None:
    unit.lab.systemctl("restart", unit.NAME)


def kill(unit: Unit) -> None:
    first = unit.pid
    unit.signal("KILL")
    unit.wait_until_another_than(first)


def stop_and_start(unit: Unit) -> None:
    """With the sockets: otherwise the next client would start it."""
    everything = ("lockd.socket", "lockd-admin.socket", unit.NAME)
    unit.lab.systemctl("stop", *everything)
    assert unit.pid == 0
    unit.lab.systemctl("start", *everything)


def get_stuck(unit: Unit) -> None:
    """Until the watchdog finds out."""
    first = unit.pid
    unit.signal("STOP")
    unit.wait_until_another_than(first)


@pytest.mark.parametrize("end", [restart, kill, stop_and_start, get_stuck])
def test_holders_and_waiters_see_a_pause(unit: Unit, company: Company, end: Callable[[Unit], None]) -> None:
    unit.edit("[Service]\nWatchdogSec=1s\n")
    holder, first, second = company.holder, company.first, company.second
    holder("lock = lockd_client.lock('db'); lock.acquire()")
    token = holder("lock.grant.token")
    for place, waiter in enumerate((first, second), start=1):
        waiter("lock = lockd_client.lock('db')")
        waiter.begin("lock.acquire() and lock.grant.token")
        company.wait_until_so_many_wait(place)
    company.wait_for_more_work()

    before = unit.pid
    end(unit)
    company.wait_for_more_work()
    assert unit.pid not in (0, before)
    assert holder("[lock.grant.check(), lock.grant.token]") == [None, token]
    company.wait_until_so_many_wait(2)

    holder("lock.release()")
    token_of_first = first.result()
    company.wait_until_so_many_wait(1)
    first("lock.release()")
    assert token < token_of_first < second.result()
    done, by_the_workers = company.finish()
    assert done == by_the_workers > 0
