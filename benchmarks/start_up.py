"""How long `lockctl run` and `lockctl exec` take to start a command, beside flock(1) and an empty Python.

Run it where a daemon runs: python benchmarks/start_up.py [ROUNDS]

Prints the least and the median of all rounds, in milliseconds. The commands take turns, so that what else the machine
does hits all alike. ``make bench WORK=e`` does the same with a daemon of its own.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile

from bench.reports import STARTS
from bench.work.start_up import commands, take_turns


def main() -> None:
    """Measure and print."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    with tempfile.TemporaryDirectory() as directory:
        measured = take_turns(commands(directory, f"start-up/{os.getpid()}"), os.environ, rounds)
    for what, starts in measured.items():
        times = [start.milliseconds for start in starts]
        print(f"{min(times):6.1f} ms at least, {statistics.median(times):6.1f} ms in the median: {STARTS[what]}")


if __name__ == "__main__":
    main()
