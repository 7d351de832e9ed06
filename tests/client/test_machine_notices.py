"""The machine alone: what the daemon says of its own accord, re-entry, and grants that change hands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lockd_client._grant import Grant
from lockd_client._pending import Pending
from lockd_client._standing import Standing
from lockd_wire import messages as m
from lockd_wire.errors import RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX
from support.dialogue import CALLED, WELCOME, Dialogue, welcomed

LOST = m.Lost(0, 0, 11, "lease")
HANDED_OVER = m.Lost(0, 0, 11, "handed_over")
WANTED = m.YieldRequested(0, 0, 11, {})


@pytest.fixture
def dialogue() -> Dialogue:
    return welcomed()


def released(dialogue: Dialogue, *grants: Grant) -> list[m.ClientMessage]:
    """Give these grants up and return what the daemon is told about it."""
    for grant in grants:
        dialogue.machine.give_up(grant.request)
    return dialogue.said()


def test_lost_by_a_lease(dialogue: Dialogue) -> None:
    grant, standing = dialogue.has()
    dialogue.hears(LOST)
    assert standing.loss == "lease"
    assert dialogue.machine.events == {(11, m.Lost): standing}
    # That says that this has been heard.
    assert released(dialogue, grant) == [m.Release(2, 11, False)]
    assert not dialogue.machine.owed


def test_handed_over_nobody_is_called(dialogue: Dialogue) -> None:
    grant, standing = dialogue.has()
    dialogue.hears(HANDED_OVER)
    assert standing.loss == "handed_over"
    assert not dialogue.machine.events
    assert released(dialogue, grant) == []


def test_lost_for_a_reason_that_only_a_newer_daemon_knows(dialogue: Dialogue) -> None:
    _, standing = dialogue.has()
    dialogue.hears(LOST._replace(reason="break"))
    assert standing.loss == "break"
    assert (11, m.Lost) in dialogue.machine.events


def test_a_release_that_crosses_the_loss_does_no_harm(dialogue: Dialogue) -> None:
    grant, _ = dialogue.has()
    dialogue.machine.give_up(grant.request)
    dialogue.hears(LOST)
    assert dialogue.said() == [m.Release(2, 11, False)], "which the daemon ignores"


def test_somebody_waits_for_it(dialogue: Dialogue) -> None:
    _, standing = dialogue.has()
    dialogue.hears(WANTED, WANTED)
    assert dialogue.machine.events == {(11, m.YieldRequested): standing}
    assert not standing.loss


def test_who_has_not_asked_is_not_called(dialogue: Dialogue) -> None:
    _, standing = dialogue.has()
    standing.on_lost = standing.on_yield = None
    dialogue.hears(WANTED, LOST)
    assert not dialogue.machine.events
    assert standing.loss == "lease"


@pytest.mark.parametrize("when", ["in one read", "before it is held"])
def test_notices_right_behind_the_grant(dialogue: Dialogue, when: str) -> None:
    pending = dialogue.asks()
    if when == "in one read":
        dialogue.hears(m.Granted(1, 1, 11, {}), WANTED, LOST)
    else:
        dialogue.hears(m.Granted(1, 1, 11, {}))
        dialogue.hears(WANTED)
        dialogue.hears(LOST)
    standing = Standing(11, (("a", "X"),), False)
    standing.on_lost = standing.on_yield = CALLED
    grant = dialogue.holds(pending, standing)
    assert standing.loss == "lease"
    assert [kind for _, kind in dialogue.machine.events] == [m.YieldRequested, m.Lost]
    dialogue.said()
    assert released(dialogue, grant) == [m.Release(2, 11, False)]


def test_notices_about_a_grant_that_is_taken_back_instead(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    dialogue.hears(m.Granted(1, 1, 11, {}), WANTED, LOST)
    dialogue.machine.abandon(pending)
    assert dialogue.said()[1:] == [m.Cancel(2, 1)]
    _, standing = dialogue.has()
    assert not standing.loss
    assert not dialogue.machine.events


class HeldMeanwhile(dict[Any, Any]):
    """Stands for the notices that came early. Just before one is put there, another thread does something."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self._meanwhile = meanwhile
        self.done: list[object] = []

    def setdefault(self, token: object, default: object = None) -> Any:
        self.done.append(self._meanwhile())
        return super().setdefault(token, default)


