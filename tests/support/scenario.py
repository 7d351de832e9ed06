"""Dialogues with the lock manager as text: tests/README.md says how to read one, this file how to play one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from lockd.core import actions as a
from lockd.core import events as e
from lockd.core.bounds import Quotas
from lockd.core.invariants import check

from .core import give, make_manager, token
from .kept import Kept, Source
from .words import MODES, Asked, Speaker, Words, demand_of

# Words that stand alone, and words that have another one behind them.
FLAGS: Final = {"confirm", "notice", "reentrant", "release_on_eof", "tree", "try", "yields"}
OPTIONS: Final = {"id", "image", "label", "lease", "owner", "process", "ticket", "timeout", "uid"}
#: What the daemon does: everything that it knows becomes records, and a new one is made of these.
RESTART: Final = "restart"
#: What an administrator does.
BREAK: Final = "break"

_LOOP = re.compile(r"for n in (\d+)\.\.(\d+):")
_COUNTER = re.compile(r"\{n(?:\+(\d+))?\}")
_LINE = re.compile(r"(?:@(?P<at>[\d.]+)(?:\s+|$))?(?:(?P<who>\w+)> (?P<what>.+?)(?:\s{2,}|$))?(?P<answers>.*)")


class ScenarioError(Exception):
    """The text of a scenario means nothing."""


@dataclass
class Step:
    """One thing that happens, and everything that has to be answered to it."""

    line: int
    at: float | None
    who: str
    what: str
    answers: list[str]

    def show(self, answers: list[str]) -> str:
        """Return the step as a line of a scenario, with these answers."""
        left = " ".join(part for part in (f"@{self.at:g}" if self.at is not None else "", self._said()) if part)
        return f"{left:<45}  {' | '.join(answers)}"

    def checked(self) -> Step:
        if not self.answers:
            raise ScenarioError(f"line {self.line}: no answers: {self.what}")
        return self

    def silence(self) -> str:
        """Return what stands on the right side when nobody is answered."""
        return "(waits)" if self.what.startswith(("acquire", "convert")) else "(nothing)"

    def _said(self) -> str:
        return f"{self.who}> {self.what}" if self.who else ""


def play(text: str) -> None:
    """Play a scenario. Raise AssertionError, with the dialogue so far, where the manager answers something else."""
    steps = list(_parse(text))
    player = _Player(_quotas(text))
    shown: list[str] = []
    for step in steps:
        answers = player.play(step) or [step.silence()]
        if answers != step.answers:
            lines = [*shown[-12:], f"- {step.show(step.answers)}", f"+ {step.show(answers)}"]
            raise AssertionError("\n".join([f"line {step.line}: expected (-) and answered (+)", *lines]))
        shown.append(f"  {step.show(answers)}")
    player.end_all()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that mean something, with their numbers, and each loop as often as it says."""
    lines = [(number, line.rstrip()) for number, line in enumerate(text.splitlines(), start=1)]
    lines = [(number, line) for number, line in lines if line and not line.lstrip().startswith("#")]
    while lines:
        number, line = lines.pop(0)
        loop = _LOOP.fullmatch(line)
        if loop is None:
            yield number, line
            continue
        body = []
        while lines and lines[0][1].startswith(" "):
            body.append(lines.pop(0))
        for n in range(int(loop[1]), int(loop[2]) + 1):
            yield from ((inner, _count(template, n)) for inner, template in body)


def _count(template: str, n: int) -> str:
    """Put ``n`` where `{n}` stands, and one more where `{n+1}` does."""
    return _COUNTER.sub(lambda match: str(n + int(match[1] or 0)), template)


def _parse(text: str) -> Iterator[Step]:
    step: Step | None = None
    for number, line in _lines(text):
        if line.startswith("given "):
            continue
        if line.lstrip().startswith("|"):
            if step is None:
                raise ScenarioError(f"line {number}: an answer to nothing: {line}")
            step.answers += _answers(line)
            continue
        if step is not None:
            yield step.checked()
        match = _LINE.fullmatch(line.strip())
        if match is None or not (match["who"] or match["at"]):
            raise ScenarioError(f"line {number}: nothing happens: {line}")
        at = None if match["at"] is None else float(match["at"])
        step = Step(number, at, match["who"] or "", match["what"] or "", _answers(match["answers"]))
    if step is not None:
        yield step.checked()


def _answers(text: str) -> list[str]:
    return [" ".join(answer.split()) for answer in text.split("|") if answer.strip()]


def _quotas(text: str) -> Quotas:
    return Quotas(**{name: int(limit) for name, limit in re.findall(r"^given (\w+) (\d+)$", text, re.MULTILINE)})


