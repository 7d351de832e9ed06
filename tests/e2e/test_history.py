"""The judge of `support.history` finds what was planted, and nothing where nothing was."""

from __future__ import annotations

from typing import Any, Final

import pytest

from support.history import EXCLUSIVE, GRANTED, INTERRUPTED, NANOSECONDS, NEVER, REFUSED, SHARED, Operation, faults

X, S = EXCLUSIVE, SHARED

#: Two processes with two threads each, on two names. Here instants are seconds, and each block is a time of its own.
FLAWLESS: Final = {
    # One waits for the other, and somebody sees it.
    "held": Operation("p", "0", "db", X, None, 10, 20, GRANTED, 10, released_at=100, ended_at=110),
    "next": Operation("q", "0", "db", X, None, 30, 120, GRANTED, 20, released_at=130, ended_at=140),
    "try": Operation("q", "1", "db", X, 0, 40, 50, REFUSED, holders_total=1, waiters_total=1),
    # Two read at once.
    "reads": Operation("p", "0", "db", S, None, 200, 210, GRANTED, 30, released_at=300, ended_at=310),
    "reads too": Operation("q", "0", "db", S, 0, 205, 220, GRANTED, 40, released_at=320, ended_at=330),
    # Whoever cancels does not wait until the daemon has heard of it. What it answers next shows that it has.
    "cancelled": Operation("p", "1", "db", X, None, 400, 410, INTERRUPTED),
    "kept out": Operation("q", "0", "db", X, 0, 420, 430, REFUSED, holders_total=1, waiters_total=0),
    "answered": Operation("p", "1", "log", S, 0, 450, 460, GRANTED, 50, released_at=470, ended_at=480),
    # Somebody waits in vain.
    "holder": Operation("p", "0", "db", X, None, 600, 610, GRANTED, 60, released_at=637, ended_at=638),
    "patient": Operation("q", "1", "db", X, 30.0, 605, 640, REFUSED),
    "afterwards": Operation("p", "0", "log", X, 0, 642, 645, GRANTED, 70, released_at=646, ended_at=647),
}

#: Came after `next` was seen to wait, and is served before.
RIVAL: Final = Operation("p", "1", "db", X, None, 55, 115, GRANTED, 15, released_at=116, ended_at=117)

Changes = dict[str, dict[str, Any]]


def history(changes: Changes) -> list[Operation]:
    """Return the flawless history with a change or more."""
    operations = FLAWLESS | {"rival": RIVAL}
    if "rival" not in changes:
        del operations["rival"]
    return [
        in_nanoseconds(operation._replace(**changes.get(which, {})))
        for which, operation in reversed(operations.items())
    ]


def in_nanoseconds(operation: Operation) -> Operation:
    instants = ("invoked_at", "returned_at", "released_at", "ended_at")
    return operation._replace(**{instant: getattr(operation, instant) * NANOSECONDS for instant in instants})


def test_nothing_is_said_against_a_flawless_history() -> None:
    assert faults(history({})) == []
    assert faults([]) == []


@pytest.mark.parametrize(
    ("fault", "changes"),
    [
        pytest.param(fault, changes, id=what)
        for what, fault, changes in [
            # No exclusion.
            ("exclusive over exclusive", "both held it at once", {"held": {"released_at": 125, "ended_at": 126}}),
            ("shared over exclusive", "both held it at once", {"reads": {"mode": X}}),
            ("exclusive over shared", "both held it at once", {"reads too": {"mode": X}}),
            # Tokens.
            ("the same token", "one token twice", {"next": {"token": 10}}),
            ("falling tokens", "what was granted first is the greater one", {"reads": {"token": 15}}),
            ("falling on another name", "what was granted first is the greater one", {"answered": {"token": 35}}),
            # Order.
            ("overtaken", "somebody who came later than this waiter", {"rival": {}}),
            ("overtaken by a reader", "somebody who came later than this waiter", {"rival": {"mode": S}}),
            # Not ended.
            ("never returned", "did not come to an end", {"patient": {"returned_at": NEVER, "outcome": ""}}),
            ("never released", "did not come to an end", {"reads": {"released_at": NEVER, "ended_at": NEVER}}),
            ("an error", "did not come to an end", {"patient": {"outcome": "SessionLost: gone"}}),
            # Refused without a reason: something is held that nobody holds, or somebody was not woken.
            ("a try", "nobody was in its way", {"try": {"invoked_at": 500, "returned_at": 501}}),
            (
                "a reader because of readers",
                "nobody was in its way",
                {"reads too": {"invoked_at": 215, "outcome": REFUSED}},
            ),
            ("a ghost of a cancel", "nobody was in its way", {"kept out": {"invoked_at": 465, "returned_at": 468}}),
            ("nobody there", "nobody was in its way", {"patient": {"invoked_at": 500, "returned_at": 530}}),
            (
                "not woken",
                "nobody was in its way any more at 625000000000",
                {
                    "holder": {"released_at": 620, "ended_at": 621},
                    "afterwards": {"invoked_at": 622, "returned_at": 625},
                },
            ),
            (
                "overtaken in vain",
                "nobody was in its way any more at 625000000000",
                {
                    "holder": {"released_at": 620, "ended_at": 621},
                    "afterwards": {"name": "db", "invoked_at": 622, "returned_at": 625},
                },
            ),
            ("too early", "refused before its time", {"patient": {"returned_at": 634}}),
            ("never", "it would have waited for ever", {"patient": {"timeout": None}}),
            # The daemon knows more than there is.
            ("a ghost hold", "3 are said to hold it", {"try": {"holders_total": 3}}),
            ("a ghost in the queue", "2 are said to wait", {"try": {"waiters_total": 2}}),
        ]
    ],
)
def test_a_planted_fault_is_found(fault: str, changes: Changes) -> None:
    found = faults(history(changes))
    assert any(fault in each for each in found), found


@pytest.mark.parametrize(
    "changes",
    [
        # Both waited when it was seen that one did, so nobody knows who came first.
        pytest.param({"rival": {"invoked_at": 45}}, id="who came first is not known"),
        pytest.param({"rival": {}, "try": {"waiters_total": None, "holders_total": None}}, id="nobody looked"),
        # The release was called before the next one was told: that there is no gap proves nothing.
        pytest.param({"held": {"released_at": 120, "ended_at": 400}}, id="a slow return from the release"),
        pytest.param({"reads": {"token": 41}}, id="the tokens of two that came at once"),
        pytest.param({"afterwards": {"name": "db", "token": 61}}, id="at once behind a release"),
    ],
)
def test_what_can_have_been_is_no_fault(changes: Changes) -> None:
    assert faults(history(changes)) == []
