"""lockctl under a shell with job control, on a terminal: Ctrl-C and Ctrl-Z do what they do under flock(1)."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator

import pytest

from support.lockctl import LOCKCTL, Lockctl
from support.terminal import CTRL_C, CTRL_D, CTRL_Z, Terminal


@pytest.fixture
def shell(lockctl: Lockctl) -> Iterator[Terminal]:
    """A shell that waits for a command."""
    with Terminal("sh", "-i", environment=lockctl.environment(PS1="ready> ", ENV="")) as terminal:
        terminal.until("ready> ")
        yield terminal


def command_line(*words: str) -> str:
    """Type this, and a shell runs lockctl with these words, and then tells the status."""
    return f"{shlex.join([LOCKCTL, *words])}; echo status=$?\n"


def test_ctrl_c_ends_the_command(shell: Terminal, lockctl: Lockctl, name: str) -> None:
    shell.press(f"{LOCKCTL} run {name} sleep 1000\n")
    lockctl.wait_until(name, lambda facts: facts["holders_total"] == 1)
    shell.press(CTRL_C)
    shell.until("ready> ")
    shell.press("echo status=$?\n")
    shell.until("status=130")
    assert lockctl.is_free(name)


#: Tells of each SIGINT whether a key was pressed (128) or somebody sent it (0), until there comes a SIGUSR1.
LISTENING = """\
import signal
signals = {signal.SIGINT, signal.SIGUSR1}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
print("here", "we", sep="", flush=True)
while (info := signal.sigwaitinfo(signals)).si_signo != signal.SIGUSR1:
    print("interrupt", info.si_code, flush=True)
raise SystemExit(7)
"""


def test_ctrl_c_reaches_a_command_that_goes_on_and_once(shell: Terminal, lockctl: Lockctl, name: str) -> None:
    shell.press(command_line("run", name, sys.executable, "-c", LISTENING))
    shell.until("herewe\r\n")
    shell.press(CTRL_C)
    shell.until("interrupt 128\r\n")
    shell.press(CTRL_C)
    assert "interrupt 0" not in shell.until("interrupt 128\r\n")
    facts = lockctl.wait_until(name, lambda facts: True)
    os.kill(facts["holders"][0]["pid"], signal.SIGUSR1)
    assert "interrupt 0" not in shell.until("status=7")


def test_ctrl_c_ends_the_wait(shell: Terminal, lockctl: Lockctl, name: str) -> None:
    holder = lockctl.start("run", name, "cat")
    lockctl.wait_until(name, lambda facts: facts["holders_total"] == 1)
    for how in ("run", "exec"):
        shell.press(f"{LOCKCTL} {how} {name} echo mi''ne\n")
        lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
        shell.press(CTRL_C)
        shell.until("ready> ")
        shell.press("echo status=$?\n")
        assert "Traceback" not in shell.until("status=130")
        lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 0)
    holder.end()


def test_ctrl_z_stops_command_and_lockctl_and_fg_continues_both(shell: Terminal, lockctl: Lockctl, name: str) -> None:
    shell.press(command_line("run", name, "cat"))
    lockctl.wait_until(name, lambda facts: facts["holders_total"] == 1)
    shell.press("before\n")
    shell.until("before\r\nbefore\r\n")
    shell.press(CTRL_Z)
    shell.until("ready> ")
    assert not lockctl.is_free(name)
    shell.press("fg\n")
    # What the shell says about what it continues.
    shell.until(" cat\r\n")
    shell.press("after\n")
    shell.until("after\r\nafter\r\n")
    shell.press(CTRL_D)
    shell.until("ready> ")
    assert lockctl.is_free(name)


def test_a_pipe_on_the_same_terminal(shell: Terminal, lockctl: Lockctl, name: str) -> None:
    """The command does not take the terminal away from those it is in a pipe with."""
    reader = "cat; read line </dev/tty; echo got $line"
    shell.press(f"{LOCKCTL} run {name} echo from the command | sh -c {shlex.quote(reader)}\n")
    shell.until("\nfrom the command\r\n")
    shell.press("a line\n")
    shell.until("got a line\r\n")
