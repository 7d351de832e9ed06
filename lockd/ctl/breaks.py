"""``lockctl break``: takes a lock away from its holder, or ends the process that holds it."""

from __future__ import annotations

from lockd_client import AdminClient
from lockd_client._modes import held, word_of
from lockd_client._words import count, duration, listed, quoted, who
from lockd_client.errors import LockError
from lockd_wire.names import fault_of_label, fault_of_name

from . import statuses
from .complaints import complain
from .output import Output
from .questions import confirmed
from .reports import admin_path, complain_of_admin

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from typing import Any

    _Facts = Mapping[str, Any]

#: Every token is greater: the epoch is in front of 32 bits.
_TOKEN_MIN = 1 << 32
_TOKEN_DIGITS_MAX = 19

#: Grants that a question names.
_NAMED_MAX = 4


def break_(options: argparse.Namespace) -> int:
    """Find out who holds it, ask, do it, tell what was done, and return the exit status."""
    token, name = _target(options)
    fault = fault_of_name(name) if not token else None
    if fault is not None:
        complain(f'the name "{name:.80}" {fault}')
        return statuses.USAGE
    fault = "is empty: it is logged, and the holder is told" if not options.reason else fault_of_label(options.reason)
    if fault is not None:
        complain(f"the reason {fault}")
        return statuses.USAGE
    path = admin_path(options)
    try:
        with AdminClient(path) as admin:
            found = admin.break_(name, token=token, reason=options.reason, dry_run=True)
        status = _refusal(found, options) or confirmed(_intention(found, options.kill), options.yes)
        if status != statuses.OK:
            return status
        with AdminClient(path) as admin:
            done = (_kill if options.kill else _take_away)(admin, found, options)
    except LockError as error:
        return complain_of_admin(error)
    if not done["grants_total"]:
        complain("it was released meanwhile: nothing was done")
        return statuses.NOTHING_DONE
    return _show(done, options)


def _target(options: argparse.Namespace) -> tuple[int, str]:
    """Return the token that is meant, or 0, and the name."""
    target: str = options.target
    looks_like_a_token = target.isascii() and target.isdigit() and len(target) <= _TOKEN_DIGITS_MAX
    if looks_like_a_token and int(target) >= _TOKEN_MIN and not options.name:
        return int(target), ""
    return 0, target


def _refusal(found: _Facts, options: argparse.Namespace) -> int:
    """Say why there is nothing to do, or why it is not clear what, and return the exit status."""
    total = found["grants_total"]
    if not total:
        what = quoted(options.target)
        hint = ". If it is a name that looks like a token, say so with --name" if _target(options)[0] else ""
        complain(f"nobody holds {what}{hint}")
        return statuses.NOTHING_DONE
    if total > 1 and not options.all:
        complain(f"{total} grants hold {quoted(options.target)}: name one by its token, or all of them with --all")
        for grant in found["grants"]:
            complain(f"token {grant['token']}: {_held(grant)}")
        if total > len(found["grants"]):
            complain(f"and {total - len(found['grants'])} more")
        return statuses.USAGE
    return statuses.OK


def _intention(found: _Facts, is_kill: bool) -> str:
    grants = found["grants"]
    described = [f"{_named(grant)}, {_held(grant)}" for grant in grants[:_NAMED_MAX]]
    if more := found["grants_total"] - len(described):
        described.append(f"{more} more")
    waiters = max(grant["waiters_total"] for grant in grants)
    waiting = f" ({count(waiters, 'waiter')})" if waiters else ""
    if is_kill:
        return f"end with SIGKILL the process that has {listed(described)}{waiting}"
    return (
        f"take away {listed(described)}{waiting}; the process lives on, is told, and may go on writing beside whoever"
        " is next until it looks: --kill ends it first"
    )


def _take_away(admin: AdminClient, found: _Facts, options: argparse.Namespace) -> _Facts:
    if found["grants_total"] > 1:
        return admin.break_(options.target, reason=options.reason, all_of_them=True, up_to=found["last_token"])
    # The one that was agreed to, and not whoever has the name by now.
    return admin.break_(token=found["grants"][0]["token"], reason=options.reason)


def _kill(admin: AdminClient, found: _Facts, options: argparse.Namespace) -> _Facts:
    """End the holders one by one, and return what was freed by that: of grants that came later, none."""
    from .kills import end_holder

    freed: list[_Facts] = []
    ended: set[tuple[int, str]] = set()
    left = found
    while left["grants"]:
        for grant in left["grants"]:
            process = grant["pid"], grant["process"]
            # One process may have several of them, and is ended once.
            if end_holder(admin, grant, options.reason, options.timeout) or process in ended:
                ended.add(process)
                freed.append(grant)
        if found["grants_total"] == len(found["grants"]):
            break
        left = admin.break_(options.target, reason=options.reason, dry_run=True, up_to=found["last_token"])
    return {**found, "grants": freed, "grants_total": len(freed)}


def _show(done: _Facts, options: argparse.Namespace) -> int:
    output = Output()
    if options.json:
        import json

        action = "killed" if options.kill else "broken"
        output.document(json.dumps({"action": action, "reason": options.reason, **done}, indent=2))
        return output.finish()
    for grant in done["grants"]:
        output.line(f"{'killed the holder of' if options.kill else 'broken:'} {_named(grant)}, {_held(grant)}")
    if more := done["grants_total"] - len(done["grants"]):
        output.line(f"and {more} more")
    return output.finish()


def _named(grant: _Facts) -> str:
    others = grant["names_total"] - 1
    return quoted(grant["name"]) + (f" with {count(others, 'other name')}" if others else "")


def _held(grant: _Facts) -> str:
    """Return ``held exclusively by pid 4711 (rsync, "nightly run") for 12 min 3 s``."""
    if grant["limit"]:
        how = f"held with {grant['permits']} of {count(grant['limit'], 'permit')}"
    else:
        how = held(word_of(grant["mode"]))
    holder = who(grant["pid"], grant["uid"], grant["program"], grant["label"], "" if grant["attached"] else "detached")
    return f"{how} by {holder} for {duration(grant['held_seconds'])}"
