"""``lockctl completion``: by real shells, those of them that are there."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from lockd.ctl import statuses
from lockd_client import Client
from support.daemon import DEADLINE_SECONDS
from support.lockctl import LOCKCTL, Lockctl

#: What bash does when TAB is pressed behind a line.
PRESS_TAB = r"""
eval "$(lockctl completion bash)"
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9
read -ra COMP_WORDS <<<"$1"
[[ $1 == *' ' ]] && COMP_WORDS+=('')
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
function=$(complete -p lockctl | sed 's/.* -F \([^ ]*\) .*/\1/')
"$function" lockctl "${COMP_WORDS[COMP_CWORD]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def press_tab(lockctl: Lockctl, line: str, **variables: str) -> list[str]:
    """Return what bash offers behind a line."""
    path = os.pathsep.join([str(Path(LOCKCTL).parent), os.environ["PATH"]])
    environment = lockctl.environment(PATH=path, **variables)
    outcome = lockctl.start_program("bash", "--norc", "-c", PRESS_TAB, "bash", line, environment=environment).end()
    assert (outcome.status, outcome.err) == (0, "")
    return [offer.rstrip() for offer in outcome.out.splitlines()]


@pytest.fixture
def names(client: Client, name: str) -> Iterator[list[str]]:
    """Names that are held."""
    held = [f"{name}/one", f"{name}/two"]
    with client.lock(held[0], timeout=0), client.lock(held[1], timeout=0):
        yield held


@pytest.mark.parametrize(
    ("line", "offers"),
    [
        ("lockctl sho", {"show"}),
        ("lockctl list --o", {"--older-than"}),
        ("lockctl run --mode s", {"shared"}),
        ("lockctl completion ", {"bash", "zsh", "fish"}),
    ],
)
def test_commands_and_options(lockctl: Lockctl, line: str, offers: set[str]) -> None:
    assert offers <= set(press_tab(lockctl, line))


@pytest.mark.parametrize("start", ["list {}", "show {}", "run -n {}", "run --and {}"])
def test_names_that_are_in_use(lockctl: Lockctl, names: list[str], name: str, start: str) -> None:
    assert sorted(press_tab(lockctl, f"lockctl {start.format(name)}/")) == names


def test_behind_the_name_stands_a_command_and_behind_that_a_file(lockctl: Lockctl, tmp_path: Path) -> None:
    assert "sleep" in press_tab(lockctl, "lockctl run backup slee")
    assert "sleep" in press_tab(lockctl, "lockctl run backup -- slee")
    (tmp_path / "a-file").touch()
    assert f"{tmp_path}/a-file" in press_tab(lockctl, f"lockctl run backup cat {tmp_path}/a-f")


def test_where_nobody_answers_no_name_is_offered(lockctl: Lockctl) -> None:
    assert press_tab(lockctl, "lockctl show x", LOCKD_SOCKET="/nowhere", LOCKD_ADMIN_SOCKET="/nowhere") in ([], [""])


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_reads_its_script(lockctl: Lockctl, shell: str, tmp_path: Path) -> None:
    outcome = lockctl("completion", shell)
    assert (outcome.status, outcome.err) == (0, "")
    assert "lockctl" in outcome.out
    script = tmp_path / "script"
    script.write_text(outcome.out)
    if shutil.which(shell) is None:
        pytest.skip(f"this machine has no {shell}")
    subprocess.run([shell, "-n", str(script)], check=True, timeout=DEADLINE_SECONDS)


def test_another_shell_is_refused(lockctl: Lockctl) -> None:
    assert lockctl("completion", "tcsh").status == statuses.USAGE
