"""How answers are shown to people."""

from __future__ import annotations

from lockd_client._modes import word_of
from lockd_client._words import count, duration, instant, quoted

from .output import Column

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from .output import Output

    _Facts = Mapping[str, Any]


#: Most locks are held for less than anybody cares for.
SHORTEST_SECONDS = 0.001

#: Of what happened lately, so much stands below who holds a name and who waits for it.
_RECENT_MAX = 5


def show_names(rows: Sequence[_Facts], output: Output) -> None:
    """Show the answer to ``lockctl list``."""
    if rows:
        output.table(NAMES, rows)
    else:
        output.line("nobody holds or waits for any such name")


def show_name(facts: _Facts, output: Output) -> None:
    """Show the answer to ``lockctl show``."""
    holders, waiters = facts["holders_total"], facts["waiters_total"]
    if not holders and not waiters:
        output.line(f"{quoted(facts['name'])}: nobody holds it or waits for it")
        _show_abandoned(facts, output)
        _show_recent(facts["history"], output)
        return
    taken = f"{_permits(facts)} taken, " if facts["limit"] else ""
    output.line(f"{quoted(facts['name'])}: {taken}{count(holders, 'holder')}, {count(waiters, 'waiter')}")
    for described, total, columns in (("holders", holders, _HOLDERS), ("waiters", waiters, _WAITERS)):
        if total:
            output.line("")
            output.table(columns, [{**row, "limit": facts["limit"]} for row in facts[described]])
        if more := total - len(facts[described]):
            output.line(f"and {more} more")
    _show_abandoned(facts, output)
    _show_recent(facts["history"], output)


def _show_abandoned(facts: _Facts, output: Output) -> None:
    # A daemon of an earlier version says nothing of it.
    abandoned = facts.get("abandoned")
    if abandoned is not None:
        label = f" {quoted(abandoned['label'])}" if abandoned["label"] else ""
        output.line("")
        output.line(
            f"abandoned {duration(abandoned['ago_seconds'])} ago by {abandoned['pid']} {abandoned['program'] or '?'}"
            f"{label}, which did not release it: what it stands for may be half done"
        )


def show_history(rows: Sequence[_Facts], output: Output) -> None:
    """Show the answer to ``lockctl history``."""
    if rows:
        output.table(_HISTORY, rows)
    else:
        output.line("nothing is remembered of it")


def _show_recent(rows: Sequence[_Facts], output: Output) -> None:
    if rows:
        output.line("")
        output.line("lately")
        output.table(_HISTORY, rows[-_RECENT_MAX:])


def show_sessions(rows: Sequence[_Facts], output: Output) -> None:
    """Show the answer to ``lockctl sessions``."""
    if rows:
        output.table(_SESSIONS, rows)
    else:
        output.line("no process has a session")


def show_orders(rows: Sequence[_Facts], output: Output) -> None:
    """Show the answer to ``lockctl lock-order``."""
    if not rows:
        output.line("no two names were taken in opposite orders")
    for row in rows:
        for place, beginning in ((row["first"], ""), (row["second"], "  but ")):
            held, wanted = (
                quoted(place[what]) + (f' ("{place[f"{what}_label"]}")' if place[f"{what}_label"] else "")
                for what in ("held", "wanted")
            )
            output.line(
                f"{beginning}pid {place['pid']} ({place['program'] or '?'}) had {held} and wanted {wanted}, "
                f"{duration(place['ago_seconds'])} ago"
            )


def show_status(facts: _Facts, output: Output) -> None:
    """Show the answer to ``lockctl status``."""
    output.line(
        f"lockd {facts['release']} (pid {facts['pid']}, protocol {facts['version']}, epoch {facts['epoch']}), "
        f"up for {duration(facts['uptime_seconds'])}"
    )
    output.line(
        f"now: {count(facts['sessions'], 'session')} ({facts['detached']} detached), {count(facts['names'], 'name')}, "
        f"{count(facts['grants'], 'grant')}, {count(facts['waiters'], 'waiter')}, "
        f"{count(facts['abandoned'], 'abandoned name')}"
    )
    output.line(
        f"since the start: {count(facts['granted_total'], 'grant')}, {count(facts['timeouts_total'], 'time-out')}, "
        f"{count(facts['cancels_total'], 'cancel')}, {count(facts['leases_taken_total'], 'lease')} taken, "
        f"{count(facts['deaths_total'], 'death')} of a process"
    )
    # A daemon of an earlier version knows nothing of it.
    if facts.get("breaks_total") or facts.get("kills_total"):
        output.line(
            f"by administrators since the start: {count(facts['breaks_total'], 'grant')} broken, "
            f"{count(facts['kills_total'], 'holder')} killed"
        )
    output.line(
        f"deadlocks since the start: {facts['deadlocks_total']} refused, "
        f"{facts['reorders_total']} resolved by another order of the waiters"
    )
    # A daemon of an earlier version says nothing of it.
    if facts.get("trouble"):
        output.line(f"DEGRADED: {facts['trouble']}")


