"""How values are put for people."""

from __future__ import annotations

import pytest

from lockd_client._words import count, duration, printable, quoted


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.25, "0.25 s"),
        (9.94, "9.9 s"),
        (42, "42 s"),
        (59.6, "1 min"),
        (60, "1 min"),
        (185, "3 min 5 s"),
        (3_600, "1 h"),
        (7_650, "2 h 7 min"),
        (93_600, "1 d 2 h"),
        (1e9, "11574 d 1 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_counts() -> None:
    assert (count(1, "waiter"), count(0, "waiter"), count(2, "waiter")) == ("1 waiter", "0 waiters", "2 waiters")


def test_nothing_that_is_shown_gives_orders_to_a_terminal() -> None:
    assert printable("plain, äöü, 漢字") == "plain, äöü, 漢字"
    assert quoted("a\x1b[2J\u202e\n\x00") == '"a\\x1b[2J\\u202e\\n\\x00"'