def test_a_notice_that_is_read_while_another_thread_is_about_to_hold_the_grant(
    dialogue: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = dialogue.asks()
    dialogue.hears(m.Granted(1, 1, 11, {}))
    standing = Standing(11, (("a", "X"),), False)
    early = HeldMeanwhile(lambda: dialogue.holds(pending, standing))
    monkeypatch.setattr(dialogue.machine, "_early", early)
    dialogue.hears(LOST)
    assert early.done
    assert standing.loss == "lease"


def test_a_notice_about_what_is_not_held_is_dropped(dialogue: Dialogue) -> None:
    grant, standing = dialogue.has()
    dialogue.hears(WANTED._replace(token=12), LOST._replace(token=12))
    assert not dialogue.machine.events
    released(dialogue, grant)
    dialogue.hears(LOST)
    assert not dialogue.machine.events
    assert not standing.loss


def test_a_request_is_told_that_it_has_to_wait(dialogue: Dialogue) -> None:
    pending = dialogue.asks(wait_notice=True)
    notice = m.Waiting(0, 0, 1, {"name": "a"})
    dialogue.hears(notice)
    assert pending.notice == notice
    assert pending.answer is None


@pytest.mark.parametrize("facts", [{}, {"holders": 5, "position": "first"}, {"holders": ({},), "name": 7}])
def test_malformed_facts_of_notices_do_no_harm(dialogue: Dialogue, facts: m.Facts) -> None:
    dialogue.has()
    pending = dialogue.asks("b")
    dialogue.hears(m.Waiting(0, 0, pending.id, facts), WANTED._replace(facts=facts))
    assert pending.notice is not None


def test_a_request_that_was_taken_back_needs_not_be_told(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    dialogue.machine.abandon(pending)
    dialogue.hears(m.Waiting(0, 0, 1, {}), m.Waiting(0, 0, 99, {}))
    assert pending.notice is None


def entered_twice(dialogue: Dialogue) -> tuple[Grant, Grant, Standing]:
    first, standing = dialogue.has()
    pending = dialogue.asks(reentrant=True)
    dialogue.hears(m.Granted(pending.id, 0, 11, {}))
    assert dialogue.machine.standing_of(11) is standing
    second = dialogue.holds(pending, standing)
    dialogue.said()
    return first, second, standing


def test_entered_twice_and_released_twice(dialogue: Dialogue) -> None:
    first, second, _ = entered_twice(dialogue)
    assert released(dialogue, first, second) == [m.Release(3, 11, False), m.Release(4, 11, False)]
    assert not dialogue.machine.held


def test_entered_twice_and_lost_at_once(dialogue: Dialogue) -> None:
    first, second, standing = entered_twice(dialogue)
    dialogue.hears(LOST)
    assert dialogue.machine.events == {(11, m.Lost): standing}
    assert released(dialogue, second, first) == [m.Release(3, 11, False), m.Release(4, 11, False)]


def test_lost_while_it_is_entered_again(dialogue: Dialogue) -> None:
    _, standing = dialogue.has()
    pending = dialogue.asks(reentrant=True)
    dialogue.hears(m.Granted(pending.id, 0, 11, {}), LOST)
    assert standing.loss == "lease"
    assert dialogue.machine.standing_of(11) is None
    again = Standing(11, (("a", "X"),), False)
    dialogue.holds(pending, again)
    assert again.loss == "lease"


def test_a_grant_that_nobody_has_any_more_is_found_by_the_other_entry(dialogue: Dialogue) -> None:
    first, second, standing = entered_twice(dialogue)
    assert dialogue.machine.grant_of(standing) is first
    del first
    assert len(dialogue.gone) == 1
    assert dialogue.machine.grant_of(standing) is second
    assert dialogue.machine.grant_of(Standing(12, (), False)) is None


def adopted(dialogue: Dialogue) -> tuple[Grant, Standing, Grant, Standing]:
    """Let one thread hand a lock over, and another one of the same process take it. Nobody is told of a loss then."""
    maker, before = dialogue.has()
    pending = Pending()
    dialogue.machine.adopt(pending, 2, "ticket")
    dialogue.hears(m.Granted(pending.id, 0, 11, {}))
    after = Standing(11, (("a", "X"),), False)
    after.on_lost = CALLED
    heir = dialogue.holds(pending, after)
    dialogue.said()
    return maker, before, heir, after


def test_adopted_within_one_process(dialogue: Dialogue) -> None:
    maker, before, heir, after = adopted(dialogue)
    assert (before.loss, after.loss) == ("handed_over", "")
    assert dialogue.machine.standing_of(11) is after
    assert released(dialogue, maker) == []
    assert released(dialogue, heir) == [m.Release(3, 11, False)]


@pytest.mark.parametrize("is_collected", [False, True])
def test_an_adoption_within_one_process_that_is_taken_back(dialogue: Dialogue, is_collected: bool) -> None:
    """What was adopted and then cancelled is nobody's any more, and not its maker's again."""
    maker, before = dialogue.has()
    pending = Pending()
    dialogue.machine.adopt(pending, 2, "ticket")
    if is_collected:
        del pending
    else:
        dialogue.machine.abandon(pending)
    assert dialogue.said() == [m.Adopt(2, 2, "ticket"), m.Cancel(3, 2)]
    dialogue.hears(m.Granted(2, 0, 11, {}))
    assert before.loss == "handed_over"
    assert released(dialogue, maker) == []


def test_a_release_while_another_thread_adopts(dialogue: Dialogue) -> None:
    """By the token it would take away what that thread may have been granted by then."""
    maker, _ = dialogue.has()
    pending = Pending()
    dialogue.machine.adopt(pending, 2, "ticket")
    dialogue.said()
    assert released(dialogue, maker) == [m.Cancel(3, maker.request)]
    dialogue.hears(m.Failed(2, 0, "not_owner", "", {}))
    other, _ = dialogue.has(token=12)
    assert released(dialogue, other) == [m.Release(5, 12, False)]


def test_adopted_within_one_process_and_lost_then(dialogue: Dialogue) -> None:
    maker, before, heir, after = adopted(dialogue)
    dialogue.hears(LOST)
    assert (before.loss, after.loss) == ("handed_over", "lease")
    assert dialogue.machine.events == {(11, m.Lost): after}
    assert released(dialogue, maker, heir) == [m.Release(3, 11, False)]


def test_adopted_within_one_process_and_from_there_by_another(dialogue: Dialogue) -> None:
    _, before, heir, after = adopted(dialogue)
    dialogue.hears(HANDED_OVER)
    assert (before.loss, after.loss) == ("handed_over", "handed_over")
    assert released(dialogue, heir) == []


def test_when_the_session_is_lost_all_who_asked_are_called(dialogue: Dialogue) -> None:
    first, second, standing = entered_twice(dialogue)
    lost, gone = dialogue.has(token=12)
    silent, without = dialogue.has(token=13)
    without.on_lost = None
    dialogue.hears(m.Lost(0, 0, 12, "lease"))
    dialogue.machine.events.clear()
    dialogue.machine.lose_all()
    assert dialogue.machine.events == {(11, m.Lost): standing}
    assert gone.loss
    assert None not in (first, second, lost, silent)


def test_a_notice_may_not_come_before_welcome() -> None:
    with pytest.raises(RemoteWireError):
        Dialogue().hears(LOST)


def test_an_entry_is_given_back_by_what_may_be_said_twice(dialogue: Dialogue) -> None:
    """After an interrupt it is. A second RELEASE of the token would give back the entry that is still there."""
    outer, standing = dialogue.has()
    standing.is_reentrant = True
    inner = dialogue.asks(reentrant=True)
    dialogue.hears(m.Granted(inner.id, inner.id, 11, {}))
    entered = dialogue.holds(inner, standing)
    dialogue.said()
    dialogue.machine.give_up(entered.request)
    assert dialogue.said() == [m.Cancel(3, inner.id)]
    dialogue.machine.give_up(outer.request)
    assert dialogue.said() == [m.Release(4, 11, False)]


def step(number: int) -> m.Step:
    return (f"name {number}", 1, 2, "a", "", "X", 0, 3, 4, "b", "", "X", 0, 0.5, False)


def refused(request: int, steps_total: int) -> m.Failed:
    first = tuple(dict(zip(m.STEP_FACTS, step(number), strict=True)) for number in range(2))
    return m.Failed(request, request, "deadlock", "", {"name": "a", "cycle": first, "cycle_total": steps_total})


def names_told(pending: Pending) -> list[object]:
    """Return the names in the circle that a request was refused with."""
    assert isinstance(pending.answer, m.Failed)
    cycle = pending.answer.facts["cycle"]
    assert isinstance(cycle, tuple)
    return [each["name"] for each in cycle]


def test_the_steps_of_a_deadlock_that_come_ahead_of_its_refusal(dialogue: Dialogue) -> None:
    pending, other = dialogue.asks(), dialogue.asks("b")
    dialogue.hears(m.Steps(0, 1, 1, 2, (step(2), step(3))))
    assert pending.answer is None
    dialogue.hears(m.Steps(0, 1, 1, 4, (step(4),)), refused(1, 5))
    assert names_told(pending) == [f"name {number}" for number in range(5)]
    # They are no other one's.
    dialogue.hears(refused(2, 2))
    assert names_told(other) == ["name 0", "name 1"]


def test_two_refusals_with_steps_one_behind_the_other(dialogue: Dialogue) -> None:
    pending, other = dialogue.asks(), dialogue.asks("b")
    dialogue.hears(m.Steps(0, 2, 1, 2, (step(2),)), refused(1, 3))
    dialogue.hears(m.Steps(0, 2, 2, 2, (step(7),)), refused(2, 3))
    assert (names_told(pending), names_told(other)) == (["name 0", "name 1", "name 2"], ["name 0", "name 1", "name 7"])


def test_a_refusal_that_is_handled_twice_has_its_steps_both_times(
    dialogue: Dialogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    pending = dialogue.asks()

    def interrupted() -> None:
        raise KeyboardInterrupt

    dialogue.hears(m.Steps(0, 1, 1, 2, (step(2),)))
    with monkeypatch.context() as patch:
        patch.setattr(dialogue.machine.decoder, "advance", interrupted)
        with pytest.raises(KeyboardInterrupt):
            dialogue.hears(refused(1, 3))
    dialogue.machine.handle_received()
    assert names_told(pending) == ["name 0", "name 1", "name 2"]


def test_steps_of_which_some_are_missing_are_not_told(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    dialogue.hears(m.Steps(0, 1, 1, 3, (step(3),)), m.Steps(0, 1, 1, 2, ()), refused(1, 4))
    assert names_told(pending) == ["name 0", "name 1"]


def test_steps_without_any_in_the_refusal(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    dialogue.hears(m.Steps(0, 1, 1, 0, (step(0),)), m.Failed(1, 1, "deadlock", "", {}))
    assert isinstance(pending.answer, m.Failed)
    assert pending.answer.facts == {}


def test_steps_that_the_end_of_the_connection_cut_short_are_forgotten(dialogue: Dialogue) -> None:
    """The request is said again, and may close another circle."""
    pending = dialogue.asks()
    dialogue.hears(m.Steps(0, 1, 1, 2, (step(2),)), m.Steps(0, 1, 1, 3, (step(3),)))
    dialogue.machine.go_down()
    dialogue.machine.come_up(FrameDecoder(FRAME_BYTES_MAX), WELCOME)
    dialogue.hears(m.Steps(0, 1, 1, 2, (step(9),)), refused(1, 3))
    assert names_told(pending) == ["name 0", "name 1", "name 9"]


def test_steps_for_a_request_that_was_taken_back(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    dialogue.machine.abandon(pending)
    dialogue.hears(m.Steps(0, 1, 1, 2, (step(2),)), refused(1, 3), WANTED)
    assert pending.answer is None
    assert not dialogue.machine._steps


def test_steps_before_the_welcome_are_against_the_protocol() -> None:
    with pytest.raises(RemoteWireError, match="Steps came that answers nothing"):
        Dialogue().hears(m.Steps(0, 1, 1, 2, (step(2),)))
