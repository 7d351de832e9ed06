"""docs/lockctl.md says what there is: every option, every exit status, every command, and no other."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from lockd.ctl import statuses
from lockd.ctl.parser import parser

PAGE = (Path(__file__).parents[2] / "docs" / "lockctl.md").read_text()


def section(heading: str) -> str:
    """Return what stands below a heading, up to the next one."""
    return re.split(r"^#+ ", PAGE.partition(f"# {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def first_cells(text: str) -> list[str]:
    """Return the first cell of every row of the tables in a text."""
    return [line.split("|")[1] for line in text.splitlines() if line.startswith("|")]


def options_of(command: str) -> set[str]:
    """Return every spelling of every option of a command, as its parser has them."""
    (commands,) = [action for action in parser([command])._actions if isinstance(action, argparse._SubParsersAction)]
    actions = commands.choices[command]._actions
    return {spelling for action in actions for spelling in action.option_strings} - {"-h", "--help"}


def test_every_option_of_run_is_on_the_page() -> None:
    cells = " ".join(first_cells(section("run")))
    assert set(re.findall(r"(?<![\w-])--?\w[\w-]*", cells)) == options_of("run")


def test_exec_has_the_options_of_run_but_those_that_the_page_names() -> None:
    assert options_of("run") - options_of("exec") == {"-F", "--no-fork", "--kill-after", "--lease"}
    assert "It takes the options of `run`, but `-F`, `--kill-after` and `--lease`." in section("exec")


@pytest.mark.parametrize(
    ("command", "own"),
    [
        ("list", {"--held", "--contended", "--older-than"}),
        ("show", set()),
        ("history", set()),
        ("watch", set()),
        ("lock-order", set()),
        ("sessions", {"--held", "--waiting", "--older-than"}),
        ("status", set()),
        ("graph", {"--dot", "--mermaid"}),
    ],
)
def test_the_other_commands_have_few(command: str, own: set[str]) -> None:
    assert options_of(command) == {"--json", "--socket", "--admin-socket"} | own
    assert all(f"`{option}" in PAGE for option in options_of(command))


def test_every_option_of_top_is_on_the_page() -> None:
    cells = " ".join(first_cells(section("top")))
    assert set(re.findall(r"(?<![\w-])--?\w[\w-]*", cells)) == options_of("top") - {"--socket", "--admin-socket"}


def test_every_option_of_chaos_is_on_the_page() -> None:
    cells = " ".join(first_cells(section("chaos")))
    assert set(re.findall(r"(?<![\w-])--\w[\w-]*", cells)) == options_of("chaos")


def test_every_option_of_metrics_is_on_the_page() -> None:
    cells = " ".join(first_cells(section("metrics")))
    assert set(re.findall(r"(?<![\w-])--\w[\w-]*", cells)) == options_of("metrics")


def test_every_option_of_break_is_on_the_page() -> None:
    cells = " ".join(first_cells(section("break")))
    assert set(re.findall(r"(?<![\w-])--\w[\w-]*", cells)) == options_of("break")


def test_every_exit_status_is_on_the_page() -> None:
    named = {value for name, value in vars(statuses).items() if name.isupper()} - {statuses.SIGNALLED}
    numbers = {int(cell) for cell in first_cells(section("Exit status")) if cell.strip().isdigit()}
    assert numbers == named | {statuses.SIGNALLED + 2, statuses.SIGNALLED + 13}


def test_every_command_is_on_the_page() -> None:
    (commands,) = [action for action in parser([])._actions if isinstance(action, argparse._SubParsersAction)]
    assert re.findall(r"^\| `lockctl ([\w-]+)", section("lockctl"), flags=re.MULTILINE) == list(commands.choices)
