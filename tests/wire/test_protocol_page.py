"""docs/protocol.md and the code say the same: somebody who has read only the page has read everything."""

from __future__ import annotations

import pytest

from lockd_wire import limits
from lockd_wire.codec import encode
from lockd_wire.errors import ErrorCode
from support.protocol_page import bounds, error_codes, message_rows, read_page
from support.vectors import read_vectors
from support.wire_messages import DIALECTS, FIELDS, NAMES

PAGE = read_page()


def test_it_has_every_message_with_its_fields() -> None:
    assert {row.name: row.fields for row in message_rows(PAGE)} == {
        name: message._fields for name, message in NAMES.items()
    }
    assert {message for dialect in DIALECTS.values() for message in dialect.message_types} == FIELDS.keys()


def test_it_has_every_type() -> None:
    numbers = {row.name: row.number for row in message_rows(PAGE)}

    for vector in read_vectors():
        name = next(name for name, message in NAMES.items() if type(vector.message) is message)
        # Behind the length, and behind the head of an array that is short enough for one byte.
        assert encode(vector.message)[5] == numbers[name]
    assert len(set(numbers.values())) == len(message_rows(PAGE)) == len(FIELDS)


def test_it_has_every_code_of_a_refusal() -> None:
    assert error_codes(PAGE) == [value for name, value in vars(ErrorCode).items() if name.isupper()]


def test_it_has_every_bound() -> None:
    assert bounds(PAGE) == {name.lower(): value for name, value in vars(limits).items() if name.endswith("_MAX")}


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("| 5 | `RELEASE` | id, token, confirm |", "| 5 | `RELEASE` | id, token |"),
        ("| 5 | `RELEASE` | id, token, confirm |", "| 8 | `RELEASE` | id, token, confirm |"),
        ("| 5 | `RELEASE` | id, token, confirm |", ""),
        ("| `quota` |", "| `quotas` |"),
        ("| `rows_max` | 8 |", "| `rows_max` | 9 |"),
    ],
)
def test_a_change_of_the_page_is_noticed(now: str, then: str) -> None:
    """So that the tests above can fail."""
    changed = PAGE.replace(now, then)

    assert (message_rows(changed), error_codes(changed), bounds(changed)) != (
        message_rows(PAGE),
        error_codes(PAGE),
        bounds(PAGE),
    )
