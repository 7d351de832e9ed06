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
from support.dialogue import CALLED, Dialogue, welcomed

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