def _mode(facts: _Facts) -> str:
    """Say in what way a name is held or wanted: the mode of a lock, the permits of a semaphore."""
    if facts["limit"]:
        return _permits(facts)
    return word_of(facts["mode"]) or "-"


def _wanted_mode(facts: _Facts) -> str:
    wanted = _mode(facts)
    return f"{wanted}, from {word_of(facts['converts_from'])}" if facts["converts_from"] else wanted


def _permits(facts: _Facts) -> str:
    return f"{facts['permits']} of {count(facts['limit'], 'permit')}"


def _held_by(facts: _Facts) -> str:
    holder = facts["holder"]
    if holder is None:
        return "-"
    others = facts["holders_total"] - 1
    label = f" {quoted(holder['label'])}" if holder["label"] else ""
    return f"{holder['pid']} {_program(holder)}{label}" + (f" and {count(others, 'other')}" if others else "")


def _program(facts: _Facts) -> str:
    program: str = facts["program"] or "?"
    return program if facts["attached"] else f"{program} (detached)"


def _user(facts: _Facts) -> str:
    import pwd

    try:
        return pwd.getpwuid(facts["uid"]).pw_name
    except KeyError:
        return str(facts["uid"])


def _held_for(row: _Facts) -> str:
    return duration(row["holder"]["held_seconds"]) if row["holder"] else "-"


def _longest_wait(row: _Facts) -> str:
    return duration(row["longest_wait_seconds"]) if row["waiters_total"] else "-"


def mode_of_event(row: _Facts) -> str:
    """Say in what way a name was held or wanted, of something that happened."""
    return word_of(row["mode"]) if row["mode"] else count(row["permits"], "permit")


def span(seconds: float | None) -> str:
    """Say how long something took, which may be next to nothing."""
    if seconds is None:
        return "-"
    return duration(seconds) if seconds >= SHORTEST_SECONDS else "0 s"


def _until_now(row: _Facts, what: str) -> str:
    """Say how long it has been so, if this is what has become of the request and it is so still."""
    return f"{duration(row['ago_seconds'])} so far" if row["what"] == what else ""


def _at(row: _Facts) -> str:
    from datetime import datetime, timedelta

    return instant(datetime.now() - timedelta(seconds=row["ago_seconds"]))


def _gives_up(facts: _Facts) -> str:
    left = facts["deadline_seconds"]
    return "never" if left is None else f"in {duration(left)}"


_PROCESS = (
    Column("PID", lambda row: row["pid"], align="right"),
    Column("USER", _user),
    Column("PROGRAM", _program, gives_way=True),
)
#: The systemd unit of the process.
_UNIT = Column("UNIT", lambda row: row.get("unit") or "-", may_go=True)
_MODE = Column("MODE", _mode)
_LABEL = Column("LABEL", lambda row: row["label"] or "-", gives_way=True)

_HISTORY = (
    Column("AT", _at, align="right"),
    Column("WHAT", lambda row: row["what"]),
    *_PROCESS[:2],
    Column("PROGRAM", lambda row: row["program"] or "?", gives_way=True),
    Column("MODE", mode_of_event),
    Column("WAITED", lambda row: _until_now(row, "queued") or span(row["waited_seconds"]), align="right"),
    Column("HELD", lambda row: _until_now(row, "granted") or span(row["held_seconds"]), align="right"),
    _LABEL,
)
NAMES = (
    Column("NAME", lambda row: row["name"], gives_way=True),
    _MODE,
    Column("HELD BY", _held_by, gives_way=True),
    Column("FOR", _held_for, align="right"),
    Column("WAITERS", lambda row: row["waiters_total"], align="right"),
    Column("LONGEST", _longest_wait, align="right"),
)
_HOLDERS = (
    *_PROCESS,
    _UNIT,
    _MODE,
    Column("HELD FOR", lambda row: duration(row["held_seconds"]), align="right"),
    _LABEL,
)
_WAITERS = (
    Column("PLACE", lambda row: row["position"], align="right"),
    *_PROCESS,
    _UNIT,
    Column("MODE", _wanted_mode),
    Column("WAITED", lambda row: duration(row["waited_seconds"]), align="right"),
    Column("GIVES UP", _gives_up),
    _LABEL,
)
_SESSIONS = (
    Column("SESSION", lambda row: row["session"], align="right"),
    *_PROCESS,
    _UNIT,
    Column("GRANTS", lambda row: row["grants"], align="right"),
    Column("WAITING", lambda row: row["waiting"], align="right"),
    Column("OPEN FOR", lambda row: duration(row["age_seconds"]), align="right"),
)
