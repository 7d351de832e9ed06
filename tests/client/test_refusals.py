"""What somebody is told who does not get a lock: who holds it, since when, what for, and the place in the queue."""

from __future__ import annotations

import os
import pickle
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from lockd_client import (
    BadRequest,
    Client,
    Holder,
    KindMismatch,
    LimitMismatch,
    LockError,
    LockLost,
    LockTimeout,
    NotOwner,
)
from lockd_client._refusals import refusal
from lockd_wire import messages as m
from support.judge import Judge
from support.scripted_daemon import ScriptedDaemon

HOLDER: dict[str, m.Scalar] = {
    "pid": 4711,
    "uid": os.getuid(),
    "program": "nightly.py",
    "label": "nightly run",
    "mode": "X",
    "held_seconds": 42.3,
    "token": 17,
    "attached": True,
}


def refused(code: str, facts: Any, timeout: float | None = 5, what: str = '"reports/daily"') -> LockError:
    return refusal(m.Failed(1, 1, code, "", facts), what, timeout)


def timed_out(*holders: dict[str, m.Scalar], timeout: float | None = 5, **facts: Any) -> str:
    facts = {
        "name": "reports/daily",
        "holders": tuple(HOLDER | holder for holder in holders),
        "holders_total": len(holders),
        **facts,
    }
    return without_clock(str(refused("timeout", facts, timeout)))


def without_clock(sentence: str) -> str:
    return re.sub(r"since (\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d", "since TIME", sentence)


def test_a_timeout_tells_who_holds_it_and_which_place_it_was() -> None:
    assert timed_out({}, position=3) == (
        '"reports/daily" was not granted within 5 s: held exclusively by pid 4711 (nightly.py, "nightly run") '
        "since TIME, 42 s ago; you were 3rd in the queue"
    )


def test_a_try_tells_who_holds_it_and_how_many_wait() -> None:
    assert timed_out({"label": ""}, timeout=0, waiters_total=2) == (
        '"reports/daily" is not free: held exclusively by pid 4711 (nightly.py) since TIME, 42 s ago; '
        "2 requests in the queue"
    )


def test_several_holders() -> None:
    assert timed_out(
        {"mode": "S", "label": ""}, {"mode": "S", "pid": 2, "program": "", "label": ""}, holders_total=7, position=1
    ) == (
        '"reports/daily" was not granted within 5 s: held in shared mode by pid 4711 (nightly.py) since TIME, '
        "42 s ago, pid 2 since TIME, 42 s ago and 5 others; you were 1st in the queue"
    )


def test_holders_of_which_there_is_more_to_say() -> None:
    sentence = timed_out(
        {"pid": os.getpid(), "held_seconds": 0.01}, {"uid": 54_321, "attached": False, "held_seconds": 200_000}
    )
    assert f'pid {os.getpid()} (this process, "nightly run") since TIME, just now' in sentence
    assert 'pid 4711 (nightly.py, "nightly run", uid 54321, not connected) since TIME, 2 d 7 h ago' in sentence


def test_nobody_holds_it_but_others_wait() -> None:
    assert timed_out(position=2) == (
        '"reports/daily" was not granted within 5 s: nobody holds it, but others came first; you were 2nd in the queue'
    )


def test_what_others_call_themselves_gives_no_orders_to_a_terminal() -> None:
    sentence = timed_out({"program": "\x1b[2J", "label": "\u202egnp"})
    assert '(\\x1b[2J, "\\u202egnp")' in sentence


def test_a_timeout_has_the_facts() -> None:
    facts = {"name": "reports/daily", "holders": (HOLDER,), "holders_total": 3, "position": 2, "waiters_total": 4}
    error = refused("timeout", facts | {"waited_seconds": 5.01})
    assert isinstance(error, LockTimeout)
    assert isinstance(error, TimeoutError)
    assert (error.name, error.holders_total, error.position) == ("reports/daily", 3, 2)
    assert (error.waiters_total, error.waited_seconds) == (4, 5.01)
    (holder,) = error.holders
    assert (holder.pid, holder.uid, holder.program, holder.label) == (4711, os.getuid(), "nightly.py", "nightly run")
    assert (holder.mode, holder.held_seconds, holder.token, holder.attached) == ("exclusive", 42.3, 17, True)
    ago = datetime.now().astimezone() - holder.since
    assert timedelta(seconds=42) < ago < timedelta(hours=1)
    assert without_clock(repr(holder)) == (
        '<Holder pid 4711 (nightly.py, "nightly run") since TIME, 42 s ago, exclusive>'
    )


