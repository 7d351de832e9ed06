"""The daemon is killed again and again, and the clients see a pause and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import pytest

from support.crash_campaign import Campaign, Report, every_point, random_moments
from support.crash_client import ROLES
from support.crash_daemon import FORGETFUL, OWN, PASSED
from support.crash_history import (
    DEADLOCK,
    EXCLUSIVE,
    GRANTED,
    INTERRUPTED,
    NANOSECONDS,
    NEVER,
    REFUSED,
    SHARED,
    UPDATE,
    Conversion,
    History,
    Item,
    Life,
    Operation,
    line_of,
    operations_of,
)
from support.crash_judge import faults

#: 25 kills in all: so many at writes, behind one at random; and so many at random moments alone.
KILLS_AT_POINTS: Final = 12
KILLS_AT_RANDOM: Final = 12
PROCESSES: Final = 32
#: Fewer, so that both together take no more than half a minute on two cores.
PROCESSES_AT_POINTS: Final = 16

#: How often either begins anew if something did not happen that is to be seen.
ROUNDS_MAX: Final = 20
#: What has to happen.
TO_HAPPEN: Final = frozenset(
    {*ROLES, GRANTED, REFUSED, INTERRUPTED, "converted", "entered again"}
    | {"a process stopped", "a process interrupted", "a process killed"}
    | {"held over a restart", "waited over a restart"}
)

X, S, U = EXCLUSIVE, SHARED, UPDATE


def test_nothing_is_lost_when_the_daemon_is_killed_at_random_moments(runtime_dir: Path) -> None:
    reports: list[Report] = []
    while _what_is_missing(reports):
        reports.append(
            _round(runtime_dir, len(reports), PROCESSES, PASSED, islice(random_moments(), KILLS_AT_RANDOM - 1))
        )
        assert reports[-1].faults == []
        assert (reports[-1].kills, reports[-1].points) == (KILLS_AT_RANDOM, 0)


def test_nothing_is_lost_when_the_daemon_is_killed_at_its_first_writes(runtime_dir: Path) -> None:
    report = _round(runtime_dir, 0, PROCESSES_AT_POINTS, OWN, islice(every_point(), KILLS_AT_POINTS))
    assert report.faults == []
    assert (report.kills, report.points) == (KILLS_AT_POINTS + 1, KILLS_AT_POINTS)


def _round(directory: Path, number: int, processes: int, sockets: str, plan: Iterable[tuple[str, int]]) -> Report:
    place = directory / f"{number}"
    place.mkdir()
    with Campaign(place, number, processes, sockets=sockets) as campaign:
        return campaign.run(plan)


def _what_is_missing(reports: list[Report]) -> frozenset[str]:
    """Return what has not happened in any of the rounds. What nobody does and what never happens is not shown to be
    well, so there is another round then: on a busy machine little happens between two kills."""
    assert len(reports) < ROUNDS_MAX, "it never gets to what is to be shown"
    operations = [operation for report in reports for operation in report.operations]
    granted = [each for each in operations if each.outcome == GRANTED]
    happened = {each.process.split("-")[0] for each in granted} | {each.outcome for each in operations}
    happened |= {f"a process {trouble}" for report in reports for trouble in report.troubles}
    if any(conversion.outcome == GRANTED for each in granted for conversion in each.conversions):
        happened.add("converted")
    if any(each.entries for each in granted):
        happened.add("entered again")
    for report in reports:
        theirs = [each for each in report.operations if each.outcome == GRANTED]
        if any(each.returned_at < life.begun_at < each.held_until for each in theirs for life in report.lives):
            happened.add("held over a restart")
        if any(each.waited_at < life.begun_at < each.returned_at for each in theirs for life in report.lives):
            happened.add("waited over a restart")
    return TO_HAPPEN - happened


def test_a_daemon_that_answers_before_it_writes_is_found_out(runtime_dir: Path) -> None:
    """As soon as one is killed between the two, which happens when it does."""
    found: list[str] = []
    for number in range(ROUNDS_MAX):
        # Whom it has forgotten need not be waited for: what the others saw is enough.
        place = runtime_dir / f"{number}"
        place.mkdir()
        with Campaign(place, number, 9, sockets=PASSED, build=FORGETFUL, patience_seconds=0.5) as campaign:
            found = campaign.run(islice(random_moments(), 5)).faults
        if any("both held it at once" in each or "one token twice" in each for each in found):
            return
    raise AssertionError(found)


#: What several processes noted, all of it in order. Here instants are seconds, and each block is a time of its own.
FLAWLESS: Final = {
    # One waits for the other, and both outlive a daemon.
    "held": Operation("p", 1, (Item("db", X),), None, 10, NEVER, 20, GRANTED, 10, released_at=100, ended_at=101),
    "next": Operation("q", 1, (Item("db", X),), None, 30, 35, 120, GRANTED, 20, released_at=130, ended_at=131),
    # Two read at once, one takes the name with another, and one waits for both.
    "reads": Operation("p", 2, (Item("db", S),), None, 200, NEVER, 210, GRANTED, 30, released_at=300, ended_at=301),
    "reads too": Operation(
        "q", 2, (Item("db", S), Item("log", X)), None, 205, NEVER, 220, GRANTED, 40, released_at=320, ended_at=321
    ),
    "writes": Operation("r", 1, (Item("log", X),), None, 230, 235, 330, GRANTED, 50, released_at=340, ended_at=341),
    # A semaphore of three permits.
    "two": Operation(
        "p", 3, (Item("pool", "", 2, 3),), None, 400, NEVER, 410, GRANTED, 60, released_at=450, ended_at=451
    ),
    "one": Operation(
        "q", 3, (Item("pool", "", 1, 3),), None, 400, NEVER, 410, GRANTED, 61, released_at=450, ended_at=451
    ),
    # One updates, and writes when the other has gone.
    "read": Operation("p", 4, (Item("db", S),), None, 500, NEVER, 505, GRANTED, 70, released_at=520, ended_at=521),
    "update": Operation(
        *("q", 4, (Item("db", U),), None, 500, NEVER, 510, GRANTED, 71),
        conversions=(Conversion(X, 512, 525, GRANTED), Conversion(U, 530, 531, GRANTED)),
        entries=(71,),
        released_at=540,
        ended_at=541,
    ),
    "behind": Operation("r", 2, (Item("db", S),), None, 513, 514, 532, GRANTED, 72, released_at=550, ended_at=551),
    # Refused, interrupted, killed.
    "refused": Operation("r", 3, (Item("db", X),), 5.0, 600, 601, 606, REFUSED),
    "interrupted": Operation("p", 5, (Item("db", X),), None, 600, 601, 602, INTERRUPTED),
    "killed": Operation("k", 1, (Item("db", X),), None, 700, NEVER, 710, GRANTED, 80, killed_at=720),
    "heir": Operation("p", 6, (Item("db", X),), None, 705, NEVER, 725, GRANTED, 81, released_at=730, ended_at=731),
}

#: Came when `next` had word that it waits, and is served before.
RIVAL: Final = Operation("r", 4, (Item("db", X),), None, 40, NEVER, 105, GRANTED, 15, released_at=106, ended_at=107)

LIVES: Final = (Life(0, 50, 60.0), Life(60, NEVER, 200.0))

Changes = dict[str, dict[str, Any]]


def history(changes: Changes, lives: tuple[Life, ...] = LIVES) -> History:
    """Return the flawless history with a change or more."""
    operations = FLAWLESS | ({"rival": RIVAL} if "rival" in changes else {})
    changed = [each._replace(**changes.get(which, {})) for which, each in reversed(operations.items())]
    return History([_in_nanoseconds(each) for each in changed], [_life_in_nanoseconds(life) for life in lives])


def _in_nanoseconds(operation: Operation) -> Operation:
    instants = ("invoked_at", "waited_at", "returned_at", "released_at", "ended_at", "killed_at")
    changed = operation._replace(**{instant: getattr(operation, instant) * NANOSECONDS for instant in instants})
    return changed._replace(
        conversions=tuple(
            each._replace(invoked_at=each.invoked_at * NANOSECONDS, returned_at=each.returned_at * NANOSECONDS)
            for each in operation.conversions
        )
    )


def _life_in_nanoseconds(life: Life) -> Life:
    return life._replace(begun_at=life.begun_at * NANOSECONDS, ended_at=life.ended_at * NANOSECONDS)


def test_nothing_is_said_against_a_flawless_history() -> None:
    assert faults(history({})) == []
    assert faults(History([], [])) == []


def _planted() -> Iterator[tuple[str, str, Changes]]:
    """What is planted, what is said of it, and where it is planted."""
    yield "exclusive over exclusive", "both held it at once", {"held": {"released_at": 125, "ended_at": 126}}
    yield "exclusive over shared", "both held it at once", {"reads too": {"items": (Item("db", X),)}}
    yield "one of several", "both held it at once", {"writes": {"waited_at": NEVER, "returned_at": 310}}
    yield "two updaters", "both held it at once", {"read": {"items": (Item("db", U),)}}
    yield "told last, granted first", "both held it at once", {"held": {"returned_at": 140, "released_at": 150}}
    yield "after a kill", "both held it at once", {"killed": {"killed_at": 727}}
    yield "too many permits", "4 permits of 3", {"one": {"items": (Item("pool", "", 2, 3),)}}
    yield "over what was converted", "converted to exclusive", {"behind": {"returned_at": 527}}
    yield "converted over a reader", "converted to exclusive", {"read": {"released_at": 528, "ended_at": 529}}
    yield "the same token", "one token twice", {"next": {"token": 10}}
    yield "falling tokens", "what was granted first is the greater one", {"two": {"token": 15}}
    yield "another token", "entered again under the tokens", {"update": {"entries": (71, 73)}}
    yield "overtaken", "somebody who came later was served first", {"rival": {}}
    yield "overtaken by a reader", "somebody who came later", {"rival": {"items": (Item("db", S),)}}
    yield (
        "overtaken for one of several",
        "somebody who came later",
        {"rival": {"items": (Item("log", S), Item("db", S))}},
    )
    yield "never served", "it was not served", {"next": {"returned_at": NEVER, "outcome": ""}}
    yield "an error", "it was not served", {"next": {"outcome": "SessionLost: gone"}}
    yield "a circle where there is none", "it was not served", {"next": {"outcome": DEADLOCK}}
    yield "never released", "did not come to an end", {"reads": {"released_at": NEVER, "ended_at": NEVER}}
    yield "a broken release", "something went wrong", {"reads": {"complaint": "LockLost: gone"}}
    yield "a broken conversion", "its conversion", {"update": {"conversions": (Conversion(X, 512, 525, "LockLost"),)}}
    yield "refused early", "refused before its time", {"refused": {"returned_at": 604}}
    yield "refused for ever", "refused before its time", {"refused": {"timeout": None}}


@pytest.mark.parametrize(("fault", "changes"), [pytest.param(*planted, id=what) for what, *planted in _planted()])
def test_a_planted_fault_is_found(fault: str, changes: Changes) -> None:
    found = faults(history(changes))
    assert any(fault in each for each in found), found


@pytest.mark.parametrize(
    ("changes", "lives"),
    [
        pytest.param({"rival": {"invoked_at": 34}}, LIVES, id="who came first is not known"),
        pytest.param({"rival": {"items": (Item("log", X),)}}, LIVES, id="another name"),
        # The second daemon was there for long enough that others could pass those who did not come back.
        pytest.param({"rival": {}}, (LIVES[0], Life(60, NEVER, 30.0)), id="passed"),
        # It may not have heard that its time had run out, and have asked anew.
        pytest.param({"rival": {}, "next": {"timeout": 60.0}}, LIVES, id="out of time"),
        pytest.param({"held": {"released_at": 119, "ended_at": 400}}, LIVES, id="a slow return from the release"),
        pytest.param({"killed": {"outcome": "", "token": 0, "returned_at": NEVER}}, LIVES, id="killed while it waits"),
    ],
)
def test_what_can_have_been_is_no_fault(changes: Changes, lives: tuple[Life, ...]) -> None:
    assert faults(history(changes, lives)) == []


def test_the_notes_of_a_process_that_was_killed_in_the_middle_of_a_line_can_be_read() -> None:
    lines = [
        line_of("ask", 1, 1, (Item("db", S),), None),
        line_of("waits", 2, 1),
        line_of("waits", 3, 1),
        line_of("answer", 4, 1, GRANTED, 7),
        line_of("entry", 5, 1, 7),
        line_of("convert", 6, 1, X),
        line_of("converted", 7, 1, REFUSED),
        line_of("release", 8, 1),
        line_of("released", 9, 1),
        line_of("ask", 10, 2, (Item("db", X),), 0.5)[:-1],
    ]
    assert operations_of("p", lines, 11) == [
        Operation(
            *("p", 1, (Item("db", S),), None, 1, 2, 4, GRANTED, 7),
            conversions=(Conversion(X, 6, 7, REFUSED),),
            entries=(7,),
            released_at=8,
            ended_at=9,
            killed_at=11,
        )
    ]
