"""The named tuples that are made without `typing` are what `typing` would have made."""

from __future__ import annotations

import copy
import pickle
import typing

import pytest

from lockd_wire import _typing
from lockd_wire import messages as m


class Real(typing.NamedTuple):
    """What it is for."""

    id: int
    text: str


class Ours(_typing.NamedTuple):
    """What it is for."""

    id: int
    text: str


@pytest.mark.parametrize("kind", [Real, Ours])
def test_both_do_the_same(kind: type[Real]) -> None:
    made = kind(1, text="a")

    assert made == kind(id=1, text="a") == (1, "a")
    assert (made.id, made.text, made[1], len(made)) == (1, "a", "a", 2)
    assert repr(made) == f"{kind.__name__}(id=1, text='a')"
    assert made._fields == kind._fields == ("id", "text")
    assert made._asdict() == {"id": 1, "text": "a"}
    changed = made._replace(text="b")
    assert (type(changed), changed) == (kind, (1, "b"))
    assert type(kind._make([1, "a"])) is kind
    assert kind._make([1, "a"]) == made
    assert kind.__doc__ == "What it is for."
    assert (kind.__module__, kind.__qualname__) == (__name__, kind.__name__)


@pytest.mark.parametrize("kind", [Real, Ours])
def test_both_are_taken_apart_by_match(kind: type[Real]) -> None:
    match kind(1, "a"):
        case kind(number, text):
            assert (number, text) == (1, "a")
        case _:
            raise AssertionError("it did not match")


@pytest.mark.parametrize("kind", [Real, Ours])
def test_both_can_be_copied_and_pickled(kind: type[Real]) -> None:
    made = kind(1, "a")
    for again in (copy.copy(made), copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert (type(again), again) == (kind, made)


@pytest.mark.parametrize("kind", [Real, Ours])
def test_both_want_each_field_once_and_cannot_be_changed(kind: type[Real]) -> None:
    make: typing.Any = kind
    with pytest.raises(TypeError, match=rf"{kind.__name__}.__new__\(\) missing 1 required positional argument: 'text'"):
        make(1)
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        make(1, "a", other=2)
    with pytest.raises(TypeError):
        make._make([1, "a", 2])
    # Which of them depends on the version of Python.
    with pytest.raises((TypeError, ValueError)):
        make(1, "a")._replace(other=2)
    with pytest.raises(AttributeError):
        make(1, "a").id = 2
    with pytest.raises(AttributeError):
        make(1, "a").other = 2


def test_one_field_makes_a_tuple_of_one() -> None:
    assert m.Status(7) == (7,)
    assert repr(m.Status(7)) == "Status(id=7)"
