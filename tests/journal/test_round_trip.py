"""What is written comes back: whole turns, in order, from the operating system's own files."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lockd.journal import Journal, JournalError, Outcome, Record, journal_path, recover
from lockd.journal.files import RESERVE_BYTES, STEP_BYTES
from support.journals import BOOT, DIRECTORY, NEW, OTHER_BOOT, PATH, Disk, header, journal_of

TURNS: list[list[Record]] = [
    [("session", 1, "backup"), ("grant", 4294967297, "db", "exclusive")],
    [("release", 4294967297)],
    [("grant", 4294967298, "db/ö", None, True, -1, 2.5, 2**63, [1, [2, []]], {"label": "why"})],
]
RECORDS = [record for turn in TURNS for record in turn]


def written(directory: str, turns: list[list[Record]]) -> None:
    journal = Journal.create(directory, BOOT, 7)
    for turn in turns:
        journal.append(turn)
        assert journal.write()
    journal.close()


def test_what_is_written_comes_back_in_order(tmp_path: Path) -> None:
    written(str(tmp_path), TURNS)
    found = recover(str(tmp_path), BOOT)
    assert found.outcome is Outcome.SOUND
    assert found.records == RECORDS
    assert found.header is not None
    assert (found.header.version, found.header.boot_id, found.header.epoch) == (1, BOOT, 7)
    assert found.detail == f"the journal {tmp_path}/journal has 4 records and is sound"


def test_the_next_daemon_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    written(str(tmp_path), TURNS)
    for count in range(3):
        journal = Journal.open(str(tmp_path), recover(str(tmp_path), BOOT))
        journal.append([("restart", count)])
        assert journal.write()
        journal.close()
    found = recover(str(tmp_path), BOOT)
    assert found.records == [*RECORDS, ("restart", 0), ("restart", 1), ("restart", 2)]
    # Nothing but the journal is left, and only the daemon's own user reads it.
    assert os.listdir(tmp_path) == ["journal"]
    assert (tmp_path / "journal").stat().st_mode & 0o777 == 0o600


def test_the_bytes_are_those_that_versions_to_come_will_read(tmp_path: Path) -> None:
    written(str(tmp_path), TURNS)
    content = (tmp_path / "journal").read_bytes()
    assert content.rstrip(b"\0") == journal_of(*TURNS, tail=b"")
    assert len(content) == STEP_BYTES


def test_a_turn_in_which_nothing_changes_writes_nothing(tmp_path: Path) -> None:
    journal = Journal.create(str(tmp_path), BOOT, 7)
    assert journal.write()
    journal.append([])
    assert journal.write()
    assert journal.log_bytes == len(header())
    journal.close()


def test_what_was_appended_and_not_written_is_not_there(tmp_path: Path) -> None:
    journal = Journal.create(str(tmp_path), BOOT, 7)
    journal.append(TURNS[0])
    journal.close()
    assert recover(str(tmp_path), BOOT).records == []


def test_space_is_there_before_it_is_needed(tmp_path: Path) -> None:
    journal = Journal.create(str(tmp_path), BOOT, 7)
    file = tmp_path / "journal"
    while journal.log_bytes < 3 * STEP_BYTES:
        journal.append([("padding", "x" * 100_000)])
        assert journal.write()
        status = file.stat()
        assert status.st_size % STEP_BYTES == 0
        assert status.st_size - journal.log_bytes >= RESERVE_BYTES
        assert status.st_blocks * 512 >= status.st_size
    journal.close()


def test_one_turn_can_be_longer_than_a_step(tmp_path: Path) -> None:
    turn: list[Record] = [("padding", "x" * STEP_BYTES), ("padding", "y" * STEP_BYTES)]
    written(str(tmp_path), [turn, TURNS[0]])
    assert recover(str(tmp_path), BOOT).records == [*turn, *TURNS[0]]


def test_a_new_journal_takes_the_place_of_any_other_thing(tmp_path: Path) -> None:
    for left in (b"", b"nonsense", journal_of(*TURNS)):
        (tmp_path / "journal").write_bytes(left)
        (tmp_path / "journal.new").write_bytes(b"half a")
        Journal.create(str(tmp_path), BOOT, 7).close()
        assert os.listdir(tmp_path) == ["journal"]
        assert recover(str(tmp_path), BOOT).records == []


def test_there_is_none_or_it_is_of_another_boot(tmp_path: Path) -> None:
    found = recover(str(tmp_path), BOOT)
    assert found.outcome is Outcome.MISSING
    assert found.detail == f"there is no journal {tmp_path}/journal"
    written(str(tmp_path), TURNS)
    content = (tmp_path / "journal").read_bytes()
    found = recover(str(tmp_path), OTHER_BOOT)
    assert (found.outcome, found.records) == (Outcome.OTHER_BOOT, [])
    assert found.detail == f"the journal {tmp_path}/journal is of another boot, so nothing of it holds any more"
    with pytest.raises(ValueError, match="of another boot, so nothing of it holds any more: there is nothing to go on"):
        Journal.open(str(tmp_path), found)
    assert (tmp_path / "journal").read_bytes() == content


def test_a_record_that_is_none_is_a_bug_of_its_writer(tmp_path: Path) -> None:
    journal = Journal.create(str(tmp_path), BOOT, 7)
    journal.append([("set", object())])
    with pytest.raises(TypeError):
        journal.write()
    journal.close()


def test_a_limit_of_the_system_is_met_early_and_heals(tmp_path: Path) -> None:
    """For real: the kernel refuses to make the file longer than a step."""
    journal = Journal.create(str(tmp_path), BOOT, 7)
    told, asked = 0, 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (STEP_BYTES, hard))
    try:
        warned_at = 0
        while journal.write():
            told = asked
            if journal.fault and not warned_at:
                warned_at = journal.log_bytes
            journal.append([("set", asked, "x" * 10_000)])
            asked += 1
        fault = journal.fault
        assert fault == (
            f"the journal {tmp_path}/journal cannot be written: File too large: raise the limit of the size of files"
            " (ulimit -f, or LimitFSIZE= in the unit)"
        )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    # It was known while there was still room for what cannot be refused.
    assert STEP_BYTES - RESERVE_BYTES < warned_at < STEP_BYTES - RESERVE_BYTES + 20_000
    assert len(recover(str(tmp_path), BOOT).records) == told == asked - 1
    assert journal.write()
    assert journal.fault is None
    journal.close()
    assert [number for _, number, _ in recover(str(tmp_path), BOOT).records] == list(range(asked))


@pytest.mark.parametrize("name", ["journal", "journal.new"])
def test_a_directory_in_the_way(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(JournalError) as caught:
        Journal.create(str(tmp_path), BOOT, 7)
    assert str(caught.value) == (
        f"the journal {tmp_path}/journal cannot be made: Is a directory: choose another directory with --runtime-dir"
    )
    assert os.listdir(tmp_path) == [name]


def test_a_file_that_cannot_be_read_or_opened(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    with pytest.raises(JournalError) as caught:
        recover(str(tmp_path), BOOT)
    assert str(caught.value) == (
        f"the journal {tmp_path}/journal cannot be read: Is a directory: choose another directory with --runtime-dir"
    )
    (tmp_path / "journal").rmdir()
    written(str(tmp_path), TURNS)
    found = recover(str(tmp_path), BOOT)
    (tmp_path / "journal").unlink()
    with pytest.raises(JournalError, match=r"opened: No such file or directory: see that its directory is there, or"):
        Journal.open(str(tmp_path), found)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text("abc"), values, max_size=3),
    max_leaves=3,
)
RECORD = st.builds(lambda kind, values: (kind, *values), st.text("abc"), st.lists(VALUES, max_size=3))


@given(st.lists(st.lists(RECORD, max_size=3), max_size=4), st.lists(RECORD, max_size=3), st.integers(1, 5))
def test_any_records_come_back_also_through_a_compaction(
    turns: list[list[Record]], snapshot: list[Record], budget: int
) -> None:
    disk = Disk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    for turn in turns:
        journal.append(turn)
        assert journal.write()
    assert recover(DIRECTORY, BOOT, disk).records == [record for turn in turns for record in turn]
    journal.start_compaction(snapshot, epoch=8)
    while journal.is_compacting:
        journal.step(budget)
    found = recover(DIRECTORY, BOOT, disk)
    assert found.records == snapshot
    assert found.header == journal.header
    assert journal.header.epoch == 8
    assert list(disk.files) == [PATH] != [NEW]
    assert journal_path(DIRECTORY) == PATH
