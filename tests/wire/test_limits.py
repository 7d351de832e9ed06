"""The bounds fit each other: whatever has to be said, with everything in it as long as it can be, fits into a frame."""

from __future__ import annotations

import pytest

from lockd_wire import messages as m
from lockd_wire.codec import encode
from lockd_wire.limits import (
    ELEMENTS_MAX,
    HOLDERS_MAX,
    ITEMS_MAX,
    LABEL_BYTES_MAX,
    NAME_BYTES_MAX,
    PROGRAM_BYTES_MAX,
    ROWS_MAX,
    TEXT_BYTES_MAX,
    TIMEOUT_SECONDS_MAX,
    UINT_MAX,
)

NAME = "n" * NAME_BYTES_MAX
LABEL = "l" * LABEL_BYTES_MAX
PROGRAM = "p" * PROGRAM_BYTES_MAX
SECONDS = 123456.789

# Nobody has more of these than 32 bits can count.
PEER: dict[str, m.Scalar] = {"pid": 2**32 - 1, "uid": 2**32 - 1, "program": PROGRAM, "attached": False}
HOLDER: dict[str, m.Scalar] = {
    **{**PEER, "label": LABEL, "mode": "SIX", "permits": 0},
    **{"held_seconds": SECONDS, "token": UINT_MAX},
}
WAITER: dict[str, m.Scalar] = {
    **PEER,
    "label": LABEL,
    "mode": "SIX",
    "permits": 0,
    "converts_from": "SIX",
    "position": ROWS_MAX,
    "waited_seconds": SECONDS,
    "deadline_seconds": SECONDS,
}
ROW_OF_LIST: dict[str, m.Scalar | dict[str, m.Scalar]] = {
    "name": NAME,
    "mode": "X",
    "holders_total": UINT_MAX,
    "waiters_total": UINT_MAX,
    "holder": HOLDER,
    "longest_wait_seconds": SECONDS,
}
ROW_OF_SESSIONS: dict[str, m.Scalar | dict[str, m.Scalar]] = {
    **PEER,
    "session": UINT_MAX,
    "gid": 2**32 - 1,
    "grants": UINT_MAX,
    "waiting": UINT_MAX,
    "age_seconds": SECONDS,
}
ABANDONED: dict[str, m.Scalar] = {
    **{"name": NAME, "pid": 2**32 - 1, "uid": 2**32 - 1, "program": PROGRAM, "label": "l" * 64, "ago_seconds": SECONDS},
}
IN_GRAPH: dict[str, m.Scalar] = {
    **{**PEER, "session": UINT_MAX, "owner": UINT_MAX, "label": LABEL, "mode": "SIX", "permits": UINT_MAX},
    "seconds": SECONDS,
}
ROW_OF_GRAPH: dict[str, m.Scalar | dict[str, m.Scalar]] = {
    **{"name": NAME, "limit": UINT_MAX, "holders_total": UINT_MAX, "waiters_total": UINT_MAX, "held": True},
    **{"waiter": IN_GRAPH, "blocker": IN_GRAPH},
}
PLACE: dict[str, m.Scalar] = {
    **{"pid": UINT_MAX, "uid": UINT_MAX, "program": "p" * PROGRAM_BYTES_MAX, "ago_seconds": SECONDS},
    **{"held": NAME, "held_label": "l" * 64, "wanted": NAME, "wanted_label": "l" * 64},
}
ROW_OF_METRICS: dict[str, m.Scalar | dict[str, m.Scalar]] = {"text": "t" * 1000}
ROW_OF_ORDERS: dict[str, m.Scalar | dict[str, m.Scalar]] = {"first": PLACE, "second": PLACE}
TOTALS: m.Facts = {"name": NAME, "holders_total": UINT_MAX, "waiters_total": UINT_MAX}


@pytest.mark.parametrize(
    "message",
    [
        m.Acquire(UINT_MAX, UINT_MAX, ((NAME, "X"),) * ITEMS_MAX, TIMEOUT_SECONDS_MAX, {"label": LABEL}),
        m.Failed(
            *(UINT_MAX, UINT_MAX, "bad_request", "s" * TEXT_BYTES_MAX),
            {**TOTALS, "holders": (HOLDER,) * HOLDERS_MAX, "position": UINT_MAX, "waited_seconds": SECONDS},
        ),
        m.State(UINT_MAX, UINT_MAX, {**TOTALS, "holders": (HOLDER,) * HOLDERS_MAX}),
        m.Rows(UINT_MAX, (ROW_OF_LIST,) * ROWS_MAX, UINT_MAX),
        m.Rows(UINT_MAX, (ROW_OF_SESSIONS,) * ROWS_MAX, UINT_MAX),
        m.Report(
            UINT_MAX,
            {
                **{**TOTALS, "permits": 0, "limit": 0},
                **{"holders": (HOLDER,) * ROWS_MAX, "waiters": (WAITER,) * ROWS_MAX, "abandoned": ABANDONED},
            },
        ),
        m.Rows(UINT_MAX, (ROW_OF_GRAPH,), UINT_MAX),
        m.Rows(UINT_MAX, (ROW_OF_METRICS,) * ROWS_MAX, UINT_MAX),
        m.Rows(UINT_MAX, (ROW_OF_ORDERS,) * 4, UINT_MAX),
        m.Report(UINT_MAX, {f"a_rather_long_name_of_a_fact_{number}": UINT_MAX for number in range(ELEMENTS_MAX)}),
    ],
    ids=["ACQUIRE", "FAILED", "STATE", "LIST", "SESSIONS", "SHOW", "GRAPH", "METRICS", "ORDERS", "STATUS"],
)
def test_the_longest_message_fits_into_a_frame(message: m.Message) -> None:
    assert encode(message)


def test_names_and_labels_fit_into_a_text() -> None:
    assert max(NAME_BYTES_MAX, LABEL_BYTES_MAX, PROGRAM_BYTES_MAX) <= TEXT_BYTES_MAX


def test_what_there_can_be_several_of_fits_into_an_array() -> None:
    assert max(ITEMS_MAX, HOLDERS_MAX, ROWS_MAX) <= ELEMENTS_MAX
