"""The examples of docs/locks.md run as they stand."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lockd.core.modes import CONFLICTS, Mode
from support.daemon import DEADLINE_SECONDS, Daemon

PAGE = (Path(__file__).parents[2] / "docs" / "locks.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def run(example: str, daemon: Daemon) -> subprocess.CompletedProcess[str]:
    """Run an example in a process of its own."""
    words = [sys.executable, "-W", "error", "-c", example]
    return subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_SECONDS, env=daemon.environment())


@pytest.mark.parametrize("example", EXAMPLES, ids=[example.splitlines()[0] for example in EXAMPLES])
def test_it_runs(example: str, daemon: Daemon) -> None:
    assert run(example, daemon).returncode == 0


def test_they_are_all_there() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") == 12


def test_one_that_is_wrong_does_not_run(daemon: Daemon) -> None:
    assert run(EXAMPLES[0].replace("upgraded", "promoted"), daemon).returncode != 0


def test_the_table_of_modes_is_that_of_the_core() -> None:
    words = {"shared": "S", "update": "U", "exclusive": "X"}
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", PAGE, re.MULTILINE)
    ]
    modes = [Mode(words.get(word, word)) for word in rows[0][1:]]
    said = {
        (Mode(words.get(row[0], row[0])), mode): cell
        for row in rows[2:]
        for mode, cell in zip(modes, row[1:], strict=True)
    }
    assert said == {(one, other): "" if other in CONFLICTS[one] else "+" for one in Mode for other in Mode}
