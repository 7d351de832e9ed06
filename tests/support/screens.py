"""The screens in docs/lockctl.md, which are what lockctl says of a real daemon in a made-up situation.

Run as a program (``make screens``), this writes them anew. Where the page has the comment ``<!-- screen: COMMAND -->``,
what that command says stands below it, up to ``<!-- end of screen -->``: a new screen takes a new comment.

The daemon, the processes, what they do and the commands are real. Who they are and how long everything took would be
something else each time, so the answers of the daemon are given pids and durations out of a story, before the commands
show them.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from lockd.ctl import events, pages, reports
from lockd.ctl.main import main
from lockd_client import AdminClient
from lockd_wire import messages as m

from .daemon import Daemon
from .sources import REPOSITORY

PAGE: Final = REPOSITORY / "docs" / "lockctl.md"

_SCREEN: Final = re.compile(r"(?<=<!-- screen: )(.*?)( -->\n).*?(?=<!-- end of screen -->)", re.DOTALL)

#: Of the screen, as wide as the page shows.
_SIZE: Final[Mapping[str, str]] = {"COLUMNS": "100", "LINES": "24"}

#: All that happens, to the last worker that waits.
_EVENTS: Final = 16

_NOW: Final = datetime(2026, 3, 2, 2, 12, 3)

#: How long ago the latest had happened to whom, by label, and since when there were the programs.
_AGES: Final[Mapping[str, float]] = {
    **{"import": 3000.0, "nightly run": 723.0, "newsletter": 310.0, "invoice 7": 61.0, "transfer": 61.0},
    **{"order 1": 42.0, "order 2": 31.0, "order 3": 17.5, "order 4": 9.0, "order 5": 2.4},
    **{"backup": 724.0, "mailer": 5000.0, "billing": 800.0, "payments": 400.0, "worker": 90.0},
}

#: What systemd runs.
_UNITS: Final = {"backup": "backup.service", "worker": "orders.service", "mailer": "mailer.service"}

#: What had happened before that.
_EARLIER: Final[Mapping[tuple[str, str, str], float]] = {
    ("import", "granted", "feeds/42"): 3004.0,
    ("invoice 7", "granted", "accounts/18"): 61.9,
    ("transfer", "granted", "accounts/17"): 61.4,
    ("transfer", "queued", "accounts/18"): 61.4,
}

#: How long it had been held then.
_HELD: Final[Mapping[tuple[str, str], float]] = {("import", "abandoned"): 4.0, ("invoice 7", "released"): 0.9}


class Story:
    """Gives answers of a daemon the pids and times of the story."""

    def __init__(self) -> None:
        self._pids: dict[int, int] = {}

    def told(self, value: Any) -> Any:
        """Return something that the daemon has said, as the story has it."""
        if isinstance(value, tuple):
            return tuple(map(self.told, value))
        if isinstance(value, dict):
            return {key: self._told_of(key, each, value) for key, each in value.items()}
        return value

    def _told_of(self, key: str, value: Any, facts: dict[str, Any]) -> Any:
        age = _AGES.get(facts.get("label") or facts.get("wanted_label") or facts.get("program", ""), 0.0)
        match key:
            case "pid" if "program" in facts:
                return self._pids.setdefault(value, 4711 + 13 * len(self._pids))
            case "pid":
                return 902
            case "uid":
                return os.getuid()
            case "epoch":
                return 55_000_000
            case "token" if "names_total" in facts:
                # By which `break` asks again.
                return value
            case "token" | "session":
                return value and (55_000_000 << 32) + value % 2**32
            case "uptime_seconds":
                return 90_061.0
            case "longest_wait_seconds":
                return _AGES["order 1"] if value else 0.0
            case "deadline_seconds":
                return value and 57.6
            case "waited_seconds" if "what" in facts:
                return 0.4 if _what(facts) == ("transfer", "granted", "accounts/18") else 0.0
            case "held_seconds" if "what" in facts:
                return value and _HELD.get(_what(facts)[:2], 0.0)
            case "ago_seconds" if "what" in facts:
                return _EARLIER.get(_what(facts), age)
            case _ if key.endswith("seconds"):
                return age
        return self.told(value)


def _what(facts: dict[str, Any]) -> tuple[str, str, str]:
    return facts["label"], facts["what"], facts["name"]


@contextmanager
def situation() -> Iterator[tuple[Daemon, Iterator[dict[str, Any]]]]:
    """Have a daemon in the situation, and all that has happened."""
    command = [sys.executable, "-m", "support.screens_cast"]
    with (
        tempfile.TemporaryDirectory(prefix="lockd-") as directory,
        Daemon(Path(directory)) as daemon,
        AdminClient(daemon.admin_socket) as watching,
    ):
        happened = watching.watch()
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*command, daemon.client_socket], cwd=REPOSITORY / "tests", stdin=pipe, stdout=pipe, text=True
        ) as cast:
            assert cast.stdout is not None
            assert cast.stdout.readline() == "ready\n"
            yield daemon, happened


def updated(page: str) -> str:
    """Return ``page`` with the screens of today in the places of those that it has."""
    story = Story()

    def answer(client: AdminClient, seconds: float | None) -> m.AdminReply:
        return type(said := actual(client, seconds))._make(map(story.told, said))

    actual = AdminClient._answer
    with situation() as (daemon, happened), patch.object(AdminClient, "_answer", answer), _names_and_times():
        seen = list(islice(happened, _EVENTS))
        with patch.dict(os.environ, {"LOCKD_ADMIN_SOCKET": daemon.admin_socket, **_SIZE}):
            return _SCREEN.sub(lambda match: f"{match[1]}{match[2]}{_screen(match[1], seen)}", page)


def _screen(command: str, seen: list[dict[str, Any]]) -> str:
    line, _, pattern = command.partition(" | grep -E ")
    _, *words = shlex.split(line)
    if words[0] == "watch":
        # It would never end, so this is what it does with each event.
        text = "".join(f"{events.line(event, _NOW)}\n" for event in seen)
    else:
        output = io.TextIOWrapper(io.BytesIO(), "utf-8")
        with redirect_stdout(output):
            status = main(words)
        output.seek(0)
        text = output.read()
        assert status == 0, f"{command}: {text}"
    if pattern:
        text = "".join(row for row in text.splitlines(keepends=True) if re.search(shlex.split(pattern)[0], row))
    return f"```\n$ {command}\n{text}```\n"


def _add_units(rows: Sequence[dict[str, Any]]) -> None:
    for row in rows:
        row["unit"] = _UNITS.get(row["program"])


@contextmanager
def _names_and_times() -> Iterator[None]:
    """Let users, units and times of day be those of the story, too."""
    at, user = pages._HISTORY[0], pages._PROCESS[1]
    with (
        patch.object(at, "cell", lambda row: f"{_NOW - timedelta(seconds=row['ago_seconds']):%H:%M:%S}"),
        patch.object(user, "cell", lambda row: "shop"),
        patch.object(reports, "add_units", _add_units),
    ):
        yield


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text("utf-8")), "utf-8")