class _Player:
    """Turns words into events."""

    def __init__(self, quotas: Quotas) -> None:
        self._manager = make_manager(quotas)
        self._kept = Kept(self._manager)
        self._words = Words()
        self._processes: dict[str, int] = {}
        self._now = 0.0

    def play(self, step: Step) -> list[str]:
        if step.at is not None:
            assert step.at >= self._now, f"line {step.line}: time does not go back"
            self._now = step.at
        try:
            if step.what == RESTART:
                self._manager = self._kept.restarted(Source.CHANGES, self._now)
                check(self._manager)
                return []
            event = self._event(step) if step.who else e.Tick()
        except (IndexError, KeyError, ValueError) as error:
            raise ScenarioError(f"line {step.line}: {step.what}: {error!r}") from error
        actions = self._give(event)
        return [told for action in actions for told in self._words.tell(action, step.who)]

    def end_all(self) -> None:
        """Let every process exit: nothing may be left then."""
        for session in list(self._manager.sessions):
            give(self._manager, e.ProcessExited(session), self._now)
        left = [*self._manager.sessions, *self._manager.grants, *self._manager.resources, *self._manager.accounts]
        assert not left, f"left at the end: {left}"
        assert not self._manager.tickets
        assert self._manager.next_deadline() is None

    def _give(self, event: e.Event) -> list[a.Action]:
        actions = give(self._manager, event, self._now)
        self._kept.note()
        known = {speaker.session for speaker in self._words.speakers.values()}
        again = [action for action in actions if isinstance(action, a.Opened) and action.session in known]
        assert not again, f"R7: a session id that was given before: {again}"
        return actions

    def _event(self, step: Step) -> e.Event:
        verb, *words = shlex.split(step.what)
        arguments: list[str] = []
        options: dict[str, str] = {}
        while words:
            word = words.pop(0)
            if word in FLAGS:
                options[word] = ""
            elif word in OPTIONS:
                options[word] = words.pop(0)
            else:
                arguments.append(word)
        if verb == BREAK:
            return e.Break(tuple(token(int(word[1:])) for word in arguments), options.get("label", ""))
        if verb == "connect":
            return self._connect(step.who, options)
        if step.who not in self._words.speakers:
            # Nobody has to introduce himself, unless there is something to say.
            opened = self._give(self._connect(step.who, {}))
            assert len(opened) == 1, (
                f"line {step.line}: {step.who} connects, and there is more than a welcome: {opened}"
            )
            self._words.tell(opened[0], step.who)
        speaker = self._words.speakers[step.who]
        if verb == "disconnect":
            return e.Disconnected(speaker.session)
        if verb == "resume":
            session = self._words.speakers[arguments[0]].session if arguments else speaker.session
            return e.Resume(
                session,
                e.Peer(speaker.pid, int(options.get("uid", "1000")), 100, options.get("process", speaker.process)),
            )
        if verb == "exit":
            return e.ProcessExited(speaker.session)
        return self._request(speaker, verb, arguments, options)

    def _connect(self, who: str, options: dict[str, str]) -> e.OpenSession:
        number = len(self._words.speakers) + 1
        if "process" in options:
            # Whoever was that process before has the same pid.
            number = self._processes.setdefault(options["process"], number)
        speaker = self._words.speakers[who] = Speaker(number, options.get("process", ""))
        peer = e.Peer(speaker.pid, int(options.get("uid", "1000")), 100, speaker.process)
        return e.OpenSession(peer, who, "release_on_eof" in options, options.get("image", ""))

    def _request(self, speaker: Speaker, verb: str, arguments: list[str], options: dict[str, str]) -> e.Request:
        number = int(options["id"]) if "id" in options else speaker.last_request + 1
        speaker.last_request = max(speaker.last_request, number)
        session, owner = speaker.session, int(options.get("owner", "1"))
        if verb == "acquire":
            items = tuple(e.Item(*pair) for pair in _pairs(arguments))
            speaker.requests.setdefault(number, Asked(items, owner))
            return e.Acquire(session, number, owner, items, _terms(options), "tree" in options)
        if verb == "convert":
            name, word = arguments
            grant = speaker.granted(name, options)
            asked = Asked(tuple(e.Item(item.name, MODES[word]) for item in grant.items), grant.owner)
            speaker.requests.setdefault(number, asked)
            return e.Convert(session, number, grant.token, MODES[word], _terms(options))
        if verb == "release":
            return e.Release(session, number, _token(speaker, arguments[0], options), "confirm" in options)
        if verb == "cancel":
            return e.Cancel(session, number, speaker.request_id(arguments[0], options))
        if verb == "handover":
            if not arguments[0].startswith("#"):
                self._words.offers[options["ticket"]] = speaker.granted(arguments[0], options)
            return e.HandOver(session, number, _token(speaker, arguments[0], options), options["ticket"])
        if verb == "adopt":
            offered = self._words.offers.get(options["ticket"], Asked((), owner))
            speaker.requests.setdefault(number, Asked(offered.items, owner))
            return e.Adopt(session, number, owner, options["ticket"])
        if verb == "inherit":
            speaker.requests.setdefault(number, Asked((), owner))
            return e.Inherit(session, number, owner)
        if verb == "query":
            return e.Query(session, number, arguments[0])
        if verb == "malformed":
            return e.Malformed(session, number, arguments[0])
        if verb == "bye":
            return e.Bye(session, number)
        raise ValueError(f"nobody can {verb}")


def _pairs(words: list[str]) -> Iterator[tuple[str, e.Demand]]:
    """Read `db exclusive, log shared, pool 2/5`."""
    pairs = " ".join(words).split(", ")
    for pair in pairs:
        name, demand = pair.split()
        yield name, demand_of(demand)


def _terms(options: dict[str, str]) -> e.Terms:
    timeout = 0.0 if "try" in options else float(options["timeout"]) if "timeout" in options else None
    return e.Terms(
        label=options.get("label", ""),
        timeout_seconds=timeout,
        is_reentrant="reentrant" in options,
        lease_seconds=float(options["lease"]) if "lease" in options else None,
        wants_yield_request="yields" in options,
        wants_wait_notice="notice" in options,
    )


def _token(speaker: Speaker, what: str, options: dict[str, str]) -> int:
    """Return the token that `#7` is, or that of the speaker's latest grant of a name."""
    return token(int(what[1:])) if what.startswith("#") else speaker.granted(what, options).token
