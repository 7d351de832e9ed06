"""The tables of modes.py, and what is derived from them (R2, T1)."""

from __future__ import annotations

from itertools import product

import pytest

from lockd.core.modes import (
    BARRING_FIELDS,
    CONFLICTING_FIELDS,
    CONFLICTS,
    FIELD,
    INTENTION,
    UNIT,
    UPPER_BOUND,
    WRITING,
    Mode,
    conflict,
    covers,
    strongest,
)
from support.core import IS, IX, SIX, S, U, X

PAIRS = list(product(Mode, Mode))
MANY = 2**32 - 1

# As the books on databases print it: what goes with what.
COMPATIBLE = """
        IS   IX   S    U    SIX  X
IS      yes  yes  yes  yes  yes  no
IX      yes  yes  no   no   no   no
S       yes  no   yes  yes  no   no
U       yes  no   yes  no   no   no
SIX     yes  no   no   no   no   no
X       no   no   no   no   no   no
"""


def test_the_table_is_the_one_of_the_books() -> None:
    """R2."""
    head, *rows = [line.split() for line in COMPATIBLE.strip().splitlines()]
    table = {
        (Mode(one), Mode(other)): word == "no" for one, *words in rows for other, word in zip(head, words, strict=True)
    }
    assert len(table) == len(PAIRS)
    assert {pair: conflict(*pair) for pair in PAIRS} == table


def test_the_table_names_every_mode_and_is_symmetric() -> None:
    assert set(CONFLICTS) == set(Mode)
    assert all(conflict(one, other) == conflict(other, one) for one, other in PAIRS)


@pytest.mark.parametrize(("one", "other"), PAIRS)
@pytest.mark.parametrize("number", [1, 2, 1000, MANY])
def test_a_tally_answers_as_the_table_does(one: Mode, other: Mode, number: int) -> None:
    """R2: however many are counted, no field of a tally runs into its neighbour."""
    tally = number * UNIT[other]
    assert bool(tally & CONFLICTING_FIELDS[one]) == conflict(one, other)
    assert bool(tally & FIELD[one]) == (one is other)


def test_a_tally_counts_several_modes_at_once() -> None:
    tally = 3 * UNIT[X] + MANY * UNIT[S]
    assert tally & CONFLICTING_FIELDS[S] == 3 * UNIT[X]
    assert (tally - 3 * UNIT[X]) & CONFLICTING_FIELDS[S] == 0
    assert (tally - 3 * UNIT[X]) & CONFLICTING_FIELDS[X] == MANY * UNIT[S]


@pytest.mark.parametrize("mode", Mode)
def test_what_bars_conflicts_with_every_mode(mode: Mode) -> None:
    bars = bool(UNIT[mode] & BARRING_FIELDS)
    assert bars == all(conflict(mode, other) for other in Mode)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [(S, IX, SIX), (U, IX, SIX), (S, U, U), (IS, IX, IX), (SIX, U, SIX), (X, IS, X), (S, S, S), (IS, S, S)],
)
def test_the_upper_bound_of_two_modes(one: Mode, other: Mode, both: Mode) -> None:
    """T1."""
    assert UPPER_BOUND[one, other] is UPPER_BOUND[other, one] is both


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_an_upper_bound_does_what_both_do_and_no_more_than_it_must(one: Mode, other: Mode) -> None:
    """T1."""
    bound = UPPER_BOUND[one, other]
    assert covers(bound, one)
    assert covers(bound, other)
    enough = [mode for mode in Mode if covers(mode, one) and covers(mode, other)]
    assert all(covers(mode, bound) for mode in enough)


def test_what_does_for_what() -> None:
    """C3, E1: reflexive, and along the well-known order."""
    weaker = {X: {X, SIX, U, S, IX, IS}, SIX: {SIX, U, S, IX, IS}, U: {U, S, IS}, S: {S, IS}, IX: {IX, IS}, IS: {IS}}
    assert {(one, other) for one, other in PAIRS if covers(one, other)} == {
        (one, other) for one, others in weaker.items() for other in others
    }


def test_what_is_announced_above() -> None:
    """T1: whoever writes anything below announces that, everybody else that it reads."""
    assert INTENTION == {X: IX, SIX: IX, IX: IX, U: IS, S: IS, IS: IS}


def test_who_may_leave_something_half_done() -> None:
    """A1."""
    assert {U, SIX, X} == WRITING


def test_the_strongest_mode() -> None:
    assert strongest(0) is None
    assert strongest(2 * UNIT[S]) is S
    assert strongest(2 * UNIT[S] + UNIT[X]) is X
    assert strongest(2 * UNIT[S] + UNIT[IS]) is S


def test_a_mode_is_looked_up_as_fast_as_a_string() -> None:
    """The hash of other enums is a function in Python, several times slower."""
    assert Mode.__hash__ is str.__hash__
