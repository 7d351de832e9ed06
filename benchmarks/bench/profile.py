"""Where the daemon's time goes: what a goal that was missed is reported with."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterable

from .contenders.lockd import Lockd
from .crowd import crowd
from .servers import find_in_environment
from .tables import Table
from .work.pairs import fresh_name, grants_of

PROGRAM = "py-spy"

#: By the title of the table: how many processes ask, each for a name of its own.
_CROWDS = {"one process": 1, "20 processes on 20 names": 20}

_SECONDS = 4.0
_SAMPLES_PER_SECOND = 250
_LINES_TOLD = 12

#: The share of the samples that each line was seen at work in, in percent, the greatest first.
Shares = list[tuple[str, float]]


def profiles(directory: str) -> dict[str, Shares]:
    """Return where the daemon was seen to be, by who asked; nothing where there is nobody to look."""
    program = find_in_environment(PROGRAM)
    if program is None:
        return {}
    found = {}
    for title, processes in _CROWDS.items():
        place = os.path.join(directory, str(processes))
        os.mkdir(place)
        shares = _profile(program, place, processes)
        if shares:
            found[title] = shares
    return found


def shares_of(lines: Iterable[str]) -> Shares:
    """Return the shares of the innermost lines of stacks, each written as frames with semicolons between them, a space
    and how often it was seen."""
    seen: Counter[str] = Counter()
    for line in lines:
        stack, _, times = line.rpartition(" ")
        if times.strip().isdigit():
            seen[stack.rpartition(";")[2]] += int(times)
    total = sum(seen.values())
    return [(frame, 100 * times / total) for frame, times in seen.most_common(_LINES_TOLD)]


def tables(found: dict[str, Shares]) -> list[Table]:
    """Return them for people."""
    return [
        Table(
            f"Where the daemon is seen at work or waiting for the kernel: {title}",
            ["line", "% of the samples"],
            [[f"`{frame}`", f"{share:.1f}"] for frame, share in shares],
        )
        for title, shares in found.items()
    ]


def _profile(program: str, directory: str, processes: int) -> Shares:
    lockd, output = Lockd(), os.path.join(directory, "stacks")
    lockd.start(directory)
    try:
        options = ["--rate", str(_SAMPLES_PER_SECOND), "--duration", str(int(_SECONDS)), "--format", "raw"]
        spy = subprocess.Popen(
            [program, "record", *options, "--output", output, "--pid", str(lockd.daemon.pid)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # It takes a moment before it looks.
        crowd(processes, _SECONDS + 1, grants_of(lockd, [fresh_name() for _ in range(processes)]))
        if spy.wait() != 0:
            # The system lets nobody look into another process.
            return []
    finally:
        lockd.stop()
    with open(output, encoding="utf-8") as lines:
        return shares_of(lines)
