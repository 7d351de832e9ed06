"""The epoch rises, whatever the clock says and whatever happened to the file."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

import pytest

from lockd.epoch import CLOCK_BEGIN, CLOCK_END, EPOCH_MAX, SLOT_BYTES, EpochError, EpochFile, Record, boot_id
from support.epochs import BOOT, FILE_BYTES, NO_CLOCK, NOW, OTHER_BOOT, YEAR, file_with_epoch, slot, stored_epoch


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "epoch"


# How it rises.


def test_a_fresh_installation_begins_with_the_clock(path: Path) -> None:
    assert EpochFile(path).stored() is None
    assert EpochFile(path).raise_epoch(BOOT, NOW) == YEAR
    assert EpochFile(path).stored() == Record(1, YEAR, BOOT)
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["epoch"]


def test_a_restart_raises_it_by_one_or_to_the_clock(path: Path) -> None:
    assert EpochFile(path).raise_epoch(BOOT, NOW) == YEAR
    assert EpochFile(path).raise_epoch(BOOT, NOW) == YEAR + 1
    assert EpochFile(path).raise_epoch(OTHER_BOOT, NOW + 60) == YEAR + 60
    assert EpochFile(path).stored() == Record(3, YEAR + 60, OTHER_BOOT)


@pytest.mark.parametrize(
    ("now", "epoch"),
    [
        pytest.param(NOW - YEAR, YEAR + 1, id="a year back"),
        pytest.param(0, YEAR + 1, id="1970"),
        pytest.param(-1e18, YEAR + 1, id="before everything"),
        pytest.param(CLOCK_BEGIN - 1, YEAR + 1, id="just before 2025"),
        pytest.param(NOW + 10 * YEAR, 11 * YEAR, id="ten years on"),
        pytest.param(CLOCK_END, CLOCK_END - CLOCK_BEGIN, id="the last believed second"),
        pytest.param(CLOCK_END + 1, YEAR + 1, id="just after 2090"),
        pytest.param(NOW + 70 * YEAR, YEAR + 1, id="70 years on"),
        pytest.param(float("inf"), YEAR + 1, id="never"),
        pytest.param(float("nan"), YEAR + 1, id="no number"),
    ],
)
def test_a_clock_that_goes_wrong_neither_lowers_it_nor_uses_it_up(path: Path, now: float, epoch: int) -> None:
    EpochFile(path).raise_epoch(BOOT, NOW)
    assert EpochFile(path).raise_epoch(BOOT, now) == epoch


@pytest.mark.parametrize("now", [NO_CLOCK, CLOCK_BEGIN, CLOCK_END + 1])
def test_a_fresh_installation_without_a_clock_begins_with_one(path: Path, now: float) -> None:
    assert EpochFile(path).raise_epoch(BOOT, now) == 1


def test_a_thousand_raises_rise(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Two thousand times until the disk has it, on a slow one, is a minute. What that is for, test_epoch_disk shows.
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    clocks = [NOW, NO_CLOCK, NOW - YEAR, NOW + 3, CLOCK_END + 1]
    epochs = [EpochFile(path).raise_epoch(BOOT, clocks[turn % 5] + turn) for turn in range(1000)]
    assert all(before < after for before, after in itertools.pairwise(epochs))
    assert path.stat().st_size == FILE_BYTES


def test_a_token_of_the_greatest_epoch_fits_a_signed_column(path: Path) -> None:
    assert (EPOCH_MAX << 32 | 2**32 - 1) == 2**63 - 1
    assert CLOCK_END - CLOCK_BEGIN < EPOCH_MAX
    path.write_bytes(slot(epoch=EPOCH_MAX) * 2)
    with pytest.raises(EpochError, match="used up") as caught:
        EpochFile(path).raise_epoch(BOOT, NOW)
    assert str(caught.value) == (
        f"the epochs of {path} are used up: no token is greater than those of epoch 2147483647, so whatever checks"
        " tokens has to forget them, and the file has to be removed"
    )
    assert stored_epoch(path) == EPOCH_MAX


# What the file looks like.


def test_both_slots_hold_the_newest_record(path: Path) -> None:
    EpochFile(path).raise_epoch(BOOT, NO_CLOCK)
    assert path.read_bytes() == slot(sequence=1, epoch=1) * 2
    EpochFile(path).raise_epoch(OTHER_BOOT, NO_CLOCK)
    assert path.read_bytes() == slot(sequence=2, epoch=2, boot=OTHER_BOOT) * 2


@pytest.mark.parametrize("newer", [0, 1])
def test_the_newer_slot_decides(path: Path, newer: int) -> None:
    old, new = slot(sequence=1, epoch=8), slot(sequence=2, epoch=9)
    path.write_bytes(old + new if newer == 1 else new + old)
    assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK) == 10


@pytest.mark.parametrize("beside", ["later", "present"])
def test_a_slot_of_a_later_version_is_not_taken_for_a_damaged_one(path: Path, beside: str) -> None:
    content = slot(version=2) + (slot(version=2) if beside == "later" else slot())
    path.write_bytes(content)
    with pytest.raises(EpochError) as caught:
        EpochFile(path).raise_epoch(BOOT, NOW)
    assert str(caught.value) == (
        f"the epoch file {path} is in format 2, and this version of lockd knows format 1 alone: start the version that"
        " wrote it"
    )
    assert path.read_bytes() == content
    # Whoever says --reset-epoch goes back to this version knowingly.
    assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK, reset=True) == (1 if beside == "later" else 5)


# Damage.


@pytest.mark.parametrize("number", [0, 1])
def test_any_damaged_byte_of_a_slot_is_noticed_and_the_other_slot_decides(
    path: Path, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    written = file_with_epoch(4, path)
    with path.open("r+b", buffering=0) as disk:
        for offset in range(number * SLOT_BYTES, (number + 1) * SLOT_BYTES):
            os.pwrite(disk.fileno(), bytes([written[offset] ^ 1 << offset % 8]), offset)
            assert stored_epoch(path) == 4
            os.pwrite(disk.fileno(), written[offset : offset + 1], offset)
    fault = f"slot {number} does not match its checksum"
    assert caplog.messages == [f"the epoch file {path} is damaged ({fault}): its other slot decides"] * SLOT_BYTES


def test_a_damaged_slot_is_told_of_and_repaired(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_bytes(b"\0" + file_with_epoch(4, path)[1:])
    assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK) == 5
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    fault = "slot 0 does not match its checksum"
    assert record.getMessage() == f"the epoch file {path} is damaged ({fault}): its other slot decides"
    caplog.clear()
    assert path.read_bytes() == slot(sequence=5, epoch=5) * 2
    assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK) == 6
    assert caplog.records == []


def test_a_file_cut_at_any_byte_keeps_the_epoch_or_is_refused(path: Path) -> None:
    file_with_epoch(4, path)
    for size in reversed(range(FILE_BYTES)):
        os.truncate(path, size)
        if size < SLOT_BYTES:
            with pytest.raises(EpochError):
                EpochFile(path).stored()
        else:
            assert stored_epoch(path) == 4


@pytest.mark.parametrize(
    ("content", "faults"),
    [
        (b"", "slot 0 has 0 bytes in place of 4096, slot 1 has 0 bytes in place of 4096"),
        (bytes(FILE_BYTES), "slot 0 does not match its checksum, slot 1 does not match its checksum"),
        (slot(magic=b"NOTLOCKD") * 2, "slot 0 is none of this program, slot 1 is none of this program"),
        (
            slot(epoch=0) + slot(epoch=2**31),
            "slot 0 names the impossible epoch 0, slot 1 names the impossible epoch 2147483648",
        ),
    ],
)
def test_with_both_slots_damaged_the_daemon_refuses_until_it_is_told_to_begin_anew(
    path: Path, content: bytes, faults: str, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(content)
    for read_or_raise in (lambda: EpochFile(path).stored(), lambda: EpochFile(path).raise_epoch(BOOT, NOW)):
        with pytest.raises(EpochError) as caught:
            read_or_raise()
        assert str(caught.value) == (
            f"the epoch file {path} is damaged ({faults}), so nobody knows how great the tokens were that have been"
            " given out: restore it from a backup or, if it does not matter that tokens may be given out again, start"
            " once with --reset-epoch"
        )
        assert path.read_bytes() == content
    assert EpochFile(path).raise_epoch(BOOT, NOW, reset=True) == YEAR
    assert caplog.messages == [f"the epoch file {path} is made anew, as --reset-epoch says: {faults}"]
    assert EpochFile(path).raise_epoch(BOOT, NOW) == YEAR + 1


def test_reset_forgets_nothing_that_can_be_read(path: Path) -> None:
    file_with_epoch(4, path)
    assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK, reset=True) == 5
    path.write_bytes(b"\0" + path.read_bytes()[1:])
    assert EpochFile(path).raise_epoch(BOOT, NO_CLOCK, reset=True) == 6


# Which boot this is.


def test_the_boot_is_the_kernels_unless_the_environment_names_it(tmp_path: Path) -> None:
    file = tmp_path / "boot_id"
    file.write_text("01234567-89ab-cdef-0123-456789abcdef\n")
    assert boot_id({}, str(file)) == BOOT
    assert boot_id({"LOCKD_BOOT_ID": ""}, str(file)) == BOOT
    # As systemd writes it.
    assert boot_id({"LOCKD_BOOT_ID": OTHER_BOOT}, str(file)) == OTHER_BOOT


def test_this_machine_has_booted() -> None:
    assert len(boot_id({})) == 32
    assert boot_id({}) == boot_id({})


def test_a_boot_that_nobody_names(tmp_path: Path) -> None:
    path = str(tmp_path / "boot_id")
    with pytest.raises(EpochError) as caught:
        boot_id({}, path)
    assert str(caught.value) == (
        f"{path} cannot be read: No such file or directory: set LOCKD_BOOT_ID to the id of this boot"
        " (Environment=LOCKD_BOOT_ID=%b in the unit)"
    )
    with pytest.raises(EpochError) as caught:
        boot_id({"LOCKD_BOOT_ID": "yesterday"}, path)
    assert str(caught.value) == (
        "LOCKD_BOOT_ID says 'yesterday', which is not the id of a boot: that has 32 hexadecimal digits"
    )
