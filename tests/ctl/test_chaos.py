"""``lockctl chaos restart``: it passes a daemon that keeps everything, and catches one that does not."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from lockd.core.records import RequestRecord
from lockd.ctl import statuses
from lockd.ctl.chaos_threads import Pulse
from lockd.journal import Record
from lockd.packing import packed, unpacked
from lockd_client import AdminClient, Lock, connect
from support.daemon import DEADLINE_SECONDS, Daemon
from support.idle import wait_until
from support.lockctl import LOCKCTL, Lockctl
from support.supervised import SupervisedDaemon, forge_journal
from support.terminal import Terminal

RESTART = ("chaos", "restart")

#: How long there is no daemon at the least, where that is looked at.
AWAY_SECONDS = 0.1


def tokens(daemon: Daemon) -> dict[str, list[int]]:
    with AdminClient(daemon.admin_socket) as admin:
        return {row["name"]: [each["token"] for each in admin.show(row["name"])["holders"]] for row in admin.names()}


def waiting(count: int) -> Callable[[dict[str, Any]], bool]:
    return lambda facts: facts["waiters_total"] == count


def with_company(daemon: Daemon, how: str = "run") -> Lockctl:
    """Have processes hold two locks, one as another program by now, and two wait.

    Args:
        how: Which command of lockctl holds the other one.
    """
    lockctl = Lockctl(daemon)
    lockctl.start("exec", "backup", "sleep", "1000")
    lockctl.start(how, "-s", "config", "sleep", "1000")
    lockctl.wait_until("backup", lambda facts: facts["holders_total"] == 1)
    lockctl.wait_until("config", lambda facts: facts["holders_total"] == 1)
    for number in range(2):
        lockctl.start("exec", "--label", f"in place {number}", "backup", "true")
        lockctl.wait_until("backup", waiting(number + 1))
    return lockctl


@pytest.mark.parametrize("stop_signal", ["kill", "term"])
def test_nothing_is_lost(stop_signal: str, runtime_dir: Path) -> None:
    with (
        SupervisedDaemon(runtime_dir, lambda daemon: time.sleep(AWAY_SECONDS)) as daemon,
        with_company(daemon) as lockctl,
    ):
        first, before = daemon.pid, tokens(daemon)
        outcome = lockctl(*RESTART, "--yes", "--json", "--stop-signal", stop_signal)
        assert (outcome.status, outcome.err) == (0, "")
        # And nothing of it is left.
        assert tokens(daemon) == before
        wait_until(lambda: daemon.restarts == 1, "the supervisor has seen it")
        assert ("stopping on SIGTERM" in daemon.log) == (stop_signal == "term")
        assert json.loads(lockctl("status", "--json").out)["abandoned"] == 0
        last = daemon.pid
    found = json.loads(outcome.out)
    assert (found["lost"], found["signal"]) == ([], f"SIG{stop_signal.upper()}")
    [only] = found["rounds"]
    assert (only["pid"], only["next_pid"]) == (first, last)
    assert only["pause_seconds"] >= AWAY_SECONDS
    assert only["longest_call_seconds"] > 0
    unscathed = {"ended_meanwhile": 0, "exited": 0}
    assert only["others"] == {
        "grants": {"before": 2, "there_again": 2, **unscathed},
        "waiters": {"before": 2, "there_again": 2, **unscathed},
        "sessions": {"before": 4, "there_again": 4, **unscathed},
    }
    for kind, count in (("grants", 8), ("waiters", 11)):
        assert only["probes"][kind] == {"before": count, "there_again": count, **unscathed}
    # After a restart the one that runs a command may have come with a session of its own, to ask who has the lock.
    assert only["attached"] + only["detached"] in (4, 5)


class Slow:
    """A lock of which the second call does not return before it is told to."""

    def __init__(self) -> None:
        self.token = 0
        self.is_called, self.may_return = threading.Event(), threading.Event()

    def __enter__(self) -> Slow:
        self.token += 1
        if self.token == 2:
            self.is_called.set()
            self.may_return.wait(DEADLINE_SECONDS)
        return self

    def __exit__(self, *details: object) -> None:
        pass


def test_the_longest_call_is_measured() -> None:
    slow = Slow()
    pulse = Pulse(cast(Lock, slow))
    pulse.start()
    assert slow.is_called.wait(DEADLINE_SECONDS)
    called_at = time.monotonic()
    time.sleep(AWAY_SECONDS)
    pulse.stop()
    seconds = time.monotonic() - called_at
    slow.may_return.set()
    pulse.join(DEADLINE_SECONDS)
    assert pulse.longest_seconds >= seconds
    assert list(pulse.faults()) == []


def test_for_people_and_several_times(runtime_dir: Path) -> None:
    with SupervisedDaemon(runtime_dir) as daemon, Lockctl(daemon) as lockctl:
        first = daemon.pid
        outcome = lockctl(*RESTART, "--yes", "--rounds", "2")
        wait_until(lambda: daemon.restarts == 2, "both were ended")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0].startswith("probes: 8 holders, 11 waiters, below lockd/chaos/")
    assert lines[1] == "others: 0 grants, 0 waiters, 0 sessions"
    assert lines[2].startswith(f"ended pid {first} with SIGKILL; pid ")
    assert [row.split() for row in lines[7:9]] == [
        ["grants", "of", "probes", "16", "16", "-", "-"],
        ["waiters", "of", "probes", "22", "22", "-", "-"],
    ]
    assert lines[-1] == "nothing was lost"


# When it is not done


def is_refused(lockctl: Lockctl, daemon: Daemon, *words: str) -> tuple[int, str]:
    """Return with which status and why it is refused, and make sure that nothing has happened."""
    pid = daemon.pid
    outcome = lockctl(*RESTART, *words)
    assert outcome.out == ""
    assert outcome.err.count("\n") == 1
    assert (daemon.pid, daemon.is_running) == (pid, True)
    assert tokens(daemon) == {}
    return outcome.status, outcome.err


def test_without_anybody_who_would_start_it_again(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        status, why = is_refused(lockctl, own_daemon, "--yes")
    assert status == statuses.UNAVAILABLE
    assert "was not started by systemd" in why
    assert "--will-be-restarted" in why


def test_another_supervisor_will_do(runtime_dir: Path) -> None:
    with SupervisedDaemon(runtime_dir, says_so=False) as daemon, Lockctl(daemon) as lockctl:
        assert lockctl(*RESTART, "--yes", "--will-be-restarted").status == 0


def test_nobody_starts_it_again_after_all(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl:
        outcome = lockctl(*RESTART, "--yes", "--will-be-restarted", "--timeout", "1")
        assert outcome.status == statuses.UNAVAILABLE
        assert "was ended, and nobody has started it again" in outcome.err
        assert not own_daemon.is_running
        own_daemon.start()
        wait_until(lambda: tokens(own_daemon) == {}, "nothing is left of it")


def test_not_while_the_daemon_is_in_trouble(runtime_dir: Path) -> None:
    with SupervisedDaemon(runtime_dir, lose_journal) as daemon, Lockctl(daemon) as lockctl:
        os.kill(daemon.pid, signal.SIGKILL)
        wait_until(lambda: daemon.restarts == 1, "another daemon runs")
        status, why = is_refused(lockctl, daemon, "--yes")
    assert status == statuses.UNAVAILABLE
    assert "is in trouble, and has to be well for this: there is no journal" in why


def test_not_without_a_question(runtime_dir: Path) -> None:
    with SupervisedDaemon(runtime_dir) as daemon, Lockctl(daemon) as lockctl:
        status, why = is_refused(lockctl, daemon)
        assert status == statuses.USAGE
        assert f"end lockd (pid {daemon.pid}) with SIGKILL" in why
        assert "--yes" in why


def test_the_question(runtime_dir: Path) -> None:
    with SupervisedDaemon(runtime_dir) as daemon, Lockctl(daemon) as lockctl:
        first = daemon.pid
        for answer, end in (("\n", "nothing was done"), ("n\n", "nothing was done"), ("y\n", "nothing was lost")):
            with Terminal(LOCKCTL, *RESTART, environment=lockctl.environment(), columns=200) as terminal:
                what = terminal.until("Go ahead? [y/N] ")
                assert daemon.pid == first
                terminal.press(answer)
                assert terminal.rest().rstrip().endswith(end)
            assert f"end lockd (pid {first}) with SIGKILL; it is run by systemd, which will start it again" in what
        assert daemon.pid != first


def test_not_two_at_once(runtime_dir: Path) -> None:
    """Each would end the daemon in the middle of the other, and neither would know why."""
    with SupervisedDaemon(runtime_dir) as daemon, Lockctl(daemon) as lockctl:
        first = daemon.pid
        with connect(daemon.client_socket) as client, client.lock("lockd/chaos-restart", label="somebody's exercise"):
            outcome = lockctl(*RESTART, "--yes")
        assert (daemon.pid, daemon.is_running) == (first, True)
    assert (outcome.status, outcome.out) == (statuses.UNAVAILABLE, "")
    assert "somebody's exercise" in outcome.err


class GoBetween:
    """Passes bytes on between an admin socket of its own and that of a daemon."""

    def __init__(self, path: Path, target: str) -> None:
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen()
        self._target = target
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        near, _ = self.listening.accept()
        with near, socket.socket(socket.AF_UNIX) as far:
            far.connect(self._target)
            while data := near.recv(65536):
                far.sendall(data)
                near.sendall(far.recv(65536))


def test_none_but_the_daemon_is_ended(runtime_dir: Path) -> None:
    """This process answers in the daemon's place: it passes on what that says."""
    with SupervisedDaemon(runtime_dir) as daemon, Lockctl(daemon) as lockctl:
        between = GoBetween(runtime_dir / "between", daemon.admin_socket)
        with between.listening:
            status, why = is_refused(lockctl, daemon, "--yes", "--admin-socket", str(runtime_dir / "between"))
    assert status == statuses.UNAVAILABLE
    assert f"is pid {os.getpid()}, and says that it is pid {daemon.pid}: somebody stands between" in why


