"""``lockctl top``: the names where most wait, live.

What a screen shows and what a key does are functions of what there is (`screen`, `pressed`); `live` has the terminal.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from lockd_client import AdminClient
from lockd_client._words import count, printable
from lockd_client.errors import LockError

from . import statuses
from .complaints import complain
from .output import Output
from .pages import NAMES
from .reports import admin_path, complain_of_admin, fault_of_subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import ModuleType
    from typing import Any

    from .output import Column

    _Row = Mapping[str, Any]

#: So many names are looked at: more do not fit on any screen, and each costs the daemon something.
_NAMES_MAX = 1000

#: Where there are more names, those that are held for longer than this are looked at first.
_OLD_SECONDS = 1.0

#: A look at the daemon costs it something, too.
_DELAY_SECONDS_MIN = 0.1

#: Lines above the names. The last of them is the heading of the table.
HEAD_LINES = 3

_GAP = "  "

BACKSPACE = "\x7f"
_ENTERS, _ESCAPE, _BACKSPACES = ("\n", "\r"), "\x1b", (BACKSPACE, "\b")

_SORTS: Mapping[str, Callable[[_Row], float]] = {
    "contention": lambda row: row["waiters_total"],
    "waits": lambda row: row["longest_wait_seconds"],
    "holds": lambda row: row["holder"]["held_seconds"] if row["holder"] else 0.0,
}
_SORT_KEYS = {"c": "contention", "w": "waits", "h": "holds"}


class View(NamedTuple):
    """What somebody wants to see."""

    sort: str
    pattern: str = ""
    is_typing: bool = False


class Look(NamedTuple):
    """What the daemon has said."""

    status: _Row
    names: Sequence[_Row]
    #: Why there is no newer one.
    trouble: str = ""


def top(options: argparse.Namespace) -> int:
    """Show the names again and again, and return the exit status."""
    if (fault := fault_of_subject(options)) is not None:
        complain(fault)
        return statuses.USAGE
    view = View(options.sort)
    watcher = Watcher(admin_path(options), options.subject)
    try:
        look = watcher.look(view.sort)
        if not options.once and (terminal := _terminal()) is not None:
            terminal.show(watcher.look, look, view, max(options.delay, _DELAY_SECONDS_MIN))
            return statuses.OK
    except LockError as error:
        return complain_of_admin(error)
    import shutil

    output = Output()
    size = shutil.get_terminal_size()
    for line in screen(view, look, size.columns, size.lines):
        output.line(line.rstrip())
    return output.finish()


def pressed(view: View, key: str) -> View | None:
    """Return the view after a key was pressed, None to quit."""
    if view.is_typing:
        if key in _ENTERS:
            return view._replace(is_typing=False)
        if key == _ESCAPE:
            return view._replace(pattern="", is_typing=False)
        if key in _BACKSPACES:
            return view._replace(pattern=view.pattern[:-1])
        return view._replace(pattern=view.pattern + key) if key.isprintable() else view
    if key == "q":
        return None
    if key == "/":
        return view._replace(is_typing=True)
    if key == _ESCAPE:
        return view._replace(pattern="")
    return view._replace(sort=_SORT_KEYS.get(key, view.sort))


def screen(view: View, look: Look, columns: int, lines: int) -> list[str]:
    """Return the lines of a screen of this size, no longer than that."""
    status = look.status
    summary = ", ".join(count(status[f"{noun}s"], noun) for noun in ("session", "name", "grant", "waiter"))
    trouble = look.trouble or status.get("trouble", "")
    names = chosen(view, look.names)
    return [
        _cut(f"lockd {status['release']}: {summary}{f'   {trouble}' if trouble else ''}", columns),
        _cut(_described(view, len(look.names), status["names"]), columns),
        *_table(names[: max(lines - HEAD_LINES, 0)], columns),
    ][:lines]


def chosen(view: View, names: Iterable[_Row]) -> list[_Row]:
    """Return the names that are wanted, in the order that is wanted."""
    measure = _SORTS[view.sort]
    wanted = (row for row in names if view.pattern in row["name"])
    return sorted(wanted, key=lambda row: (-measure(row), -row["waiters_total"], row["name"]))


def _terminal() -> ModuleType | None:
    """Return what shows things live, if that is possible."""
    try:
        from . import live
    except ImportError:
        # There are Pythons without curses.
        return None
    return live if live.is_possible() else None


def _described(view: View, seen: int, total: int) -> str:
    # In the middle of typing the cursor is where the text ends.
    pattern = f"   names with: {view.pattern}{'_' if view.is_typing else ''}" if view.pattern or view.is_typing else ""
    kind = "held longest" if view.sort == "holds" else "contended"
    part = f"   ({seen} of {total} names: some that are {kind})" if total > _NAMES_MAX else ""
    return f"sorted by {view.sort}{part}{pattern}"


def _table(rows: Sequence[_Row], columns: int) -> list[str]:
    from rich.cells import cell_len

    cells = [[printable(str(column.cell(row))) for column in NAMES] for row in rows]
    texts = [[column.heading for column in NAMES], *cells]
    widths = [max(cell_len(row[number]) for row in texts) for number in range(len(NAMES))]
    # The figures are seen in any case, and what is left is shared by the others, as evenly as they need it.
    giving = sorted((number for number, column in enumerate(NAMES) if column.gives_way), key=widths.__getitem__)
    room = columns - len(_GAP) * (len(NAMES) - 1) - sum(widths) + sum(widths[number] for number in giving)
    for place, number in enumerate(giving):
        share = max(room // (len(giving) - place), len(NAMES[number].heading))
        widths[number] = min(widths[number], share)
        room -= widths[number]
    return [_cut(_GAP.join(map(_padded, row, widths, NAMES)), columns) for row in texts]


def _padded(text: str, width: int, column: Column) -> str:
    from rich.cells import cell_len

    text = _cut(text, width)
    space = " " * (width - cell_len(text))
    return space + text if column.align == "right" else text + space


def _cut(text: str, width: int) -> str:
    from rich.cells import cell_len, set_cell_size

    text = printable(text)
    return text if cell_len(text) <= width else f"{set_cell_size(text, max(width - 1, 0))}…"[:width]


class Watcher:
    """Looks at one daemon, and at the next one where that has gone."""

    def __init__(self, path: str, prefix: str) -> None:
        self._path = path
        self._prefix = prefix
        self._older_than = _OLD_SECONDS
        self._admin: AdminClient | None = None

    def look(self, sort: str) -> Look:
        """Ask the daemon for what comes first if it is sorted in this way. Raises what `AdminClient` does."""
        try:
            if self._admin is None:
                self._admin = AdminClient(self._path)
            status = self._admin.status()
            return Look(status, list(islice(self._names(self._admin, sort, status["names"]), _NAMES_MAX)))
        except LockError:
            self._admin = None
            raise

    def _names(self, admin: AdminClient, sort: str, total: int) -> Iterator[_Row]:
        if total <= _NAMES_MAX:
            return admin.names(self._prefix)
        if sort != "holds":
            return admin.names(self._prefix, contended=True)
        found = list(islice(admin.names(self._prefix, older_than=self._older_than), _NAMES_MAX))
        # Nobody knows how long the longest are held: next time there are fewer of them, or more.
        if len(found) == _NAMES_MAX:
            self._older_than *= 2
        elif len(found) < _NAMES_MAX // 10:
            self._older_than /= 2
        return iter(found)
