"""What can be asked of ``make bench``, which passes on each of its variables, also those that nobody has set."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import scale
from bench.options import Options, parse


def parsed(*argv: str) -> Options:
    return parse(argv, letters="abc", peers=["redis", "flock"], others=["echo", "lockd"])


def test_nothing_said_is_everything() -> None:
    options = parsed("--work=", "--peers=", "--rounds=", "--seconds=", "--quick=", "--record=", "--reuse=")
    assert options == parsed()
    assert options.work == ("a", "b", "c")
    assert options.contenders == ("echo", "lockd", "redis", "flock")
    assert (options.rounds, options.scale, options.record, options.reuse) == (3, scale.FULL, False, None)
    assert options.is_whole


def test_a_part_is_chosen_in_the_order_there_is() -> None:
    options = parsed("--work=c,a", "--peers=flock", "--rounds=5")
    assert options.work == ("a", "c")
    assert options.contenders == ("echo", "lockd", "flock")
    assert options.rounds == 5
    assert not options.is_whole


def test_no_peers_leave_the_floor_and_lockd() -> None:
    assert parsed("--peers=none").contenders == ("echo", "lockd")


def test_quick_is_one_round_of_less() -> None:
    options = parsed("--quick=yes")
    assert (options.rounds, options.scale, options.is_quick, options.is_whole) == (1, scale.QUICK, True, False)


def test_seconds_are_those_of_everything_that_takes_its_time() -> None:
    options = parsed("--seconds=0.5")
    assert options.scale.pairs_seconds == options.scale.grants_seconds == 0.5
    assert options.scale.crowds == {20: 0.5, 50: 0.5}
    assert options.scale.names_max == scale.FULL.names_max


def test_a_whole_run_can_be_recorded_and_an_earlier_one_told_of() -> None:
    options = parsed("--record=yes", "--rounds=2", "--reuse=build/bench.json")
    assert options.record
    assert options.reuse == Path("build/bench.json")


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("--work=a,x", "there is no work x: there is a, b, c"),
        ("--peers=mutex", "there is no peer mutex: there is redis, flock"),
        ("--rounds=0", "0 rounds: a number above 0"),
        ("--rounds=1.5", "1.5 rounds: a whole number is needed"),
        ("--seconds=long", "long is not a number of seconds"),
        ("--seconds=nan", "nan seconds: a number above 0"),
        ("--quick=maybe", "quick is yes or no, not maybe"),
    ],
)
def test_a_mistake_is_explained(argument: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed(argument)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("argument", ["--work=a", "--peers=none", "--seconds=1", "--quick=yes"])
def test_a_part_cannot_be_recorded(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        parsed("--record=yes", argument)
    assert "only a whole run can be recorded" in capsys.readouterr().err
