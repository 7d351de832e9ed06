"""What somebody is told whose wait would never have ended: every step, in words and as facts."""

from __future__ import annotations

import os
import pickle
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from lockd_client import DeadlockDetected
from lockd_client._refusals import refusal
from lockd_wire import messages as m

STEP: dict[str, m.Scalar] = {
    "name": "a",
    **{"pid": 1, "uid": os.getuid(), "program": "one.py", "label": "first", "mode": "X", "permits": 0},
    **{"blocker_pid": 2, "blocker_uid": os.getuid(), "blocker_program": "two.py", "blocker_label": ""},
    **{"blocker_mode": "S", "blocker_permits": 0, "seconds": 42.3, "queued": False},
}

ADVICE = (
    ". This thread keeps what it holds: release that and try again, or take all that is needed at once with lock_all"
)


def deadlock(*steps: dict[str, m.Scalar], what: str = '"a"', **facts: Any) -> DeadlockDetected:
    described: Any = {"name": "a", "cycle": tuple(STEP | step for step in steps), "cycle_total": len(steps), **facts}
    error = refusal(m.Failed(1, 1, "deadlock", "", described), what, None)
    assert isinstance(error, DeadlockDetected)
    return error


def sentence(error: object) -> str:
    return re.sub(r"since (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "since TIME", str(error))


def test_two_steps() -> None:
    back: dict[str, m.Scalar] = {"name": "b", "mode": "S", "blocker_mode": "X", "blocker_label": "second"}
    assert sentence(deadlock({}, back)) == (
        'waiting for "a" would never end: pid 1 (one.py, "first") wants "a", exclusive, and pid 2 (two.py) holds it, '
        'shared, since TIME, 42 s ago; pid 1 (one.py, "first") wants "b", shared, and pid 2 (two.py, "second") holds '
        "it, exclusive, since TIME, 42 s ago" + ADVICE
    )


def test_permits_and_one_who_waits_as_well() -> None:
    permits: dict[str, m.Scalar] = {"mode": "", "permits": 2, "blocker_mode": "", "blocker_permits": 1, "queued": True}
    (told,) = deadlock(permits).cycle
    assert sentence(told) == (
        'pid 1 (one.py, "first") wants "a", 2 permits, and pid 2 (two.py) waits for it before that, 1 permit, '
        "since TIME, 42 s ago"
    )


def test_one_who_waits_before_for_a_lock() -> None:
    (told,) = deadlock({"queued": True}).cycle
    assert "waits for it before that, shared, since" in sentence(told)


def test_more_steps_than_are_told() -> None:
    error = deadlock(*({} for _ in range(8)), cycle_total=11)
    assert len(error.cycle) == 8
    assert error.cycle_total == 11
    assert sentence(error).endswith("42 s ago; and 3 more steps" + ADVICE)
    assert sentence(deadlock({}, cycle_total=2)).endswith("; and 1 more step" + ADVICE)


def numbered(steps: int) -> Iterator[dict[str, m.Scalar]]:
    return ({"name": str(number)} for number in range(steps))


def names_in(told: str) -> list[str]:
    return re.findall(r' wants "([^"]*)"', told)


def test_of_a_long_circle_the_words_leave_the_middle_out() -> None:
    for steps, words in ((41, "; then 1 more step; "), (100, "; then 60 more steps; ")):
        error = deadlock(*numbered(steps))
        assert len(error.cycle) == error.cycle_total == steps
        assert names_in(str(error)) == [*map(str, range(30)), *map(str, range(steps - 10, steps))]
        assert words in str(error)
    for steps in (8, 30, 31, 40):
        error = deadlock(*numbered(steps))
        assert names_in(str(error)) == [*map(str, range(steps))]
        assert "more" not in str(error)


def test_what_leads_back_is_not_known_of_a_circle_that_is_not_told_to_its_end() -> None:
    error = deadlock(*numbered(42), cycle_total=44)
    assert names_in(str(error)) == [*map(str, range(30))]
    assert sentence(error).endswith("; and 14 more steps" + ADVICE)


def test_a_deadlock_of_one() -> None:
    assert sentence(deadlock({"blocker_label": "nightly run"})) == (
        'this thread already holds "a" ("nightly run") since TIME, 42 s ago: waiting for itself would never end. '
        "Release it first, let the code that needs it run inside the lock that is already held, or use rlock"
    )
    assert 'already holds "a" since TIME' in sentence(deadlock({}))


def test_one_step_that_is_not_a_hold() -> None:
    assert sentence(deadlock({"queued": True})).startswith('waiting for "a" would never end: pid 1')


@pytest.mark.parametrize("cycle", [None, 5, (), "steps"])
def test_without_steps(cycle: Any) -> None:
    error = deadlock(cycle=cycle, cycle_total=0)
    assert sentence(error) == 'waiting for "a" would never end' + ADVICE
    error = deadlock(cycle=cycle, cycle_total=2)
    assert sentence(error) == 'waiting for "a" would never end: and 2 more steps' + ADVICE


def test_several_names_and_modes_that_only_a_newer_daemon_knows() -> None:
    error = deadlock({"mode": "ZX"}, {}, what='"a" and "b"')
    assert sentence(error).startswith('waiting for "a" and "b" would never end: pid 1 (one.py, "first") wants "a", ZX,')


def test_the_facts() -> None:
    (step,) = deadlock({}).cycle
    assert (step.name, step.is_queued, step.blocked_seconds) == ("a", False, 42.3)
    waiter, blocker = step.waiter, step.blocker
    assert (waiter.pid, waiter.program, waiter.label, waiter.mode) == (1, "one.py", "first", "exclusive")
    assert (blocker.pid, blocker.uid, blocker.mode, blocker.permits) == (2, os.getuid(), "shared", 0)
    ago = datetime.now().astimezone() - step.since
    assert timedelta(seconds=42) < ago < timedelta(hours=1)
    assert repr(step) == f"<Step {step}>"


def test_a_step_of_which_nothing_is_known() -> None:
    error = deadlock(cycle=({}, {"seconds": "long", "pid": "one", "queued": 1}))
    assert "would never end" in str(error)


def test_others_give_no_orders_to_a_terminal() -> None:
    assert '(\\x1b[2J, "\\u202e")' in str(deadlock({"program": "\x1b[2J", "label": "\u202e"}, {}))


def test_it_survives_the_way_to_another_process() -> None:
    error = deadlock({}, {}, cycle_total=3)
    twin = pickle.loads(pickle.dumps(error))
    assert (str(twin), twin.cycle_total, twin.cycle[0].blocker.pid) == (str(error), 3, 2)
