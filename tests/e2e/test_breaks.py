"""What an administrator breaks, with real processes: the holder's callback runs once, whatever ends in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lockd_client import AdminClient, connect
from support.daemon import Daemon
from support.lockctl import Program
from support.raw import (
    ADMIN_FAILED,
    BREAK,
    DONE,
    LOST,
    RELEASE,
    REPORT,
    Raw,
)

from .conftest import Connect

#: Holds "db", says how often it was called and with what, and once it is told to go on, what it makes of it all.
HOLDER = """\
import sys
from lockd_client import LockError, connect
calls = []
client = connect(sys.argv[1], watch=True)
handle = client.lock("db", on_lost=lambda grant: (calls.append(grant.token), print("lost", flush=True)))
handle.acquire()
grant = handle.grant
print(grant.token, flush=True)
sys.stdin.readline()
try:
    grant.check()
    print("held", flush=True)
except LockError as error:
    print(type(error).__name__, error, flush=True)
try:
    handle.release()
except LockError as error:
    print(type(error).__name__, flush=True)
with client.lock("db", timeout=60):
    print(calls == [grant.token], flush=True)
"""


class Holder:
    """A process that holds "db" with a callback, and can be stopped."""

    def __init__(self, daemon: Daemon) -> None:
        self._program = Program(sys.executable, "-c", HOLDER, daemon.client_socket)
        self.token = int(self._program.line())

    def stop(self) -> None:
        """Have it read nothing from now on."""
        self._program.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._program.pid, os.WSTOPPED | os.WNOWAIT)

    def go_on(self) -> list[str]:
        """Let it go on, wait until it was called, and return all that it says then."""
        self._program.send_signal(signal.SIGCONT)
        lost = self._program.line()
        self._program.say("go on")
        outcome = self._program.end()
        assert outcome.err == ""
        return [lost, *outcome.out.splitlines()]

    def discard(self) -> None:
        self._program.discard()


@pytest.fixture
def holder(own_daemon: Daemon) -> Iterator[Holder]:
    holder = Holder(own_daemon)
    yield holder
    holder.discard()


@pytest.fixture
def own_daemon(runtime_dir: Path) -> Iterator[Daemon]:
    """A daemon that the test may do with what it likes."""
    with Daemon(runtime_dir) as daemon:
        yield daemon


SAID = [
    "lost",
    'LockLost "db" is no longer held: an administrator has taken it away: it hangs',
    "LockLost",
    "True",
]


def break_db(daemon: Daemon, token: int) -> None:
    with AdminClient(daemon.admin_socket) as admin:
        assert admin.break_("db", reason="it hangs")["grants"][0]["token"] == token
        assert admin.break_("db", reason="it hangs")["grants_total"] == 0


def restart(daemon: Daemon) -> None:
    daemon.kill()
    daemon.start()


def test_the_callback_runs_once(own_daemon: Daemon, holder: Holder) -> None:
    break_db(own_daemon, holder.token)
    assert holder.go_on() == SAID


def test_the_daemon_is_killed_before_the_holder_has_read_it(own_daemon: Daemon, holder: Holder) -> None:
    """It has LOST from the daemon that is gone, and has it again from the next one."""
    holder.stop()
    break_db(own_daemon, holder.token)
    restart(own_daemon)
    assert holder.go_on() == SAID


def test_it_is_broken_while_the_holder_is_away(own_daemon: Daemon, holder: Holder) -> None:
    """It is detached then, and has nothing left but to be told; and another daemon ends in between."""
    holder.stop()
    restart(own_daemon)
    break_db(own_daemon, holder.token)
    restart(own_daemon)
    with connect(own_daemon.client_socket) as other, other.lock("db", timeout=0) as grant:
        # Somebody else has had it in the meantime, and knows of it.
        assert [each.name for each in grant.abandoned] == ["db"]
    assert holder.go_on() == SAID


def test_the_journal_is_understood_by_those_who_read_it(own_daemon: Daemon, holder: Holder) -> None:
    holder.stop()
    break_db(own_daemon, holder.token)
    journal = own_daemon.runtime_dir / "journal"
    dumped = subprocess.run(
        [Path(sys.executable).with_name("lockd"), "journal", "dump", journal], capture_output=True, check=True
    )
    assert b'"broken"' in dumped.stdout
    assert b"it hangs" in dumped.stdout


# The bytes of docs/protocol.md


@pytest.fixture
def admin(daemon: Daemon, closing: ExitStack) -> Raw:
    return closing.enter_context(Raw.administrator(daemon.admin_socket))


def test_bytes(connect: Connect, admin: Raw, name: str) -> None:
    holder = connect("holder")
    token = holder.acquire(1, name)
    kind, id, facts = admin.ask(BREAK, 3, name, 0, "it hangs", [["dry_run", True]])
    assert (kind, id, facts["grants_total"]) == (REPORT, 3, 1)
    [row] = facts["grants"]
    assert row.pop("held_seconds") >= 0
    assert row.pop("process")
    assert row.pop("session") == holder.session
    assert row == {
        **{"name": name, "names_total": 1, "pid": os.getpid(), "uid": os.getuid(), "program": "holder", "label": ""},
        **{"mode": "X", "permits": 0, "limit": 0, "token": token, "attached": True, "waiters_total": 0},
    }
    assert facts["last_token"] >= token
    assert admin.ask(BREAK, 4, name, token, "it hangs", [])[2]["grants_total"] == 1
    kind, id, _, lost, reason = holder.receive()
    assert (kind, id, lost, reason) == (LOST, 0, token, "broken: it hangs")
    assert holder.ask(RELEASE, 2, token, True)[0] == DONE
    assert admin.ask(BREAK, 5, "", token, "it hangs", [])[2]["grants_total"] == 0


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (("\x1b", 0, "why", []), "bad_request"),
        (("db", 0, "", []), "bad_request"),
        (("db", 0, "why\n", []), "bad_request"),
        (("db", 0, "why", [["what", True]]), "bad_request"),
        (("db", 0, "why", {}), "protocol"),
        (("db", -1, "why", []), "protocol"),
        (("db", 0, "why"), "protocol"),
    ],
)
def test_bytes_that_cannot_be(admin: Raw, fields: tuple[object, ...], code: str) -> None:
    kind, _, told, sentence = admin.ask(BREAK, 1, *fields)
    assert (kind, told) == (ADMIN_FAILED, code)
    assert sentence.isprintable()


def test_a_break_is_unknown_on_the_client_socket(connect: Connect) -> None:
    peer = connect()
    assert peer.ask(BREAK, 1, "db", 0, "why", [])[3] == "protocol"
    assert peer.is_ended()


def test_told_again_by_bytes(daemon: Daemon, connect: Connect, closing: ExitStack, admin: Raw, name: str) -> None:
    holder = connect()
    token = holder.acquire(1, name)
    admin.ask(BREAK, 1, "", token, "it hangs", [])
    assert holder.receive()[0] == LOST
    again = closing.enter_context(Raw.resumed(daemon.client_socket, holder.session))
    assert again.receive()[3:] == [token, "broken: it hangs"]
    again.send(RELEASE, 2, token, False)
    again.pong(3)
    third = closing.enter_context(Raw.resumed(daemon.client_socket, holder.session))
    third.pong(4)
