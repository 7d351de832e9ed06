"""lockd/journald.py and the fields of lockd/logs.py, against a socket that stands for the journal's."""

from __future__ import annotations

import logging
import os
import socket
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockd.journald import JournalSocket, packed_fields
from lockd.logs import Event, configure, fields, log, safe


@pytest.fixture(autouse=True)
def _logging_is_left_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)


class Journal:
    """What systemd-journald does with what arrives."""

    def __init__(self, directory: Path) -> None:
        self.path = str(directory / "journal")
        self.errors = directory / "stderr"
        self.stream = self.errors.open("w", encoding="utf-8")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(self.path)

    def configure(self, level: str = "debug") -> None:
        """Have everything logged here."""
        status = os.fstat(self.stream.fileno())
        configure(level, self.stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, self.path)

    def receive(self) -> dict[str, list[str]]:
        """Return the next message."""
        data, ancillary, _, _ = self.socket.recvmsg(1024 * 1024, socket.CMSG_SPACE(4))
        for _, kind, descriptors in ancillary:
            assert kind == socket.SCM_RIGHTS
            assert data == b""
            [file] = array("i", descriptors)
            with open(file, "rb") as reader:
                # Who writes a file and passes it on has moved its place.
                reader.seek(0)
                data = reader.read()
                with pytest.raises(PermissionError):
                    os.pwrite(file, b"x", 0)
        return unpacked(data)

    def is_empty(self) -> bool:
        """Whether nothing has arrived."""
        try:
            self.receive()
        except BlockingIOError:
            return True
        return False

    def on_standard_error(self) -> list[str]:
        """Return the lines that went the usual way."""
        return self.errors.read_text("utf-8").splitlines()

    def close(self) -> None:
        """Be away."""
        self.socket.close()
        self.stream.close()


def unpacked(data: bytes) -> dict[str, list[str]]:
    """Read a message, as the documentation of the protocol has it."""
    found: dict[str, list[str]] = {}
    while data:
        line, _, data = data.partition(b"\n")
        name, has_value, value = line.partition(b"=")
        if not has_value:
            (length,) = struct.unpack("<Q", data[:8])
            value, data = data[8 : 8 + length], data[8 + length :]
            assert data[:1] == b"\n"
            data = data[1:]
        found.setdefault(name.decode("ascii"), []).append(value.decode())
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(tmp_path)
    journal.configure()
    yield journal
    journal.close()


def test_a_message_has_fields(journal: Journal) -> None:
    extra = fields(Event.ABANDONED, name=("db", "log"), pid=812, uid=0, label="nightly run", program="")
    log.warning("%s is gone", "pid 812", extra=extra)
    assert journal.receive() == {
        **{"MESSAGE": ["pid 812 is gone"], "PRIORITY": ["4"], "SYSLOG_IDENTIFIER": ["lockd"]},
        **{"LOCKD_EVENT": ["abandoned"], "LOCKD_NAME": ["db", "log"], "LOCKD_PID": ["812"], "LOCKD_UID": ["0"]},
        "LOCKD_LABEL": ["nightly run"],
    }
    assert journal.on_standard_error() == []


def test_priorities_are_those_of_syslog(journal: Journal) -> None:
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        log.log(level, "x", extra=fields(Event.REQUEST))
    assert [journal.receive()["PRIORITY"] for _ in range(5)] == [["7"], ["6"], ["4"], ["3"], ["2"]]


def test_what_has_no_fields_goes_to_standard_error(journal: Journal) -> None:
    log.error("cannot start")
    assert journal.is_empty()
    assert journal.on_standard_error() == ["<3>cannot start"]


def test_a_traceback_is_one_message_of_several_lines(journal: Journal) -> None:
    try:
        raise ValueError("bad\n<0>forged")
    except ValueError:
        log.exception("a bug", extra=fields(Event.STOPPED))
    [message] = journal.receive()["MESSAGE"]
    first, *others = message.split("\n")
    assert first == "a bug"
    assert others[-2:] == ["| ValueError: bad", "| <0>forged"]
    assert all(line.startswith("| ") for line in others)


@pytest.mark.parametrize("value", ["a\nLOCKD_EVENT=forged", "\x1b[2J", "a=b", "=", "\udc80", "\x00", "größer 🔒"])
def test_a_value_is_one_value_whatever_is_in_it(journal: Journal, value: str) -> None:
    log.info("x", extra=fields(Event.CONVOY, name=value))
    message = journal.receive()
    assert message["LOCKD_NAME"] == [safe(value)]
    assert message["LOCKD_EVENT"] == ["convoy"]