def test_two_daemons_are_not_mixed_up(runtime_dir: Path, daemon: Daemon) -> None:
    """The probes would be with one, and the other would be ended."""
    with SupervisedDaemon(runtime_dir) as other, Lockctl(daemon) as lockctl:
        outcome = lockctl(*RESTART, "--yes", "--admin-socket", other.admin_socket)
        assert other.restarts == 0
    assert outcome.status == statuses.UNAVAILABLE
    assert "are not of the same daemon" in outcome.err


def test_ctrl_c_while_the_daemon_is_away(runtime_dir: Path) -> None:
    is_away, goes_on = threading.Event(), threading.Event()

    def between(daemon: Daemon) -> None:
        is_away.set()
        goes_on.wait(DEADLINE_SECONDS)

    with SupervisedDaemon(runtime_dir, between) as daemon, Lockctl(daemon) as lockctl:
        program = lockctl.start(*RESTART, "--yes")
        assert is_away.wait(DEADLINE_SECONDS)
        program.send_signal(signal.SIGINT)
        outcome = program.end()
        goes_on.set()
        wait_until(lambda: daemon.restarts == 1, "the daemon is back")
        wait_until(lambda: tokens(daemon) == {}, "nothing is left of it")
        assert json.loads(lockctl("status", "--json").out)["abandoned"] == 0
    assert (outcome.status, outcome.err) == (statuses.SIGNALLED + signal.SIGINT, "")


