"""Every message of the protocol with what each of its fields may be, and may not be: a description beside the codec's.

Values are written as Python has them: arrays as tuples, options as dicts. `array_of` gives the array that travels.
"""

from __future__ import annotations

from math import inf, nan
from typing import Any, NamedTuple

from hypothesis import strategies as st

from lockd_wire import limits
from lockd_wire import messages as m
from lockd_wire.codec import FROM_ADMIN, TO_ADMIN, TO_CLIENT, TO_DAEMON, Dialect
from support.protocol_page import message_rows, read_page

DIALECTS: dict[str, Dialect[Any]] = {
    "to daemon": TO_DAEMON,
    "to client": TO_CLIENT,
    "to admin": TO_ADMIN,
    "from admin": FROM_ADMIN,
}


class Kind(NamedTuple):
    """What a field may be."""

    right: st.SearchStrategy[Any]
    wrong: tuple[Any, ...]


_TOO_MANY = limits.ELEMENTS_MAX + 1

_uints = st.integers(0, limits.UINT_MAX) | st.sampled_from([0, 127, 128, 2**32, limits.UINT_MAX])
_short_texts = st.text(st.characters(codec="utf-8"), max_size=20)
_texts = _short_texts | st.sampled_from(["é" * 512, "\U0001f512" * 256, "a" * limits.TEXT_BYTES_MAX])
_integers = st.integers(-limits.UINT_MAX, limits.UINT_MAX)
_scalars = st.none() | st.booleans() | _integers | st.floats(allow_nan=False, allow_infinity=False) | _texts


