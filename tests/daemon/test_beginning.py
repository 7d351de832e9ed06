"""How a daemon begins: with what was there, with nothing, or with the loss of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path

import pytest

from lockd import journal, recovery
from lockd.core.manager import LockManager
from lockd.epoch import EpochError, EpochFile
from lockd.journal import JournalError
from lockd.journal.format import HEADER_BYTES
from support.epochs import slot


def begun(directory: Path) -> recovery.Beginning:
    directory.joinpath("run").mkdir(exist_ok=True)
    directory.joinpath("state").mkdir(exist_ok=True)
    return recovery.begin(str(directory / "run"), str(directory / "state"), LockManager, 100.0, 15.0, reset_epoch=False)


def test_the_first_start_is_no_loss(tmp_path: Path) -> None:
    beginning = begun(tmp_path)
    beginning.journal.close()
    assert beginning.loss is None
    again = begun(tmp_path)
    again.journal.close()
    assert (again.loss, again.manager.epoch) == (None, beginning.manager.epoch)


def test_a_journal_in_which_there_is_nothing_is_a_loss(tmp_path: Path) -> None:
    """A whole one begins with the counters before the epoch file knows of it. It may be the one that told of a loss."""
    begun(tmp_path).journal.close()
    path = tmp_path / "run" / "journal"
    path.write_bytes(path.read_bytes()[:HEADER_BYTES].ljust(path.stat().st_size, b"\0"))
    again = begun(tmp_path)
    again.journal.close()
    assert again.loss is not None
    assert again.loss.over_at == 115.0


def test_a_loss_is_known_although_the_daemon_that_found_it_ended_at_once(tmp_path: Path) -> None:
    begun(tmp_path).journal.close()
    (tmp_path / "run" / "journal").unlink()
    first = begun(tmp_path)
    first.journal.close()
    second = begun(tmp_path)
    second.journal.close()
    assert first.loss == second.loss is not None
    assert first.manager.epoch == second.manager.epoch


def test_a_first_start_without_a_journal_is_none(tmp_path: Path) -> None:
    """The epoch file names a boot only when there is a journal of it: otherwise the next start would miss that."""
    (tmp_path / "run" / "journal.new").mkdir(parents=True)
    with pytest.raises(JournalError, match="cannot be made"):
        begun(tmp_path)
    assert not (tmp_path / "state" / "epoch").exists()
    (tmp_path / "run" / "journal.new").rmdir()
    beginning = begun(tmp_path)
    beginning.journal.close()
    assert beginning.loss is None


def test_nor_is_one_without_an_epoch(tmp_path: Path) -> None:
    (tmp_path / "state" / "epoch.new").mkdir(parents=True)
    with pytest.raises(EpochError, match="cannot be written"):
        begun(tmp_path)
    assert list((tmp_path / "run").iterdir()) == []


# The epoch file, while the journal knows everything.


def epoch_file(directory: Path) -> EpochFile:
    return EpochFile(directory / "state" / "epoch")


def lose(path: Path) -> None:
    path.unlink()


def damage(path: Path) -> None:
    path.write_bytes(b"rubbish".ljust(path.stat().st_size))


def damage_one_slot(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))


def go_back_to_another_boot(path: Path) -> None:
    path.write_bytes(2 * slot(sequence=1, epoch=1, boot="f" * 32))


@pytest.mark.parametrize("change", [lose, damage, damage_one_slot, go_back_to_another_boot])
def test_what_the_epoch_file_lost_is_made_good(
    tmp_path: Path, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    first = begun(tmp_path)
    first.journal.close()
    stored = epoch_file(tmp_path).stored()
    assert stored is not None
    change(tmp_path / "state" / "epoch")
    second = begun(tmp_path)
    second.journal.close()
    assert (second.loss, second.manager.epoch) == (None, first.manager.epoch)
    assert "did not know epoch" in caplog.text
    again = epoch_file(tmp_path).stored()
    assert again is not None
    assert (again.epoch, again.boot_id) == (stored.epoch, stored.boot_id)

    # So the loss of the journal is noticed still.
    (tmp_path / "run" / "journal").unlink()
    third = begun(tmp_path)
    third.journal.close()
    assert third.loss is not None
    assert third.manager.epoch > first.manager.epoch


def test_an_epoch_file_that_knows_everything_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    begun(tmp_path).journal.close()
    path = tmp_path / "state" / "epoch"
    before = path.read_bytes(), path.stat().st_mtime_ns
    begun(tmp_path).journal.close()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
    assert "epoch" not in caplog.text


def test_one_that_cannot_be_mended_is_no_reason_not_to_go_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = begun(tmp_path)
    first.journal.close()
    (tmp_path / "state" / "epoch").unlink()
    (tmp_path / "state" / "epoch.new").mkdir()
    second = begun(tmp_path)
    second.journal.close()
    assert (second.loss, second.manager.epoch) == (None, first.manager.epoch)
    assert "cannot be written" in caplog.text


def test_a_record_that_nobody_knows_is_a_loss_and_the_journal_is_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    beginning = begun(tmp_path)
    beginning.journal.append([("X", "of another kind")])
    assert beginning.journal.write()
    beginning.journal.close()
    content = (tmp_path / "run" / "journal").read_bytes()
    again = begun(tmp_path)
    again.journal.close()
    assert again.loss is not None
    assert "('X', 'of another kind') is no record" in again.loss.reason
    assert again.manager.epoch > beginning.manager.epoch
    assert (tmp_path / "run" / "journal.corrupt").read_bytes() == content
    assert caplog.records[-1].levelname == "ERROR"


def test_garbage_is_looked_for_again_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def watched(directory: str, boot_id: str) -> journal.Recovered:
        seen.append(gc.isenabled())
        return journal.recover(directory, boot_id)

    monkeypatch.setattr(recovery, "recover", watched)
    begun(tmp_path).journal.close()
    assert (seen, gc.isenabled()) == ([False], True)


def test_where_nobody_looks_for_garbage_nobody_begins_to(tmp_path: Path) -> None:
    gc.disable()
    try:
        begun(tmp_path).journal.close()
        assert not gc.isenabled()
    finally:
        gc.enable()
