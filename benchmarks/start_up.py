"""How long `lockctl run` and `lockctl exec` take to start a command, beside flock(1) and an empty Python.

Run it where a daemon runs: python benchmarks/start_up.py [ROUNDS]

Prints the least and the median of all rounds, in milliseconds. The commands take turns, so that what else the machine
does hits all alike.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def milliseconds(command: list[str]) -> float:
    """Run a command and return how long it took."""
    begun_at = time.perf_counter()
    subprocess.run(command, check=True)
    return (time.perf_counter() - begun_at) * 1000


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    lockctl = str(Path(sys.executable).with_name("lockctl"))
    name = f"start-up/{os.getpid()}"
    with tempfile.TemporaryDirectory() as directory:
        commands = {
            "true": ["true"],
            "flock FILE true": [shutil.which("flock") or "true", str(Path(directory, "lock")), "true"],
            "python -I -c pass": [sys.executable, "-I", "-c", "pass"],
            "python -c 'import lockd_client'": [sys.executable, "-c", "import lockd_client"],
            "lockctl exec NAME true": [lockctl, "exec", name, "true"],
            "lockctl run NAME true": [lockctl, "run", name, "true"],
        }
        measured: dict[str, list[float]] = {what: [] for what in commands}
        for _ in range(rounds):
            for what, command in commands.items():
                measured[what].append(milliseconds(command))
    for what, times in measured.items():
        print(f"{min(times):6.1f} ms at least, {statistics.median(times):6.1f} ms in the median: {what}")


if __name__ == "__main__":
    main()
