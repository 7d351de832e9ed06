"""What `lockd.ctl.output` makes of texts that mean harm, whoever has let them through."""

from __future__ import annotations

import pytest

from lockd.ctl.output import Column, Output

HARMFUL = [
    "\x1b[31mred\x1b[0m",
    "\x9b31m",
    "a\nb",
    "a\rb",
    "a\tb",
    "a\bb",
    "a\x00b",
    "a\x7fb",
    "a\u202eb",
    "a\u2066b",
    "a\u200bb",
    "a\u2028b",
    "a\ue000b",
    "a\udcffb",
]


@pytest.mark.parametrize("text", HARMFUL)
def test_nothing_gives_orders_to_the_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.line(text)
    output.table([Column("A", lambda row: row["a"]), Column("B", lambda row: 1)], [{"a": text}])
    assert output.finish() == 0
    shown = capsys.readouterr().out
    assert shown.replace("\n", "").isprintable()
    assert shown.count("\n") == 3


@pytest.mark.parametrize("text", ["[red]a[/red]", "[/]", "[link=x]", ":smile:", "\\[a]", "{a}", "%s"])
def test_nothing_is_markup(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    output.table([Column("A", lambda row: row["a"])], [{"a": text}])
    output.finish()
    assert text in capsys.readouterr().out


def test_columns_are_as_wide_as_what_they_show(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    columns = [
        Column("NAME", lambda row: row["name"], gives_way=True),
        Column("N", lambda row: row["n"], align="right"),
    ]
    output.table(columns, [{"name": "漢字", "n": 1}, {"name": "a" * 300, "n": 100}])
    output.finish()
    assert capsys.readouterr().out.splitlines() == [
        "NAME" + " " * 296 + "    N",
        "漢字" + " " * 296 + "    1",
        "a" * 300 + "  100",
    ]
