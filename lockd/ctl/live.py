"""The terminal of ``lockctl top``.

Curses knows terminals, gives them back as they were, and comes through Ctrl-Z and a change of size by itself.
"""

from __future__ import annotations

import curses
import os
import signal
import sys
import time
from contextlib import suppress

from lockd_client.errors import DaemonUnavailable

from . import statuses
from .top import BACKSPACE, HEAD_LINES, Look, View, pressed, screen

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: How long after Escape the rest of another key's code may come, which begins with the same.
_ESCAPE_MILLISECONDS = 25


def is_possible() -> bool:
    """Return whether there is a terminal, and one that can be drawn on."""
    if not (sys.stdin and sys.stdout and sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    try:
        curses.setupterm()
    except curses.error:
        return False
    return bool(curses.tigetstr("cup"))


def show(ask: Callable[[str], Look], look: Look, view: View, seconds: float) -> None:
    """Show one look after the other until somebody quits. The terminal is as it was afterwards, whatever ends this.

    Args:
        ask: Returns the next look, for names that are sorted in this way.
        look: The first one.
        view: What is wanted to begin with.
        seconds: From one look to the next.

    Raises:
        LockError: By ``ask``, but for `DaemonUnavailable`: the next daemon is waited for.
    """
    import locale

    locale.setlocale(locale.LC_ALL, "")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _exit)
    if signal.getsignal(signal.SIGTSTP) is signal.SIG_DFL:
        # Before curses begins, which then has no handler of its own: that one would give the terminal back from within
        # whatever it has interrupted, drawing for instance, and may wait for ever there.
        signal.signal(signal.SIGTSTP, _stop)
    curses.set_escdelay(_ESCAPE_MILLISECONDS)
    curses.wrapper(_show, ask, look, view, seconds)


def _exit(number: int, frame: object) -> None:
    # Not by the signal itself: the terminal has to be given back.
    raise SystemExit(statuses.SIGNALLED + number)


def _stop(number: int, frame: object) -> None:
    """Give the terminal back, stop, and go on later: what is drawn next takes the terminal again."""
    curses.endwin()
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, _stop)


def _show(window: curses.window, ask: Callable[[str], Look], look: Look, wanted: View, seconds: float) -> None:
    with suppress(curses.error):
        curses.curs_set(0)
    with suppress(curses.error):
        # Else the background would be black on every terminal.
        curses.use_default_colors()
    view: View | None = wanted
    due_at = time.monotonic() + seconds
    while view is not None:
        lines, columns = window.getmaxyx()
        _draw(window, screen(view, look, columns, lines))
        key = _key(window, due_at - time.monotonic())
        view = pressed(view, key) if key else view
        if view is not None and time.monotonic() >= due_at:
            try:
                look = ask(view.sort)
            except DaemonUnavailable:
                look = look._replace(trouble="the daemon has gone away")
            due_at = time.monotonic() + seconds


def _key(window: curses.window, seconds: float) -> str:
    """Wait so long for a key, and return the text that it stands for, if any."""
    window.timeout(max(int(1000 * seconds), 0))
    try:
        key = window.get_wch()
    except curses.error:
        return ""
    if isinstance(key, str):
        return key
    return BACKSPACE if key == curses.KEY_BACKSPACE else ""


def _draw(window: curses.window, lines: Sequence[str]) -> None:
    encoding = sys.stdout.encoding or "ascii"
    window.erase()
    for number, line in enumerate(lines):
        # What the locale has no character for is escaped, as in every answer.
        text = line.encode(encoding, "backslashreplace").decode(encoding)
        # Behind the last cell of the screen there is no place for the cursor, which curses takes for an error.
        with suppress(curses.error):
            window.addstr(number, 0, text, curses.A_REVERSE if number == HEAD_LINES - 1 else curses.A_NORMAL)
    window.refresh()
