"""What the machine says again over another connection, and what it does not: dialogues of messages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lockd_wire import messages as m
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX
from support.dialogue import WELCOME, Dialogue, welcomed


@pytest.fixture
def dialogue() -> Dialogue:
    return welcomed()


def reconnected(dialogue: Dialogue, covered: int = 0) -> list[m.ClientMessage]:
    """Lose the connection, have another one, and return what is said over it."""
    dialogue.machine.go_down()
    dialogue.machine.come_up(FrameDecoder(FRAME_BYTES_MAX), WELCOME._replace(covered=covered))
    return dialogue.said()


def test_what_is_unanswered_is_said_again_in_its_order(dialogue: Dialogue) -> None:
    asked = [dialogue.asks(name) for name in "abc"]
    said = dialogue.said()
    dialogue.hears(m.Granted(2, 2, 11, {}))
    assert reconnected(dialogue) == [said[0], said[2]]
    assert reconnected(dialogue, covered=3) == [said[0], said[2]]
    assert dialogue.asks("d").id == asked[-1].id + 1


@pytest.mark.parametrize("covered", [1, 2])
def test_a_release_is_said_again_unless_it_is_covered(dialogue: Dialogue, covered: int) -> None:
    grant, _ = dialogue.has()
    dialogue.machine.give_up(grant.request)
    assert dialogue.said() == [m.Release(2, 11, False)]
    assert reconnected(dialogue, covered) == [m.Release(2, 11, False)] * (2 - covered)


def test_any_message_may_cover_a_release(dialogue: Dialogue) -> None:
    grant, _ = dialogue.has()
    dialogue.machine.give_up(grant.request)
    dialogue.said()
    pending = dialogue.asks("b")
    dialogue.hears(m.Waiting(0, 2, pending.id, {}))
    assert [message.id for message in reconnected(dialogue)] == [pending.id]


def test_what_is_given_up_meanwhile_is_said_then(dialogue: Dialogue) -> None:
    grant, _ = dialogue.has()
    dialogue.machine.go_down()
    dialogue.machine.give_up(grant.request)
    assert dialogue.said() == []
    assert reconnected(dialogue) == [m.Release(2, 11, False)]


@pytest.mark.parametrize("covered", [0, 1, 2])
def test_a_request_that_was_taken_back_is_not_made_again(dialogue: Dialogue, covered: int) -> None:
    """If it is the cancel that is covered, the request would be granted to nobody."""
    pending = dialogue.asks()
    dialogue.machine.abandon(pending)
    dialogue.said()
    assert reconnected(dialogue, covered) == [m.Cancel(2, 1)] * (covered < 2)


def test_a_conversion_that_was_taken_back_is_undone_once(dialogue: Dialogue) -> None:
    _, standing = dialogue.has("S")
    pending, _ = dialogue.converts(standing, "X", "S")
    dialogue.machine.abandon(pending)
    said = dialogue.said()
    assert [type(message) for message in said] == [m.Cancel, m.Convert]
    again = reconnected(dialogue)
    # Behind it comes a cancel of what is over, which does nothing.
    assert again == [*said, m.Cancel(again[-1].id, said[1].id)]
    dialogue.hears(m.Granted(said[1].id, 9, 11, {}))
    assert standing.common_mode() == "S"
    assert reconnected(dialogue, covered=9) == []


def test_what_was_half_sent_and_half_received_is_whole_on_the_next_connection(dialogue: Dialogue) -> None:
    pending = dialogue.asks()
    rooms = [4]

    def send(data: bytes) -> Iterator[int]:
        if not rooms:
            raise BlockingIOError
        return iter([rooms.pop()])

    with pytest.raises(BlockingIOError):
        dialogue.machine.outbox.flush(send)
    dialogue.machine.decoder.receive_data(b"\0\0")
    assert reconnected(dialogue) == [m.Acquire(1, 1, (("a", "X"),), None, {})]
    dialogue.hears(m.Granted(1, 1, 11, {}))
    assert pending.answer is not None


def test_what_was_granted_and_is_not_held_yet_is_something(dialogue: Dialogue) -> None:
    assert not dialogue.machine.has_something
    dialogue.asks()
    assert not dialogue.machine.has_something
    pending = dialogue.asks("b")
    dialogue.hears(m.Granted(pending.id, 1, 11, {}))
    assert dialogue.machine.has_something


def test_lost_is_told_twice_and_noted_once(dialogue: Dialogue) -> None:
    grant, standing = dialogue.has()
    lost = m.Lost(0, 0, 11, "lease")
    dialogue.hears(lost)
    dialogue.machine.events.clear()
    dialogue.hears(lost)
    assert standing.loss == "lease"
    assert not dialogue.machine.events
    dialogue.machine.give_up(grant.request)
    assert dialogue.said() == [m.Release(2, 11, False)]
    assert reconnected(dialogue) == [m.Release(2, 11, False)]
