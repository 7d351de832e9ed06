"""``lockctl top``: what a screen shows, what a key does, and that the terminal is as it was afterwards."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from rich.cells import cell_len

from lockd.ctl import top
from lockd.ctl.top import Look, View, chosen, pressed, screen
from lockd_client import Client, connect
from support.daemon import Daemon
from support.lockctl import LOCKCTL, Lockctl
from support.terminal import CTRL_C, CTRL_Z, Terminal

STATUS: dict[str, Any] = {"release": "0.1.0", "sessions": 7, "names": 3, "grants": 2, "waiters": 6, "trouble": ""}


def row(name: str, waiters: int = 0, longest: float = 0.0, held: float | None = 1.0) -> dict[str, Any]:
    """Return a name as the daemon tells of it."""
    holder = {"pid": 4711, "uid": 0, "program": "backup", "label": "nightly", "held_seconds": held, "attached": True}
    return {
        **{"name": name, "mode": "X", "permits": 0, "limit": 0, "holders_total": 1, "waiters_total": waiters},
        **{"holder": holder if held is not None else None, "longest_wait_seconds": longest},
    }


NAMES = [row("a", 1, 50.0, 2.0), row("b", 5, 3.0, 9.0), row("c", 0, 0.0, 700.0), row("d", 1, 50.0, None)]


@pytest.mark.parametrize(
    ("view", "names"),
    [
        (View("contention"), "badc"),
        (View("waits"), "adbc"),
        (View("holds"), "cbad"),
        (View("contention", pattern="c"), "c"),
        (View("contention", pattern="x", is_typing=True), ""),
    ],
)
def test_what_is_shown_and_in_which_order(view: View, names: str) -> None:
    assert "".join(row["name"] for row in chosen(view, NAMES)) == names


@pytest.mark.parametrize(
    ("keys", "view"),
    [
        ("w", View("waits")),
        ("wh", View("holds")),
        ("hc", View("contention")),
        ("z\t", View("contention")),
        ("/wq", View("contention", "wq", is_typing=True)),
        ("/wq\x7f\x7f\x7f\x7fc\x01", View("contention", "c", is_typing=True)),
        ("/w\bh\nw", View("waits", "h")),
        ("/wq\r", View("contention", "wq")),
        ("/wq\x1b", View("contention")),
        ("/wq\n\x1b", View("contention")),
        ("/w\n/q", View("contention", "wq", is_typing=True)),
        ("hq", None),
    ],
)
def test_keys(keys: str, view: View | None) -> None:
    seen: View | None = View("contention")
    for key in keys:
        assert seen is not None
        seen = pressed(seen, key)
    assert seen == view


def test_a_screen() -> None:
    assert [line.rstrip() for line in screen(View("contention", "", True), Look(STATUS, NAMES), 80, 24)] == [
        "lockd 0.1.0: 7 sessions, 3 names, 2 grants, 6 waiters",
        "sorted by contention   names with: _",
        "NAME  MODE       HELD BY                        FOR  WAITERS  LONGEST",
        'b     exclusive  4711 backup "nightly"          9 s        5      3 s',
        'a     exclusive  4711 backup "nightly"          2 s        1     50 s',
        "d     exclusive  -                                -        1     50 s",
        'c     exclusive  4711 backup "nightly"  11 min 40 s        0        -',
    ]


def test_trouble_stands_at_the_top() -> None:
    assert screen(View("waits"), Look(STATUS, [], "the daemon has gone away"), 200, 24)[0].endswith(
        "6 waiters   the daemon has gone away"
    )
    assert "no room" in screen(View("waits"), Look({**STATUS, "trouble": "no room"}, []), 200, 24)[0]


def test_more_names_than_are_looked_at() -> None:
    look = Look({**STATUS, "names": 1001}, [row(f"{number}") for number in range(900)])
    assert "(900 of 1001 names: some that are contended)" in screen(View("waits"), look, 80, 24)[1]
    assert "(900 of 1001 names: some that are held longest)" in screen(View("holds"), look, 80, 24)[1]
    assert "some" not in screen(View("waits"), Look({**STATUS, "names": 1000}, []), 80, 24)[1]


class Admin:
    """Stands for the daemon: tells what it is asked for, and has names that were taken one a second."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.asked: list[dict[str, Any]] = []

    def status(self) -> dict[str, Any]:
        return {**STATUS, "names": self.total}

    def names(self, prefix: str, **options: Any) -> Iterator[dict[str, Any]]:
        self.asked.append(options)
        return (row(f"{number}") for number in range(self.total - int(options.get("older_than", 0))))


def test_it_asks_for_what_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    admin = Admin(1000)
    monkeypatch.setattr(top, "AdminClient", lambda path: admin)
    watcher = top.Watcher("admin.sock", "db/")
    assert len(watcher.look("holds").names) == 1000
    admin.total = 5000
    assert len(watcher.look("contention").names) == len(watcher.look("waits").names) == 1000
    assert admin.asked == [{}, {"contended": True}, {"contended": True}]
    # As many as can be looked at, and those that are held longest among them.
    looks = [len(watcher.look("holds").names) for _ in range(20)]
    assert looks[:12] == [1000] * 12
    assert looks[12:] == [904] * 8
    # Many are released, and it finds the others.
    admin.total = 1001
    assert max(len(watcher.look("holds").names) for _ in range(20)) > 100


