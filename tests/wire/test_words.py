"""Numbers in words."""

from __future__ import annotations

import pytest

from lockd_wire.words import ordinal, whole_seconds


@pytest.mark.parametrize(
    ("number", "words"),
    [
        *[(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (10, "10th"), (11, "11th"), (12, "12th"), (13, "13th")],
        *[(21, "21st"), (22, "22nd"), (33, "33rd"), (100, "100th"), (101, "101st"), (111, "111th"), (112, "112th")],
    ],
)
def test_ordinals(number: int, words: str) -> None:
    assert ordinal(number) == words


@pytest.mark.parametrize(
    ("total", "words"),
    [
        *[(0, "0 s"), (42, "42 s"), (60, "1 min"), (185, "3 min 5 s"), (3_600, "1 h"), (7_650, "2 h 7 min")],
        *[(86_400, "1 d"), (93_600, "1 d 2 h"), (10**9, "11574 d 1 h")],
    ],
)
def test_durations(total: int, words: str) -> None:
    assert whole_seconds(total) == words
