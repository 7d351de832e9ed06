"""``lockctl chaos restart``: ends the daemon on purpose, where it is in use, and shows that nothing was lost.

What is never exercised is forgotten. Recovery is exercised with each restart, but nobody looks then.
"""

from __future__ import annotations

import secrets
import signal
import time
from typing import TYPE_CHECKING, NamedTuple

from lockd_client import AdminClient
from lockd_client._words import count, duration
from lockd_client.errors import LockError

from . import chaos_picture, statuses
from .chaos_daemon import DaemonProcess
from .chaos_picture import Tally
from .chaos_probes import Probes
from .chaos_threads import AT_ONCE_SECONDS
from .complaints import complain
from .output import Output
from .questions import confirmed
from .reports import admin_path, complain_of_admin

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from typing import Any

_SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}

#: How long those who wait are given to be served when something was lost, so that some never will be.
_BROKEN_SECONDS = 1.0


class Round(NamedTuple):
    """What came of ending the daemon once."""

    pid: int
    next_pid: int
    #: From the signal to the first answer of the next daemon.
    pause_seconds: float
    #: How long the longest call took of a program that worked on.
    longest_call_seconds: float
    probes: Mapping[str, Tally]
    others: Mapping[str, Tally]
    #: Holders and waiters of others that were counted and not compared.
    undescribed: int
    #: Sessions of others, when everything had been looked at.
    attached: int
    detached: int
    lost: list[str]


def chaos(options: argparse.Namespace) -> int:
    """End the daemon as often as was said, show what has become of everything, and return the exit status."""
    path = admin_path(options)
    number = _SIGNALS[options.stop_signal]
    rounds: list[Round] = []
    try:
        with DaemonProcess(path) as daemon:
            status = _refusal(daemon, options) or _question(daemon, number, options)
        while status == statuses.OK and len(rounds) < options.rounds:
            with DaemonProcess(path) as daemon:
                # Another round, perhaps another daemon.
                status = _refusal(daemon, options)
                if status == statuses.OK:
                    rounds.append(_round(daemon, path, number, options))
            if rounds and rounds[-1].lost:
                break
    except LockError as error:
        return complain_of_admin(error)
    if not rounds:
        return status
    return _show(rounds, number, options) or (statuses.LOST if rounds[-1].lost else status)


def _refusal(daemon: DaemonProcess, options: argparse.Namespace) -> int:
    """Say why now is no time for it, if that is so, and return the exit status."""
    trouble = daemon.status.get("trouble")
    if trouble:
        complain(f"lockd (pid {daemon.pid}) is in trouble, and has to be well for this: {trouble}")
        return statuses.UNAVAILABLE
    # A daemon of an earlier version does not say.
    if not daemon.status.get("supervised") and not options.will_be_restarted:
        complain(
            f"lockd (pid {daemon.pid}) was not started by systemd, so it may be that nobody would start it again. If"
            " somebody else does, say so with --will-be-restarted"
        )
        return statuses.UNAVAILABLE
    return statuses.OK


def _question(daemon: DaemonProcess, number: signal.Signals, options: argparse.Namespace) -> int:
    """Ask whether it is meant, and return the exit status if it is not."""
    times = f", {options.rounds} times" if options.rounds > 1 else ""
    by = "it is run by systemd, which" if daemon.status.get("supervised") else "somebody else, as you say,"
    what = f"end lockd (pid {daemon.pid}) with {number.name}{times}; {by} will start it again"
    return confirmed(what, options.yes)


def _round(daemon: DaemonProcess, path: str, number: signal.Signals, options: argparse.Namespace) -> Round:
    say: Callable[[str], None] = (lambda _: None) if options.json else _say
    chance = secrets.token_hex(4)
    program = f"lockctl chaos {chance}"
    probes = Probes(f"lockd/chaos/{chance}/", program, options.socket, options.timeout)
    try:
        with AdminClient(path) as admin:
            holders, waiters = probes.set_up(admin)
            say(f"probes: {count(holders, 'holder')}, {count(waiters, 'waiter')}, below lockd/chaos/{chance}/")
            before = chaos_picture.take(admin, program)
        of_others = [count(len(before.grants), "grant"), count(sum(map(len, before.waiters.values())), "waiter")]
        say(f"others: {', '.join(of_others)}, {count(len(before.sessions), 'session')}")
        sent_at = daemon.end(number, options.timeout)
        status = daemon.wait_for_next(sent_at + options.timeout)
        pause_seconds = time.monotonic() - sent_at
        say(f"ended pid {daemon.pid} with {number.name}; pid {status['pid']} answers after {duration(pause_seconds)}")
        with AdminClient(path) as admin:
            after = chaos_picture.take(admin, program)
            others, losses_of_others = chaos_picture.compare(before, after)
            lost = [*_losses_of_all(before.status, status), *losses_of_others, *probes.losses(admin)]
            lost += probes.serve(_BROKEN_SECONDS if lost else AT_ONCE_SECONDS)
            probes.close()
            lost += probes.left_behind(admin)
            attached = [row["attached"] for row in admin.sessions() if row["program"] != program]
    except BaseException:
        probes.give_up()
        raise
    return Round(
        daemon.pid,
        status["pid"],
        pause_seconds,
        probes.longest_call_seconds,
        probes.tallies,
        others,
        max(before.undescribed, after.undescribed),
        attached.count(True),
        attached.count(False),
        lost,
    )


def _losses_of_all(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    losses = []
    if after["epoch"] != before["epoch"]:
        losses.append(f"the epoch was {before['epoch']} and is {after['epoch']}: the daemon has forgotten everything")
    if after["trouble"]:
        losses.append(f"DEGRADED: {after['trouble']}")
    return losses


def _say(line: str) -> None:
    output = Output()
    output.line(line)
    output.finish()


def _show(rounds: list[Round], number: signal.Signals, options: argparse.Namespace) -> int:
    output = Output()
    if options.json:
        import json

        described = [
            {
                **each._asdict(),
                **{
                    what: {kind: tally._asdict() for kind, tally in tallies.items()} for what, tallies in _tallies(each)
                },
            }
            for each in rounds
        ]
        lost = [sentence for each in rounds for sentence in each.lost]
        output.document(json.dumps({"lost": lost, "signal": number.name, "rounds": described}, indent=2))
    else:
        from .chaos_page import show_rounds

        show_rounds(rounds, output)
    return output.finish()


def _tallies(each: Round) -> tuple[tuple[str, Mapping[str, Tally]], ...]:
    return ("probes", each.probes), ("others", each.others)
