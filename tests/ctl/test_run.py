"""``lockctl run`` when all goes well, and when the command cannot be run."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockd.ctl import statuses
from lockd_client import Client
from support.daemon import Daemon
from support.lockctl import LOCKCTL, Lockctl, Outcome


def test_the_command_knows_the_name_and_a_rising_token(lockctl: Lockctl, name: str) -> None:
    echo = ["sh", "-c", 'echo "$LOCKD_NAME"; echo $LOCKD_TOKEN']
    outputs = [lockctl("run", name, *echo).out.split() for _ in range(2)]
    assert [output[0] for output in outputs] == [name, name]
    assert int(outputs[0][1]) < int(outputs[1][1])


def test_the_command_has_what_lockctl_has(lockctl: Lockctl, name: str, tmp_path: Path) -> None:
    program = lockctl.start_program(
        *(LOCKCTL, "run", name, "--", "sh", "-c", 'read line; echo "$line in $PWD with $VARIABLE" >&2'),
        environment=lockctl.environment(VARIABLE="a variable"),
        cwd=tmp_path,
    )
    program.say("a line")
    assert program.end() == (0, "", f"a line in {tmp_path} with a variable\n")


def test_the_command_has_no_descriptor_of_the_lock(lockctl: Lockctl, name: str) -> None:
    list_ = ["sh", "-c", "ls -l /proc/self/fd; ls /proc/self/fd"]
    assert "socket" not in lockctl("run", name, *list_).out


def signals_of(outcome: Outcome) -> list[int]:
    """Return which signals are blocked and which are ignored, as masks, by the lines of /proc about them."""
    # The first 31. Above those some releases of Python ignore what is the C library's own, in all that they start.
    return [int(line.split()[1], 16) & 0x7FFF_FFFF for line in outcome.out.splitlines()]


def test_signals_are_as_if_lockctl_were_not_there(lockctl: Lockctl, name: str) -> None:
    show = ["grep", "-E", "^Sig(Blk|Ign):", "/proc/self/status"]
    without = signals_of(lockctl.start_program(*show).end())
    assert len(without) == 2
    for how in ("run", "exec"):
        assert signals_of(lockctl(how, name, *show)) == without


def test_a_script_finds_the_lock_free_line_after_line(lockctl: Lockctl, name: str) -> None:
    script = f'for i in 1 2 3 4 5 6 7 8; do "{LOCKCTL}" run -n "{name}" true || exit; done; echo all'
    assert lockctl.start_program("sh", "-c", script, environment=lockctl.environment()).end() == (0, "all\n", "")


def test_others_are_told_who_has_it(lockctl: Lockctl, name: str) -> None:
    holder = lockctl.start("run", "--label", "nightly run", name, "sh", "-c", "echo $$; read line")
    pid = holder.line()
    outcome = lockctl("run", "-n", "-E", "9", name, "echo", "mine")
    assert (outcome.status, outcome.out) == (9, "")
    assert outcome.err.startswith(
        f'lockctl: "{name}" is not free: held exclusively by pid {pid} (sh, "nightly run") since '
    )
    assert lockctl("run", "-n", "-q", name, "echo", "mine") == (statuses.CONFLICT, "", "")
    assert holder.end().status == 1


def test_verbose_tells_how_long_it_took(lockctl: Lockctl, name: str) -> None:
    outcome = lockctl("run", "--verbose", name, "true")
    assert outcome.status == 0
    assert f'got "{name}" after 0.' in outcome.err


def test_shared_locks_go_together_and_an_exclusive_one_waits(lockctl: Lockctl, name: str) -> None:
    readers = [lockctl.start("run", "-s", name, "sh", "-c", "echo reading; read line") for _ in range(2)]
    assert [reader.line() for reader in readers] == ["reading", "reading"]
    writer = lockctl.start("run", name, "echo", "writing")
    lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
    for reader in readers:
        reader.end()
    assert writer.end().out == "writing\n"


def test_a_timeout_runs_out_in_the_queue(lockctl: Lockctl, name: str, client: Client) -> None:
    with client.lock(name, timeout=0):
        outcome = lockctl("run", "-w", "0.05", "-E", "17", name, "echo", "mine")
    assert (outcome.status, outcome.out) == (17, "")
    assert "was not granted within 0.05 s" in outcome.err
    assert lockctl.is_free(name)


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("no-such-command", statuses.NOT_FOUND, "No such file or directory"),
        ("/no/such/command", statuses.NOT_FOUND, "No such file or directory"),
        ("/etc/passwd/command", statuses.NOT_FOUND, "Not a directory"),
        ("/etc/passwd", statuses.NOT_EXECUTABLE, "Permission denied"),
        ("/etc", statuses.NOT_EXECUTABLE, "Permission denied"),
    ],
)
def test_a_command_that_cannot_be_executed(
    how: str, command: str, status: int, reason: str, lockctl: Lockctl, name: str
) -> None:
    assert lockctl(how, name, command) == (status, "", f'lockctl: cannot execute "{command}": {reason}\n')
    assert lockctl.is_free(name)


@pytest.mark.parametrize("how", ["run", "exec"])
def test_without_a_daemon_nothing_is_run(how: str, runtime_dir: Path, lockctl: Lockctl) -> None:
    nowhere = str(runtime_dir / "lockd.sock")
    outcomes = [
        lockctl(how, "--socket", nowhere, "x", "echo", "mine"),
        lockctl(how, "-n", "-E", "0", "x", "echo", "mine", LOCKD_SOCKET=nowhere),
    ]
    for outcome in outcomes:
        assert (outcome.status, outcome.out) == (statuses.UNAVAILABLE, "")
        assert outcome.err.startswith(f"lockctl: there is no lockd at {nowhere}")
        assert outcome.err.count("\n") == 1


def test_a_daemon_that_ends_while_one_waits_runs_nothing(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        holder = lockctl.start("exec", "x", "sh", "-c", "echo held; read line")
        assert holder.line() == "held"
        waiter = lockctl.start("run", "--reconnect-timeout", "0.5", "x", "echo", "mine")
        lockctl.wait_until("x", lambda facts: facts["waiters_total"] == 1)
        own_daemon.kill()
        outcome = waiter.end()
    assert (outcome.status, outcome.out) == (statuses.UNAVAILABLE, "")
    assert "Traceback" not in outcome.err


def test_no_fork_is_exec(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", "-F", name, "sh", "-c", "echo $$")
    assert program.end() == (0, f"{program.pid}\n", "")


def test_exec_becomes_the_command_and_holds_until_it_exits(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("exec", name, "sh", "-c", "echo $$; read line; exit 3")
    assert program.line() == str(program.pid)
    facts = lockctl.wait_until(name, lambda facts: facts["holders_total"] == 1)
    assert facts["holders"][0]["pid"] == program.pid
    assert not lockctl.is_free(name)
    assert program.end().status == 3
    lockctl.wait_until(name, lambda facts: facts["holders_total"] == 0)


def test_exec_of_exec_holds_both(lockctl: Lockctl, name: str) -> None:
    inner, outer = f"{name}/inner", f"{name}/outer"
    program = lockctl.start("exec", outer, LOCKCTL, "exec", inner, "sh", "-c", "echo held; read line")
    assert program.line() == "held"
    assert [lockctl.is_free(outer), lockctl.is_free(inner)] == [False, False]
    program.end()
    for each in (outer, inner):
        lockctl.wait_until(each, lambda facts: facts["holders_total"] == 0)
