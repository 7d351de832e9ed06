"""``lockctl run`` with modes, permits, several names, trees and leases."""

from __future__ import annotations

import re

import pytest

from lockd.ctl import statuses
from lockd_client import connect
from support.daemon import Daemon
from support.lockctl import Lockctl, Program

#: Holds the lock until a line is said to it.
HOLDING = ("sh", "-c", "echo holds; read line")


def started(lockctl: Lockctl, *words: str) -> Program:
    """Return a lockctl whose command runs."""
    program = lockctl.start("run", *words, *HOLDING)
    assert program.line() == "holds"
    return program


def waits(lockctl: Lockctl, name: str, waiters_total: int = 1) -> None:
    """Wait until somebody waits for the name."""
    lockctl.wait_until(name, lambda facts: facts["waiters_total"] == waiters_total)


@pytest.mark.parametrize(
    ("one", "other", "status"),
    [
        ("shared", "update", 0),
        ("update", "update", 1),
        ("IX", "IX", 0),
        ("IX", "shared", 1),
        ("SIX", "IS", 0),
        ("SIX", "IX", 1),
    ],
)
def test_modes_go_together_or_not(one: str, other: str, status: int, lockctl: Lockctl, name: str) -> None:
    started(lockctl, "--mode", one, name)
    assert lockctl("run", "-nq", "--mode", other, name, "true").status == status


def test_no_more_run_than_there_are_permits(lockctl: Lockctl, name: str) -> None:
    first, _ = (started(lockctl, "--permits", "1/2", name) for _ in range(2))
    third = lockctl.start("run", "--permits", "1/2", name, "echo", "third")
    waits(lockctl, name)
    first.say("end")
    assert third.end() == (0, "third\n", "")


def test_several_names_are_taken_together(lockctl: Lockctl, name: str) -> None:
    one, other = f"{name} one", f"{name} other"
    holder = started(lockctl, other)
    both = lockctl.start("run", "--and", f"{other}=shared", one, *HOLDING)
    waits(lockctl, other)
    # It holds nothing while it waits, but keeps its place.
    assert lockctl.wait_until(one, lambda facts: facts["waiters_total"] == 1)["holders_total"] == 0
    holder.say("end")
    assert both.line() == "holds"
    assert lockctl("run", "-nq", "-s", other, "true").status == 0
    assert lockctl("run", "-nq", "-s", one, "true").status == 1


def test_a_tree_is_locked_with_all_that_is_below(lockctl: Lockctl, name: str) -> None:
    started(lockctl, "--tree", f"{name}/users/42")
    assert lockctl("run", "-nq", "--tree", f"{name}/users/43", "true").status == 0
    assert lockctl("run", "-nq", "--tree", f"{name}/users", "true").status == 1
    assert lockctl("run", "-nq", "--tree", name, "true").status == 1


def test_verbose_tells_for_whom_it_waits(lockctl: Lockctl, name: str) -> None:
    holder = started(lockctl, "--label", "nightly run", name)
    waiter = lockctl.start("run", "--verbose", name, "echo", "runs")
    sentence = (
        rf'lockctl: waiting for "{name}": held exclusively by pid \d+ \(sh, "nightly run"\) since .*; 1st in the queue'
    )
    assert re.fullmatch(sentence, waiter.complaint())
    holder.say("end")
    status, out, err = waiter.end()
    assert (status, out) == (0, "runs\n")
    assert err.startswith(f'lockctl: got "{name}" after ')


def test_a_lease_ends_the_command_when_somebody_waits(lockctl: Lockctl, name: str) -> None:
    holder = started(lockctl, "--lease", "0.05", name)
    assert lockctl("run", name, "echo", "runs") == (0, "runs\n", "")
    status, _, err = holder.end()
    assert status == statuses.LOST
    assert f'the lease of "{name}" had run out when somebody else wanted it' in err


def test_a_lease_changes_nothing_while_nobody_waits(lockctl: Lockctl, name: str) -> None:
    holder = lockctl.start("run", "--lease", "0", name, *HOLDING)
    assert holder.line() == "holds"
    assert lockctl.wait_until(name, lambda facts: True)["holders_total"] == 1
    holder.say("end")
    assert holder.end() == (0, "", "")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--permits", "1/3"), "is in use with a limit of 2 and was asked for with 3"),
        ((), "is in use as a semaphore and was asked for as a lock"),
        (("--permits", "3/2"), "has 2 permits, and 3 were asked for"),
        (("--permits", "1/0"), "the limit of the semaphore"),
        (("--lease", "1e10"), "a lease is a number of seconds"),
    ],
)
def test_what_does_not_fit_is_not_run(words: tuple[str, ...], complaint: str, lockctl: Lockctl, name: str) -> None:
    started(lockctl, "--permits", "1/2", name)
    status, out, err = lockctl("run", *words, name, "echo", "runs")
    assert (status, out) == (statuses.USAGE, "")
    assert complaint in err


def test_a_command_that_ends_has_not_abandoned_its_lock(lockctl: Lockctl, name: str, daemon: Daemon) -> None:
    assert lockctl("run", name, "true").status == 0
    with connect(daemon.client_socket) as client, client.lock(name) as grant:
        assert grant.abandoned == ()
