"""The machine alone: dialogues of messages, without a socket."""

from __future__ import annotations

import gc

import pytest

from lockd_client._pending import Pending
from lockd_wire import messages as m
from lockd_wire.codec import encode, rest_of_acquire
from lockd_wire.errors import RemoteWireError
from support.dialogue import Dialogue, welcomed


@pytest.fixture
def dialogue() -> Dialogue:
    return welcomed()


def test_answers_find_their_requests_in_any_order(dialogue: Dialogue) -> None:
    first, second = dialogue.asks("a"), dialogue.asks("b")
    assert dialogue.said() == [
        m.Acquire(1, 1, (("a", "X"),), None, {}),
        m.Acquire(2, 1, (("b", "X"),), None, {}),
    ]
    dialogue.hears(m.Granted(2, 2, 11, {}), m.Granted(1, 2, 12, {}))
    assert (first.answer, second.answer) == (m.Granted(1, 2, 12, {}), m.Granted(2, 2, 11, {}))


def test_what_is_asked_for_is_passed_on_as_it_is(dialogue: Dialogue) -> None:
    items = (("a", "S"), ("b", "IX"), ("c", 2, 5))
    pending = Pending()
    dialogue.machine.acquire(pending, 3, rest_of_acquire(items, 2.5, {"label": "why", "tree": True}))
    assert dialogue.said() == [m.Acquire(1, 3, items, 2.5, {"label": "why", "tree": True})]


def test_a_grant_is_released_once(dialogue: Dialogue) -> None:
    grant, _ = dialogue.has()
    dialogue.machine.give_up(grant.request)
    with pytest.raises(KeyError):
        dialogue.machine.give_up(grant.request)
    assert dialogue.said() == [m.Release(2, 11, False)]
    assert not dialogue.machine.owed


@pytest.mark.parametrize("granted", [False, True])
def test_who_abandons_a_request_says_cancel_whether_it_was_granted_or_not(dialogue: Dialogue, granted: bool) -> None:
    pending = dialogue.asks()
    if granted:
        dialogue.hears(m.Granted(1, 1, 11, {}))
    dialogue.machine.abandon(pending)
    assert dialogue.said()[1:] == [m.Cancel(2, 1)]


def test_the_answer_to_an_abandoned_request_is_dropped(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    dialogue.machine.abandon(pending)
    dialogue.hears(m.Granted(1, 1, 11, {}))
    assert pending.answer is None


def test_what_was_refused_or_never_asked_needs_no_cancel(dialogue: Dialogue) -> None:
    refused = dialogue.asks()
    dialogue.hears(m.Failed(1, 1, "timeout", "", {}))
    dialogue.machine.abandon(refused)
    dialogue.machine.abandon(Pending())
    assert not dialogue.machine.owed


@pytest.mark.parametrize("granted", [False, True])
def test_a_request_that_nobody_waits_for_any_more_is_taken_back(dialogue: Dialogue, granted: bool) -> None:
    pending = dialogue.asks()
    if granted:
        dialogue.hears(m.Granted(1, 1, 11, {}))
    del pending
    gc.collect()
    assert dialogue.said()[1:] == [m.Cancel(2, 1)]


def test_a_settled_request_is_not_taken_back(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    dialogue.hears(m.Granted(1, 1, 11, {}))
    dialogue.machine.settle(pending)
    del pending
    gc.collect()
    assert not dialogue.machine.owed


def test_the_daemon_may_say_why_it_hangs_up(dialogue: Dialogue) -> None:
    words = m.Failed(0, 0, "protocol", "you made no sense", {})
    dialogue.hears(words)
    assert dialogue.machine.last_words == words


@pytest.mark.parametrize("nonsense", [m.Granted(9, 9, 1, {}), m.Granted(0, 0, 1, {}), m.Welcome(0, 0, 2, 8, 1, {}, ())])
def test_an_answer_to_nothing_is_not_the_protocol(dialogue: Dialogue, nonsense: m.DaemonMessage) -> None:
    with pytest.raises(RemoteWireError):
        dialogue.hears(nonsense)


def test_nothing_may_come_before_welcome() -> None:
    dialogue = Dialogue()
    with pytest.raises(RemoteWireError):
        dialogue.hears(m.Granted(1, 1, 1, {}))


def test_frames_may_come_in_pieces(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    for byte in encode(m.Granted(1, 1, 11, {})):
        assert pending.answer is None
        dialogue.machine.decoder.receive_data(bytes([byte]))
        dialogue.machine.handle_received()
    assert pending.answer == m.Granted(1, 1, 11, {})
