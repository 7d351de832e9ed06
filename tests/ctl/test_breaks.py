"""``lockctl break``: takes away what is meant and nothing else, and with ``--kill`` ends who is meant, nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from lockd.ctl import statuses
from lockd.ctl.kills import end_holder
from lockd.ctl.main import main
from lockd.pidfds import process_of
from lockd_client import Client, LockLost
from lockd_client.errors import AccessDenied, DaemonUnavailable
from support.daemon import Daemon
from support.idle import wait_until
from support.lockctl import LOCKCTL, Lockctl
from support.terminal import Terminal

YES = ("--reason", "it hangs", "--yes")


def held(facts: dict[str, Any]) -> bool:
    return bool(facts["holders_total"])


def test_the_holder_is_told_who_took_it_and_why(lockctl: Lockctl, client: Client, name: str) -> None:
    handle = client.lock(name, label="tells a story")
    grant = handle.__enter__()
    outcome = lockctl("break", name, *YES)
    assert grant.lost
    with pytest.raises(LockLost) as lost:
        handle.__exit__(None, None, None)
    assert (outcome.status, outcome.err) == (0, "")
    described = f'"{name}", held exclusively by pid {os.getpid()} (the test, "tells a story") for '
    assert outcome.out.startswith(f"broken: {described}")
    assert str(lost.value) == f'"{name}" is no longer held: an administrator has taken it away: it hangs'


def test_a_release_tells_it_to_whoever_has_not_looked(lockctl: Lockctl, client: Client, name: str) -> None:
    """Whatever it was asked for with: anything can be broken."""
    handle = client.lock(name)
    handle.acquire()
    assert lockctl("break", name, *YES).status == 0
    with pytest.raises(LockLost, match="an administrator has taken it away: it hangs"):
        handle.release()


def test_json(lockctl: Lockctl, client: Client, name: str) -> None:
    with pytest.raises(LockLost), client.lock(name) as grant:
        found = json.loads(lockctl("break", str(grant.token), *YES, "--json").out)
    [row] = found.pop("grants")
    assert found == {"action": "broken", "reason": "it hangs", "grants_total": 1, "last_token": found["last_token"]}
    assert (row["name"], row["pid"], row["token"]) == (name, os.getpid(), grant.token)


def test_of_several_holders_one_is_to_be_named(lockctl: Lockctl, client: Client, name: str) -> None:
    first, second = client.lock(name, mode="shared"), client.lock(name, mode="shared")
    first.acquire()
    second.acquire()
    assert first.grant is not None
    outcome = lockctl("break", name, *YES)
    assert (outcome.status, outcome.out) == (statuses.USAGE, "")
    said = outcome.err.splitlines()
    assert said[0] == f'lockctl: 2 grants hold "{name}": name one by its token, or all of them with --all'
    assert said[1].startswith(f"lockctl: token {first.grant.token}: held in shared mode by pid {os.getpid()}")
    assert lockctl("break", str(first.grant.token), *YES).status == 0
    third = client.lock(name, mode="shared")
    third.acquire()
    outcome = lockctl("break", "--all", name, *YES)
    assert (outcome.status, outcome.out.count("broken: ")) == (0, 2)
    for handle in (first, second, third):
        with pytest.raises(LockLost):
            handle.release()


def test_what_nobody_holds(lockctl: Lockctl, client: Client, name: str) -> None:
    outcome = lockctl("break", name, *YES)
    assert (outcome.status, outcome.out, outcome.err) == (1, "", f'lockctl: nobody holds "{name}"\n')
    outcome = lockctl("break", "4294967296", *YES)
    assert (outcome.status, outcome.err.count("--name")) == (1, 1)
    with pytest.raises(LockLost), client.lock("4294967296"):
        assert lockctl("break", "--name", "4294967296", *YES).status == 0


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("db",), "the following arguments are required: --reason"),
        (("--reason", "", "db"), "the reason is empty"),
        (("--reason", "a\nb", "db"), "the reason has a control character"),
        (("--reason", "why", "a\nb"), 'the name "a\\nb" has a control character'),
        (("--reason", "why", ""), 'the name "" is empty'),
    ],
)
def test_wrong_usage(words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["break", *words])
    except SystemExit as end:
        status = int(str(end.code))
    assert status == statuses.USAGE
    assert f"lockctl: {why}" in capsys.readouterr().err


def test_it_asks_on_a_terminal(lockctl: Lockctl, client: Client, name: str) -> None:
    def answered(key: str, *more: str) -> tuple[str, str]:
        words = (LOCKCTL, "break", name, "--reason", "it hangs", *more)
        with Terminal(*words, environment=lockctl.environment(), columns=400) as terminal:
            asked = terminal.until("Go ahead? [y/N] ")
            terminal.press(f"{key}\n")
            return asked, terminal.rest()

    handle = client.lock(name)
    handle.acquire()
    asked, rest = answered("n")
    assert f'lockctl: take away "{name}", held exclusively by pid {os.getpid()} (the test) for ' in asked
    assert "--kill ends it first" in asked
    assert "nothing was done" in rest
    asked, rest = answered("", "--kill")
    assert f'end with SIGKILL the process that has "{name}", held' in asked
    assert "nothing was done" in rest
    assert handle.grant is not None
    assert not handle.grant.lost
    assert f'broken: "{name}"' in answered("y")[1]
    with pytest.raises(LockLost):
        handle.release()


def test_without_a_terminal_it_refuses(lockctl: Lockctl, client: Client, name: str) -> None:
    with client.lock(name) as grant:
        outcome = lockctl("break", name, "--reason", "it hangs")
        assert not grant.lost
    assert (outcome.status, outcome.out) == (statuses.USAGE, "")
    assert "There is no terminal on which to ask whether that is meant: say so with --yes" in outcome.err


def test_kill_ends_the_process_and_then_the_next_has_it(lockctl: Lockctl, own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as own:
        holder = own.start("exec", "backup", "sleep", "1000")
        own.wait_until("backup", held)
        waiter = own.start("exec", "backup", "sleep", "1000")
        own.wait_until("backup", lambda facts: facts["waiters_total"] == 1)
        outcome = own("break", "--kill", "backup", *YES)
        assert (outcome.status, outcome.err) == (0, "")
        assert outcome.out.startswith(f'killed the holder of "backup", held exclusively by pid {holder.pid} (')
        assert holder.wait() == -signal.SIGKILL
        facts = own.wait_until("backup", lambda facts: not facts["waiters_total"])
        assert [each["pid"] for each in facts["holders"]] == [waiter.pid]
        assert "by administrators since the start: 0 grants broken, 1 holder killed" in own("status").out
        wait_until(lambda: "ends the process that has grant" in own_daemon.log, "it is in the log")
        assert "(lockctl) ends the process that has grant" in own_daemon.log


def test_kill_ends_every_holder_and_none_that_came_later(lockctl: Lockctl, name: str) -> None:
    holders = [lockctl.start("exec", "--permits", "1/20", name, "sleep", "1000") for _ in range(10)]
    lockctl.wait_until(name, lambda facts: facts["holders_total"] == 10)
    outcome = lockctl("break", "--kill", "--all", name, *YES, "--json")
    assert (outcome.status, outcome.err) == (0, "")
    found = json.loads(outcome.out)
    assert (found["action"], found["grants_total"]) == ("killed", 10)
    assert {grant["pid"] for grant in found["grants"]} == {holder.pid for holder in holders}
    assert [holder.wait() for holder in holders] == [-signal.SIGKILL] * 10


def test_a_command_whose_lock_is_broken_is_ended(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", name, "sleep", "1000")
    lockctl.wait_until(name, held)
    assert lockctl("break", name, *YES).status == 0
    outcome = program.end()
    assert outcome.status == statuses.LOST
    assert f'lockctl: an administrator has taken "{name}" away (it hangs): ending the command' in outcome.err


# Who is ended, by an administrator's word and the kernel's


class FakeAdmin:
    """Says of a grant what it is told to, and notes whether the end of a process was announced."""

    def __init__(self, *answers: dict[str, Any] | None) -> None:
        self.answers = list(answers)
        self.announced = 0

    def break_(self, *, token: int, reason: str, kill: bool = False, dry_run: bool = False) -> dict[str, Any]:
        self.announced += kill
        grant = self.answers.pop(0) if self.answers else None
        return {"grants": [grant] if grant else [], "grants_total": int(grant is not None)}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives until it is ended."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


def grant_of(pid: int, **others: Any) -> dict[str, Any]:
    pidfd = os.pidfd_open(pid)
    process = process_of(pidfd, pid)
    os.close(pidfd)
    return {"pid": pid, "process": process, "token": 7, **others}


def end(admin: FakeAdmin, grant: dict[str, Any], timeout: float = 0.0) -> bool:
    return end_holder(admin, grant, "why", timeout)  # type: ignore[arg-type]  # It does what is used of one.


def test_the_one_that_is_meant(sleeper: subprocess.Popen[bytes]) -> None:
    """The control: the refusals below are no matter of course."""
    grant = grant_of(sleeper.pid)
    admin = FakeAdmin(grant)
    assert end(admin, grant, timeout=60.0)
    assert (admin.announced, sleeper.wait()) == (1, -signal.SIGKILL)


def test_another_process_with_its_number(sleeper: subprocess.Popen[bytes]) -> None:
    grant = grant_of(sleeper.pid, process="inode 1")
    admin = FakeAdmin(grant)
    with pytest.raises(DaemonUnavailable, match="is not to be seen from here"):
        end(admin, grant)
    assert (admin.announced, sleeper.poll()) == (0, None)
    # Or it has exited, and the daemon finds that out a moment later.
    assert not end(FakeAdmin(grant), grant, timeout=60.0)
    assert sleeper.poll() is None


@pytest.mark.parametrize("unknown", [{"process": ""}, {"pid": 0}])
def test_one_that_cannot_be_told_from_others(sleeper: subprocess.Popen[bytes], unknown: dict[str, Any]) -> None:
    grant = {**grant_of(sleeper.pid), **unknown}
    with pytest.raises(DaemonUnavailable, match="cannot be told from others"):
        end(FakeAdmin(grant), grant)
    assert sleeper.poll() is None


def test_one_that_has_released_it_meanwhile(sleeper: subprocess.Popen[bytes]) -> None:
    assert not end(FakeAdmin(), grant_of(sleeper.pid))
    assert sleeper.poll() is None


def test_one_that_has_handed_it_over_meanwhile(sleeper: subprocess.Popen[bytes]) -> None:
    grant = grant_of(sleeper.pid)
    with pytest.raises(DaemonUnavailable, match=f"pid {os.getpid()} has taken 7 over meanwhile: nobody was ended"):
        end(FakeAdmin(grant_of(os.getpid())), grant)
    assert sleeper.poll() is None


def test_one_of_another_user(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pidfd: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    grant = grant_of(sleeper.pid)
    with pytest.raises(AccessDenied, match="this user may not end pid"):
        end(FakeAdmin(grant), grant)
    assert sleeper.poll() is None


def test_one_that_does_not_exit(sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that waits for a dead disk."""
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda pidfd, number: None)
    grant = grant_of(sleeper.pid)
    with pytest.raises(DaemonUnavailable, match=r"has not exited yet.*nothing was taken away"):
        end(FakeAdmin(grant), grant)


def test_a_daemon_that_does_not_notice(sleeper: subprocess.Popen[bytes]) -> None:
    grant = grant_of(sleeper.pid)
    with pytest.raises(DaemonUnavailable, match="the daemon has not noticed it"):
        end(FakeAdmin(*[grant] * 1_000), grant, timeout=0.5)
