"""Where a run took place."""

from __future__ import annotations

import datetime
import os
import platform
import re
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

#: Distributions whose version changes a figure.
_DISTRIBUTIONS = (
    *("lockd", "lockd-client", "trio", "msgpack"),
    *("redis", "psycopg", "filelock", "fasteners", "portalocker", "posix_ipc", "kazoo", "tinydb"),
)


#: A machine with less than this to do for each processor leaves a benchmark alone.
_SHARE_OF_OTHERS = 0.25


def describe() -> dict[str, str]:
    """Return what a reader of the figures wants to know of the machine."""
    facts = {
        "when": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{os.cpu_count()} processors, {_processor()}",
        "kernel": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }
    for name in _DISTRIBUTIONS:
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return facts


def load() -> str:
    """Return how many processes have wanted a processor at a time, in the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def is_busy(facts: Mapping[str, str]) -> bool:
    """Return whether others wanted a good part of the machine when a run began."""
    processors = int(facts.get("machine", "1").split()[0])
    return float(facts.get("load before", "0")) > _SHARE_OF_OTHERS * processors


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()
