"""A machine that cannot run these tests skips them, unless they are required: then it fails."""

from __future__ import annotations

import pytest

from support.systemd_lab import leave_out, why_not


@pytest.fixture(autouse=True)
def _without_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")


def test_a_machine_without_systemd_says_so() -> None:
    assert why_not() in ("a systemd of one's own takes root", "there is no bash")


def test_it_skips_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SYSTEMD_TESTS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="there is no bash"):
        leave_out("there is no bash")


def test_where_they_are_required_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEMD_TESTS", "required")
    with pytest.raises(pytest.fail.Exception, match="there is no bash"):
        leave_out("there is no bash")
