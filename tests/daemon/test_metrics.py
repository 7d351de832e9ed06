"""The metrics: each is there, is told of in docs/metrics.md, and the alert rules ask for nothing else."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
import threading
import time
from types import ModuleType
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock, wait_all_tasks_blocked

from lockd.admin import exposition as imported_before
from lockd.admin import measured
from lockd_wire import messages as m
from support.shell import Peer, Shell, Start, acquire
from support.sources import REPOSITORY

assert isinstance(imported_before, ModuleType)


@pytest.fixture(autouse=True)
def _writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a daemon that was asked for the first time: what is imported is known already, so it takes no time."""
    monkeypatch.setattr(measured, "_writer", measured._Writer())


async def heard_by(admin: Peer) -> list[Any]:
    """Wait for what takes a thread its time, which no clock of a test knows."""
    while not (heard := await admin.hears()):  # noqa: ASYNC110  # There is nothing to be told by.
        await trio.sleep(0.01)
    return heard


async def pages(admin: Peer) -> list[m.Rows]:
    """Ask for all pages, and wait for them."""
    answers: list[m.Rows] = []
    cursor: int | None = 0
    while cursor is not None:
        admin.says(m.Metrics(1, cursor))
        [answer] = await heard_by(admin)
        assert isinstance(answer, m.Rows), answer
        answers.append(answer)
        cursor = answer.cursor
    return answers


async def metrics(shell: Shell) -> str:
    admin = await shell.administrator()
    return "".join(str(row["text"]) for page in await pages(admin) for row in page.rows)


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_what_happens_is_counted(start: Start, autojump_clock: MockClock) -> None:
    shell = await start(metrics__patterns="reports/*", diagnostics__convoy_waiters="1")
    one, other = await shell.welcomed(), await shell.welcomed()
    [token, _] = await one.granted(acquire(1, "reports/daily"), acquire(2, "db"))
    await other.asks(acquire(1, "reports/daily", timeout=5))
    await trio.sleep(2)
    before = samples(await metrics(shell))
    assert before["lockd_waiters", ()] == before["lockd_convoys", ()] == 1
    one.says(m.Release(3, token, False))
    await wait_all_tasks_blocked()
    after = samples(await metrics(shell))
    reports, others = (("pattern", "reports/*"),), (("pattern", "other"),)
    assert after["lockd_wait_seconds_count", reports] == 2
    assert after["lockd_wait_seconds_sum", reports] == pytest.approx(2, abs=0.5)
    assert after["lockd_wait_seconds_count", others] == 1
    assert after["lockd_hold_seconds_count", reports] == 1
    assert after["lockd_hold_seconds_count", others] == 0
    assert after["lockd_wait_seconds_bucket", (("le", "0.5"), *reports)] == 1
    assert after["lockd_wait_seconds_bucket", (("le", "+Inf"), *reports)] == 2
    assert (after["lockd_grants_total", ()], after["lockd_waits_total", ()]) == (3, 1)
    assert (after["lockd_holds", ()], after["lockd_waiters", ()], after["lockd_convoys", ()]) == (2, 0, 0)
    assert after["lockd_sessions", (("state", "attached"),)] == 2
    assert after["lockd_journal_written_bytes_total", ()] > before["lockd_journal_written_bytes_total", ()] > 0
    assert after["lockd_degraded", ()] == after["lockd_state_lost", ()] == 0


async def test_pages_are_of_one_moment_and_fit_into_frames(start: Start, autojump_clock: MockClock) -> None:
    patterns = ",".join(f"{number}ä*" for number in range(16))
    shell = await start(metrics__patterns=patterns)
    admin, client = await shell.administrator(), await shell.welcomed()
    all_pages = await pages(admin)
    assert len(all_pages) > 2
    texts = [str(row["text"]) for page in all_pages for row in page.rows]
    assert max(len(text.encode()) for text in texts) <= 1000
    assert len(list(text_string_to_metric_families("".join(texts)))) > 30
    assert "".join(texts).count("lockd_hold_seconds_count{") == 17
    await client.granted(acquire(1))
    # A cursor from nowhere has nothing behind it.
    [answer] = await admin.asks(m.Metrics(9, 8))
    assert answer == m.Rows(9, (), None)


