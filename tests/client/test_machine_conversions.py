"""The machine alone: conversions. Whatever crosses what, in the end it knows in which mode the lock is held."""

from __future__ import annotations

import gc

import pytest

from lockd_client._standing import Standing
from lockd_wire import messages as m
from support.dialogue import Dialogue, welcomed

REFUSED = m.Failed(2, 2, "timeout", "", {})
GRANTED = m.Granted(2, 2, 11, {})

#: From, to, and the mode to go to if whoever asked is interrupted; whether to go there can never fail.
DIRECTIONS = [
    pytest.param("S", "X", "S", True, id="upward"),
    pytest.param("X", "S", "S", True, id="downward"),
    pytest.param("S", "IX", "S", False, id="aside"),
]


@pytest.fixture
def dialogue() -> Dialogue:
    return welcomed()


def modes_of(standing: Standing) -> list[object]:
    return [item[1] for item in standing.items]


def test_granted(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("S")
    pending, _ = dialogue.converts(standing, "X", "S")
    dialogue.hears(GRANTED)
    assert pending.answer == GRANTED
    assert modes_of(standing) == ["X"]
    dialogue.machine.settle(pending)
    assert not dialogue.machine.conversions
    assert dialogue.said() == []


def test_what_is_asked_for(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("S")
    pending = dialogue.asks("b")
    dialogue.said()
    other, _ = dialogue.converts(standing, "IX", None)
    dialogue.machine.hand_over(third := type(pending)(), 11)
    dialogue.machine.adopt(fourth := type(pending)(), 5, "ticket")
    assert dialogue.said() == [m.HandOver(4, 11), m.Adopt(5, 5, "ticket")]
    assert [waiting.id for waiting in (pending, other, third, fourth)] == [2, 3, 4, 5]


def test_refused(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("S")
    pending, _ = dialogue.converts(standing, "X", "S")
    dialogue.hears(REFUSED)
    assert modes_of(standing) == ["S"]
    dialogue.machine.settle(pending)
    assert not dialogue.machine.conversions


def test_interrupted_after_a_refusal_nothing_is_said_and_nothing_left(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("S")
    pending, _ = dialogue.converts(standing, "X", "S")
    dialogue.hears(REFUSED)
    dialogue.machine.abandon(pending)
    assert dialogue.said() == []
    assert not dialogue.machine.conversions
    assert modes_of(standing) == ["S"]


@pytest.mark.parametrize("answer", [REFUSED._replace(code="cancelled"), GRANTED])
@pytest.mark.parametrize(("before", "mode", "fallback", "is_sure"), DIRECTIONS)
def test_abandoned_before_the_answer(
    dialogue: Dialogue, before: str, mode: str, fallback: str, is_sure: bool, answer: m.DaemonMessage
) -> None:
    _, standing = dialogue.has(before)
    pending, _ = dialogue.converts(standing, mode, fallback)
    dialogue.machine.abandon(pending)
    assert dialogue.said() == [m.Cancel(3, 2), m.Convert(4, 11, fallback, 0, {})]
    if is_sure:
        assert modes_of(standing) == [fallback]
    dialogue.hears(answer)
    if is_sure:
        assert modes_of(standing) == [fallback], "not even for a moment is it said to be held in another"
    dialogue.hears(m.Granted(4, 4, 11, {}))
    assert modes_of(standing) == [fallback]
    assert not dialogue.machine.conversions


@pytest.mark.parametrize(("before", "mode", "fallback", "is_sure"), DIRECTIONS)
def test_abandoned_after_the_answer(dialogue: Dialogue, before: str, mode: str, fallback: str, is_sure: bool) -> None:
    _, standing = dialogue.has(before)
    pending, _ = dialogue.converts(standing, mode, fallback)
    dialogue.hears(GRANTED)
    dialogue.machine.abandon(pending)
    assert dialogue.said() == [m.Cancel(3, 2), m.Convert(4, 11, fallback, 0, {})]
    dialogue.hears(m.Granted(4, 4, 11, {}))
    assert modes_of(standing) == [fallback]
    assert not dialogue.machine.conversions


def test_where_the_way_back_is_barred_the_new_mode_is_the_truth(dialogue: Dialogue) -> None:
    """S and IX: neither is less than the other, and meanwhile somebody else may have got IX as well."""
    _, standing = dialogue.has("S")
    pending, _ = dialogue.converts(standing, "IX", "S")
    dialogue.machine.abandon(pending)
    dialogue.said()
    dialogue.hears(GRANTED, m.Failed(4, 4, "timeout", "", {}))
    assert modes_of(standing) == ["IX"]
    assert not dialogue.machine.conversions


def test_without_a_mode_to_go_back_to_the_answer_decides(dialogue: Dialogue) -> None:
    for answer, modes in ((REFUSED, ["S", "X"]), (GRANTED, ["IX", "IX"])):
        talk = welcomed()
        _, standing = talk.has()
        standing.items = (("a", "S"), ("b", "X"))
        pending, _ = talk.converts(standing, "IX", None)
        talk.machine.abandon(pending)
        assert talk.said() == [m.Cancel(3, 2)]
        talk.hears(answer)
        assert modes_of(standing) == modes
        assert not talk.machine.conversions


@pytest.mark.parametrize("is_answered", [False, True])
@pytest.mark.parametrize(("before", "mode", "fallback", "is_sure"), DIRECTIONS)
def test_collected_without_a_word(
    dialogue: Dialogue, before: str, mode: str, fallback: str, is_sure: bool, is_answered: bool
) -> None:
    """Whoever asked was interrupted while he was cleaning up after an interrupt."""
    _, standing = dialogue.has(before)
    pending, _ = dialogue.converts(standing, mode, fallback)
    if is_answered:
        dialogue.hears(GRANTED)
    del pending
    gc.collect()
    assert dialogue.said() == [m.Cancel(3, 2), m.Convert(4, 11, fallback, 0, {})]
    if not is_answered:
        dialogue.hears(GRANTED)
    dialogue.hears(m.Granted(4, 4, 11, {}))
    assert modes_of(standing) == [fallback]
    assert not dialogue.machine.conversions


def test_abandoned_after_it_was_settled(dialogue: Dialogue) -> None:
    """The interrupt came when the answer had been made use of, but before the caller was told."""
    _, standing = dialogue.has("S")
    pending, conversion = dialogue.converts(standing, "X", "S")
    dialogue.hears(GRANTED)
    dialogue.machine.settle(pending)
    dialogue.machine.abandon(pending)
    dialogue.machine.fall_back(conversion)
    assert modes_of(standing) == ["S"]
    assert dialogue.said() == [m.Cancel(3, 2), m.Convert(4, 11, "S", 0, {})]
    dialogue.hears(m.Granted(4, 4, 11, {}))
    assert (modes_of(standing), dialogue.machine.conversions) == (["S"], {})


def test_the_way_back_is_gone_once(dialogue: Dialogue) -> None:
    """By whoever takes the request back; he who asked finds it done."""
    _, standing = dialogue.has("S")
    pending, conversion = dialogue.converts(standing, "X", "S")
    dialogue.machine.abandon(pending)
    assert len(dialogue.said()) == 2
    dialogue.machine.fall_back(conversion)
    assert dialogue.said() == []


def test_lowered(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("X")
    dialogue.machine.lower(standing, "U")
    assert modes_of(standing) == ["U"], "to let others in needs nobody's leave"
    assert dialogue.said() == [m.Convert(2, 11, "U", 0, {})]
    dialogue.hears(GRANTED)
    assert (modes_of(standing), dialogue.machine.conversions) == (["U"], {})


@pytest.mark.parametrize(("answer", "mode"), [(GRANTED, "U"), (REFUSED, "S")])
def test_what_is_no_lowering_is_believed_when_it_is_answered(
    dialogue: Dialogue, answer: m.DaemonMessage, mode: str
) -> None:
    """The block of an upgrade has converted the lock itself, to less than it is to go back to."""
    _, standing = dialogue.has("S")
    dialogue.machine.lower(standing, "U")
    dialogue.said()
    assert modes_of(standing) == ["S"]
    dialogue.hears(answer)
    assert (modes_of(standing), dialogue.machine.conversions) == ([mode], {})


def test_what_was_lost_is_not_lowered(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("X")
    dialogue.machine.lower(standing, "S")
    dialogue.hears(m.Lost(0, 0, 11, "lease"))
    assert dialogue.said() == []
    assert not dialogue.machine.conversions


def test_permits_have_no_mode(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("S")
    standing.items = (("a", "S"), ("p", 2, 5), ("b", "S"))
    pending, _ = dialogue.converts(standing, "X", "S")
    dialogue.hears(GRANTED)
    assert standing.items == (("a", "X"), ("p", 2, 5), ("b", "X"))
    dialogue.machine.abandon(pending)
    dialogue.said()
    assert standing.items == (("a", "S"), ("p", 2, 5), ("b", "S"))


def test_a_conversion_of_a_grant_that_ends_is_answered_and_forgotten(dialogue: Dialogue) -> None:
    grant, standing = dialogue.has("S")
    pending, _ = dialogue.converts(standing, "X", "S")
    dialogue.machine.give_up(grant.request)
    assert dialogue.said() == [m.Release(3, 11, False)]
    dialogue.hears(REFUSED._replace(code="cancelled"))
    dialogue.machine.settle(pending)
    assert not dialogue.machine.conversions
    assert not dialogue.machine.requests