def _maps(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(_short_texts, values, max_size=5)


def _arrays(values: st.SearchStrategy[Any], size: int = 5) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(values, max_size=size).map(tuple)


_WRONG_TEXTS = (None, True, 1, b"text", (), "a" * 1025, "é" * 513, "a" * 1023 + "é")
_WRONG_SCALARS = (inf, -inf, nan, 2**63, -(2**63), b"", *_WRONG_TEXTS[4:])

UINT = Kind(_uints, (-1, 2**63, 10**5000, True, False, 1.0, "1", b"1", None, (), {}))
UINT_OR_NIL = Kind(st.none() | _uints, (-1, 2**63, True, 1.0, "1", ()))
TEXT = Kind(_texts, _WRONG_TEXTS)
BOOL = Kind(st.booleans(), (0, 1, None, "true", ()))
TIMEOUT = Kind(
    st.none() | st.integers(0, 10**9) | st.floats(0, limits.TIMEOUT_SECONDS_MAX),
    (-1, -1e-9, inf, nan, 10**9 + 1, 1.1e9, 10**5000, True, "1", ()),
)
ITEMS = Kind(
    _arrays(st.tuples(_texts, _texts) | st.tuples(_texts, _uints, _uints), size=limits.ELEMENTS_MAX),
    (
        *(None, "ab", {"name": "X"}, ["name"], ("ab",), (("name",),), (("name", "X", "X"),), ({"name": "X"},)),
        *(
            (("name", 1),),
            (("name", -1, 2),),
            (("name", 1, True),),
            (("name", 1, 2**63),),
            (("name", 1, 2, 3),),
            ((1, 1, 2),),
        ),
        *((("name", wrong),) for wrong in _WRONG_TEXTS),
        *(((wrong, "X"),) for wrong in _WRONG_TEXTS),
        (("name", "X"),) * _TOO_MANY,
    ),
)
OPTIONS = Kind(
    _maps(_scalars),
    (
        *({"label": wrong} for wrong in _WRONG_SCALARS),
        *({wrong: "label"} for wrong in _WRONG_TEXTS),
        *({"label": {}}, {"label": {"label": 1}}, {"label": (1,)}),
        {f"label{number}": 1 for number in range(_TOO_MANY)},
    ),
)
LIMITS = Kind(_maps(_uints), (None, (), "a", {"a": -1}, {"a": True}, {"a": "b"}, {1: 1}, {"a" * 1025: 1}))
FEATURES = Kind(_arrays(_texts), (None, {}, "ab", (1,), (("a",),), ("a",) * _TOO_MANY))
FACTS = Kind(
    _maps(_scalars | _maps(_scalars) | _arrays(_maps(_scalars))),
    (
        *(None, (), "a", {1: 1}, {"a": (1,)}, {"a": ((),)}, {"a": {"b": {}}}, {"a": {"b": ()}}, {"a": ({"b": ()},)}),
        *({"a": wrong} for wrong in _WRONG_SCALARS if wrong != ()),
        *({"a": {"b": wrong}} for wrong in _WRONG_SCALARS),
        *({"a": ({"b": wrong},)} for wrong in _WRONG_SCALARS),
        *({"a": ({"b": {}},)}, {"a": ({},) * _TOO_MANY}, {str(number): 1 for number in range(_TOO_MANY)}),
    ),
)
ROWS = Kind(
    _arrays(_maps(_scalars | _maps(_scalars))),
    (
        *(None, {}, "a", (1,), ((),), ({1: 1},), ({"a": ()},), ({"a": ({},)},), ({"a": {"b": {}}},)),
        *(({"a": wrong},) for wrong in _WRONG_SCALARS),
        *(({"a": {"b": wrong}},) for wrong in _WRONG_SCALARS),
        ({},) * _TOO_MANY,
    ),
)

_WRONG_IN_A_STEP: tuple[Any, ...] = (None, (), {}, -1, inf)
_STEP = ("a", 1, 2, "b", "c", "X", 0, 3, 4, "d", "e", "", 2, 0.5, True)
STEPS = Kind(
    _arrays(
        st.tuples(
            _texts,
            *(2 * (_uints, _uints, _texts, _texts, _texts, _uints)),
            st.floats(allow_nan=False, allow_infinity=False),
            st.booleans(),
        )
    ),
    (
        *(None, {}, "a", (1,), ((),), (_STEP[:-1],), ((*_STEP, 1),), ({1: 1},)),
        *(((*_STEP[:at], wrong, *_STEP[at + 1 :]),) for at in range(len(_STEP)) for wrong in _WRONG_IN_A_STEP),
        (_STEP,) * _TOO_MANY,
    ),
)

FIELDS: dict[type[m.Message], tuple[Kind, ...]] = {
    m.Hello: (UINT, TEXT, UINT, TEXT, OPTIONS),
    m.Resume: (UINT, TEXT, UINT, UINT),
    m.Bye: (UINT,),
    m.Acquire: (UINT, UINT, ITEMS, TIMEOUT, OPTIONS),
    m.Convert: (UINT, UINT, TEXT, TIMEOUT, OPTIONS),
    m.Release: (UINT, UINT, BOOL),
    m.Cancel: (UINT, UINT),
    m.HandOver: (UINT, UINT),
    m.Adopt: (UINT, UINT, TEXT),
    m.Inherit: (UINT, UINT),
    m.Query: (UINT, TEXT),
    m.Welcome: (UINT, UINT, UINT, UINT, UINT, LIMITS, FEATURES),
    m.Granted: (UINT, UINT, UINT, FACTS),
    m.Failed: (UINT, UINT, TEXT, TEXT, FACTS),
    m.Done: (UINT, UINT),
    m.State: (UINT, UINT, FACTS),
    m.Ticket: (UINT, UINT, TEXT),
    m.Waiting: (UINT, UINT, UINT, FACTS),
    m.YieldRequested: (UINT, UINT, UINT, FACTS),
    m.Lost: (UINT, UINT, UINT, TEXT),
    m.Steps: (UINT, UINT, UINT, UINT, STEPS),
    m.AdminHello: (UINT, TEXT, UINT),
    m.Status: (UINT,),
    m.List: (UINT, TEXT, UINT, OPTIONS),
    m.Show: (UINT, TEXT),
    m.Sessions: (UINT, UINT),
    m.Graph: (UINT, UINT),
    m.History: (UINT, TEXT, UINT),
    m.Watch: (UINT, TEXT),
    m.Break: (UINT, TEXT, UINT, TEXT, OPTIONS),
    m.Metrics: (UINT, UINT),
    m.Orders: (UINT, UINT),
    m.AdminWelcome: (UINT, UINT, TEXT),
    m.Report: (UINT, FACTS),
    m.Rows: (UINT, ROWS, UINT_OR_NIL),
    m.AdminFailed: (UINT, TEXT, TEXT),
    m.Happened: (UINT, UINT, ROWS),
}

#: Each message by the name that the specification gives it, and the number that it has there.
NAMES: dict[str, type[m.Message]] = {
    "".join(f"_{char}" if char.isupper() else char for char in message.__name__)[1:].upper(): message
    for message in FIELDS
}
NUMBERS: dict[type[m.Message], int] = {NAMES[row.name]: row.number for row in message_rows(read_page())}


def messages(message: type[m.Message]) -> st.SearchStrategy[Any]:
    """Give messages of this type that the protocol allows; together they may be longer than a frame."""
    return st.tuples(*(kind.right for kind in FIELDS[message])).map(message._make)


def dialect_of(message: type[m.Message]) -> Dialect[Any]:
    """Return the dialect that a message belongs to."""
    return next(dialect for dialect in DIALECTS.values() if message in dialect.message_types)


def array_of(message: m.Message) -> tuple[Any, ...]:
    """Return the array that stands for a message on the wire."""
    fields: list[Any] = list(message)
    if isinstance(message, m.Hello | m.Acquire | m.Convert | m.List | m.Break):
        fields[-1] = tuple(message.options.items())
    return (NUMBERS[type(message)], *fields)