async def test_what_the_process_uses_is_what_the_kernel_says(shell: Shell, autojump_clock: MockClock) -> None:
    found = samples(await metrics(shell))
    open_now = len(os.listdir("/proc/self/fd"))
    assert abs(found["process_open_fds", ()] - open_now) <= 4
    assert found["process_max_fds", ()] == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert 1e6 < found["process_resident_memory_bytes", ()] < found["process_virtual_memory_bytes", ()]
    assert 0 < found["process_cpu_seconds_total", ()] <= time.process_time()
    started_at = samples("\n".join(generate_latest(_collected()).decode().splitlines()) + "\n")
    started = started_at["process_start_time_seconds", ()]
    assert found["process_start_time_seconds", ()] == pytest.approx(started, abs=2)
    # Whoever counts how often it changes wants it to stay the same.
    again = samples(await metrics(shell))
    assert again["process_start_time_seconds", ()] == found["process_start_time_seconds", ()]


def _collected() -> CollectorRegistry:
    """What the library itself would say, whose count of descriptors takes too long where there are many."""
    registry = CollectorRegistry()
    registry.register(ProcessCollector(registry=None))
    return registry


def test_an_older_kernel_does_not_tell_the_number_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.stat

    def stat(path: str) -> object:
        return os.stat_result((0,) * 10) if path == "/proc/self/fd" else real(path)

    with monkeypatch.context() as kernel:
        kernel.setattr(os, "stat", stat)
        counted = imported_before.open_descriptors()
    assert abs(counted - len(os.listdir("/proc/self/fd"))) <= 1


