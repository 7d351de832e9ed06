"""What ``lockctl run`` does while the command runs: the lock is the command's, the signals are passed on."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from lockd.ctl import statuses
from lockd_client import AdminClient, connect
from support.daemon import DEADLINE_SECONDS, Daemon
from support.idle import wait_until
from support.lockctl import LOCKCTL, Lockctl, Program
from support.permissions import SOMEBODY, needs_root

#: Says that it runs and which process it is, then lives until a line comes.
HOLDING = ["sh", "-c", "echo $$; read line; echo ends"]

#: The same, but lives until it is ended. (At the end of its input a shell may win against a signal on its way.)
SLEEPING = ["sh", "-c", "echo $$; exec sleep 1000"]

TRAPPED = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "WINCH", "CONT"]


def trapping(*names: str) -> list[str]:
    """A command that writes down each of these signals, and lives until a line comes."""
    traps = "; ".join(f"trap 'echo {name}' {name}" for name in names)
    # A read that a signal has interrupted fails, and is begun again.
    return ["sh", "-c", f"{traps}; echo $$; until read line; do :; done"]


def wait_until_it_is(state: str, pid: int) -> None:
    """Wait until a process is what the kernel has this letter for: T is stopped, Z has exited, X is gone altogether."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while (now := process_state(pid)) != state:
        assert time.monotonic() < deadline, f"process {pid} is {now}, and not {state}"


def process_state(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return "X"
    return stat.rpartition(")")[2].split()[0]


def test_killing_lockctl_does_not_free_the_lock(lockctl: Lockctl, name: str) -> None:
    holder = lockctl.start("run", name, *HOLDING)
    pid = int(holder.line())
    waiter = lockctl.start("run", name, "echo", "mine")
    lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)

    holder.send_signal(signal.SIGKILL)
    assert holder.wait() == -signal.SIGKILL
    # Its end of the connection is closed, and the daemon has noticed.
    facts = lockctl.wait_until(name, lambda facts: not facts["holders"][0]["attached"])
    assert facts["holders"][0]["pid"] == pid
    assert facts["waiters_total"] == 1
    assert not lockctl.is_free(name)

    holder.say("end")
    assert holder.line() == "ends"
    assert waiter.end().out == "mine\n"


def test_killing_the_command_frees_the_lock_at_once(lockctl: Lockctl, name: str) -> None:
    holder = lockctl.start("run", name, *HOLDING)
    pid = int(holder.line())
    waiter = lockctl.start("run", name, "echo", "mine")
    lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
    os.kill(pid, signal.SIGKILL)
    assert waiter.end().out == "mine\n"
    assert holder.end() == (statuses.SIGNALLED + signal.SIGKILL, "", "")


def test_killing_lockctl_while_it_waits_means_that_the_command_is_not_wanted(lockctl: Lockctl, name: str) -> None:
    holder = lockctl.start("run", name, *HOLDING)
    holder.line()
    waiter = lockctl.start("run", name, "echo", "mine")
    lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
    waiter.send_signal(signal.SIGKILL)
    lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 0)
    # All its processes are gone, else its output would not end.
    assert waiter.end() == (-signal.SIGKILL, "", "")


def test_the_same_where_nothing_ends_the_wait(lockctl: Lockctl, name: str) -> None:
    """The signal that tells the child is ignored. It notices at the last moment."""
    holder = lockctl.start("run", name, *HOLDING)
    holder.line()
    waiter = lockctl.start_ignoring(signal.SIGIO, "run", name, "echo", "mine")
    lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
    waiter.send_signal(signal.SIGKILL)
    assert waiter.wait() == -signal.SIGKILL
    holder.say("end")
    assert waiter.end() == (-signal.SIGKILL, "", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_wait(number: signal.Signals, lockctl: Lockctl, name: str) -> None:
    holder = lockctl.start("run", name, *HOLDING)
    holder.line()
    for how in ("run", "exec"):
        waiter = lockctl.start(how, name, "echo", "mine")
        lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
        waiter.send_signal(number)
        assert waiter.end() == (-number, "", "")
        lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 0)


