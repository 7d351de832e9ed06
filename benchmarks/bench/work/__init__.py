"""The kinds of work, by the letters of ``make bench WORK=...``."""

from __future__ import annotations

from . import database, growth, idle, one_name, pairs, start_up, tail
from .base import Contest, Study, WorkFailed

__all__ = ["CONTESTS", "LETTERS", "STUDIES", "Contest", "Study", "WorkFailed"]

CONTESTS = {
    "a": Contest("acquire and release, one process", pairs.one_process),
    "b": Contest("20 and 50 processes on one name", one_name.measure, has_floor=False),
    "c": Contest("20 processes on 20 names", pairs.own_names),
    "d": Contest("50 processes change one TinyDB file", database.measure, has_floor=False),
}

STUDIES = {
    "e": Study("start-up", start_up.measure, each_round=True),
    "f": Study("growth", growth.measure),
    "g": Study("the tail of a grant", tail.measure),
    "h": Study("an idle daemon", idle.measure),
}

LETTERS = tuple(CONTESTS) + tuple(STUDIES)
