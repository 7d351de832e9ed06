"""``lockctl list``, ``show``, ``sessions`` and ``status``: for people and for programs, on terminals and in pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lockd.ctl import statuses
from lockd.ctl.main import main
from lockd_client import Client, connect
from support.daemon import DEADLINE_SECONDS, Daemon
from support.lockctl import LOCKCTL, Lockctl
from support.permissions import SOMEBODY, effective_uid, needs_root
from support.raw import Raw
from support.terminal import Terminal

HOLDER = {"pid", "uid", "program", "label", "mode", "permits", "held_seconds", "token", "attached"}
WAITER = {
    *("pid", "uid", "program", "label", "mode", "permits", "converts_from", "position", "waited_seconds"),
    *("deadline_seconds", "attached", "unit"),
}
NAME = {"name", "mode", "permits", "limit", "holders_total", "waiters_total", "holder", "longest_wait_seconds"}
SHOWN = {
    *("name", "permits", "limit", "holders", "waiters", "holders_total", "waiters_total", "abandoned"),
    "history",
}
SESSION = {"session", "pid", "uid", "gid", "program", "attached", "grants", "waiting", "age_seconds", "unit"}
STATUS = {
    *("release", "version", "pid", "epoch", "uptime_seconds", "sessions", "detached", "names", "grants", "waiters"),
    *("abandoned", "granted_total", "timeouts_total", "cancels_total", "deadlocks_total", "reorders_total"),
    *("leases_taken_total", "deaths_total", "breaks_total", "kills_total", "trouble", "supervised"),
}


@pytest.fixture
def waiter(lockctl: Lockctl, client: Client, name: str) -> Iterator[int]:
    """The test holds the name, with a label, and this process waits for it."""
    with client.lock(name, timeout=0, label="tells a story"):
        program = lockctl.start("exec", "-w", "1000", name, "true")
        facts = lockctl.wait_until(name, lambda facts: facts["waiters_total"] == 1)
        yield facts["waiters"][0]["pid"]
    program.wait()


def test_list(lockctl: Lockctl, waiter: int, name: str) -> None:
    outcome = lockctl("list", name)
    assert (outcome.status, outcome.err) == (0, "")
    heading, row = outcome.out.splitlines()
    assert heading.split("  ")[0] == "NAME"
    assert row.split()[:2] == [name, "exclusive"]
    assert f'{os.getpid()} the test "tells a story"' in row


def test_show(lockctl: Lockctl, waiter: int, name: str) -> None:
    outcome = lockctl("show", name)
    assert (outcome.status, outcome.err) == (0, "")
    title, _, _, holder, _, _, waiting = outcome.out.splitlines()
    assert title == f'"{name}": 1 holder, 1 waiter'
    assert holder.split()[0] == str(os.getpid())
    assert holder.endswith("  tells a story")
    assert waiting.split()[:2] == ["1", str(waiter)]
    assert "  in 16 min" in waiting


def test_sessions(lockctl: Lockctl, waiter: int) -> None:
    outcome = lockctl("sessions")
    assert (outcome.status, outcome.err) == (0, "")
    pids = [row.split()[1] for row in outcome.out.splitlines()]
    assert pids[0] == "PID"
    assert {str(os.getpid()), str(waiter)} <= set(pids)


def test_status(lockctl: Lockctl, daemon: Daemon) -> None:
    outcome = lockctl("status")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith(f"lockd 0.1.0 (pid {daemon.pid}, protocol 1, ")


def test_json(lockctl: Lockctl, daemon: Daemon, waiter: int, name: str) -> None:
    rows = json.loads(lockctl("list", "--json", name).out)
    assert [(row["name"], row["mode"], row["waiters_total"]) for row in rows] == [(name, "X", 1)]
    assert rows[0].keys() == NAME
    assert rows[0]["holder"].keys() == HOLDER
    assert type(rows[0]["longest_wait_seconds"]) is float

    facts = json.loads(lockctl("show", "--json", name).out)
    assert facts.keys() == SHOWN
    assert [(facts["holders"][0].keys(), facts["waiters"][0].keys())] == [(HOLDER | {"unit"}, WAITER)]
    assert (facts["holders"][0]["label"], facts["waiters"][0]["pid"]) == ("tells a story", waiter)

    sessions = json.loads(lockctl("sessions", "--json").out)
    assert all(session.keys() == SESSION for session in sessions)
    assert {os.getpid(), waiter} <= {session["pid"] for session in sessions}

    status = json.loads(lockctl("status", "--json").out)
    assert status.keys() == STATUS
    assert status["pid"] == daemon.pid


HAPPENED = {
    *("name", "what", "ago_seconds", "pid", "uid", "program", "label", "mode", "permits", "token"),
    *("waited_seconds", "held_seconds"),
}


def test_history(lockctl: Lockctl, waiter: int, client: Client, name: str) -> None:
    lockctl("run", "-n", name, "true")
    outcome = lockctl("history", name)
    assert (outcome.status, outcome.err) == (0, "")
    heading, *rows = outcome.out.splitlines()
    assert heading.split() == ["AT", "WHAT", "PID", "USER", "PROGRAM", "MODE", "WAITED", "HELD", "LABEL"]
    assert [row.split("  ")[1].strip() for row in rows] == ["timed out", "granted", "queued"]
    assert rows[1].endswith("  tells a story")
    documents = json.loads(lockctl("history", "--json", name).out)
    assert [(row["what"], row.keys()) for row in documents] == [
        (what, HAPPENED) for what in ("timed out", "granted", "queued")
    ]
    # What is over belongs to all that is known of a name.
    lines = lockctl("show", name).out.splitlines()
    assert lines[-3:-1] == ["lately", lines[-2]]
    assert lines[-1].split() == rows[0].split()
    shown = json.loads(lockctl("show", "--json", name).out)
    assert [(row["what"], row.keys()) for row in shown["history"]] == [("timed out", HAPPENED)]


def test_a_daemon_that_remembers_nothing(runtime_dir: Path) -> None:
    runtime_dir.joinpath("lockd.toml").write_text("[diagnostics]\nhistory_names_max = 0\n")
    with Daemon(runtime_dir, "--config", str(runtime_dir / "lockd.toml")) as daemon, Lockctl(daemon) as lockctl:
        lockctl("run", "a", "true")
        assert lockctl("show", "a") == (0, '"a": nobody holds it or waits for it\n', "")
        words = "lockctl: the daemon refused: the daemon was told to remember nothing (diagnostics.history_names_max)\n"
        assert lockctl("history", "a") == (69, "", words)


def test_where_there_is_nothing(lockctl: Lockctl, name: str) -> None:
    assert lockctl("list", name) == (0, "nobody holds or waits for any such name\n", "")
    assert lockctl("show", name) == (0, f'"{name}": nobody holds it or waits for it\n', "")
    assert lockctl("history", name) == (0, "nothing is remembered of it\n", "")
    assert json.loads(lockctl("list", "--json", name).out) == []
    assert json.loads(lockctl("show", "--json", name).out)["holders_total"] == 0


def test_more_than_one_page(lockctl: Lockctl, client: Client, name: str) -> None:
    names = [f"{name}/{number}" for number in range(20)]
    grants = [client.lock(each, timeout=0) for each in names]
    for grant in grants:
        grant.acquire()
    listed = [row["name"] for row in json.loads(lockctl("list", "--json", f"{name}/").out)]
    for grant in grants:
        grant.release()
    assert listed == sorted(names)


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([], ["0", "1", "2"]),
        (["--held"], ["0", "1", "2"]),
        (["--contended"], ["1"]),
        (["--held", "--contended"], ["1"]),
        (["--older-than", "0"], ["0", "1", "2"]),
        (["--older-than", "1e5"], []),
    ],
)
def test_some_names(lockctl: Lockctl, daemon: Daemon, name: str, filters: list[str], numbers: list[str]) -> None:
    with (
        Raw.welcomed(daemon.client_socket, release_on_eof=True) as holder,
        Raw.welcomed(daemon.client_socket, release_on_eof=True) as waiter,
    ):
        for number in range(3):
            holder.acquire(number + 1, f"{name}/{number}")
        waiter.queue_up(1, [f"{name}/1", "X"])
        rows = json.loads(lockctl("list", "--json", *filters, f"{name}/").out)
    assert [row["name"][-1] for row in rows] == numbers


@pytest.mark.parametrize(
    ("filters", "programs"),
    [
        ([], {"idle", "holds", "waits"}),
        (["--held"], {"holds"}),
        (["--waiting"], {"waits"}),
        (["--held", "--waiting"], set()),
        (["--older-than", "1e5"], set()),
    ],
)
def test_some_sessions(lockctl: Lockctl, daemon: Daemon, name: str, filters: list[str], programs: set[str]) -> None:
    with (
        Raw.welcomed(daemon.client_socket, f"{name[:30]} idle", release_on_eof=True),
        Raw.welcomed(daemon.client_socket, f"{name[:30]} holds", release_on_eof=True) as holder,
        Raw.welcomed(daemon.client_socket, f"{name[:30]} waits", release_on_eof=True) as waiter,
    ):
        holder.acquire(1, name)
        waiter.queue_up(1, [name, "X"])
        rows = json.loads(lockctl("sessions", "--json", *filters).out)
    ids = [row["session"] for row in rows]
    assert ids == sorted(ids)
    told = {row["program"].split()[-1] for row in rows if row["program"].startswith(f"{name[:30]} ")}
    assert told == programs


def test_a_name_that_was_left_half_done(lockctl: Lockctl, daemon: Daemon, name: str) -> None:
    with Raw.welcomed(daemon.client_socket, "importer", release_on_eof=True) as gone:
        gone.take(1, [name, "X"], label="half way")
    lockctl.wait_until(name, lambda facts: not facts["holders_total"])
    title, _, told, *lately = lockctl("show", name).out.splitlines()
    assert title == f'"{name}": nobody holds it or waits for it'
    assert re.fullmatch(
        rf'abandoned \S+ s ago by {os.getpid()} importer "half way", which did not release it: .* half done', told
    )
    assert lately[:2] == ["", "lately"]
    assert json.loads(lockctl("show", "--json", name).out)["abandoned"]["label"] == "half way"


def test_a_narrow_terminal_leaves_out_the_units_first(lockctl: Lockctl, client: Client, name: str) -> None:
    with client.lock(name, timeout=0, label="l" * 30):
        assert " UNIT " in on_terminal(lockctl, 200, "show", name)
        narrow = on_terminal(lockctl, 79, "show", name)
    assert "UNIT" not in narrow
    assert "l" * 30 in narrow


def test_more_than_is_described(lockctl: Lockctl, daemon: Daemon, name: str) -> None:
    with holders(daemon, name, 12):
        lines = lockctl("show", name).out.splitlines()
    assert lines[0] == f'"{name}": 12 holders, 0 waiters'
    assert lines[-1] == "and 4 more"


@contextmanager
def holders(daemon: Daemon, name: str, number: int) -> Iterator[None]:
    """Have a number of shared holders."""
    clients = [Raw.welcomed(daemon.client_socket) for _ in range(number)]
    try:
        for client in clients:
            client.acquire(1, name, mode="S")
        yield
    finally:
        for client in clients:
            client.close()


@contextmanager
def called(comm: str) -> Iterator[None]:
    """Have the kernel call this process something else."""
    path = Path("/proc/self/comm")
    before = path.read_text().removesuffix("\n")
    path.write_text(comm)
    try:
        yield
    finally:
        path.write_text(before)


ORDERS = "\x1b[31mred\x1b[0m\r"


def test_nobody_gives_orders_to_the_terminal(daemon: Daemon, lockctl: Lockctl, name: str) -> None:
    """Names and labels have no control characters, but the kernel lets a process call itself anything."""
    with called(ORDERS), Raw.welcomed(daemon.client_socket, program="") as rude:
        rude.acquire(1, name)
        questions = [["list", name], ["show", name], ["sessions"], ["history", name]]
        outputs = [lockctl(*question).out for question in [*questions, ["top", "--once", name]]]
        outputs += [lockctl(*question, "--json").out for question in questions]
        outputs += [lockctl("run", "-n", name, "true").err]
    for output in outputs:
        assert output.replace("\n", "").isprintable()
        assert "red" in output
        assert "\\u001b[31mred" in output or "\\x1b[31mred" in output


def test_what_looks_like_markup_is_shown_as_it_is(daemon: Daemon, lockctl: Lockctl, name: str) -> None:
    markup = "[bold]a[/bold] :smile: [link=http://x]y[/] \\[z]"
    with connect(daemon.client_socket) as client, client.lock(name, timeout=0, label=markup):
        assert markup in lockctl("list", name).out
        assert markup in lockctl("show", name).out
        assert markup in on_terminal(lockctl, 200, "show", name)


def test_a_pipe_has_no_colours_and_cuts_nothing_off(lockctl: Lockctl, client: Client, name: str) -> None:
    long_name = f"{name}/{'n' * (255 - len(name) - 1)}"
    label = "l" * 256
    with client.lock(long_name, timeout=0, label=label):
        for outcome in (lockctl("list", name), lockctl("show", long_name)):
            assert long_name in outcome.out
            assert label in outcome.out
            assert "\x1b" not in outcome.out
            assert not any(line.endswith(" ") for line in outcome.out.splitlines())


def test_a_terminal_is_filled_and_not_overfilled(lockctl: Lockctl, client: Client, name: str) -> None:
    long_name = f"{name}/{'n' * (255 - len(name) - 1)}"
    with client.lock(long_name, timeout=0, label="l" * 256):
        shown = on_terminal(lockctl, 70, "list", name)
    assert max(map(len, shown.splitlines())) <= 70
    assert shown.count("n") >= 255 - len(name) - 1


def test_a_terminal_that_is_too_narrow_cuts_nothing_off(lockctl: Lockctl, waiter: int, name: str) -> None:
    shown = on_terminal(lockctl, 20, "show", name)
    for text in (str(os.getpid()), str(waiter), "exclusive", "GIVES UP"):
        assert text in shown


def on_terminal(lockctl: Lockctl, columns: int, *words: str) -> str:
    """Return what lockctl shows on a terminal, without the orders to print bold."""
    with Terminal(LOCKCTL, *words, environment=lockctl.environment(), columns=columns) as terminal:
        return terminal.rest().replace("\x1b[1m", "").replace("\x1b[0m", "")


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_every_locale_will_do(locale: str, lockctl: Lockctl, client: Client, name: str) -> None:
    with client.lock(f"{name}/é漢", timeout=0):
        outcome = lockctl("list", name, LC_ALL=locale, PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")
    assert (outcome.status, outcome.err) == (0, "")
    assert f"{name}/é漢" in outcome.out or f"{name}/\\xe9\\u6f22" in outcome.out


def test_a_reader_that_has_enough(lockctl: Lockctl, waiter: int) -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [LOCKCTL, "list"],
        stdout=write,
        stderr=subprocess.PIPE,
        env=lockctl.environment(),
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    os.close(write)
    assert (process.returncode, process.stderr) == (statuses.SIGNALLED + signal.SIGPIPE, b"")


def test_an_answer_that_cannot_be_written(lockctl: Lockctl) -> None:
    for redirection, reason in ((">/dev/full", "No space left on device"), (">&-", "no standard output")):
        script = f'"{LOCKCTL}" status {redirection}'
        outcome = lockctl.start_program("sh", "-c", script, environment=lockctl.environment()).end()
        assert outcome.status == statuses.NOT_WRITTEN
        assert reason in outcome.err
        assert outcome.err.count("\n") == 1


def test_ctrl_c_while_it_waits_for_an_answer(lockctl: Lockctl, runtime_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(runtime_dir / "admin.sock"))
        silent.listen()
        program = lockctl.start("status", "--admin-socket", str(runtime_dir / "admin.sock"))
        with silent.accept()[0] as connection:
            assert connection.recv(1)
            program.send_signal(signal.SIGINT)
            assert program.end() == (statuses.SIGNALLED + signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("question", "words", "variables"),
    [
        (["list"], ["--socket", "{}/lockd.sock"], {}),
        (["show", "x"], ["--admin-socket", "{}/admin.sock"], {}),
        (["sessions", "--json"], [], {"LOCKD_SOCKET": "{}/lockd.sock"}),
        (["status"], [], {"LOCKD_ADMIN_SOCKET": "{}/admin.sock"}),
    ],
)
def test_without_a_daemon(
    question: list[str], words: list[str], variables: dict[str, str], lockctl: Lockctl, runtime_dir: Path
) -> None:
    place = {key: value.format(runtime_dir) for key, value in variables.items()}
    outcome = lockctl(*question, *(word.format(runtime_dir) for word in words), **place)
    assert (outcome.status, outcome.out) == (statuses.UNAVAILABLE, "")
    assert outcome.err.startswith(f"lockctl: there is no lockd at {runtime_dir}/admin.sock: ")
    assert outcome.err.count("\n") == 1


def test_a_socket_on_the_command_line_outranks_the_environment(lockctl: Lockctl, daemon: Daemon) -> None:
    nowhere = {"LOCKD_SOCKET": "/nowhere", "LOCKD_ADMIN_SOCKET": "/nowhere"}
    assert lockctl("status", "--socket", daemon.client_socket, **nowhere).status == 0
    assert lockctl("status", "--admin-socket", daemon.admin_socket, **nowhere).status == 0
    assert lockctl("run", "--socket", daemon.client_socket, "x", "true", **nowhere).status == 0


@pytest.mark.parametrize("question", [["show", "a\nb"], ["list", "a\nb"], ["list", "\udcff"], ["show", ""]])
def test_a_name_that_cannot_be(question: list[str], lockctl: Lockctl) -> None:
    outcome = lockctl(*question)
    assert (outcome.status, outcome.out) == (statuses.USAGE, "")
    assert outcome.err.startswith('lockctl: the name "')
    assert outcome.err.count("\n") == 1


@needs_root
def test_somebody_who_is_no_administrator(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(daemon.admin_socket).parents[1].chmod(0o755)
    monkeypatch.setenv("LOCKD_SOCKET", daemon.client_socket)
    with effective_uid(SOMEBODY):
        assert main(["status"]) == statuses.DENIED
    # Where the permissions of the socket would let him, the daemon does not.
    Path(daemon.admin_socket).chmod(0o666)
    with effective_uid(SOMEBODY):
        assert main(["status"]) == statuses.DENIED
    Path(daemon.admin_socket).chmod(0o600)
    out, err = capsys.readouterr()
    by_permissions, first_way_out, by_daemon, second_way_out = err.splitlines()
    refused = f"this user may not connect to lockd at {daemon.admin_socket}: only uid 0 may"
    assert by_permissions.startswith(f"lockctl: {refused}")
    assert f"uid {SOMEBODY} is no administrator of this daemon" in by_daemon
    for way_out in (first_way_out, second_way_out):
        assert way_out.startswith("lockctl: the daemon answers root, the user that it runs as, ")
    assert out == ""