@pytest.mark.parametrize("code", ["timeout", "deadlock"])
@pytest.mark.parametrize(
    "facts", [{}, {"holders": 5, "holders_total": "many", "waited_seconds": "long"}, {"holders": ({},)}, {"new": True}]
)
def test_facts_that_are_missing_or_unknown_do_no_harm(code: str, facts: Any) -> None:
    assert "reports/daily" in str(refused(code, facts))


def test_a_mode_that_only_a_newer_daemon_knows() -> None:
    error = refused("timeout", {"holders": (HOLDER | {"mode": "ZX"},)})
    assert isinstance(error, LockTimeout)
    assert error.holders[0].mode == "ZX"
    assert "held in mode ZX by pid 4711" in str(error)


def test_errors_survive_the_way_to_another_process() -> None:
    error = refused("timeout", {"holders": (HOLDER,), "holders_total": 1, "position": 2})
    twin = pickle.loads(pickle.dumps(error))
    assert type(twin) is LockTimeout
    assert (str(twin), twin.position, twin.holders[0].pid) == (str(error), 2, 4711)
    assert isinstance(twin.holders[0], Holder)
    for other in (refused("deadlock", {}), NotOwner("so"), BadRequest("so")):
        assert str(pickle.loads(pickle.dumps(other))) == str(other)


def test_a_real_timeout(client: Client, daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    with pytest.raises(LockTimeout) as raised, client.lock("a", timeout=0):
        pass
    assert raised.value.holders[0].held_seconds == 1.5
    assert raised.value.name == "a"


def test_programs_that_know_the_standard_exceptions_catch_these() -> None:
    assert issubclass(LockTimeout, TimeoutError)
    assert issubclass(NotOwner, RuntimeError)
    assert issubclass(BadRequest, ValueError)


def test_what_was_asked_for_may_be_more_than_the_name_that_is_in_the_way() -> None:
    facts: Any = {"name": "b", "holders": (HOLDER | {"mode": "U"},), "holders_total": 1, "position": 1}
    assert without_clock(str(refused("timeout", facts, what='"a" and "b"'))) == (
        '"a" and "b" was not granted within 5 s: "b" is held for update by pid 4711 (nightly.py, "nightly run") since '
        "TIME, 42 s ago; you were 1st in the queue"
    )
    facts = {"name": "b", "waiters_total": 1}
    assert str(refused("timeout", facts, timeout=0, what='"a" and "b"')) == (
        '"a" and "b" is not free: nobody holds "b", but others came first; 1 request in the queue'
    )


def test_holders_whose_modes_differ_and_permits() -> None:
    assert "held by pid 4711" in timed_out({"mode": "IS"}, {"mode": "IX"}, position=1)
    assert "held in mode IX by pid 4711" in timed_out({"mode": "IX"}, {"mode": "IX"}, position=1)
    error = refused("timeout", {"name": "p", "holders": (HOLDER | {"mode": "", "permits": 2},)}, what='"p"')
    assert isinstance(error, LockTimeout)
    assert '"p" was not granted within 5 s: held by pid 4711' in str(error)
    assert repr(error.holders[0]).endswith(", 2 permits>")


def test_a_conversion_of_what_was_lost_meanwhile(mine: Client, judge: Judge) -> None:
    """The daemon says that it is not held; why not was said before."""
    grant = mine.lock("a", mode="shared", lease=1).__enter__()
    judge.want("a")

    judge.beforehand = lambda message: judge.pass_time(2)
    for call in (lambda: grant.convert("exclusive"), grant.handover):
        with pytest.raises(LockLost, match='"a" is no longer held: the lease had run out'):
            call()
    assert grant.lost


def test_the_daemons_own_words_about_kinds_and_limits(mine: Client, judge: Judge) -> None:
    with mine.semaphore("p", 5) as permits, mine.lock("a"):
        for handle, error in ((mine.lock("p"), KindMismatch), (mine.semaphore("p", 6), LimitMismatch)):
            with pytest.raises(error, match="the daemon refused: "):
                handle.acquire()
        with pytest.raises(BadRequest, match="the daemon refused: "):
            permits.convert("shared")
    assert issubclass(KindMismatch, TypeError)
    assert issubclass(LimitMismatch, ValueError)
