"""``lockctl watch``: what happens to the locks, a line for each event, as it happens."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from lockd_client import AdminClient
from lockd_client._words import count, printable, who
from lockd_client.errors import DaemonUnavailable, LockError

from . import statuses
from .complaints import complain
from .output import Output
from .pages import SHORTEST_SECONDS, mode_of_event, span
from .reports import admin_path, complain_of_admin, fault_of_subject

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping
    from typing import Any

    _Event = Mapping[str, Any]

#: Between two looks for a daemon that has gone away.
_PAUSE_SECONDS = 0.2

#: What becomes of a request and is said of one that holds nothing.
_WIDEST = len("lease taken")


def watch(options: argparse.Namespace) -> int:
    """Tell what happens until nobody wants to know any more, and return the exit status."""
    if (fault := fault_of_subject(options)) is not None:
        complain(fault)
        return statuses.USAGE
    try:
        for event in _events(admin_path(options), options.subject):
            output = Output()
            now = datetime.now().astimezone()
            if options.json:
                output.document(document(event, now))
            else:
                output.line(line(event, now))
            status = output.finish()
            if status != statuses.OK:
                return status
    except LockError as error:
        return complain_of_admin(error)
    raise AssertionError("events end with an error")


def line(event: _Event, now: datetime) -> str:
    """Return what people are told of an event."""
    at = now - timedelta(seconds=event.get("ago_seconds", 0))
    clock = f"{at:%H:%M:%S}.{at.microsecond // 1000:03}"
    what = event["what"]
    if what == "missed":
        return f"{clock}  ({count(event['missed'], 'event')} missed here)"
    if "name" not in event:
        return f"{clock}  ({event['detail']})"
    person = who(event["pid"], event["uid"], event["program"], event["label"])
    times = [
        f"{verb} {span(seconds)}"
        for verb, seconds in (("waited", event["waited_seconds"]), ("held", event["held_seconds"]))
        if seconds is not None and seconds >= SHORTEST_SECONDS
    ]
    parts = [f"{what:{_WIDEST}}", printable(event["name"]), mode_of_event(event), person, ", ".join(times)]
    return f"{clock}  {'  '.join(part for part in parts if part)}"


def document(event: _Event, now: datetime) -> str:
    """Return an event as one line of JSON, with the time at which it happened."""
    import json

    at = now - timedelta(seconds=event.get("ago_seconds", 0))
    # ASCII alone: no order to a terminal gets through, and every locale can show it.
    return json.dumps({"at": at.isoformat(timespec="milliseconds"), **event})


def _events(path: str, prefix: str) -> Iterator[_Event]:
    """Yield events for ever, those of a daemon that is restarted too.

    Raises:
        LockError: There was no daemon to begin with, or it does not serve this user.
    """
    events: Iterator[_Event] = AdminClient(path).watch(prefix)
    while True:
        try:
            yield from events
        except DaemonUnavailable:
            yield {"what": "daemon gone", "detail": "the daemon has gone away"}
        events = _next_events(path, prefix)
        # Not before they are watched: what happens as soon as this was told is seen.
        yield {"what": "daemon back", "detail": "the daemon is back; what happened meanwhile was not seen"}


def _next_events(path: str, prefix: str) -> Iterator[_Event]:
    while True:
        try:
            return AdminClient(path).watch(prefix)
        except DaemonUnavailable:
            time.sleep(_PAUSE_SECONDS)
