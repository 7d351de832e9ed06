"""Whatever call fails, and however, nothing is lost that somebody was told of, and later all is well again.

A keeper lives through a story: turns, two compactions, a restart. In each run of it other calls fail: the first, the
second, and so on until a run has no call of that number. After each call it is seen what a daemon would find that
starts after a crash at that point.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable

import pytest

from lockd.journal import Journal, JournalError, Record, recover
from lockd.journal import journal as journal_module
from support.journals import BOOT, DIRECTORY, FAILURES, NEW, PATH, FailingDisk, Failure, Keeper, replay, short

# With steps so small, space has to be found every few turns.
STEP_BYTES, RESERVE_BYTES = 256, 64

# How many calls fail one after the other: one, some, and all until the daemon is told that it is over.
SPANS = [1, 4, sys.maxsize]

BOTH = frozenset({PATH, NEW})


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockd.journal.files.STEP_BYTES", STEP_BYTES)
    monkeypatch.setattr("lockd.journal.files.RESERVE_BYTES", RESERVE_BYTES)


class Story:
    """One run."""

    def __init__(self, disk: FailingDisk, journal_class: type[Journal] = Journal) -> None:
        self.disk = disk
        self.keeper = Keeper(disk, journal_class)
        disk.observe = self.keeper.check_disk

    def play(self) -> None:
        """Play it from the beginning to the end, and see that all of it is there."""
        self._begin()
        for number in range(12):
            self.keeper.turn("x" * 7 * number)
            if number in (2, 7):
                self._journal.start_compaction(self.keeper.snapshot())
            self._journal.step(2)
        self._settle()
        self._journal.close()
        self._begin()
        for _ in range(3):
            self.keeper.turn()
        self._settle()
        self._journal.start_compaction(self.keeper.snapshot())
        while self._journal.is_compacting:
            self._journal.step(1)
        self._settle()
        assert list(self.disk.files) == [PATH]
        assert len(self.disk.open_files) == 1
        assert replay(recover(DIRECTORY, BOOT, self.disk).records) == self.keeper.state

    @property
    def _journal(self) -> Journal:
        assert self.keeper.journal is not None
        return self.keeper.journal

    def _begin(self) -> None:
        try:
            self.keeper.begin()
        except JournalError:
            self.disk.heal()
            self.keeper.begin()

    def _settle(self) -> None:
        """The daemon tries again until nothing waits; if that is not over by itself, somebody repairs the disk."""
        for _ in range(10):
            if self.keeper.write():
                break
        self.disk.heal()
        assert self.keeper.write()
        assert self._journal.fault is None
        assert self.keeper.told == len(self.keeper.states) - 1


def campaign(failure: Failure, journal_class: type[Journal] = Journal, concerned: frozenset[str] = BOTH) -> None:
    """Play the story with a failure at the n-th call about these files, for every n until no call fails."""
    for span in SPANS:
        for first in itertools.count(1):
            disk = FailingDisk(range(first, min(sys.maxsize, first + span)), failure, concerned)
            Story(disk, journal_class).play()
            if not disk.has_failed:
                assert first > 15
                break


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
def test_any_call_may_fail(failure: Failure) -> None:
    campaign(failure)


@pytest.mark.parametrize("failure", [FAILURES["ENOSPC"], FAILURES["uneven"]])
def test_the_journal_may_fail_while_the_file_that_is_to_replace_it_does_not(failure: Failure) -> None:
    campaign(failure, Journal, frozenset({PATH}))


@pytest.mark.parametrize("failure", [FAILURES["ENOSPC"], FAILURES["uneven"]])
def test_the_file_that_is_to_replace_the_journal_may_fail_alone(failure: Failure) -> None:
    campaign(failure, Journal, frozenset({NEW}))


# What the daemon is told meanwhile.


def test_replies_are_withheld_and_then_all_go_out_in_order() -> None:
    disk = FailingDisk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    disk.fail_from_now(FAILURES["ENOSPC"])
    for number in range(50):
        journal.append([("set", number)])
        assert not journal.write()
        assert journal.fault == (
            f"the journal {PATH} cannot be written: No space left on device: make room on its file system"
        )
    disk.heal()
    assert journal.write()
    assert recover(DIRECTORY, BOOT, disk).records == [("set", number) for number in range(50)]


def test_what_is_written_may_be_told_although_the_next_step_is_refused() -> None:
    disk = FailingDisk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    # As far as the reserve, but not as far as the end of the first step.
    journal.append([("set", "x" * (STEP_BYTES - RESERVE_BYTES - 64))])
    disk.allocate_fails = True
    for _ in range(3):
        assert journal.write()
        assert journal.fault == (
            f"the journal {PATH} cannot be written: No space left on device: make room on its file system"
        )
    assert len(recover(DIRECTORY, BOOT, disk).records) == 1
    disk.allocate_fails = False
    assert (journal.write(), journal.fault) == (True, None)


def test_too_little_memory_is_told() -> None:
    disk = FailingDisk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    disk.fail_from_now(FAILURES["memory"])
    journal.append([("set", 1)])
    assert not journal.write()
    assert journal.fault == (f"the journal {PATH} cannot be written: there is no memory left: give the daemon more")


def test_a_write_that_gets_nowhere_is_a_failure() -> None:
    disk = FailingDisk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    disk.fail_from_now(lambda number, call, arguments: 0)
    journal.append([("set", 1)])
    assert not journal.write()
    assert journal.fault == (
        f"the journal {PATH} cannot be written: Input/output error: see what the kernel's log says about the disk, or "
        "choose another directory with --runtime-dir"
    )


def test_a_short_write_is_finished_if_the_rest_can_be_written() -> None:
    disk = FailingDisk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    disk.fail_from_now(short, calls=1)
    journal.append([("set", 1)])
    assert (journal.write(), journal.fault) == (True, None)
    assert recover(DIRECTORY, BOOT, disk).records == [("set", 1)]


def grow_until_compaction_is_due(journal: Journal) -> None:
    while not journal.compaction_is_due:
        journal.append([("set", 1, "x" * 100_000)])
        assert journal.write()


def test_a_compaction_that_fails_does_no_harm_and_is_not_tried_at_once() -> None:
    disk = FailingDisk()
    journal = Journal.create(DIRECTORY, BOOT, 7, disk)
    grow_until_compaction_is_due(journal)
    size = journal.log_bytes
    disk.fail_from_now(FAILURES["EMFILE"])
    journal.start_compaction([("set", 1)])
    assert not journal.is_compacting
    assert journal.compaction_fault == (
        f"the journal {PATH} cannot be compacted: Too many open files: raise the limit of open files (ulimit -n, or"
        " LimitNOFILE= in the unit)"
    )
    assert not journal.compaction_is_due
    disk.heal()
    grow_until_compaction_is_due(journal)
    assert size + journal_module.LEAST_BYTES <= journal.log_bytes < size + journal_module.LEAST_BYTES + 200_000
    journal.start_compaction([("set", 1)])
    journal.step()
    journal.step()
    assert not journal.is_compacting
    assert not journal.compaction_fault
    assert recover(DIRECTORY, BOOT, disk).records == [("set", 1)]
    assert NEW not in disk.files


# That the campaign can fail.


class TellsTooEarly(Journal):
    """Answers go out although nothing is written."""

    def write(self) -> bool:
        super().write()
        return True


class WritesHalfTurns(Journal):
    """Each change is a batch of its own."""

    def _write_batch(self) -> None:
        changes, self._waiting = self._waiting, []
        for change in changes:
            self._waiting = [change]
            super()._write_batch()


class ForgetsWhatWaits(Journal):
    """What could not be written is lost."""

    def write(self) -> bool:
        is_written = super().write()
        self._waiting = []
        return is_written


class RenamesTooEarly(Journal):
    """The new file takes the place of the old one after its first slice."""

    def step(self, budget_records: int = 1) -> None:
        super().step(budget_records)
        if self._compaction is not None:
            self._compaction = self._compaction._replace(snapshot=iter(()))


class WritesToOneFile(Journal):
    """What changes during a compaction is not in the new file."""

    def _write_batch(self) -> None:
        compaction, self._compaction = self._compaction, None
        super()._write_batch()
        self._compaction = compaction


class CompactsWhatWaits(Journal):
    """The new file may know of half a turn."""

    def step(self, budget_records: int = 1) -> None:
        waiting, self._waiting = self._waiting, []
        super().step(budget_records)
        self._waiting = waiting


class CompactsThePast(Journal):
    """The snapshot is that of the beginning of the compaction."""

    def start_compaction(self, snapshot: Iterable[Record], *, epoch: int | None = None) -> None:
        super().start_compaction(list(snapshot), epoch=epoch)


class HarmsTheJournal(Journal):
    """A compaction that fails is put in place of the journal all the same."""

    def _fail_compaction(self, error: OSError | MemoryError) -> None:
        if NEW in self._files.files:  # type: ignore[attr-defined]  # The files are those of these tests.
            self._files.rename(NEW, PATH)
        super()._fail_compaction(error)


@pytest.mark.parametrize(
    "broken",
    [
        TellsTooEarly,
        WritesHalfTurns,
        ForgetsWhatWaits,
        RenamesTooEarly,
        WritesToOneFile,
        CompactsWhatWaits,
        CompactsThePast,
        HarmsTheJournal,
    ],
)
def test_a_journal_with_a_defect_would_be_noticed(broken: type[Journal]) -> None:
    with pytest.raises(AssertionError):
        campaign_with_each_file(FAILURES["half"], broken)


def campaign_with_each_file(failure: Failure, journal_class: type[Journal]) -> None:
    campaign(failure, journal_class)
    campaign(failure, journal_class, frozenset({PATH}))


def test_a_failed_write_that_is_not_cut_back_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockd.journal.files.LogFile._cut_back", lambda log: None)
    with pytest.raises(AssertionError):
        campaign(FAILURES["uneven"])


def test_space_that_is_not_allocated_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lockd.journal.files.LogFile._allocate", lambda log, least: None)
    with pytest.raises(AssertionError):
        Story(FailingDisk()).play()
