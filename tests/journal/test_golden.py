"""Journals that earlier versions have written, as they lay on the disk: each version reads them all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lockd.journal import Journal, Outcome, recover
from lockd.journal.format import VERSION
from support.journals import BOOT

GOLDEN = Path(__file__).parent / "golden"


def test_there_are_golden_journals_of_every_version() -> None:
    for version in range(1, VERSION + 1):
        assert sorted(path.name for path in GOLDEN.glob(f"version-{version}[-.]*")) == [
            f"version-{version}-torn.journal",
            f"version-{version}.journal",
            f"version-{version}.json",
        ]


@pytest.mark.parametrize("version", range(1, VERSION + 1))
@pytest.mark.parametrize(("ending", "outcome"), [("", Outcome.SOUND), ("-torn", Outcome.TORN)])
def test_it_is_read_and_gone_on_with(version: int, ending: str, outcome: Outcome, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / f"version-{version}{ending}.journal", tmp_path / "journal")
    expected = [tuple(record) for record in json.loads((GOLDEN / f"version-{version}.json").read_text("utf-8"))]
    found = recover(str(tmp_path), BOOT)
    assert (found.outcome, found.records) == (outcome, expected)
    assert found.header is not None
    assert (found.header.version, found.header.boot_id, found.header.epoch) == (version, BOOT, 7)
    journal = Journal.open(str(tmp_path), found)
    journal.append([("end",)])
    assert journal.write()
    journal.close()
    assert recover(str(tmp_path), BOOT).records == [*expected, ("end",)]
