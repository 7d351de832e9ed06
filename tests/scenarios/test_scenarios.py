"""Plays every dialogue of this folder, and shows that one which is not true fails."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.scenario import ScenarioError, play

SCENARIOS = sorted(Path(__file__).parent.glob("*.txt"))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda path: path.stem)
def test_scenario(scenario: Path) -> None:
    play(scenario.read_text())


def test_the_example_that_explains_how_to_read_one() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    section = readme.split("## How to read a scenario")[1].split("\n## ")[0]
    example = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    assert len(example) > 5
    play("\n".join(example))


# Now the player itself.

FAIR = """
# R2
a> acquire db shared          a< granted db shared #1
b> acquire db exclusive       (waits)
c> acquire db shared          (waits)
a> release db                 b< granted db exclusive #2
b> exit                       b< ended: process exited
                            | c< granted db shared #3 (db abandoned by b)
"""


def test_the_true_dialogue_passes() -> None:
    play(FAIR)


@pytest.mark.parametrize(
    ("true", "false"),
    [
        ("b< granted db exclusive #2", "(nothing)"),
        ("b< granted db exclusive #2", "c< granted db exclusive #2"),
        ("b< granted db exclusive #2", "b< granted db exclusive #3"),
        ("b< granted db exclusive #2", "b< granted db shared #2"),
        ("b< granted db exclusive #2", "b< granted log exclusive #2"),
        ("b< granted db exclusive #2", "a< done | b< granted db exclusive #2"),
        ("c> acquire db shared          (waits)", "c> acquire db shared          c< granted db shared #2"),
        ("a< granted db shared #1", "(waits)"),
        ("                            | c< granted db shared #3 (db abandoned by b)\n", ""),
        (" (db abandoned by b)", ""),
    ],
)
def test_an_untrue_answer_fails(true: str, false: str) -> None:
    assert true in FAIR
    with pytest.raises(AssertionError, match="expected"):
        play(FAIR.replace(true, false))


def test_a_failure_shows_the_dialogue_up_to_where_it_is_untrue() -> None:
    with pytest.raises(AssertionError) as failure:
        play(FAIR.replace("b> acquire db exclusive       (waits)", "b> acquire db exclusive       b< done"))
    assert [" ".join(line.split()) for line in str(failure.value).splitlines()] == [
        "line 4: expected (-) and answered (+)",
        "a> acquire db shared a< granted db shared #1",
        "- b> acquire db exclusive b< done",
        "+ b> acquire db exclusive (waits)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "a> acquire db exclusive",
        "a> acquire db furiously          (waits)",
        "a> acquire db                    (waits)",
        "a> swim                          (nothing)",
        "a> acquire db exclusive, log     (waits)",
        "a> acquire pool 1/               (waits)",
        "a> convert db shared             (waits)",
        "a> convert db 1/2                (waits)",
        "a> handover db ticket t          (nothing)",
        "a> adopt                         (nothing)",
        "a> release db                    (nothing)",
        "a> cancel db                     (nothing)",
        "acquire db exclusive             (waits)",
        "| a< done",
    ],
)
def test_a_line_that_means_nothing_is_an_error(text: str) -> None:
    with pytest.raises(ScenarioError, match="line 1"):
        play(text)


def test_time_does_not_go_back() -> None:
    with pytest.raises(AssertionError, match="line 2: time"):
        play("@2 a> query db    a< db held by nobody, 0 waiting\n@1    (nothing)")


def test_a_loop_counts() -> None:
    play("""
for n in 1..2:
    a{n}> acquire name{n+1} shared    a{n}< granted name{n+1} shared #{n}
a1> release name2                     (nothing)
a2> release name3                     (nothing)
""")
