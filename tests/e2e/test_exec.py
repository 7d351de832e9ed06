"""Programs that become other programs by exec, and what their processes go on to hold."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import actor
from support.actor import Prompt
from support.daemon import DEADLINE_SECONDS, Daemon, command
from support.idle import wait_until
from support.library import SETUP, Play, Queue

WORDS = "[[grant.token, list(grant.names), grant.label] for grant in held]"


def become_another(process: Prompt, name: str) -> None:
    """Have a process become another program, which knows no more than the daemon and the name of the test."""
    pid, number = process("[os.getpid(), int(os.environ.get('PROGRAM', 1)) + 1]")
    process.begin(
        f"import sys; os.environ['PROGRAM'] = '{number}'; os.execv(sys.executable, [sys.executable, *sys.argv])"
    )
    # What is typed before that, the program might read that is about to go.
    environment = Path(f"/proc/{pid}/environ")
    wait_until(lambda: f"PROGRAM={number}".encode() in environment.read_bytes().split(b"\0"), "it is another program")
    process(f"name = {name!r}")
    process(SETUP)


def test_it_is_told_and_inherits_while_others_wait(play: Play, queue: Queue, name: str) -> None:
    process, other = play(), play()
    process("mine.acquire()")
    token = process("mine.grant.token")
    process("more = lock_all(name + '/part', (name + ' pool', 1, 2), tree=False, label='nightly'); more.acquire()")
    also = process("more.grant.token")
    other.begin("inside(mine)")
    queue.wait_for(other.pid)

    become_another(process, name)
    told = process("outcome(mine.acquire)")
    assert told.startswith("HeldByEarlierProgram: ")
    assert f"held by an earlier program of this process, pid {process.pid} (this process, not connected)" in told
    assert "inherited() takes it over" in told
    assert process("outcome(lambda: mine.acquire(blocking=False))").startswith("HeldByEarlierProgram: ")
    process("held = inherited()")
    assert process(WORDS) == [[token, [name], ""], [also, [f"{name}/part", f"{name} pool"], "nightly"]]
    assert queue.holders() == [process.pid]
    queue.wait_for(other.pid)
    process("held[0].release()")
    assert other.result() > token
    process("held[1].release()")
    assert queue.holders(f"{name} pool") == []
    assert process("inherited()") == []
    assert process("inside(mine)") > token


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_restart_of_the_daemon_in_between(end: str, daemon: Daemon, play: Play, queue: Queue, name: str) -> None:
    process = play()
    process("mine.acquire(); also = lock(name + ' also', mode='shared'); also.acquire()")
    tokens = process("[mine.grant.token, also.grant.token]")
    become_another(process, name)
    getattr(daemon, end)()
    daemon.start()
    assert process("outcome(mine.acquire)").startswith("HeldByEarlierProgram: ")
    getattr(daemon, end)()
    daemon.start()
    # By a session that there was before the daemon, too.
    process("held = inherited()")
    assert process("[grant.token for grant in held]") == tokens
    getattr(daemon, end)()
    daemon.start()
    process("[grant.check() for grant in held]")
    process("[grant.release() for grant in held]")
    assert process("inside(mine)") > tokens[1]


def test_a_second_client_of_the_same_program_is_no_earlier_one(daemon: Daemon, play: Play, name: str) -> None:
    """After a restart its session has no connection until its next call, and its program is there all the same."""
    process = play()
    process("mine.acquire(); other = connect()")
    daemon.kill()
    daemon.start()
    assert process("other.lock(name).acquire(blocking=False)") is False
    assert process("other.inherited()") == []
    process("mine.grant.check(); mine.release()")
    assert process("other.lock(name).acquire(blocking=False)") is True
    process("other.close()")


def test_exec_while_a_thread_waits(play: Play, queue: Queue, name: str) -> None:
    """Nobody waits for that any more."""
    holder, process = play(), play()
    holder("mine.acquire()")
    process("threading.Thread(target=mine.acquire, daemon=True).start()")
    queue.wait_for(process.pid)
    become_another(process, name)
    assert process("inherited()") == []
    queue.wait_for()
    process.begin("inside(mine)")
    queue.wait_for(process.pid)
    holder("mine.release()")
    assert process.result() > 0


def test_a_forked_child_that_becomes_another_program_inherits_nothing(play: Play, queue: Queue, name: str) -> None:
    process = play()
    process("mine.acquire()")
    child = process.fork()
    become_another(child, name)
    assert child("inherited()") == []
    assert child("mine.acquire(blocking=False)") is False
    assert queue.holders() == [process.pid]
    process("mine.release()")
    assert child("mine.acquire(blocking=False)") is True


def test_programs_one_after_the_other(play: Play, queue: Queue, name: str) -> None:
    """What the second one does not inherit the third one does, and the exit of the process frees it all."""
    process = play()
    process("mine.acquire()")
    become_another(process, name)
    process("also = lock(name + ' also'); also.acquire()")
    become_another(process, name)
    process("held = inherited()")
    assert process("[grant.name for grant in held]") == [name, f"{name} also"]
    become_another(process, name)
    process.begin("os._exit(0)")
    other = play()
    other("mine.acquire()")
    assert queue.holders() == [other.pid]


def test_a_command_inherits_what_lockctl_has_taken_for_it(daemon: Daemon, queue: Queue, name: str) -> None:
    program = [sys.executable, str(Path(actor.__file__).with_name("actor_process.py"))]
    python = [command("lockctl"), "exec", "--label", "nightly", name, "--", *program]
    with actor.Actor(SETUP, daemon.environment(), python=python, name=name) as process:
        assert queue.holders() == [process.pid]
        assert process("outcome(mine.acquire)").startswith("HeldByEarlierProgram: ")
        process("[held] = inherited()")
        assert process("[held.name, str(held.token), held.label]") == [
            *process("[os.environ['LOCKD_NAME'], os.environ['LOCKD_TOKEN']]"),
            "nightly",
        ]
        process("held.release()")
        assert process("inside(mine) > 0") is True
        assert queue.holders() == []


def test_lockctl_does_not_wait_for_itself(daemon: Daemon, name: str) -> None:
    lockctl = [command("lockctl"), "exec", name, "--"]
    ended = subprocess.run(
        [*lockctl, *lockctl, "true"], env=daemon.environment(), capture_output=True, text=True, timeout=DEADLINE_SECONDS
    )
    assert ended.stderr.startswith(f'lockctl: "{name}" cannot be had: held by an earlier program of this process, ')
    assert ended.returncode == 69
