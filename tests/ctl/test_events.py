"""``lockctl watch``: lines for people and objects for programs, as it happens; restarts, interrupts and pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from lockd.ctl.events import _events, document, line
from lockd_client import Client, connect
from lockd_wire import messages as m
from lockd_wire.codec import encode
from support.admin_peer import Peer
from support.daemon import Daemon
from support.lockctl import Lockctl, Program

NOW = datetime(2026, 3, 1, 12, 0, 2, 500_000, timezone(timedelta(hours=1)))

EVENT = {
    **{"name": "db", "what": "released", "ago_seconds": 1.25, "pid": 4711, "uid": os.getuid(), "program": "backup"},
    **{"label": "nightly", "mode": "X", "permits": 0, "token": 9, "waited_seconds": 3.0, "held_seconds": 61.0},
}


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (EVENT, '12:00:01.250  released     db  exclusive  pid 4711 (backup, "nightly")  waited 3 s, held 1 min 1 s'),
        (
            {**EVENT, "what": "granted", "waited_seconds": 0.0, "held_seconds": 0.0, "label": ""},
            "12:00:01.250  granted      db  exclusive  pid 4711 (backup)",
        ),
        (
            {**EVENT, "what": "lease taken", "mode": "", "permits": 2, "held_seconds": None},
            '12:00:01.250  lease taken  db  2 permits  pid 4711 (backup, "nightly")  waited 3 s',
        ),
        (
            {**EVENT, "name": "\x1b[31m", "program": "\x9b", "label": "\u202e"},
            '12:00:01.250  released     \\x1b[31m  exclusive  pid 4711 (\\x9b, "\\u202e")  waited 3 s, held 1 min 1 s',
        ),
        ({"what": "missed", "missed": 17}, "12:00:02.500  (17 events missed here)"),
        ({"what": "daemon gone", "detail": "the daemon has gone away"}, "12:00:02.500  (the daemon has gone away)"),
    ],
)
def test_a_line(event: dict[str, object], text: str) -> None:
    assert line(event, NOW) == text


def test_a_document_is_a_line_of_ascii_with_the_time() -> None:
    text = document({**EVENT, "name": "é\n\x1b"}, NOW)
    assert text.isascii()
    assert text.isprintable()
    assert json.loads(text) == {**EVENT, "name": "é\n\x1b", "at": "2026-03-01T12:00:01.250+01:00"}


@pytest.fixture
def watcher(lockctl: Lockctl, client: Client, name: str) -> Program:
    """One that sees what happens to the names that begin with that of the test."""
    watcher = lockctl.start("watch", name)
    sees = threading.Event()
    thread = threading.Thread(target=keep_busy, args=(client, f"{name}/first", sees))
    thread.start()
    assert "/first" in watcher.line()
    sees.set()
    thread.join()
    return watcher


def keep_busy(client: Client, name: str, is_enough: threading.Event) -> None:
    """Take and release a name again and again."""
    while not is_enough.wait(0.02):
        with client.lock(name):
            pass


def line_about(watcher: Program, name: str) -> str:
    """Return the next line about a name."""
    return next(line for line in iter(watcher.line, "") if f"  {name}  " in line)


def test_each_event_is_a_line_at_once(watcher: Program, client: Client, name: str) -> None:
    with client.lock(name, label="why"):
        granted = line_about(watcher, name)
        assert re.fullmatch(
            rf'\d\d:\d\d:\d\d\.\d{{3}}  granted      {re.escape(name)}  exclusive  pid {os.getpid()} \(.*"why"\)',
            granted,
        )
    assert "  released     " in line_about(watcher, name)


def test_ctrl_c_ends_it_quietly(watcher: Program) -> None:
    watcher.send_signal(signal.SIGINT)
    outcome = watcher.end()
    assert (outcome.status, outcome.err) == (130, "")


def test_whoever_reads_it_may_have_enough(watcher: Program, client: Client, name: str) -> None:
    assert watcher._process.stdout is not None
    watcher._process.stdout.close()
    with client.lock(name):
        pass
    assert watcher.wait() == 141
    assert watcher.complaint() == ""


def test_that_it_is_back_is_told_when_it_is_watched_again(runtime_dir: Path) -> None:
    """Whoever does something as soon as it is told that is told of it."""
    path = runtime_dir / "admin.sock"
    daemon = Peer(path)
    daemon.answers.append(encode(m.Report(2, {})) + encode(m.Happened(2, 17, ())))
    events = _events(str(path), "")
    assert next(events)["what"] == "missed"
    daemon.hang_up()
    assert next(events)["what"] == "daemon gone"
    daemon.stop()
    path.unlink()
    another = Peer(path)
    another.answers.append(m.Report(2, {}))
    assert next(events)["what"] == "daemon back"
    assert another.heard[1:] == [m.Watch(2, "")]
    another.hang_up()
    another.stop()


def test_a_restart_is_told_and_lived_through(own_daemon: Daemon) -> None:
    with Lockctl(own_daemon) as lockctl, connect(own_daemon.client_socket) as client:
        watcher = lockctl.start("watch", "--json")
        sees = threading.Event()
        thread = threading.Thread(target=keep_busy, args=(client, "a", sees))
        thread.start()
        assert json.loads(watcher.line())["name"] == "a"
        sees.set()
        thread.join()
        own_daemon.kill()
        gone = json.loads(next(text for text in iter(watcher.line, "") if "daemon" in text))
        own_daemon.start()
        back = json.loads(watcher.line())
        assert (gone["what"], back["what"]) == ("daemon gone", "daemon back")
        with client.lock("b"):
            pass
        while (event := json.loads(watcher.line())).get("name") != "b":
            pass
        assert event["what"] == "granted"


def test_without_a_daemon(lockctl: Lockctl, daemon: Daemon) -> None:
    outcome = lockctl("watch", "--admin-socket", daemon.admin_socket + "x")
    assert (outcome.status, outcome.out) == (69, "")
    assert "there is no lockd" in outcome.err or "admin.sockx" in outcome.err


def test_a_prefix_that_begins_no_name(lockctl: Lockctl) -> None:
    outcome = lockctl("watch", "a\nb")
    assert outcome.status == 64
    assert outcome.err.startswith('lockctl: the name "a\\nb" has a control character in it')
