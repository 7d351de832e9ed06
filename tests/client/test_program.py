"""What a program calls itself if it does not say."""

from __future__ import annotations

import sys

import pytest

from lockd_client._program import default_program, fitted
from lockd_wire.names import fault_of_program


@pytest.mark.parametrize(
    ("argv", "program"),
    [
        (["/usr/bin/nightly.py", "-v"], "nightly.py"),
        (["/usr/lib/python3/site-packages/tool/__main__.py"], "tool"),
        (["__main__.py"], "__main__.py"),
        ([""], "python3"),
        (["-c"], "python3 -c"),
        ([], "python3"),
    ],
)
def test_the_script_or_the_interpreter(argv: list[str], program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    assert default_program() == program


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("x" * 100, "x" * 64),
        ("é" * 40, "é" * 32),
        ("\x1b[31m", "\\x1b[31m"),
        ("caf\udce9", "caf\\udce9"),
        ("e\u0301", "e\\u0301"),
    ],
)
def test_what_does_not_fit_is_made_to(name: str, shown: str) -> None:
    assert fitted(name) == shown
    assert fault_of_program(shown) is None
