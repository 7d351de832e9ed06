"""A grant that changes hands (rules H)."""

from __future__ import annotations

import pytest

from lockd.core.actions import Granted, LossReason, Lost, TicketMade
from lockd.core.events import Disconnected, Event, Item, ProcessExited
from support.core import (
    S,
    X,
    acquire,
    adopt,
    connect_many,
    convert,
    give,
    granted,
    hand_over,
    make_manager,
    release,
    token,
    without_facts,
)


def test_whoever_adopts_a_grant_is_told_what_it_is_for() -> None:
    """H2, H3: what was asked for, and why. The maker is told that it has it no more."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, "db/users", X, tree=True, label="nightly run"))
    assert give(manager, hand_over(a, 2, 1)) == [TicketMade(a, 2, "ticket")]
    assert give(manager, adopt(b, 1)) == [
        Lost(a, token(1), LossReason.HANDED_OVER),
        Granted(b, 1, token(1), (), (Item("db/users", X),), "nightly run", is_tree=True),
    ]
    assert manager.grants[token(1)].session.id == b
    assert not manager.sessions[a].grants


def test_another_thread_of_the_same_process() -> None:
    """H2, H3: the process that made the ticket has the grant still, and is not told that it has not."""
    manager = make_manager()
    [a] = connect_many(manager, 1)
    give(manager, acquire(a, 1))
    give(manager, hand_over(a, 2, 1))
    assert without_facts(give(manager, adopt(a, 3, owner=2))) == [granted(a, 3, 1)]
    assert list(manager.sessions[a].owners) == [2]
    assert give(manager, release(a, 4, 1)) == []
    assert not manager.grants


def test_in_between_it_is_held() -> None:
    """H1: by the maker, which may be detached (S2)."""
    manager = make_manager()
    a, b, c = connect_many(manager, 3)
    give(manager, acquire(a, 1))
    give(manager, acquire(c, 1))
    give(manager, hand_over(a, 2, 1))
    assert give(manager, Disconnected(a)) == []
    assert without_facts(give(manager, adopt(b, 1))) == [
        Lost(a, token(1), LossReason.HANDED_OVER),
        granted(b, 1, 1),
    ]
    assert give(manager, release(b, 2, 1)) == [granted(c, 1, 2)]


@pytest.mark.parametrize("end", ["release", "exit"])
def test_a_ticket_dies_with_its_grant(end: str) -> None:
    """H2."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1))
    give(manager, hand_over(a, 2, 1))
    ends: dict[str, Event] = {"release": release(a, 3, 1), "exit": ProcessExited(a)}
    give(manager, ends[end])
    assert not manager.tickets
    [failed] = give(manager, adopt(b, 1))
    assert not isinstance(failed, Granted)


def test_what_conflicted_between_two_owners_goes_together_in_one_hand() -> None:
    """H2, R4: a conversion that waited for the other holder."""
    manager = make_manager()
    a, b = connect_many(manager, 2)
    give(manager, acquire(a, 1, demand=S))
    give(manager, acquire(b, 1, demand=S))
    give(manager, hand_over(a, 2, 1))
    assert give(manager, convert(b, 2, 2, X)) == []
    assert granted(b, 2, 2) in without_facts(give(manager, adopt(b, 3)))
