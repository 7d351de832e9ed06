"""What makes a broken manager of a good one: a part of it does less than it should for as long as something happens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from lockd.core import events as e
from lockd.core import requests
from lockd.core.book import Book
from lockd.core.state import Session

from .campaign import run_all
from .scenario import play

Break: TypeAlias = Callable[[pytest.MonkeyPatch], None]


def forget_to_look(self: Book, left: object) -> None:
    """Stands for `Book.look_through`."""


def without_looking(patch: pytest.MonkeyPatch, where: Any, name: str) -> None:
    """Let nobody look through the lines while the method ``name`` of ``where`` is at work."""
    original = getattr(where, name)

    def method(*arguments: object) -> object:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Book, "look_through", forget_to_look)
            return original(*arguments)

    patch.setattr(where, name, method)


def replace_handler(
    patch: pytest.MonkeyPatch, kind: type[e.Request], handler: Callable[[Book, Session, Any], None]
) -> None:
    """Let ``handler`` do what is done about requests of one kind."""
    patch.setattr(requests, "HANDLERS", {**requests.HANDLERS, kind: handler})


def replace_handler_without_looking(patch: pytest.MonkeyPatch, kind: type[e.Request]) -> None:
    """Let nobody look through the lines while a request of one kind is handled."""
    original = requests.HANDLERS[kind]

    def handler(book: Book, session: Session, event: Any) -> None:
        with pytest.MonkeyPatch.context() as inner:
            inner.setattr(Book, "look_through", forget_to_look)
            original(book, session, event)

    replace_handler(patch, kind, handler)


CHECKERS = ("invariants.py", "liveness.py", "witness.py", "oracle.py", "ledger.py", "scenario.py")
#: They are what notices most, and what takes longest where it notices nothing.
CAMPAIGNS = 3

SCENARIOS = {path.stem: path.read_text() for path in sorted((Path(__file__).parents[1] / "scenarios").glob("*.txt"))}


def play_all_and_run_some() -> None:
    """Do what a sound manager gets through: `test_stateful` and `test_scenarios` show that it does."""
    for name, text in SCENARIOS.items():
        if name != "two-hundred-waiters":
            play(text)
    run_all(CAMPAIGNS)


def assert_noticed() -> None:
    """Assert that a checker finds fault with the manager as it is, and not that it trips over itself."""
    with pytest.raises(AssertionError) as failure:
        play_all_and_run_some()
    assert Path(failure.traceback[-1].path).name in CHECKERS