@given(st.text(), st.text(), st.text())
def test_nothing_gives_orders_to_whoever_reads(name: str, label: str, message: str) -> None:
    packed = packed_fields([("MESSAGE", message), ("LOCKD_NAME", safe(name)), ("LOCKD_LABEL", safe(label))])
    found = unpacked(packed)
    assert set(found) == {"MESSAGE", "LOCKD_NAME", "LOCKD_LABEL"}
    assert found["MESSAGE"] == [message.encode("utf-8", "backslashreplace").decode()]
    assert found["LOCKD_NAME"][0].isprintable()
    assert found["LOCKD_LABEL"][0].isprintable()


def test_what_is_too_long_for_a_datagram_comes_as_a_sealed_file(journal: Journal) -> None:
    long = "x" * 1_000_000
    log.info("%s", long, extra=fields(Event.REQUEST))
    message = journal.receive()
    assert (message["MESSAGE"], message["LOCKD_EVENT"]) == ([long], ["request"])
    assert journal.on_standard_error() == []


def test_where_no_file_can_be_passed_the_line_is_told(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def memfd_create(*arguments: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", memfd_create)
    log.info("%s", "x" * 1_000_000, extra=fields(Event.REQUEST))
    assert journal.is_empty()
    [line] = journal.on_standard_error()
    assert line.startswith("<6>xxx")


def test_nobody_waits_for_a_journal_that_is_busy(journal: Journal) -> None:
    said = [str(number) for number in range(2000)]
    for each in said:
        log.info("%s", each, extra=fields(Event.REQUEST))
    arrived: list[str] = []
    with suppress(BlockingIOError):
        while True:
            arrived += journal.receive()["MESSAGE"]
    told = [line.removeprefix("<6>") for line in journal.on_standard_error()]
    # Each is told in the one way or in the other.
    assert arrived
    assert told
    assert sorted(arrived + told, key=int) == said
    # And when there is room again, with fields again.
    log.info("after", extra=fields(Event.REQUEST))
    assert journal.receive()["MESSAGE"] == ["after"]


def test_nobody_waits_for_a_journal_that_reads_nothing(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("w", encoding="utf-8") as stream:
        status = os.fstat(ours.fileno())
        configure("info", stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, str(tmp_path / "nobody"))
        theirs.setblocking(False)
        # More than a socket holds.
        said = ["x" * 1000 + str(number) for number in range(1000)]
        for each in said:
            log.info("%s", each, extra=fields(Event.REQUEST))
        told = read_lines(theirs)
        assert told == [f"<6>{each}" for each in said[: len(told)]]
        log.info("there is room again")
        untold = f"<4>{len(said) - len(told)} messages could not be told: the journal read none"
        assert read_lines(theirs) == [untold, "<6>there is room again"]


def read_lines(stream: socket.socket) -> list[str]:
    """Read what there is."""
    data = b""
    with suppress(BlockingIOError):
        while True:
            data += stream.recv(1024 * 1024)
    return data.decode().splitlines()


def test_what_goes_wrong_with_a_message_ends_nobodys_work(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(socket: JournalSocket, message: bytes) -> bool:
        raise MemoryError

    monkeypatch.setattr(JournalSocket, "send", no_memory)
    log.info("told all the same", extra=fields(Event.REQUEST))
    assert journal.on_standard_error() == ["<6>told all the same"]


def test_a_journal_that_is_away_loses_nothing_and_may_come_back(journal: Journal) -> None:
    journal.socket.close()
    log.warning("one", extra=fields(Event.HEALED))
    os.unlink(journal.path)
    log.warning("two", extra=fields(Event.HEALED))
    assert journal.on_standard_error() == ["<4>one", "<4>two"]
    journal.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    journal.socket.bind(journal.path)
    log.warning("three", extra=fields(Event.HEALED))
    assert journal.receive()["MESSAGE"] == ["three"]


def test_without_a_descriptor_there_are_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path)

    def no_socket(self: JournalSocket, path: str) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(JournalSocket, "__init__", no_socket)
    journal.configure()
    log.warning("x", extra=fields(Event.HEALED))
    assert journal.on_standard_error() == ["<4>x"]
    journal.close()


def test_configuring_anew_gives_the_old_descriptor_back(journal: Journal) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for level in ("info", "debug", "warning"):
        journal.configure(level)
    assert len(os.listdir("/proc/self/fd")) == before


def test_for_people_fields_are_of_no_interest(journal: Journal) -> None:
    configure("info", journal.stream, {}, journal.path)
    log.info("hello", extra=fields(Event.STARTED, name="db"))
    assert journal.is_empty()
    [line] = journal.on_standard_error()
    assert line.endswith(" info    hello")
