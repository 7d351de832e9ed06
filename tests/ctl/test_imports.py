"""``lockctl run`` may stand in a loop of a shell script: what it does not need it does not import."""

from __future__ import annotations

import subprocess
import sys

#: Each costs milliseconds, and none is of use to somebody who takes a lock and runs a command.
SLOW = {
    *("argparse", "asyncio", "dataclasses", "enum", "functools", "gettext", "inspect", "json", "locale", "logging"),
    *("pathlib", "random", "re", "shutil", "signal", "socket", "subprocess", "tempfile", "threading", "typing"),
    *("unicodedata", "warnings", "weakref", "rich", "trio", "msgspec"),
}

#: Goes the way of `lockctl run` up to where a process would be started, and tells which modules that took.
AS_FAR_AS_THE_FORK = """\
import os, sys
before = set(sys.modules)
def fork():
    print(*sys.modules.keys() - before)
    raise OSError(11, "that is enough")
os.fork = fork
from lockd.ctl.main import main
sys.exit(main(["run", "-n", "--label", "why", "x", "true"]))
"""


def test_run_imports_nothing_that_is_slow() -> None:
    outcome = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:] = {sys.path}\n{AS_FAR_AS_THE_FORK}"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert (outcome.returncode, outcome.stderr) == (71, "lockctl: cannot start a process: that is enough\n")
    imported = set(outcome.stdout.split())
    assert {"lockd.ctl.run", "lockd.ctl.take", "lockd_client._session"} <= imported
    assert imported & SLOW == set()
