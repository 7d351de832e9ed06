"""What two pictures of everybody's locks tell: what was lost, and what may have been released."""

from __future__ import annotations

import os
from typing import Any

from lockd.ctl.chaos_picture import Picture, Process, Tally, Waiter, compare, process_of, take

ME = process_of({"pid": os.getpid()}, {})
#: My number, when somebody else had it.
ONE_BEFORE_ME = ME._replace(started=1)


def picture(
    grants: dict[tuple[str, int], Process] | None = None,
    waiters: dict[str, list[Waiter]] | None = None,
    sessions: dict[int, Process] | None = None,
    contradictions: tuple[str, ...] = (),
    reorders: int = 0,
) -> Picture:
    return Picture({"reorders_total": reorders}, grants or {}, waiters or {}, sessions or {}, 0, contradictions)


def waiter(came_at: float, process: Process = ME, label: str = "") -> Waiter:
    return Waiter(process, (label,), came_at - 0.001, came_at + 0.001)


def test_what_is_gone_is_told_by_whether_its_process_lives() -> None:
    before = picture({("a", 1): ME, ("a", 2): ME, ("b", 3): ONE_BEFORE_ME}, sessions={7: ME, 8: ONE_BEFORE_ME})
    after = picture({("a", 1): ME, ("a", 9): ME})
    tallies, losses = compare(before, after)
    assert losses == []
    assert tallies["grants"] == Tally(before=3, there_again=1, ended_meanwhile=1, exited=1)
    assert tallies["sessions"] == Tally(before=2, there_again=0, ended_meanwhile=1, exited=1)


def test_a_waiter_is_known_by_when_it_came() -> None:
    before = picture(waiters={"a": [waiter(10), waiter(11), waiter(12)]})
    # The first was served, and waits again.
    after = picture(waiters={"a": [waiter(11), waiter(12), waiter(13)]})
    tallies, losses = compare(before, after)
    assert losses == []
    assert tallies["waiters"] == Tally(before=3, there_again=2, ended_meanwhile=1)


def test_another_order_is_a_loss() -> None:
    before, after = [waiter(10), waiter(11), waiter(12)], [waiter(11), waiter(10), waiter(12)]
    _, losses = compare(picture(waiters={"a": before}), picture(waiters={"a": after}))
    assert losses == ['3 waiters of "a" are in another order than before']
    # Unless the daemon says that it has moved somebody.
    _, losses = compare(picture(waiters={"a": before}), picture(waiters={"a": after}, reorders=1))
    assert losses == []


def test_a_session_that_is_another_process_s_is_a_loss() -> None:
    _, losses = compare(picture(sessions={7: ME}), picture(sessions={7: Process(1, 1)}))
    assert losses == [f"session 7 was of pid {ME.pid} and is of pid 1"]


class Admin:
    """Answers as an admin socket does."""

    def __init__(self, names: dict[str, dict[str, Any]]) -> None:
        self._names = names

    def names(self) -> list[dict[str, Any]]:
        rows = []
        for name, facts in self._names.items():
            totals = {"holders_total": len(facts["holders"]), "waiters_total": len(facts["waiters"])}
            rows.append({"name": name, **totals, "holder": next(iter(facts["holders"]), None)})
        return rows

    def show(self, name: str) -> dict[str, Any]:
        facts = self._names[name]
        return {**facts, "holders_total": len(facts["holders"]) + 4, "waiters_total": len(facts["waiters"])}

    def sessions(self) -> list[dict[str, Any]]:
        return [{"session": 7, "pid": ME.pid, "program": "shop"}, {"session": 8, "pid": ME.pid, "program": "probes"}]

    def status(self) -> dict[str, Any]:
        return {"reorders_total": 0}


def holder(token: int, pid: int = ME.pid, mode: str = "S", program: str = "shop") -> dict[str, Any]:
    return {"token": token, "pid": pid, "mode": mode, "program": program}


def test_a_picture() -> None:
    waits = {"pid": ME.pid, "program": "shop", "label": "", "mode": "X", "permits": 0, "converts_from": ""}
    admin: Any = Admin(
        {
            "alone": {"holders": [holder(1, mode="X")], "waiters": []},
            "ours": {"holders": [holder(2, program="probes")], "waiters": []},
            "many": {"holders": [holder(3), holder(4)], "waiters": [{**waits, "waited_seconds": 3.0}]},
            "torn": {"holders": [holder(5, mode="X"), holder(6, pid=1)], "waiters": []},
        }
    )
    seen = take(admin, "probes")
    assert set(seen.grants) == {("alone", 1), ("many", 3), ("many", 4), ("torn", 5), ("torn", 6)}
    assert seen.grants["alone", 1] == ME
    assert [len(each) for each in seen.waiters.values()] == [1]
    assert seen.sessions == {7: ME}
    assert seen.undescribed == 8
    assert seen.contradictions == [f'"torn" is held exclusively and by several: pids 1, {ME.pid}']
