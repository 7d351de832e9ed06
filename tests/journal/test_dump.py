"""`lockd journal dump`: what a person or a script sees of a journal, and that a script can believe what it sees."""

from __future__ import annotations

import io
import json
import subprocess
from pathlib import Path

import pytest

from lockd.journal import DumpError, Journal, Record, dump
from lockd.main import main
from support.daemon import command
from support.journals import BOOT, PATH, Disk, header, journal_of, journal_of_bodies

TURNS: list[list[Record]] = [
    [("session", 1, "backup\x1b[2J"), ("grant", 2**32 + 1, "db/ö", None)],
    [("release", 2**32 + 1)],
]
LINES = [
    '{"version": 1, "boot_id": "0123456789abcdef0123456789abcdef", "epoch": 7}',
    r'{"at": 64, "record": ["session", 1, "backup\u001b[2J"]}',
    r'{"at": 64, "record": ["grant", 4294967297, "db/\u00f6", null]}',
    '{"at": 122, "record": ["release", 4294967297]}',
]
END = len(journal_of(*TURNS, tail=b""))


def dumped(content: bytes) -> tuple[list[str], str, bool]:
    stream = io.StringIO()
    ending, is_whole = dump(PATH, stream, Disk({PATH: content}))
    return stream.getvalue().splitlines(), ending, is_whole


def test_a_line_for_the_header_and_one_for_each_record() -> None:
    lines, ending, is_whole = dumped(journal_of(*TURNS))
    assert lines == LINES
    assert [json.loads(line) for line in lines[1:]] == [
        {"at": at, "record": list(record)} for at, turn in zip((64, 122), TURNS, strict=True) for record in turn
    ]
    assert (ending, is_whole) == (f"the journal {PATH} is sound: 3 records in 2 turns, up to byte {END}", True)


def test_a_torn_one() -> None:
    content = journal_of(*TURNS)
    lines, ending, is_whole = dumped(content[: END - 3] + bytes(67))
    assert lines == LINES[:3]
    assert ending == (
        f"the journal {PATH} is torn at byte 122, behind 2 records in 1 turn: the last write was cut off in the middle"
        " of a batch"
    )
    assert is_whole


def test_a_corrupt_one_is_shown_as_far_as_it_can_be_believed() -> None:
    content = journal_of(*TURNS)
    lines, ending, is_whole = dumped(content[: END - 3] + b"?" + content[END - 2 :])
    assert lines == LINES[:3]
    assert ending == (
        f"the journal {PATH} is corrupt at byte 122, behind 2 records in 1 turn: the batch there does not match its"
        " checksum"
    )
    assert not is_whole


def test_records_that_no_version_writes_are_shown_all_the_same() -> None:
    # A timestamp, and a map whose key is an array.
    lines, _, _ = dumped(journal_of_bodies(b"\x91\x93\xa1a\xd6\xff\0\0\0\0\x81\x90\1"))
    assert lines[1:] == [
        '{"at": 64, "record": ["a", "datetime.datetime(1970, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)", {}]}'
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"nonsense", f"the journal {PATH} is corrupt: the header has 8 bytes in place of 64"),
        (
            journal_of(*TURNS, head=header(version=2)),
            f"the journal {PATH} was written by a later version of lockd, in format 2, and this one knows no format"
            " above 1: use that version",
        ),
    ],
)
def test_nothing_can_be_shown(content: bytes, reason: str) -> None:
    with pytest.raises(DumpError) as caught:
        dumped(content)
    assert str(caught.value) == reason


class Busy(Disk):
    """The daemon writes while the file is read: of the last turn the end is seen, and not yet the beginning."""

    def __init__(self, times: int) -> None:
        super().__init__({PATH: journal_of(*TURNS)})
        self.times = times

    def read(self, path: str) -> bytes:
        content = super().read(path)
        self.times -= 1
        return content[:122] + bytes(5) + content[127:] if self.times >= 0 else content


def test_a_daemon_that_writes_meanwhile_does_not_make_it_corrupt() -> None:
    stream = io.StringIO()
    assert dump(PATH, stream, Busy(3))[1]
    assert stream.getvalue().splitlines() == LINES
    assert not dump(PATH, stream, Busy(100))[1]


# The command.


def write(path: Path) -> Journal:
    journal = Journal.create(str(path), BOOT, 7)
    for turn in TURNS:
        journal.append(turn)
        assert journal.write()
    return journal


def test_the_command_reads_the_journal_of_a_daemon_that_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = write(tmp_path)
    monkeypatch.setenv("LOCKD_RUNTIME_DIR", str(tmp_path))
    for arguments in ([], [str(tmp_path / "journal")], ["--runtime-dir", str(tmp_path)]):
        assert main(["journal", "dump", *arguments]) == 0
        output, words = capsys.readouterr()
        assert output.splitlines() == LINES
        assert words == f"lockd: the journal {tmp_path}/journal is sound: 3 records in 2 turns, up to byte {END}\n"
    journal.append([("more",)])
    assert journal.write()
    journal.close()
    assert main(["journal", "dump"]) == 0
    assert capsys.readouterr().out.splitlines() == [*LINES, f'{{"at": {END}, "record": ["more"]}}']


def test_the_command_fails_where_something_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal"
    assert main(["journal", "dump", str(path)]) == 1
    assert capsys.readouterr() == (
        "",
        f"lockd: the journal {path} cannot be read: No such file or directory: name another file, or its"
        " directory with --runtime-dir\n",
    )
    path.write_bytes(journal_of(*TURNS, tail=b""))
    assert main(["journal", "dump", str(path)]) == 1
    output, words = capsys.readouterr()
    assert output.splitlines() == LINES
    assert words.startswith(f"lockd: the journal {path} is corrupt at byte {END}, behind 3 records in 2 turns: ")
    monkeypatch.setenv("LOCKD_RUNTIME_DIR", "not/absolute")
    assert main(["journal", "dump"]) == 1
    assert "LOCKD_RUNTIME_DIR" in capsys.readouterr().err


def test_a_reader_that_has_had_enough_is_no_reason_to_complain(tmp_path: Path) -> None:
    (tmp_path / "journal").write_bytes(journal_of([("padding", "x" * 200)] * 2000))
    arguments = [command("lockd"), "journal", "dump", str(tmp_path / "journal")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"{LINES[0]}\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1
