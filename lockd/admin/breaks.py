"""Breaks: an administrator takes grants away, or says that it ends the processes that hold them.

It is the one thing on the admin socket that changes anything. So it has a reason, is logged with who did it, and is
counted.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from lockd import sentences
from lockd.core.events import Item
from lockd.core.resources import SemaphoreResource
from lockd.core.state import Request
from lockd.core.views import holder
from lockd.logs import Event, fields, log, safe
from lockd.onlookers.people import facts_of
from lockd.peers import short_name
from lockd.translate import facts_of_holder
from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.errors import ErrorCode
from lockd_wire.names import fault_of_label, fault_of_name

from .desk import Administrator, Desk

#: Grants that the answer describes.
_DESCRIBED_MAX: Final = limits.ROWS_MAX

#: The options, and the types that their values may have.
_OPTIONS: Final[dict[str, type]] = {"all": bool, "dry_run": bool, "kill": bool, "up_to": int}


def _was_not_asked(item: Item) -> bool:
    return not item.is_asked


class _Refusal(Exception):
    """It cannot be done; ``code`` says of what kind the reason is."""

    def __init__(self, sentence: str, code: str = ErrorCode.BAD_REQUEST) -> None:
        super().__init__(sentence)
        self.code = code


class _Described(NamedTuple):
    """A grant as it was before anything was done to it."""

    token: int
    facts: dict[str, m.Scalar]
    sentence: str
    #: What is told of it in the journal.
    fields: dict[str, Any]


def break_grants(desk: Desk, request: m.Break) -> m.AdminReply:
    """Take grants away, or say which it would be, and tell who holds them."""
    try:
        _refuse_what_may_not_be(desk, request)
        found = _found(desk, request)
        is_dry_run = request.options.get("dry_run", False)
        if len(found) > 1 and not (request.options.get("all") or is_dry_run):
            raise _Refusal(
                f"{len(found)} grants hold {sentences.quoted(request.name)}: name one of them by its token, or all"
            )
    except _Refusal as refusal:
        return m.AdminFailed(request.id, refusal.code, str(refusal))
    total = len(found)
    # Each takes its time. Where something is done all are described for the log.
    grants = [_described(desk, *each) for each in (found[:_DESCRIBED_MAX] if is_dry_run else found)]
    if not is_dry_run:
        grants = (_note_kill if request.options.get("kill") else _break)(desk, grants, request.reason)
        total = len(grants)
    facts: m.Facts = {
        "grants": tuple(grant.facts for grant in grants[:_DESCRIBED_MAX]),
        "grants_total": total,
        "last_token": desk.manager.last_token,
    }
    return m.Report(request.id, facts)


def _break(desk: Desk, grants: list[_Described], reason: str) -> list[_Described]:
    broken = frozenset(desk.driver.break_grants(tuple(grant.token for grant in grants), reason))
    # A lease may have been taken in the same instant.
    grants = [grant for grant in grants if grant.token in broken]
    _log(Event.BROKEN, desk.who, "broke", grants, reason)
    return grants


def _note_kill(desk: Desk, grants: list[_Described], reason: str) -> list[_Described]:
    desk.driver.kills_total += len(grants)
    _log(Event.KILL, desk.who, "ends the process that has", grants, reason)
    return grants


def _refuse_what_may_not_be(desk: Desk, request: m.Break) -> None:
    for option, value in request.options.items():
        if option not in _OPTIONS:
            raise _Refusal(f'"{safe(option):.40}" is not an option of BREAK, which has {", ".join(_OPTIONS)}')
        if type(value) is not _OPTIONS[option]:
            raise _Refusal(f"the option {option} of BREAK cannot have this value")
    if not request.token and (fault := fault_of_name(request.name)) is not None:
        raise _Refusal(f"the name {sentences.quoted(request.name)} {fault}")
    if not request.reason:
        raise _Refusal("a break needs a reason: the holder is told, and it is logged")
    if (fault := fault_of_label(request.reason)) is not None:
        raise _Refusal(f"the reason {fault}")
    if desk.driver.is_full:
        raise _Refusal(desk.driver.trouble(), ErrorCode.UNAVAILABLE)


def _found(desk: Desk, request: m.Break) -> list[tuple[str, Request]]:
    """Return the grants that are meant, those that came first in front, each behind the name by which it was found."""
    if request.token:
        grant = desk.manager.grants.get(request.token)
        # What was asked for, before what a tree has taken above it.
        names = [item.name for item in sorted(grant.items, key=_was_not_asked)] if grant is not None else []
        if grant is None or (request.name and request.name not in names):
            return []
        return [(request.name or names[0], grant)]
    resource = desk.manager.resources.get(request.name)
    greatest = request.options.get("up_to", limits.UINT_MAX)
    assert isinstance(greatest, int)
    grants = () if resource is None else resource.holders.values()
    return [(request.name, grant) for grant in grants if grant.token <= greatest]


def _described(desk: Desk, name: str, grant: Request) -> _Described:
    resource = desk.manager.resources[name]
    held = holder(resource, grant, desk.now)
    facts: dict[str, m.Scalar] = {
        "name": name,
        "names_total": len(grant.items),
        **facts_of_holder(held),
        "limit": resource.limit if isinstance(resource, SemaphoreResource) else 0,
        "session": grant.session.id,
        "process": grant.session.peer.process,
        "waiters_total": resource.waiters_total,
    }
    others = f" and {len(grant.items) - 1} more" if len(grant.items) > 1 else ""
    sentence = f"grant {grant.token} of {sentences.quoted(name)}{others}, held {sentences.of_holder(held)}"
    return _Described(grant.token, facts, sentence, facts_of(grant))


def _log(event: Event, who: Administrator, did: str, grants: list[_Described], reason: str) -> None:
    by = short_name(who.pid)
    for grant in grants:
        log.warning(
            "uid %d, pid %d (%s) %s %s: %s",
            *(who.uid, who.pid, by, did, grant.sentence, safe(reason)),
            extra=fields(event, **grant.fields, by_uid=who.uid, by_pid=who.pid, by_program=by, reason=reason),
        )
