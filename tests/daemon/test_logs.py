"""What is logged: a message is one line, for the journal and for people, and orders nothing."""

from __future__ import annotations

import io
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockd.logs import configure, log, safe

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


def for_people(level: str = "debug") -> io.StringIO:
    stream = io.StringIO()
    configure(level, stream, {})
    return stream


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Path]:
    """What the journal would read."""
    path = tmp_path / "journal"
    with path.open("w", encoding="utf-8") as stream:
        status = os.fstat(stream.fileno())
        configure("debug", stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        yield path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("reports/daily", "reports/daily"),
        ("größer 東京 🔒", "größer 東京 🔒"),
        ("two\nlines\r\n", r"two\x0alines\x0d\x0a"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x00\x07\x7f\x85\x9b", r"\x00\x07\x7f\x85\x9b"),
        ("a\u202eb\u2066c\u200fd\u061c", r"a\u202eb\u2066c\u200fd\u061c"),
        ("line\u2028paragraph\u2029", r"line\u2028paragraph\u2029"),
        ("in\u200bvisible\ufeff\xa0", r"in\u200bvisible\ufeff\xa0"),
        ("\udc80\ud800", r"\udc80\ud800"),
        ("\U000e0041\U0010ffff", r"\U000e0041\U0010ffff"),
        ("back\\slash", "back\\slash"),
    ],
)
def test_what_does_not_print_as_itself_is_escaped(text: str, shown: str) -> None:
    assert safe(text) == shown
    assert safe(shown) == shown
    assert safe(text).isprintable()


def test_people_see_when_and_how_grave() -> None:
    stream = for_people()
    log.debug("one")
    log.info("%s listens", "lockd")
    log.warning("three")
    log.error("four")
    log.critical("five")
    said = [re.sub(f"^{TIME} ", "TIME ", line) for line in stream.getvalue().splitlines()]
    assert said == [
        "TIME debug   one",
        "TIME info    lockd listens",
        "TIME warning three",
        "TIME error   four",
        "TIME critical five",
    ]


def test_the_journal_is_told_the_priority_of_each_line(journal: Path) -> None:
    log.debug("one")
    log.info("%s listens", "lockd")
    log.warning("three")
    log.error("four")
    log.critical("five")
    log.log(25, "of a level that syslog does not have")
    assert journal.read_text("utf-8").splitlines() == [
        "<7>one",
        "<6>lockd listens",
        "<4>three",
        "<3>four",
        "<2>five",
        "<6>of a level that syslog does not have",
    ]


def test_a_message_is_one_line_whatever_a_peer_calls_itself(journal: Path) -> None:
    log.info("refused %s", "ada\n<0>the machine is on fire\x1b[2J")
    assert journal.read_text("utf-8") == "<6>refused ada\\x0a<0>the machine is on fire\\x1b[2J\n"


def test_a_bug_is_told_with_its_traceback_every_line_of_which_is_marked(journal: Path) -> None:
    try:
        raise ValueError("bad\n<0>forged\x1b[2J")
    except ValueError:
        log.exception("this is a bug")
    first, *others = journal.read_text("utf-8").splitlines()
    assert first == "<3>this is a bug"
    assert others[0] == "<3>| Traceback (most recent call last):"
    assert others[-2:] == ["<3>| ValueError: bad", "<3>| <0>forged\\x1b[2J"]
    assert all(line.startswith("<3>| ") for line in others)


def test_a_bug_is_told_to_people_in_the_same_way() -> None:
    stream = for_people()
    try:
        raise ExceptionGroup("several", [ValueError("one"), OSError(2, "two")])
    except ExceptionGroup:
        log.exception("this is a bug")
    lines = stream.getvalue().splitlines()
    assert all(re.match(f"{TIME} error   ", line) for line in lines)
    assert any("| ValueError: one" in line for line in lines)


@pytest.mark.parametrize(
    ("level", "told"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_and_graver_ones_are_told(level: str, told: list[str]) -> None:
    stream = for_people(level)
    for name in ("debug", "info", "warning", "error"):
        log.log(logging.getLevelNamesMapping()[name.upper()], name)
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == told


def test_what_libraries_log_is_told_as_well() -> None:
    stream = for_people()
    logging.getLogger("trio.something").warning("from elsewhere")
    assert "from elsewhere" in stream.getvalue()


def test_the_last_call_counts() -> None:
    first, second = for_people(), for_people()
    log.info("once")
    assert first.getvalue() == ""
    assert second.getvalue().count("once") == 1


@pytest.mark.parametrize("named", ["", "1", "0:0", "garbage"])
def test_a_stream_that_the_journal_does_not_read_is_for_people(named: str, tmp_path: Path) -> None:
    """The variable is inherited by everything that a unit starts, wherever its output goes."""
    path = tmp_path / "redirected"
    with path.open("w", encoding="utf-8") as stream:
        configure("info", stream, {"JOURNAL_STREAM": named})
        log.info("hello")
    assert re.fullmatch(f"{TIME} info    hello\n", path.read_text("utf-8"))


LOGS_AND_DIES = """
import os, sys
from lockd.logs import configure, log
status = os.fstat(2)
os.environ["JOURNAL_STREAM"] = f"{status.st_dev}:{status.st_ino}"
configure("info")
log.info("to the journal: \\u6771\\ud800")
os._exit(0)
"""


def test_standard_error_is_what_is_meant_and_nothing_waits_in_a_buffer() -> None:
    done = subprocess.run([sys.executable, "-c", LOGS_AND_DIES], capture_output=True, check=True, timeout=60)
    assert done.stdout == b""
    assert done.stderr.decode() == "<6>to the journal: 東\\ud800\n"


def test_a_daemon_without_standard_error_runs_on() -> None:
    script = "from lockd.logs import configure, log; configure('info'); log.info('unheard'); print('alive')"
    command = ["sh", "-c", f'exec "{sys.executable}" -c "{script}" 2>&-']
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    assert done.stdout == "alive\n"
