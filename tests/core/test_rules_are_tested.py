"""Every rule and every invariant of lockd/core/README.md is cited by a test, and nobody cites one that is not there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent
CORE = TESTS.parent / "lockd" / "core"

RULE = re.compile(r"\b[A-EH-MOPRSTW]\d{1,2}\b")
DEFINITION = re.compile(r"^- \*\*([A-Z]\d+)\b", re.MULTILINE)


def defined() -> set[str]:
    return set(DEFINITION.findall((CORE / "README.md").read_text()))


def cited_by_tests() -> set[str]:
    """What the docstrings of test functions and the comments of scenarios name."""
    return {rule for text in (*_docstrings(), *_comments()) for rule in RULE.findall(text)}


def _docstrings() -> Iterator[str]:
    for path in (TESTS / "core").glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield ast.get_docstring(node) or ""


def _comments() -> Iterator[str]:
    for path in (TESTS / "scenarios").glob("*.txt"):
        yield from (line for line in path.read_text().splitlines() if line.startswith("#"))


def asserted() -> set[str]:
    """The rules that are named where an assertion says what does not hold."""
    sources = [(CORE / name).read_text() for name in ("invariants.py", "liveness.py")]
    return {rule for source in sources for rule in re.findall(r'f?"([A-Z]\d+): ', source)}


def test_there_are_rules() -> None:
    assert {"I1", "R1", "M1", "T1", "C1", "E1", "D1", "L1", "A1", "H1", "W1", "S1", "J1", "P1", "O1", "B1"} <= defined()
    assert len(defined()) > 55
    assert all(RULE.fullmatch(rule) for rule in defined())


def test_every_rule_is_cited_by_a_test() -> None:
    assert defined() - (cited_by_tests() | asserted()) == set()


def test_every_invariant_is_asserted() -> None:
    """And tests/core/test_invariants.py shows that each assertion can fail."""
    assert {rule for rule in defined() if rule.startswith("I")} == {rule for rule in asserted() if rule[0] == "I"}


def test_nothing_is_cited_that_is_not_a_rule() -> None:
    sources = [*CORE.glob("*.py"), CORE / "README.md", *(TESTS / "core").glob("*.py"), *(TESTS / "scenarios").iterdir()]
    cited = {rule for path in sources if path.is_file() for rule in RULE.findall(path.read_text())}
    assert cited - defined() == set()
