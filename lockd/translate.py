"""Messages of the wire to events of the core, actions of the core to messages.

No decision is made here but whether a request is one at all.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.modes import Mode
from lockd_wire import messages as m
from lockd_wire.codec import encode
from lockd_wire.fixed import granted
from lockd_wire.limits import STEPS_MAX
from lockd_wire.names import fault_of_label, fault_of_name

from . import sentences
from .logs import safe

_MODES: Final[Mapping[str, Mode]] = {mode.value: mode for mode in Mode}

_NO_TEXT: Final = "is not a text"
_NO_BOOL: Final = "is neither true nor false"
_NO_SECONDS: Final = "is not a number of seconds from 0 on"

#: Option of ACQUIRE and of CONVERT, the field of `Terms` that it sets, the types that its value may have, and what is
#: wrong with any other.
_TERMS: Final[Mapping[str, tuple[str, tuple[type, ...], str]]] = {
    "label": ("label", (str,), _NO_TEXT),
    "reentrant": ("is_reentrant", (bool,), _NO_BOOL),
    "lease": ("lease_seconds", (float, int), _NO_SECONDS),
    "yield": ("wants_yield_request", (bool,), _NO_BOOL),
    "wait_notice": ("wants_wait_notice", (bool,), _NO_BOOL),
    "exit_releases": ("exit_releases", (bool,), _NO_BOOL),
}
_OPTIONS_OF_ACQUIRE: Final = frozenset({*_TERMS, "tree"})
_OPTIONS_OF_CONVERT: Final = frozenset({"wait_notice"})

#: Items that need not be looked at again. With the longest names they take half a megabyte.
_ITEMS_REMEMBERED: Final = 1024

#: Timeouts of requests without any other term.
_TERMS_REMEMBERED: Final = 256

#: Bytes of a ticket. More than anybody can guess.
_TICKET_BYTES: Final = 24

#: Steps of a deadlock that its refusal has. Those behind them are told ahead of it.
STEPS_IN_REFUSAL: Final = 8

#: Bytes of a label or program in a step of a deadlock and in an abandonment: so many steps, or sixteen of the others,
#: have to fit into one message.
_STEP_TEXT_BYTES_MAX: Final = 64


class _Malformed(Exception):
    """A request that the core could do nothing with."""


def event_of(session: int, message: m.ClientMessage) -> e.Request:
    """Return what a message asks of the core. HELLO is no request: the connection itself answers it."""
    try:
        match message:
            case m.Acquire():
                return _acquire(session, message)
            case m.Release():
                return e.Release(session, *message)
            case m.Convert():
                return _convert(session, message)
            case m.Cancel():
                return e.Cancel(session, *message)
            case m.HandOver():
                return e.HandOver(session, *message, secrets.token_urlsafe(_TICKET_BYTES))
            case m.Adopt():
                return e.Adopt(session, *message)
            case m.Inherit():
                return e.Inherit(session, *message)
            case m.Query():
                return e.Query(session, message.id, _name(message.name))
            case m.Bye():
                return e.Bye(session, message.id)
            case _:
                raise AssertionError(f"{type(message).__name__} is no request")
    except _Malformed as error:
        return e.Malformed(session, message.id, str(error))


def frame_of(action: a.Answer | a.Notice, covered: int) -> bytes:
    """Return the frame by which a session learns of ``action``."""
    if type(action) is a.Granted and not action.abandoned and not action.items:
        # Nearly all that is ever said.
        return granted(action.id, covered, action.token)
    return encode(message_of(action, covered))


def message_of(action: a.Answer | a.Notice, covered: int) -> m.DaemonMessage:
    """Return the message by which a session learns of ``action``."""
    match action:
        case a.Granted():
            facts: m.Facts = {}
            if action.abandoned:
                facts["abandoned"] = tuple(facts_of_abandonment(each) for each in action.abandoned)
            if action.items:
                facts["items"] = tuple(_facts_of_item(item) for item in action.items)
                facts["label"] = action.label
            if action.is_tree:
                facts["tree"] = True
            return m.Granted(action.id, covered, action.token, facts)
        case a.Failed():
            sentence = sentences.of_failure(action)
            return m.Failed(action.id, covered, action.reason.value, sentence, _facts_of_failure(action))
        case a.Done():
            return m.Done(action.id, covered)
        case a.TicketMade():
            return m.Ticket(action.id, covered, action.ticket)
        case a.State():
            return m.State(action.id, covered, facts_of_name(action.facts))
        case a.Waiting():
            return m.Waiting(0, covered, action.id, facts_of_name(action.facts))
        case a.YieldRequested():
            return m.YieldRequested(0, covered, action.token, facts_of_name(action.facts))
        case a.Lost():
            reason = f"{action.reason.value}: {action.detail}" if action.detail else action.reason.value
            return m.Lost(0, covered, action.token, reason)


def frames_of_steps(failed: a.Failed, covered: int) -> Iterator[bytes]:
    """Yield the frames that tell of the steps of a circle for which there is no room in the refusal itself."""
    for position in range(STEPS_IN_REFUSAL, len(failed.cycle), STEPS_MAX):
        steps = tuple(map(_step, failed.cycle[position : position + STEPS_MAX]))
        yield encode(m.Steps(0, covered, failed.id, position, steps))


def facts_of_name(facts: a.NameFacts) -> m.Facts:
    """Return who has a name and who wants it, as the protocol writes it."""
    table: m.Facts = {
        "name": facts.name,
        "holders": tuple(facts_of_holder(holder) for holder in facts.holders),
        "holders_total": facts.holders_total,
        "waiters_total": facts.waiters_total,
    }
    if facts.position is not None:
        table["position"] = facts.position
        table["waited_seconds"] = facts.waited_seconds
    return table


def facts_of_holder(holder: a.Holder) -> dict[str, m.Scalar]:
    """Return one holder as the protocol writes it."""
    return {
        "pid": holder.peer.pid,
        "uid": holder.peer.uid,
        "program": holder.program,
        "label": holder.label,
        **facts_of_demand(holder.demand),
        "held_seconds": holder.held_seconds,
        "token": holder.token,
        "attached": holder.is_attached,
    }


def facts_of_demand(demand: e.Demand) -> dict[str, m.Scalar]:
    """Return what is held or wanted as the protocol writes it: a mode, or permits."""
    mode, permits = _demand(demand)
    return {"mode": mode, "permits": permits}


def _demand(demand: e.Demand) -> tuple[str, int]:
    return (demand.value, 0) if isinstance(demand, Mode) else ("", demand.permits)


def _facts_of_failure(failed: a.Failed) -> m.Facts:
    if failed.cycle:
        first = failed.cycle[:STEPS_IN_REFUSAL]
        steps = tuple(dict(zip(m.STEP_FACTS, _step(step), strict=True)) for step in first)
        return {"name": failed.cycle[0].name, "cycle": steps, "cycle_total": failed.cycle_total}
    return {} if failed.facts is None else facts_of_name(failed.facts)


def _step(step: a.Step) -> m.Step:
    waiter, blocker = step.waiter, step.blocker
    return (
        *(step.name, waiter.pid, waiter.uid, _cut(step.waiter_program), _cut(step.waiter_label)),
        *_demand(step.demand),
        *(blocker.pid, blocker.uid, _cut(step.blocker_program), _cut(step.blocker_label)),
        *_demand(step.blocker_demand),
        *(step.blocker_seconds, step.is_queued),
    )


def facts_of_abandonment(abandonment: a.Abandonment) -> dict[str, m.Scalar]:
    """Return who did not release a name as the protocol writes it."""
    return {
        "name": abandonment.name,
        "pid": abandonment.peer.pid,
        "uid": abandonment.peer.uid,
        "program": _cut(abandonment.program),
        "label": _cut(abandonment.label),
        "ago_seconds": abandonment.ago_seconds,
    }


def _facts_of_item(item: e.Item) -> dict[str, m.Scalar]:
    limit = 0 if isinstance(item.demand, Mode) else item.demand.limit
    return {"name": item.name, **facts_of_demand(item.demand), "limit": limit}


def _cut(text: str) -> str:
    return sentences.shortened(text, _STEP_TEXT_BYTES_MAX)


def _acquire(session: int, message: m.Acquire) -> e.Acquire:
    number, owner, items, timeout, options = message
    if not options:
        # Most requests have none, and those that wait as long have the same terms.
        return e.Acquire(session, number, owner, tuple(map(_item, items)), _terms_within(timeout), False)
    terms = _terms(options, _OPTIONS_OF_ACQUIRE, "ACQUIRE")
    if timeout is not None:
        terms = terms._replace(timeout_seconds=timeout)
    is_tree = options.get("tree", False)
    if type(is_tree) is not bool:
        raise _Malformed(f"tree {_NO_BOOL}")
    return e.Acquire(session, number, owner, tuple(map(_item, items)), terms, is_tree)


def _convert(session: int, message: m.Convert) -> e.Convert:
    terms = _terms(message.options, _OPTIONS_OF_CONVERT, "CONVERT")._replace(timeout_seconds=message.timeout)
    return e.Convert(session, message.id, message.token, _mode(message.mode), terms)


@lru_cache(_TERMS_REMEMBERED)
def _terms_within(seconds: float | None) -> e.Terms:
    """Return terms that say nothing but how long it is waited for. Grants that share them take less memory."""
    return e.NO_TERMS if seconds is None else e.Terms(timeout_seconds=seconds)


# Most are asked for over and over. What cannot be is not remembered.
@lru_cache(_ITEMS_REMEMBERED)
def _item(item: tuple[str, str] | tuple[str, int, int]) -> e.Item:
    if len(item) == 2:
        return e.Item(_name(item[0]), _mode(item[1]))
    return e.Item(_name(item[0]), e.Permits(item[1], item[2]))


def _name(name: str) -> str:
    fault = fault_of_name(name)
    if fault is not None:
        raise _Malformed(f"the name {sentences.quoted(name)} {fault}")
    return name


def _mode(word: str) -> Mode:
    mode = _MODES.get(word)
    if mode is None:
        raise _Malformed(f'"{safe(word):.20}" is not a mode: the modes are {", ".join(_MODES)}')
    return mode


def _terms(options: Mapping[str, m.Scalar], known: frozenset[str], message: str) -> e.Terms:
    if not options:
        return e.NO_TERMS
    unknown = options.keys() - known
    if unknown:
        there_are = ", ".join(sorted(known))
        raise _Malformed(f'"{safe(min(unknown)):.40}" is not an option of {message}, which has {there_are}')
    # Each of the type that the table says, which is what `Terms` wants.
    fields: dict[str, Any] = {}
    for option, value in options.items():
        if option in _TERMS:
            field, types, fault_of_others = _TERMS[option]
            if type(value) not in types:
                raise _Malformed(f"{option} {fault_of_others}")
            fields[field] = value
    terms = e.NO_TERMS._replace(**fields)
    fault = fault_of_label(terms.label)
    if fault is not None:
        raise _Malformed(f"the label {fault}")
    if terms.lease_seconds is not None and not terms.lease_seconds >= 0:
        raise _Malformed(f"lease {_NO_SECONDS}")
    return terms