# Daemons that are broken


def lose_journal(daemon: Daemon) -> None:
    (daemon.runtime_dir / "journal").unlink()


def cut_journal(daemon: Daemon) -> None:
    os.truncate(daemon.runtime_dir / "journal", 200)


@pytest.mark.parametrize("lose", [lose_journal, cut_journal])
def test_a_lost_journal_is_seen(lose: Callable[[Daemon], None], runtime_dir: Path) -> None:
    with SupervisedDaemon(runtime_dir, lose) as daemon, Lockctl(daemon) as lockctl:
        outcome = lockctl(*RESTART, "--yes", "--rounds", "3")
        assert daemon.restarts == 1
    assert (outcome.status, outcome.err) == (statuses.LOST, "")
    assert "the daemon has forgotten everything" in outcome.out
    assert "- DEGRADED: " in outcome.out
    assert "is lost to its holder, token " in outcome.out
    assert "nothing was lost" not in outcome.out


def requests(change: Callable[[RequestRecord], RequestRecord | None]) -> Callable[[Daemon], None]:
    """Return what changes the journal of a daemon, request by request."""

    def forged(records: list[Record]) -> list[Record]:
        kept = []
        for record in map(unpacked, records):
            changed = change(record) if isinstance(record, RequestRecord) else record
            if changed is not None:
                kept.append(packed(changed))
        return kept

    return lambda daemon: forge_journal(daemon, forged)


