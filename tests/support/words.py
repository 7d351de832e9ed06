"""What the manager answers, in the words of a scenario."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.modes import Mode

from .core import token

MODES: Final = {
    "exclusive": Mode.EXCLUSIVE,
    "SIX": Mode.SHARED_INTENT_EXCLUSIVE,
    "update": Mode.UPDATE,
    "shared": Mode.SHARED,
    "IX": Mode.INTENT_EXCLUSIVE,
    "IS": Mode.INTENT_SHARED,
}
MODE_WORDS: Final = {mode: word for word, mode in MODES.items()}


def demand_of(word: str) -> e.Demand:
    """Return what `exclusive` or `2/5` means."""
    if "/" in word:
        permits, limit = word.split("/")
        return e.Permits(int(permits), int(limit))
    return MODES[word]


def in_words(demand: e.Demand) -> str:
    """The opposite of `demand_of`."""
    return MODE_WORDS[demand] if isinstance(demand, Mode) else f"{demand.permits}/{demand.limit}"


@dataclass
class Asked:
    """What a request asked for, to be found again by what is answered. The token is 0 until it is granted."""

    items: tuple[e.Item, ...]
    owner: int
    token: int = 0

    def __str__(self) -> str:
        return ", ".join(f"{item.name} {in_words(item.demand)}" for item in self.items)

    @property
    def names(self) -> list[str]:
        return [item.name for item in self.items]


@dataclass
class Speaker:
    """One letter of a scenario."""

    pid: int
    process: str = ""
    session: int = 0
    last_request: int = 0
    requests: dict[int, Asked] = field(default_factory=dict)

    def granted(self, name: str, options: dict[str, str]) -> Asked:
        """Return the latest grant of a name."""
        return [asked for asked in self._asked(name, options).values() if asked.token][-1]

    def request_id(self, what: str, options: dict[str, str]) -> int:
        """Return the id that a number is, or that of the latest request for a name."""
        return int(what) if what.isdigit() else list(self._asked(what, options))[-1]

    def _asked(self, name: str, options: dict[str, str]) -> dict[int, Asked]:
        return {
            number: asked
            for number, asked in self.requests.items()
            if name in asked.names and options.get("owner", str(asked.owner)) == str(asked.owner)
        }


class Words:
    """Turns actions into words, and takes note of what later lines may refer to."""

    def __init__(self) -> None:
        self.speakers: dict[str, Speaker] = {}
        self._grants: dict[int, Asked] = {}
        #: What can be had for a ticket.
        self.offers: dict[str, Asked] = {}

    def tell(self, action: a.Action, who: str) -> list[str]:
        """Return an action in words. ``who`` is whoever connects, if anybody does."""
        if isinstance(action, a.Opened):
            self.speakers[who].session = action.session
            return [f"{who}< welcome"]
        if isinstance(action, a.Refused):
            return [f"{who}< refused: {action.detail}"]
        if isinstance(action, a.NotResumed):
            return [f"{who}< not resumed"]
        if isinstance(action, a.Broken):
            return [f"{who}< broken {' '.join(f'#{each - token(0)}' for each in action.tokens) or 'nothing'}"]
        name, speaker = self._who_has(action.session)
        if isinstance(action, a.Reordered):
            return [f"({name} moved ahead: {speaker.requests[action.id]})"]
        told = [f"{name}< {self._told(action, speaker)}"]
        if isinstance(action, a.Failed):
            told += map(self._step, action.cycle)
            if action.cycle_total > len(action.cycle):
                told.append(f"and {action.cycle_total - len(action.cycle)} more")
        return told

    def _told(self, action: a.Answer | a.Notice | a.Resumed | a.Misbehaved | a.SessionEnded, speaker: Speaker) -> str:
        match action:
            case a.Granted():
                return self._granted(action, speaker.requests[action.id])
            case a.Failed(reason=a.Reason.TIMEOUT, facts=a.NameFacts() as facts):
                return f"timeout {facts.name} position {facts.position} held by {self._holders(facts)}"
            case a.Failed(reason=a.Reason.DEADLOCK):
                return "deadlock"
            case a.Failed(reason=a.Reason.CANCELLED):
                return f"cancelled {speaker.requests[action.id]}"
            case a.Failed(reason=a.Reason.HELD_BY_EARLIER_PROGRAM, facts=a.NameFacts() as facts):
                return f"held by an earlier program: {facts.name} held by {self._holders(facts)}"
            case a.Failed() | a.Misbehaved():
                reason = action.reason.value if isinstance(action, a.Failed) else "misbehaved"
                return f"{reason}: {action.detail}"
            case a.Resumed():
                return f"resumed up to {action.covered}"
            case a.Done():
                return "done"
            case a.TicketMade():
                return f"ticket {action.ticket}"
            case a.State(facts=facts):
                return f"{facts.name} held by {self._holders(facts)}, {facts.waiters_total} waiting"
            case a.Waiting(facts=facts):
                return f"waits for {facts.name} position {facts.position} held by {self._holders(facts)}"
            case a.YieldRequested():
                return f"yield requested: {self._grants[action.token]} #{action.token - token(0)}"
            case a.Lost():
                why = f"{action.reason.value}: {action.detail}" if action.detail else action.reason.value
                return f"lost: {self._grants[action.token]} #{action.token - token(0)} ({why})"
            case a.SessionEnded():
                return f"ended: {action.reason.value}"

    def _granted(self, action: a.Granted, asked: Asked) -> str:
        asked.token = action.token
        if not asked.items:
            # It is the answer that says what it is for.
            asked.items = action.items
        self._grants[action.token] = asked
        reports = [f"{report.name} abandoned by {self._who_is(report.peer)}" for report in action.abandoned]
        told = f"granted {asked} #{action.token - token(0)}"
        return f"{told} ({', '.join(reports)})" if reports else told

    def _step(self, step: a.Step) -> str:
        has = "wants" if step.is_queued else "has"
        wants = f"{self._who_is(step.waiter)} wants {step.name} {in_words(step.demand)}"
        earlier = " earlier" if step.is_queued else ""
        return f"{wants}, {self._who_is(step.blocker)} {has} {in_words(step.blocker_demand)}{earlier}"

    def _holders(self, facts: a.NameFacts) -> str:
        named = [self._holder(holder) for holder in facts.holders]
        more = facts.holders_total - len(named)
        return ", ".join([*named, f"{more} more"] if more else named) or "nobody"

    def _holder(self, holder: a.Holder) -> str:
        label = f' "{holder.label}"' if holder.label else ""
        return f"{self._who_is(holder.peer)}{label}{'' if holder.is_attached else ' (detached)'}"

    def _who_is(self, peer: e.Peer) -> str:
        # A process that has become another program has spoken by several letters.
        return "=".join(name for name, speaker in self.speakers.items() if speaker.pid == peer.pid)

    def _who_has(self, session: int) -> tuple[str, Speaker]:
        [found] = [(who, speaker) for who, speaker in self.speakers.items() if speaker.session == session]
        return found
