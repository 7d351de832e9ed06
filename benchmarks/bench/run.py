"""One run: contenders started, rounds interleaved, everything stopped again."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from . import machine
from .contenders import ALL, Contender
from .crowd import CrowdFailed
from .goals import judge
from .options import Options
from .profile import Shares, profiles
from .result import Result
from .servers import ServerFailed
from .work import CONTESTS, STUDIES, WorkFailed

#: Work whose goals a profile of the daemon has something to say about.
_ABOUT_SPEED = "abc"

#: A tmpfs, as /run is. Servers that write to a disk write here as well, which is kind to them.
_MEMORY = "/dev/shm"


def run(options: Options) -> Result:
    """Do all the work that is asked for, and return what came of it, which is also kept in a file as it comes."""
    result = Result(machine.describe() | {"rounds": str(options.rounds), "load before": machine.load()})
    with _directory() as directory, ExitStack() as servers:
        contests = [letter for letter in options.work if letter in CONTESTS]
        contenders = _started(options, directory, servers, result) if contests else []
        for number in range(options.rounds):
            for letter in contests:
                _contest(letter, _turned(contenders, number), number, options, result)
                result.write(options.output)
            for letter, study in STUDIES.items():
                if letter in options.work and study.each_round:
                    _study(letter, number, directory, options, result)
    # The servers are gone by now, and what is left has the machine to itself.
    with _directory() as directory:
        for letter, study in STUDIES.items():
            if letter in options.work and not study.each_round:
                _study(letter, 0, directory, options, result)
        if any(verdict.work in _ABOUT_SPEED and verdict.word == "missed" for verdict in judge(result.figures)):
            _say("where the daemon's time goes, because a goal was missed")
            result.profiles = _profiles(directory, result)
    result.is_whole = options.is_whole
    result.facts["load after"] = machine.load()
    result.write(options.output)
    return result


def _started(options: Options, directory: str, servers: ExitStack, result: Result) -> list[Contender]:
    contenders = []
    for name in options.contenders:
        contender = ALL[name]()
        reason = contender.missing()
        if reason is None:
            place = os.path.join(directory, name)
            os.mkdir(place)
            _say(f"starting {name}")
            servers.callback(contender.stop)
            try:
                contender.start(place)
                contenders.append(contender)
            except Exception as error:  # One server that does not start, for whatever reason, is left out.
                reason = in_words(error)
        if reason is not None:
            result.missing[name] = reason
    return contenders


def _turned(contenders: list[Contender], number: int) -> list[Contender]:
    """Return them in another order for each round, so that nobody is always behind the same one."""
    start = number * 5 % max(1, len(contenders))
    return contenders[start:] + contenders[:start]


def _contest(letter: str, contenders: list[Contender], number: int, options: Options, result: Result) -> None:
    contest = CONTESTS[letter]
    for contender in contenders:
        what = f"{letter}/{contender.name}"
        # Whoever has failed would fail again, and that takes its time.
        if not contest.concerns(contender.kind) or what in result.failed:
            continue
        _say(f"round {number + 1} of {options.rounds}: {letter}, {contest.title}: {contender.name}")
        try:
            figures = contest.measure(contender, options.scale)
        except Exception as error:  # Drivers raise what they like, and what was measured before shall not be lost.
            result.failed[what] = in_words(error)
            continue
        _take_down(result, what, number, figures)


def _study(letter: str, number: int, directory: str, options: Options, result: Result) -> None:
    _say(f"{letter}, {STUDIES[letter].title}")
    place = os.path.join(directory, f"{letter}{number}")
    os.mkdir(place)
    try:
        _take_down(result, letter, number, STUDIES[letter].measure(place, options.scale))
    except Exception as error:  # The figures of twenty minutes shall not be lost to a mistake in the last one.
        result.failed[letter] = in_words(error)
    result.write(options.output)


def _profiles(directory: str, result: Result) -> dict[str, Shares]:
    try:
        return profiles(directory)
    except (CrowdFailed, ServerFailed, OSError) as error:
        result.failed["profile"] = in_words(error)
        return {}


def in_words(error: Exception) -> str:
    """Return what went wrong; of what nobody has foreseen, also what kind of mistake it is."""
    if isinstance(error, CrowdFailed | ServerFailed | WorkFailed):
        return str(error)
    return f"{type(error).__name__}: {error}"


def _take_down(result: Result, prefix: str, number: int, figures: Mapping[str, float]) -> None:
    for what, value in figures.items():
        result.figures.add(f"{prefix}/{what}", number, value)


@contextmanager
def _directory() -> Iterator[str]:
    parent = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="bench-", dir=parent) as directory:
        # Some servers run as somebody else, and have to get through to their own.
        os.chmod(directory, 0o711)
        yield directory


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)