def without(label: str) -> Callable[[Daemon], None]:
    return requests(lambda record: None if record.terms.label == label else record)


def exchanged(one: str, other: str) -> Callable[[Daemon], None]:
    """Return what gives two waiters each other's places."""
    places: dict[str, int] = {}

    def learn(record: RequestRecord) -> RequestRecord:
        places[record.terms.label] = record.place
        return record

    def exchange(record: RequestRecord) -> RequestRecord:
        theirs = {one: other, other: one}.get(record.terms.label)
        return record if theirs is None else record._replace(place=places[theirs])

    def between(daemon: Daemon) -> None:
        requests(learn)(daemon)
        requests(exchange)(daemon)

    return between


def with_another_token(label: str) -> Callable[[Daemon], None]:
    return requests(
        lambda record: record._replace(token=record.token - 1000) if record.terms.label == label else record
    )


@pytest.mark.parametrize(
    ("between", "said"),
    [
        (without("holder 0"), '/process" was held by holder 0 with token'),
        (without("holder 1"), "waiter 0 for"),
        (without("holder 5"), '/permits" was held by holder 4 with token'),
        (without("waiter 1"), '/exclusive" was waited for by waiter 0 at place 1 (X), waiter 1 at place 2 (X), '),
        (exchanged("waiter 1", "waiter 2"), "waiter 1 at place 2 (X), waiter 2 at place 3 (X), and now by"),
        (with_another_token("holder 1"), "with token"),
    ],
)
def test_one_record_less_is_seen(between: Callable[[Daemon], None], said: str, runtime_dir: Path) -> None:
    with SupervisedDaemon(runtime_dir, between) as daemon, Lockctl(daemon) as lockctl:
        outcome = lockctl(*RESTART, "--yes")
        assert "Traceback" not in daemon.log
        wait_until(lambda: tokens(daemon) == {}, "nothing is left of it")
    assert (outcome.status, outcome.err) == (statuses.LOST, "")
    assert said in outcome.out.partition("LOST: ")[2]


def test_forging_alone_loses_nothing(runtime_dir: Path) -> None:
    """The control: a journal that was written anew is as good as the daemon's own."""
    with SupervisedDaemon(runtime_dir, requests(lambda record: record)) as daemon, Lockctl(daemon) as lockctl:
        outcome = lockctl(*RESTART, "--yes")
    assert (outcome.status, outcome.out.splitlines()[-1]) == (0, "nothing was lost")


def test_what_somebody_else_may_have_released_is_counted(runtime_dir: Path) -> None:
    between = requests(lambda record: None if record.items[0].name == "config" else record)
    # "lockctl run" would notice that the lock is gone, and exit: before it is looked at or afterwards.
    with SupervisedDaemon(runtime_dir, between) as daemon, with_company(daemon, "exec") as lockctl:
        outcome = lockctl(*RESTART, "--yes")
    assert outcome.status == 0
    [row] = [line.split() for line in outcome.out.splitlines() if line.startswith("grants of others")]
    assert row[3:] == ["2", "1", "1", "0"]
    assert "From outside a loss would look the same" in outcome.out
