"""A journal that was cut, flipped or scribbled over is read as far as it was surely written, or is corrupt."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from lockd.journal import Journal, JournalError, LaterVersionError, Outcome, Record, Recovered, recover
from lockd.journal.format import Ending, Log, read_log
from support.journals import (
    BOOT,
    DIRECTORY,
    OTHER_BOOT,
    PATH,
    Disk,
    FailingDisk,
    header,
    journal_of,
    journal_of_bodies,
    refused,
)

TURNS: list[list[Record]] = [
    [("set", "a", 1), ("set", "b", [2, None, "two"])],
    [("remove", "a")],
    [("set", "c", 2**40), ("remove", "b"), ("set", "a", 4.5)],
    [("set", "d", "a label")],
]
WHOLE = journal_of(*TURNS)
HEADER_BYTES = 64
BLANK_BYTES = 12


def ends_of(turns: list[list[Record]]) -> list[int]:
    """Return where the header and each batch end."""
    return [len(journal_of(*turns[:count], tail=b"")) for count in range(len(turns) + 1)]


ENDS = ends_of(TURNS)
END = ENDS[-1]


def found_in(content: bytes) -> Recovered:
    """Recover it, and see that whole turns came back that were written, from the first on; or nothing at all."""
    disk = Disk({PATH: content})
    found = recover(DIRECTORY, BOOT, disk)
    if found.outcome is Outcome.CORRUPT:
        assert found.records == []
        assert disk.files == {f"{PATH}.corrupt": content}
    else:
        assert found.outcome in (Outcome.SOUND, Outcome.TORN)
        assert found.records in [records_of(count) for count in range(len(TURNS) + 1)]
        assert disk.files == {PATH: content}
    return found


def records_of(turns: int) -> list[Record]:
    return [record for turn in TURNS[:turns] for record in turn]


def flipped(content: bytes, bit: int) -> bytes:
    return content[: bit // 8] + bytes([content[bit // 8] ^ 1 << bit % 8]) + content[bit // 8 + 1 :]


def reason_of(content: bytes) -> str:
    found = found_in(content)
    beginning = f"the journal {PATH} is corrupt and was set aside as {PATH}.corrupt: "
    assert found.outcome is Outcome.CORRUPT
    assert found.detail.startswith(beginning)
    return found.detail.removeprefix(beginning)


def test_the_whole_of_it() -> None:
    assert found_in(WHOLE).records == records_of(4)
    # Just enough behind the last batch to see that there is nothing.
    assert found_in(WHOLE[: END + BLANK_BYTES]).outcome is Outcome.SOUND


# Cut.


def test_a_write_that_stopped_at_any_byte_is_dropped() -> None:
    """What a crash leaves: the beginning of a batch in front of zeros."""
    for size in range(HEADER_BYTES, END):
        turns = sum(size >= end for end in ENDS[1:])
        found = found_in(WHOLE[:size] + bytes(len(WHOLE) - size))
        is_torn = any(WHOLE[ENDS[turns] : size])
        assert found.outcome is (Outcome.TORN if is_torn else Outcome.SOUND)
        assert found.records == records_of(turns)
        if is_torn:
            part = "header" if size - ENDS[turns] < BLANK_BYTES else "middle"
            words = f"the journal {PATH} has {len(found.records)} records up to byte {ENDS[turns]}: the last write was"
            assert found.detail == f"{words} cut off in the {part} of a batch"


def test_a_file_that_is_shorter_than_it_was_is_corrupt() -> None:
    """No crash does this, and nobody knows what was behind the cut: perhaps a grant that somebody was told of."""
    for size in range(END + BLANK_BYTES):
        assert found_in(WHOLE[:size]).outcome is Outcome.CORRUPT
    assert reason_of(WHOLE[:10]) == "the header has 10 bytes in place of 64"
    words = "the file was cut off in the batch that begins there"
    assert reason_of(WHOLE[: END - 1]) == f"{words} (byte {ENDS[3]})"
    words = "the file was cut off there, for space is left behind the last batch"
    assert reason_of(WHOLE[: ENDS[2]]) == f"{words} (byte {ENDS[2]})"


def test_a_daemon_goes_on_behind_a_torn_write_of_any_length() -> None:
    """The next turn is much shorter than what is left of the torn one."""
    long = journal_of(*TURNS, [("set", "e", "x" * 50)])
    for size in range(END, len(long.rstrip(b"\0"))):
        disk = Disk({PATH: long[:size] + bytes(len(long) - size)})
        journal = Journal.open(DIRECTORY, recover(DIRECTORY, BOOT, disk), disk)
        journal.append([("end",)])
        assert journal.write()
        found = recover(DIRECTORY, BOOT, disk)
        assert (found.outcome, found.records) == (Outcome.SOUND, [*records_of(4), ("end",)])


# Flipped.


def test_any_bit_that_was_written_and_flips_is_noticed() -> None:
    for bit in range(END * 8):
        assert found_in(flipped(WHOLE, bit)).outcome is Outcome.CORRUPT


def test_a_bit_that_flips_where_nothing_was_written_takes_nothing_away() -> None:
    for bit in range(END * 8, len(WHOLE) * 8):
        found = found_in(flipped(WHOLE, bit))
        # The beginning of a batch may be a torn one. Anything further on was never written by us.
        is_near = bit // 8 < END + BLANK_BYTES
        assert found.outcome is (Outcome.TORN if is_near else Outcome.CORRUPT)
        assert found.records == (records_of(4) if is_near else [])


@pytest.mark.parametrize(
    ("byte", "reason"),
    [
        (HEADER_BYTES - 1, "the header does not match its checksum"),
        (ENDS[2], f"the header of the batch there does not match its checksum, and more follows (byte {ENDS[2]})"),
        (ENDS[2] + 12, f"the batch there does not match its checksum (byte {ENDS[2]})"),
        (
            ENDS[3] - 1,
            f"the batch there has no end mark, which a crash takes from the last one alone (byte {ENDS[2]})",
        ),
    ],
)
def test_what_is_wrong_is_told(byte: int, reason: str) -> None:
    assert reason_of(flipped(WHOLE, byte * 8)) == reason


def test_an_end_mark_is_missing_in_the_middle() -> None:
    content = WHOLE[: ENDS[3] - 1] + b"\0" + WHOLE[ENDS[3] :]
    assert "no end mark" in reason_of(content)


# Batches that are whole, and not where they were written.


@pytest.mark.parametrize("order", [(0, 2, 3), (1, 2, 3), (0, 1, 3), (1, 0, 2, 3), (0, 0, 1, 2, 3), (0, 1, 2, 3, 3)])
def test_a_batch_counts_in_its_place_alone(order: tuple[int, ...]) -> None:
    batches = [WHOLE[begin:end] for begin, end in itertools.pairwise(ENDS)]
    content = WHOLE[:HEADER_BYTES] + b"".join(batches[number] for number in order) + bytes(64)
    assert found_in(content).outcome is Outcome.CORRUPT


def test_a_batch_of_another_journal_counts_for_nothing() -> None:
    other = journal_of(*TURNS, head=header(epoch=8))
    assert found_in(WHOLE[:HEADER_BYTES] + other[HEADER_BYTES:]).outcome is Outcome.CORRUPT
    assert found_in(WHOLE[: ENDS[2]] + other[ENDS[2] :]).outcome is Outcome.CORRUPT


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x90" * 2, id="more than one value"),
        pytest.param(b"\xc1", id="no msgpack"),
        pytest.param(b"\x01", id="a number"),
        pytest.param(b"\x91\x01", id="a number for a record"),
        pytest.param(b"\x91\x90", id="an empty record"),
        pytest.param(b"\x91\x91\x01", id="a record without a kind"),
        pytest.param(b"\x91\x91\xa1\xff", id="a kind that is no UTF-8"),
        pytest.param(b"\x91" * 100_000, id="a bottomless one"),
    ],
)
def test_a_batch_that_holds_no_records(body: bytes) -> None:
    reason = f"the batch there is whole, but what it holds are no records (byte {HEADER_BYTES})"
    assert reason_of(journal_of_bodies(body)) == reason


# The header.


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        (b"", "the header has 0 bytes in place of 64"),
        (bytes(64), "the header does not match its checksum"),
        (header(magic=b"LOCKDEP\n"), "the file is no journal of this program"),
        (header(version=0), "there is no format 0"),
    ],
)
def test_a_file_that_is_no_journal(head: bytes, reason: str) -> None:
    assert reason_of(head) == reason


def test_a_later_version_is_refused_and_its_journal_left_alone() -> None:
    content = journal_of(*TURNS, head=header(version=2))
    disk = Disk({PATH: content})
    with pytest.raises(LaterVersionError) as caught:
        recover(DIRECTORY, BOOT, disk)
    assert str(caught.value) == (
        f"the journal {PATH} was written by a later version of lockd, in format 2, and this one knows no format above"
        " 1: start that version, or remove the file if every program that holds a lock has ended"
    )
    assert disk.files == {PATH: content}
    # Nobody misses what a later version wrote in another boot.
    assert recover(DIRECTORY, OTHER_BOOT, disk).outcome is Outcome.OTHER_BOOT


def test_any_other_boot_is_told_from_damage() -> None:
    disk = Disk({PATH: flipped(WHOLE, END * 8 - 1)})
    assert recover(DIRECTORY, OTHER_BOOT, disk).outcome is Outcome.OTHER_BOOT


# Setting it aside.


def test_of_corrupt_journals_the_last_one_is_kept() -> None:
    disk = Disk({PATH: b"the first"})
    assert recover(DIRECTORY, BOOT, disk).outcome is Outcome.CORRUPT
    disk.files[PATH] = bytearray(b"the second")
    assert recover(DIRECTORY, BOOT, disk).outcome is Outcome.CORRUPT
    assert disk.files == {f"{PATH}.corrupt": b"the second"}
    # Whoever starts now finds none at all, although there was one in this boot.
    assert recover(DIRECTORY, BOOT, disk).outcome is Outcome.MISSING


def test_one_that_cannot_be_set_aside_stays() -> None:
    error = OSError(30, os.strerror(30))
    disk = FailingDisk(failing=range(2, 3), failure=refused(error))
    disk.files[PATH] = bytearray(b"nonsense")
    with pytest.raises(JournalError) as caught:
        recover(DIRECTORY, BOOT, disk)
    assert str(caught.value) == (
        f"the journal {PATH} is corrupt: the header has 8 bytes in place of 64; the journal {PATH} cannot be set aside:"
        " Read-only file system: mount its file system for writing, or choose another directory with --runtime-dir"
    )
    assert disk.files == {PATH: b"nonsense"}


# Anything.


@given(st.binary(max_size=200))
def test_any_file_is_recovered_or_corrupt(content: bytes) -> None:
    assert found_in(content).outcome is Outcome.CORRUPT


@given(st.binary(max_size=100), st.sampled_from(range(len(ENDS))))
def test_any_garbage_behind_what_was_written(garbage: bytes, turns: int) -> None:
    found = found_in(WHOLE[: ENDS[turns]] + garbage)
    assert found.outcome is Outcome.CORRUPT or found.records == records_of(turns)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8)), min_size=1, max_size=4))
def test_any_scribbling(strokes: list[tuple[int, bytes]]) -> None:
    content = bytearray(WHOLE)
    for at, ink in strokes:
        content[at : at + len(ink)] = ink
    assume(content[:END] != WHOLE[:END])
    # Zeros that reach to the end of all are what a crash leaves.
    cut = len(content.rstrip(b"\0"))
    assume(content[:cut] != WHOLE[:cut])
    assert found_in(bytes(content)).outcome is Outcome.CORRUPT


# That the checks above can fail.


def unconcerned(log: Log) -> Log:
    """Take damage for the end of all."""
    return log._replace(ending=Ending.SOUND)


def forgetful(log: Log) -> Log:
    """Lose a batch in the middle."""
    return log._replace(batches=log.batches[:1] + log.batches[2:])


@pytest.mark.parametrize(
    ("reader", "check"),
    [
        (unconcerned, test_a_file_that_is_shorter_than_it_was_is_corrupt),
        (unconcerned, test_any_bit_that_was_written_and_flips_is_noticed),
        (forgetful, test_a_write_that_stopped_at_any_byte_is_dropped),
        (forgetful, test_a_bit_that_flips_where_nothing_was_written_takes_nothing_away),
    ],
)
def test_a_reader_that_believes_too_much_would_be_noticed(
    reader: Callable[[Log], Log], check: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lockd.journal.recovery.read_log", lambda content, header: reader(read_log(content, header)))
    with pytest.raises(AssertionError):
        check()


def test_a_daemon_that_leaves_a_torn_write_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockd.journal.files.LogFile._cut_back", lambda log: None)
    with pytest.raises(AssertionError):
        test_a_daemon_goes_on_behind_a_torn_write_of_any_length()