async def test_others_are_served_while_the_writer_is_imported(
    shell: Shell, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_to_go_on = threading.Event()
    monkeypatch.setattr(measured._Writer, "_import", lambda self: is_to_go_on.wait(60))
    admin, client = await shell.administrator(), await shell.welcomed()
    assert await admin.asks(m.Metrics(1, 0)) == []
    await client.granted(acquire(1))
    [status] = await admin.asks(m.Status(2))
    assert isinstance(status, m.Report)
    is_to_go_on.set()
    assert [type(answer) for answer in await heard_by(admin)] == [m.Rows]


async def test_whoever_does_not_wait_for_the_answer_does_no_harm(
    shell: Shell, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_to_go_on = threading.Event()
    monkeypatch.setattr(measured._Writer, "_import", lambda self: is_to_go_on.wait(60))
    admin = await shell.administrator()
    admin.says(m.Metrics(1, 0))
    await wait_all_tasks_blocked()
    admin.hangs_up()
    is_to_go_on.set()
    await trio.sleep(1)
    assert (await shell.status())["sessions"] == 0


async def test_a_library_that_is_not_there_is_said_to_be_missing_and_locks_are_served(
    shell: Shell, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "lockd.admin.exposition")
    monkeypatch.delattr("lockd.admin.exposition", raising=False)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    admin, client = await shell.administrator(), await shell.welcomed()
    admin.says(m.Metrics(1, 0))
    [failed] = await heard_by(admin)
    assert (failed.id, failed.code) == (1, "unavailable")
    assert "prometheus-client" in failed.sentence
    await client.granted(acquire(1))


# The documents.

_ROW = re.compile(r"^\| `((?:lockd|process)_\w+)` \| (\w+) \|(.*?)\| .+ \|$", re.MULTILINE)


def documented() -> dict[str, tuple[str, set[str]]]:
    page = (REPOSITORY / "docs" / "metrics.md").read_text("utf-8")
    rows = _ROW.findall(page)
    assert len(rows) == len({name for name, *_ in rows})
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def told(text: str) -> dict[str, tuple[str, set[str]]]:
    """Return what an output tells, in the manner of the table."""
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        found[name] = (family.type, labels)
    return found


async def test_every_metric_is_documented_once_with_its_kind_and_labels(
    shell: Shell, autojump_clock: MockClock
) -> None:
    assert told(await metrics(shell)) == documented()


def rules() -> list[dict[str, str]]:
    """Return the alert rules: what stands behind each key of one."""
    page = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    [block] = re.findall(r"```yaml\n(groups:\n.*?)```", page, re.DOTALL)
    found = []
    for rule in block.split("- alert: ")[1:]:
        name, *lines = rule.splitlines()
        keys = {}
        for line in filter(str.strip, lines):
            match = re.fullmatch(r" +(\w+):(?: (.*))?", line)
            assert match is not None, line
            keys[match[1]] = match[2] or ""
        found.append({"alert": name, **keys})
    return found


#: Words of the language, and functions of it that the rules use.
_WORDS = {"and", "on", "by", "instance", "le", "pattern", "sum", "time"}
_FUNCTIONS = {"rate", "increase", "changes", "histogram_quantile", "sum", "time", "on", "by"}
_FOREIGN = {"node_textfile_mtime_seconds"}
_TOKEN = re.compile(
    r"\s*(?:(?P<string>\"[^\"]*\")|(?P<range>\[\d+[smhd]\])|(?P<number>\d+(?:\.\d+)?)|(?P<word>[a-zA-Z_]\w*)"
    r"|(?P<sign>==|=~|!=|>=|<=|[-+*/(){},=<>]))"
)


def tokens_of(expression: str) -> list[tuple[str, str]]:
    """Return the kind and the text of each token. What is none has the kind ``""``."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(expression):
        match = _TOKEN.match(expression, at)
        if match is None:
            return [*found, ("", expression[at:])]
        assert match.lastgroup is not None
        found.append((match.lastgroup, match[match.lastgroup]))
        at = match.end()
    return found


def fault_of(expression: str, known: dict[str, tuple[str, set[str]]]) -> str | None:
    """Say what is wrong with an expression, as far as its words, its brackets and its metrics go."""
    labels_of_all = {label for _, labels in known.values() for label in labels} | {"file"}
    tokens = tokens_of(expression)
    depth: list[str] = []
    kind_before, before = "", ""
    for (kind, token), (_, behind) in zip(tokens, [*tokens[1:], ("", "")], strict=True):
        if not kind:
            return f"{token} is not understood"
        if token in "({":
            depth.append({"(": ")", "{": "}"}[token])
        elif token in ")}" and (not depth or depth.pop() != token):
            return f"{token} closes nothing"
        elif kind == "word" and depth[-1:] == ["}"]:
            if token not in labels_of_all:
                return f"{token} is no label"
        elif kind == "word" and behind == "(":
            if token not in _FUNCTIONS | _WORDS:
                return f"{token} is no function"
        elif kind == "word" and token not in _WORDS | _FOREIGN:
            if token not in known and re.sub(r"_(bucket|count|sum)$", "", token) not in known:
                return f"{token} is no metric"
            if kind_before in ("number", "word", "string") and before not in _WORDS:
                return f"{token} has nothing in front of it that joins it to {before}"
        elif kind == "range" and kind_before != "word":
            return "a range belongs behind a metric"
        kind_before, before = kind, token
    return "a bracket is open" if depth else None


def test_the_alert_rules_are_complete_and_ask_for_metrics_that_there_are() -> None:
    found = rules()
    assert len(found) > 10
    assert len({rule["alert"] for rule in found}) == len(found)
    for rule in found:
        assert re.fullmatch(r"Lockd[A-Za-z]+", rule["alert"])
        assert rule["summary"]
        assert set(rule) <= {"alert", "expr", "for", "annotations", "summary"}
        assert fault_of(rule["expr"], documented()) is None, rule


@pytest.mark.parametrize(
    "expression",
    [
        "lockd_no_such_thing > 0",
        "increase(lockd_deadlocks_total[1h] > 0",
        "increase(lockd_deadlocks_total[1h])) > 0",
        "increases(lockd_deadlocks_total[1h]) > 0",
        'lockd_sessions{status="attached"} > 0',
        "rate([1h]) > 0",
        "lockd_names % $",
        "lockd_names lockd_names",
    ],
)
def test_a_rule_that_is_wrong_is_found_out(expression: str) -> None:
    assert fault_of(expression, documented()) is not None


def test_every_event_of_the_log_is_documented_once() -> None:
    from lockd.logs import Event

    page = (REPOSITORY / "docs" / "operations.md").read_text("utf-8")
    [table] = re.findall(r"\| `LOCKD_EVENT` \|.*?\n\n", page, re.DOTALL)
    named = [name for row in table.splitlines()[2:] if row for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(Event)


def test_a_daemon_that_nobody_asks_does_not_carry_the_library() -> None:
    script = "import lockd.server, sys; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout == "False\n"