@pytest.mark.parametrize("columns", [1, 20, 50, 80, 200])
@pytest.mark.parametrize("lines", [1, 3, 5, 24])
def test_it_fits_the_terminal_and_gives_it_no_orders(columns: int, lines: int) -> None:
    names = [row("漢" * 60), row("\x1b[31m\r\n" * 9), row("e\u0301" * 100, 3)]
    shown = screen(View("waits"), Look(STATUS, names), columns, lines)
    assert len(shown) <= lines
    assert all(line.isprintable() and cell_len(line) <= columns for line in shown)
    if columns >= 80 and lines == 24:
        # The figures are seen whatever the names are.
        assert all(line.rstrip()[-1] in "-sT" for line in shown[2:])


@pytest.fixture
def contended(lockctl: Lockctl, client: Client, name: str) -> Iterator[str]:
    """A name that is held, and that somebody waits for."""
    with client.lock(name, timeout=0, label="why"):
        waiter = lockctl.start("run", name, "true")
        lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
        yield name
    waiter.wait()


def test_once(lockctl: Lockctl, contended: str) -> None:
    for words in (("--once",), ()):
        outcome = lockctl("top", *words, contended, COLUMNS="200")
        assert (outcome.status, outcome.err) == (0, "")
        _, order, heading, line = outcome.out.splitlines()
        assert order == "sorted by contention"
        assert heading.split()[0] == "NAME"
        assert line.split()[:2] == [contended, "exclusive"]


def test_without_a_daemon(lockctl: Lockctl, daemon: Daemon) -> None:
    assert lockctl("top", "--admin-socket", daemon.admin_socket + "x").status == 69


@pytest.fixture
def terminal(lockctl: Lockctl) -> Iterator[Terminal]:
    """A shell that waits for a command."""
    with Terminal("sh", "-i", environment=lockctl.environment(PS1="ready> ", ENV=""), columns=120) as terminal:
        terminal.until("ready> ")
        yield terminal


#: What asks a terminal for a second screen, and gives it back.
IN, OUT = "\x1b[?1049h", "\x1b[?1049l"


def test_on_a_terminal(terminal: Terminal, contended: str) -> None:
    terminal.press("before=$(stty -g)\n")
    terminal.until("ready> ")
    terminal.press(f"{LOCKCTL} top -d 0.1 {contended}\n")
    terminal.until(IN)
    terminal.until(contended)
    terminal.press("h")
    terminal.until("holds")
    terminal.press("/nothing")
    # Curses draws what has changed and nothing else.
    terminal.until("g_")
    terminal.press("\x1b")
    terminal.until(contended)
    terminal.resize(60)
    # What does not fit any more is cut.
    terminal.until("…")
    terminal.press(CTRL_Z)
    terminal.until(OUT)
    terminal.until("ready> ")
    terminal.press("fg\n")
    terminal.until(IN)
    terminal.until("…")
    terminal.press("q")
    terminal.until(OUT)
    terminal.until("ready> ")
    terminal.press("echo status=$?; test $before = $(stty -g) && echo as it wa''s\n")
    terminal.until("status=0")
    terminal.until("as it was")


def test_a_daemon_that_goes_away_is_waited_for(own_daemon: Daemon) -> None:
    with Terminal(LOCKCTL, "top", "-d", "0.1", environment=own_daemon.environment(), columns=120) as terminal:
        terminal.until("0 names")
        own_daemon.kill()
        terminal.until("the daemon has gone away")
        own_daemon.start()
        with connect(own_daemon.client_socket) as client, client.lock("zebra"):
            terminal.until("zebra")
        terminal.press("q")
        terminal.until(OUT)


@pytest.mark.parametrize("how", ["a key", "a signal"])
def test_the_terminal_is_given_back_whatever_ends_it(terminal: Terminal, contended: str, how: str) -> None:
    terminal.press(f"sh -c 'echo pid=$$.; exec {LOCKCTL} top {contended}'\n")
    terminal.until("pid=")
    terminal.until("\npid=")
    pid = int(terminal.until(".")[:-1])
    terminal.until(contended)
    if how == "a key":
        terminal.press(CTRL_C)
    else:
        os.kill(pid, signal.SIGTERM)
    assert "Traceback" not in terminal.until(OUT)
    terminal.until("ready> ")
    terminal.press("echo status=$?\n")
    assert "Traceback" not in terminal.until(f"status={130 if how == 'a key' else 143}")


def test_a_dumb_terminal_gets_one_screen(lockctl: Lockctl, contended: str) -> None:
    words = ("env", "TERM=dumb", LOCKCTL, "top", contended)
    with Terminal(*words, environment=lockctl.environment(), columns=200) as terminal:
        shown = terminal.rest()
    assert "\x1b" not in shown
    assert contended in shown