def test_what_the_command_leaves_behind_does_not_keep_the_lock(lockctl: Lockctl, name: str) -> None:
    # A shell gives what runs in the background no input unless it is told to.
    program = lockctl.start("run", name, "sh", "-c", "exec 3<&0; { read line <&3; echo ends; } & echo $$")
    program.line()
    assert program.wait() == 0
    assert lockctl.is_free(name)
    program.say("end")
    assert program.line() == "ends"


@pytest.mark.parametrize("signal_name", TRAPPED)
def test_a_signal_is_passed_on(signal_name: str, lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", name, *trapping(signal_name))
    program.line()
    program.send_signal(signal.Signals[f"SIG{signal_name}"])
    assert program.line() == signal_name
    program.say("end")
    assert program.end().status == 0


#: Stops lockctl, sends a signal to the whole process group, and tells which signals come of it.
NOISY = """\
import os, signal
signals = {signal.SIGUSR1, signal.SIGTERM}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
os.kill(os.getppid(), signal.SIGSTOP)
os.killpg(0, signal.SIGUSR1)
while (number := signal.sigwait(signals)) != signal.SIGTERM:
    print(number, flush=True)
"""


def test_what_the_command_sends_to_all_does_not_come_back(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", name, sys.executable, "-c", NOISY)
    line = program.line()
    # It is passed on behind everything else.
    program.send_signal(signal.SIGTERM)
    program.send_signal(signal.SIGCONT)
    assert (line, program.end()) == (str(signal.SIGUSR1.value), (0, "", ""))


def test_what_is_ignored_stays_ignored(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start_ignoring(signal.SIGHUP, "run", name, *HOLDING)
    pid = int(program.line())
    program.send_signal(signal.SIGHUP)
    os.kill(pid, signal.SIGHUP)
    program.say("end")
    assert program.line() == "ends"
    assert program.end().status == 0


def test_whoever_ignores_the_exits_of_children_is_told_of_this_one(lockctl: Lockctl, name: str) -> None:
    assert lockctl.start_ignoring(signal.SIGCHLD, "run", name, "sh", "-c", "exit 7").end().status == 7


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_lockctl_ends_by_the_signal_that_it_passed_on(number: signal.Signals, lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", name, *SLEEPING)
    program.line()
    program.send_signal(number)
    assert program.end() == (-number, "", "")
    assert lockctl.is_free(name)


def test_lockctl_exits_when_a_signal_was_for_the_command_alone(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", name, *SLEEPING)
    os.kill(int(program.line()), signal.SIGTERM)
    assert program.end().status == statuses.SIGNALLED + signal.SIGTERM


def test_a_command_that_outlives_a_signal_is_waited_for(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", name, "sh", "-c", 'trap "exit 5" TERM; echo $$; while :; do read line; done')
    program.line()
    program.send_signal(signal.SIGTERM)
    assert program.wait() == 5


def test_a_stopped_command_keeps_the_lock(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", name, *HOLDING)
    pid = int(program.line())
    program.send_signal(signal.SIGTSTP)
    for each in (program.pid, pid):
        wait_until_it_is("T", each)
    assert not lockctl.is_free(name)

    program.send_signal(signal.SIGCONT)
    program.say("end")
    assert program.line() == "ends"
    assert program.end().status == 0


#: Would go on with the last command if the one before it, its latest child, were ended before itself.
MANY = "for i in 1 2 3 4 5 6 7 8 9; do for j in 1 2 3 4 5; do sleep 1000 & done; done; echo $$; sleep 1000; echo never"


def lose(lockctl: Lockctl, name: str) -> None:
    """Let somebody else want the lock, so that it is taken away from the one whose lease is over."""
    lockctl.start("run", name, "true")


def test_a_lease_that_is_taken_ends_the_command(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", "--lease", "0", name, "sh", "-c", MANY)
    pid = program.line()
    lose(lockctl, name)
    outcome = program.end()
    assert (outcome.status, outcome.out) == (statuses.LOST, "")
    assert outcome.err.splitlines()[0] == (
        f'lockctl: the lease of "{name}" had run out when somebody else wanted it, who has been given it: ending the'
        f" command, pid {pid}"
    )


def test_so_it_does_where_the_news_of_it_is_ignored(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start_ignoring(signal.SIGIO, "run", "--lease", "0", name, *SLEEPING)
    program.line()
    lose(lockctl, name)
    assert program.end().status == statuses.LOST


def test_a_stopped_command_ends_as_well(lockctl: Lockctl, name: str) -> None:
    program = lockctl.start("run", "--lease", "0", "--kill-after", "1000", name, *SLEEPING)
    os.kill(int(program.line()), signal.SIGSTOP)
    lose(lockctl, name)
    assert program.end().status == statuses.LOST


def test_a_command_that_does_not_want_to_end_is_killed(lockctl: Lockctl, name: str) -> None:
    stubborn = 'trap "" TERM; sh -c "echo child; sleep 1000"; echo never'
    program = lockctl.start("run", "--lease", "0", "--kill-after", "0.1", name, "sh", "-c", stubborn)
    assert program.line() == "child"
    lose(lockctl, name)
    outcome = program.end()
    assert (outcome.status, outcome.out) == (statuses.LOST, "")


def test_a_command_that_ends_in_order_when_it_is_told_to_has_lost_the_lock_all_the_same(
    lockctl: Lockctl, name: str
) -> None:
    orderly = 'trap "echo in order; exit 0" TERM; echo held; while :; do read line; done'
    program = lockctl.start("run", "--lease", "0", name, "sh", "-c", orderly)
    assert program.line() == "held"
    lose(lockctl, name)
    outcome = program.end()
    assert (outcome.status, outcome.out) == (statuses.LOST, "in order\n")


@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="there is no setpriv(1) here to become somebody else with")
def test_a_command_of_somebody_else_cannot_be_ended_and_that_is_said(lockctl: Lockctl, name: str) -> None:
    without_power = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"]
    becomes_another = ["setpriv", f"--reuid={SOMEBODY}", *HOLDING]
    words = [*without_power, LOCKCTL, "run", "--lease", "0", "--kill-after", "0", name, *becomes_another]
    program = lockctl.start_program(*words, environment=lockctl.environment())
    pid = program.line()
    program.send_signal(signal.SIGTERM)
    assert program.complaint() == f"lockctl: Terminated: the command, pid {pid}, is another user's by now"
    lose(lockctl, name)
    assert program.complaint().endswith(f"ending the command, pid {pid}")
    assert program.complaint() == f"lockctl: pid {pid} is another user's, and goes on without the lock"
    program.say("end")
    assert program.end() == (statuses.LOST, "ends\n", "")


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize("end", ["kill", "stop"])
def test_the_end_of_the_daemon_is_none_of_the_lock(end: str, how: str, own_daemon: Daemon) -> None:
    """The next daemon knows it from the journal, and finds the command by what the kernel says."""
    with Lockctl(own_daemon) as lockctl:
        holder = lockctl.start(how, "x", *HOLDING)
        pid = int(holder.line())
        getattr(own_daemon, end)()
        own_daemon.start()
        assert [each["pid"] for each in lockctl.wait_until("x", lambda facts: True)["holders"]] == [pid]
        assert not lockctl.is_free("x")
        waiter = lockctl.start("run", "x", "echo", "mine")
        lockctl.wait_until("x", lambda facts: facts["waiters_total"] == 1)
        holder.say("end")
        assert holder.end() == (0, "ends\n", "")
        assert waiter.end().out == "mine\n"


def test_a_command_that_ends_while_there_is_no_daemon_holds_nothing(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        holder = lockctl.start("run", "x", *HOLDING)
        holder.line()
        own_daemon.kill()
        holder.say("end")
        assert holder.end() == (0, "ends\n", "")
        own_daemon.start()
        assert lockctl.is_free("x")


def wait_until_it_watches(daemon: Daemon, lockctl: Program) -> None:
    """Wait until lockctl, which is another process than the command, has a session with this daemon."""
    with AdminClient(daemon.admin_socket) as admin:
        wait_until(lambda: lockctl.pid in [each["pid"] for each in admin.sessions()], "lockctl has a session")


def lose_the_journal(daemon: Daemon) -> None:
    """Kill the daemon and have another one begin with nothing."""
    daemon.kill()
    (daemon.runtime_dir / "journal").unlink()
    daemon.start()


@pytest.mark.parametrize("words", [[], ["--lease", "1000"], ["--and", "y", "-s"]], ids=["", "leased", "several"])
def test_a_journal_that_is_lost_ends_the_command(words: list[str], own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", *words, "x", *SLEEPING)
        pid = program.line()
        lose_the_journal(own_daemon)
        assert program.end() == (
            statuses.LOST,
            "",
            f'lockctl: lockd has lost its state, and knows no more who held "x": ending the command, pid {pid}\n',
        )


def test_it_does_so_after_any_number_of_restarts(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", "x", *SLEEPING)
        program.line()
        for _ in range(2):
            own_daemon.kill()
            own_daemon.start()
            wait_until_it_watches(own_daemon, program)
        assert not lockctl.is_free("x")
        lose_the_journal(own_daemon)
        assert program.end().status == statuses.LOST


def test_a_lease_that_is_taken_by_a_later_daemon_ends_the_command(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", "--lease", "0", "x", *SLEEPING)
        pid = program.line()
        for _ in range(2):
            own_daemon.kill()
            own_daemon.start()
            wait_until_it_watches(own_daemon, program)
        assert lockctl.start("run", "x", "echo", "mine").end().out == "mine\n"
        assert program.end() == (
            statuses.LOST,
            "",
            'lockctl: the lease of "x" had run out when somebody else wanted it, who has been given it: ending the'
            f" command, pid {pid}\n",
        )


def test_it_does_not_matter_whether_lockctl_sees_the_daemon_that_takes_it(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", "--lease", "0", "x", *SLEEPING)
        program.line()
        program.send_signal(signal.SIGSTOP)
        own_daemon.kill()
        own_daemon.start()
        assert lockctl.start("run", "x", "echo", "mine").end().out == "mine\n"
        own_daemon.kill()
        own_daemon.start()
        program.send_signal(signal.SIGCONT)
        assert program.end().status == statuses.LOST


def test_signals_are_passed_on_after_a_restart_and_without_a_daemon(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", "--lease", "1000", "x", *trapping("USR1"))
        program.line()
        own_daemon.kill()
        program.send_signal(signal.SIGUSR1)
        assert program.line() == "USR1"
        own_daemon.start()
        wait_until_it_watches(own_daemon, program)
        own_daemon.suspend()
        program.send_signal(signal.SIGUSR1)
        assert program.line() == "USR1"
        program.say("end")
        assert program.end().status == 0


def test_lockctl_has_nothing_to_do_while_there_is_a_daemon(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", "x", *HOLDING)
        program.line()
        for _ in range(2):
            wait_until(lambda: waits_for_signals_alone(program.pid), "lockctl waits for nothing but signals")
            own_daemon.kill()
            own_daemon.start()
            wait_until_it_watches(own_daemon, program)
        program.say("end")
        assert program.end() == (0, "ends\n", "")


def waits_for_signals_alone(pid: int) -> bool:
    """Whether a process is in rt_sigtimedwait(2), by its number on x86-64 or elsewhere, without a timeout."""
    path = Path(f"/proc/{pid}/syscall")
    if not path.exists():
        pytest.skip("this kernel does not tell in which call a process is")
    call, *arguments = path.read_text().split()
    return call in ("128", "137") and int(arguments[2], 16) == 0


#: Takes over the lock that it was started under, and releases it; a line comes before each.
TAKING_OVER = """\
import os
from lockd_client import inherited
print("begun", flush=True)
input()
(grant,) = inherited()
print("taken over", flush=True)
input()
grant.release(confirm=True)
print("released", flush=True)
input()
"""


def test_a_command_that_takes_its_lock_over_may_release_it(own_daemon: Daemon) -> None:
    """Over its own session it is told of everything itself. That the grant is gone is no loss then."""
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", "--lease", "1000", "x", sys.executable, "-c", TAKING_OVER)
        # By then lockctl has the connection by which the lock was taken.
        assert program.line() == "begun"
        own_daemon.kill()
        own_daemon.start()
        wait_until_it_watches(own_daemon, program)
        program.say("take it over")
        assert program.line() == "taken over"
        with AdminClient(own_daemon.admin_socket) as admin:
            wait_until(lambda: program.pid not in [each["pid"] for each in admin.sessions()], "lockctl leaves it to it")
        program.say("release it")
        assert program.line() == "released"
        assert lockctl.is_free("x")
        program.say("end")
        assert program.end() == (0, "", "")


#: lockctl, but with a minute for the daemon to notice that the command has exited.
PATIENT = """\
import sys
from lockd.ctl import attendant
from lockd.ctl.main import main
attendant._RELEASE_SECONDS = 60.0
sys.exit(main())
"""


@pytest.mark.parametrize("is_late", [False, True], ids=["in time", "late"])
def test_lockctl_exits_when_the_lock_is_free_and_not_before(is_late: bool, own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl, connect(own_daemon.client_socket) as client:
        words = [sys.executable, "-c", PATIENT, "run", "x", *HOLDING]
        with client.lock("x", timeout=0):
            program = lockctl.start_program(*words, environment=lockctl.environment())
            pid = lockctl.wait_until("x", lambda facts: facts["waiters_total"] == 1)["waiters"][0]["pid"]
            if is_late:
                # It learns of everything at once, and of the exit first.
                program.send_signal(signal.SIGSTOP)
        assert program.line() == str(pid)
        own_daemon.send_signal(signal.SIGSTOP)
        program.say("end")
        if is_late:
            wait_until_it_is("Z", pid)
            program.send_signal(signal.SIGCONT)
        # When lockctl has waited for the command, nothing is left of it.
        wait_until_it_is("X", pid)
        lockctl.start_program("true").wait()
        assert program.is_running
        own_daemon.send_signal(signal.SIGCONT)
        assert program.wait() == 0
        assert lockctl.wait_until("x", lambda facts: True)["holders_total"] == 0


@pytest.mark.parametrize("words", [[], ["--lease", "1000"]], ids=["", "leased"])
def test_so_it_does_after_a_restart(words: list[str], own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        run = [sys.executable, "-c", PATIENT, "run", *words, "x", *HOLDING]
        program = lockctl.start_program(*run, environment=lockctl.environment())
        pid = int(program.line())
        own_daemon.kill()
        own_daemon.start()
        wait_until_it_watches(own_daemon, program)
        own_daemon.suspend()
        program.say("end")
        wait_until_it_is("X", pid)
        lockctl.start_program("true").wait()
        assert program.is_running
        own_daemon.send_signal(signal.SIGCONT)
        assert program.wait() == 0
        assert lockctl.wait_until("x", lambda facts: True)["holders_total"] == 0


@pytest.mark.parametrize("restarts", [0, 1])
def test_lockctl_does_not_wait_for_ever_for_that(restarts: int, own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        program = lockctl.start("run", "x", *HOLDING)
        program.line()
        for _ in range(restarts):
            own_daemon.kill()
            own_daemon.start()
            wait_until_it_watches(own_daemon, program)
        own_daemon.send_signal(signal.SIGSTOP)
        program.say("end")
        assert program.end() == (0, "ends\n", "")
