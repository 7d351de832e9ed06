"""Of which systemd unit a process is, as far as whoever asks may see that in /proc."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

#: Units in which processes are. What lies below one is of its own making.
_SUFFIXES = (".service", ".scope")


def unit_of(pid: int, proc: str = "/proc") -> str | None:
    """Return the unit of a process, such as ``reports.service`` or ``session-3.scope``.

    None: it is of none, or is gone, or cannot be seen from here.
    """
    if pid <= 0:
        # One of another pid namespace.
        return None
    try:
        with open(f"{proc}/{pid}/cgroup", encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    return _unit_in(lines)


def add_units(rows: Iterable[dict[str, Any]], proc: str = "/proc") -> None:
    """Say of each row, which is of a process, of which unit that is."""
    known: dict[int, str | None] = {}
    for row in rows:
        pid = row["pid"]
        if pid not in known:
            known[pid] = unit_of(pid, proc)
        row["unit"] = known[pid]


def _unit_in(lines: Iterable[str]) -> str | None:
    for line in lines:
        # The hierarchy of cgroup v2, and the one that systemd has for itself beside those of v1.
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (number == "0" and not controllers) or controllers == "name=systemd":
            # A user's manager is a service, and has services below it: the last one is the nearest.
            for part in reversed(path.split("/")):
                if part.endswith(_SUFFIXES):
                    return part
    return None
