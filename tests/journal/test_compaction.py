"""A long journal becomes a short one, a slice at a time, and a crash at any point leaves one that is whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

import pytest

from lockd.journal import Journal, Outcome, Record, recover
from lockd.journal.journal import FACTOR, LEAST_BYTES, SLICE_RECORDS, is_worth_compacting
from support.journals import BOOT, DIRECTORY, NEW, PATH, Disk, Keeper, replay


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockd.journal.files.STEP_BYTES", 256)
    monkeypatch.setattr("lockd.journal.files.RESERVE_BYTES", 64)


class SlowDisk(Disk):
    """Writes byte by byte, and shows itself after each byte and each call."""

    def __init__(self) -> None:
        super().__init__()
        self.observe: Callable[[Disk], None] = lambda disk: None

    def make(self, path: str) -> int:
        descriptor = super().make(path)
        self.observe(self)
        return descriptor

    def allocate(self, descriptor: int, offset: int, size: int) -> None:
        super().allocate(descriptor, offset, size)
        self.observe(self)

    def write(self, descriptor: int, data: bytes | memoryview, offset: int) -> int:
        for position in range(len(data)):
            super().write(descriptor, data[position : position + 1], offset + position)
            self.observe(self)
        return len(data)

    def rename(self, source: str, target: str) -> None:
        super().rename(source, target)
        self.observe(self)

    def unlink(self, path: str) -> None:
        super().unlink(path)
        self.observe(self)

    def close(self, descriptor: int) -> None:
        super().close(descriptor)
        self.observe(self)


class Killer:
    """Starts a new daemon on a copy of the disk, again and again."""

    def __init__(self, keeper: Keeper, journal_class: type[Journal]) -> None:
        self.keeper = keeper
        self.kills = 0
        self._class = journal_class

    def kill(self, disk: Disk) -> None:
        """Let the next daemon find what lies on the disk now, compact it, and find it again."""
        self.keeper.check_disk(disk)
        if PATH not in disk.files:
            return
        self.kills += 1
        copy = Disk({name: bytes(content) for name, content in disk.files.items()})
        found = recover(DIRECTORY, BOOT, copy)
        journal = self._class.open(DIRECTORY, found, copy)
        assert list(copy.files) == [PATH]
        state = replay(found.records)
        journal.append([("set", "next", "daemon")])
        assert journal.write()
        journal.start_compaction([("set", thing, value) for thing, value in state.items()])
        while journal.is_compacting:
            journal.step(100)
        assert replay(recover(DIRECTORY, BOOT, copy).records) == state


def kill_at_every_byte(journal_class: type[Journal]) -> int:
    disk = SlowDisk()
    keeper = Keeper(disk, journal_class)
    killer = Killer(keeper, Journal)
    disk.observe = killer.kill
    keeper.begin()
    journal = keeper.journal
    assert journal is not None
    for number in range(9):
        keeper.turn()
        if number == 3:
            journal.start_compaction(keeper.snapshot())
        journal.step(2)
    assert (journal.is_compacting, list(disk.files)) == (False, [PATH])
    return killer.kills


def test_a_crash_at_any_byte_leaves_a_journal_that_is_whole() -> None:
    assert kill_at_every_byte(Journal) > 1000


class StopsHalfWay(Journal):
    """The new file takes the place of the old one although half of the snapshot is missing."""

    def start_compaction(self, snapshot: Iterable[Record], *, epoch: int | None = None) -> None:
        super().start_compaction(islice(snapshot, 2), epoch=epoch)


class EmptiesTheOldFile(Journal):
    """The journal is written over in place."""

    def start_compaction(self, snapshot: Iterable[Record], *, epoch: int | None = None) -> None:
        Journal.create(DIRECTORY, BOOT, 7, self._files)
        super().start_compaction(snapshot, epoch=epoch)


@pytest.mark.parametrize("broken", [StopsHalfWay, EmptiesTheOldFile])
def test_a_compaction_that_loses_something_would_be_noticed(broken: type[Journal]) -> None:
    with pytest.raises(AssertionError):
        kill_at_every_byte(broken)


def test_a_slice_is_no_longer_than_it_may_be() -> None:
    taken: list[Record] = []

    def snapshot() -> Iterator[Record]:
        for number in range(1000):
            taken.append(("set", number))
            yield taken[-1]

    disk = Disk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    journal.start_compaction(snapshot())
    assert taken == []
    slices = []
    while journal.is_compacting:
        before = len(taken)
        journal.step()
        slices.append(len(taken) - before)
    assert slices == [SLICE_RECORDS] * 3 + [1000 - 3 * SLICE_RECORDS, 0]
    assert recover(DIRECTORY, BOOT, disk).records == taken


def test_what_happens_meanwhile_is_in_both_files_and_a_slice_waits_for_what_is_not_written() -> None:
    disk = Disk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    journal.start_compaction([("old", 1), ("old", 2)])
    journal.step(1)
    journal.append([("new", 1)])
    journal.step(1)
    assert journal.write()
    assert recover(DIRECTORY, BOOT, disk).records == [("new", 1)]
    for _ in range(2):
        journal.step(1)
    assert recover(DIRECTORY, BOOT, disk).records == [("old", 1), ("new", 1), ("old", 2)]
    journal.append([("new", 2)])
    assert journal.write()
    assert recover(DIRECTORY, BOOT, disk).records == [("old", 1), ("new", 1), ("old", 2), ("new", 2)]


def test_a_second_compaction_takes_the_place_of_one_that_is_not_finished() -> None:
    disk = Disk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    journal.start_compaction([("first",)])
    journal.step()
    journal.start_compaction([("second",)])
    for _ in range(2):
        journal.step()
    assert recover(DIRECTORY, BOOT, disk).records == [("second",)]
    journal.start_compaction([("third",)])
    journal.step()
    journal.close()
    assert list(disk.files) == [PATH] != [NEW]
    assert not disk.open_files
    assert recover(DIRECTORY, BOOT, disk).records == [("second",)]


def test_without_a_compaction_there_is_nothing_to_do() -> None:
    journal = Journal.create(DIRECTORY, BOOT, 7, Disk())
    journal.step()
    assert not journal.is_compacting


@pytest.mark.parametrize(
    ("log_bytes", "compacted_bytes", "is_worth"),
    [
        (64, 0, False),
        (LEAST_BYTES, 0, False),
        (LEAST_BYTES + 1, 0, True),
        (LEAST_BYTES + 1, LEAST_BYTES // FACTOR, True),
        (LEAST_BYTES + 1, LEAST_BYTES, False),
        (FACTOR * LEAST_BYTES, LEAST_BYTES, False),
        (FACTOR * LEAST_BYTES + 1, LEAST_BYTES, True),
    ],
)
def test_when_it_is_worth_the_trouble(log_bytes: int, compacted_bytes: int, is_worth: bool) -> None:
    assert is_worth_compacting(log_bytes, compacted_bytes) is is_worth


def test_a_journal_that_is_compacted_when_it_is_due_stays_short(tmp_path: Path) -> None:
    """For real, with a state that is as long as one compacted journal may be."""
    journal = Journal.create(str(tmp_path), BOOT, 7)
    values = {number: "" for number in range(100)}
    longest = compactions = 0
    for number in range(4000):
        values[number % 100] = chr(97 + number % 26) * 20_000
        journal.append([("set", number % 100, values[number % 100])])
        assert journal.write()
        if journal.compaction_is_due:
            compactions += 1
            journal.start_compaction(("set", thing, value) for thing, value in values.items())
        journal.step(10)
        longest = max(longest, journal.log_bytes)
    journal.close()
    # 80 MB were written, 2 MB are the state. While a new file is written the old one goes on growing.
    assert compactions >= 10
    assert longest < FACTOR * (2_100_000 + 500_000)
    found = recover(str(tmp_path), BOOT)
    assert found.outcome is Outcome.SOUND
    assert {thing: value for _, thing, value in found.records} == values
