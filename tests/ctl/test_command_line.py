"""What can be said to lockctl, and what it says about what cannot. No daemon is asked."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from lockd.ctl import statuses
from lockd.ctl.errand import errand_of
from lockd.ctl.locking import OPTIONS
from lockd.ctl.main import main
from lockd.ctl.parser import parser
from lockd.ctl.quickly import quick_options

COMMANDS = ("run", "exec", "list", "show", "sessions", "status")
MINUTE = "60"


def errand(*words: str) -> dict[str, Any]:
    """What `lockctl run` makes of these words."""
    return errand_of(parser(["run"]).parse_args(["run", *words]))._asdict()


SAID: list[tuple[list[str], dict[str, Any]]] = [
    (["x", "ls"], {"name": "x", "command": ("ls",), "items": (("x", "exclusive"),), "timeout": None, "label": ""}),
    (["x", "--", "ls", "-l"], {"name": "x", "command": ("ls", "-l")}),
    (["x", "ls", "-n", "-s", "--", "-E", "5"], {"command": ("ls", "-n", "-s", "--", "-E", "5"), "timeout": None}),
    (["--", "x", "ls"], {"name": "x", "command": ("ls",)}),
    (["x", "--", "--", "a"], {"command": ("--", "a")}),
    (["-s", "x", "ls"], {"items": (("x", "shared"),)}),
    (["--shared", "x", "ls"], {"items": (("x", "shared"),)}),
    (["-x", "x", "ls"], {"items": (("x", "exclusive"),)}),
    (["-e", "x", "ls"], {"items": (("x", "exclusive"),)}),
    (["-s", "--exclusive", "x", "ls"], {"items": (("x", "exclusive"),)}),
    (["--mode", "SIX", "x", "ls"], {"items": (("x", "SIX"),)}),
    (["--permits", "2/5", "x", "ls"], {"items": (("x", 2, 5),)}),
    (["--and", "y", "-s", "x", "ls"], {"name": "x", "items": (("x", "shared"), ("y", "exclusive"))}),
    (
        ["--and", "y=shared", "--and", "z=1/4", "x", "ls"],
        {"items": (("x", "exclusive"), ("y", "shared"), ("z", 1, 4))},
    ),
    (["--and", "y=1", "x", "ls"], {"items": (("x", "exclusive"), ("y=1", "exclusive"))}),
    (["--and", "y=shared=update", "x", "ls"], {"items": (("x", "exclusive"), ("y=shared", "update"))}),
    (["--and", "y/1/4", "x", "ls"], {"items": (("x", "exclusive"), ("y/1/4", "exclusive"))}),
    (["x", "ls"], {"is_tree": False, "lease": None}),
    (["--tree", "--lease", "2.5", "x/y", "ls"], {"is_tree": True, "lease": 2.5}),
    (["-n", "x", "ls"], {"timeout": 0.0}),
    (["--nb", "x", "ls"], {"timeout": 0.0}),
    (["--nonblock", "x", "ls"], {"timeout": 0.0}),
    (["-w", ".007", "x", "ls"], {"timeout": 0.007}),
    (["-w5", "x", "ls"], {"timeout": 5.0}),
    (["--wait", "0", "x", "ls"], {"timeout": 0.0}),
    (["--timeout=2.5", "x", "ls"], {"timeout": 2.5}),
    (["-w", "1e99", "x", "ls"], {"timeout": None}),
    (["-n", "-w", "3", "x", "ls"], {"timeout": 0.0}),
    (["-sn", "x", "ls"], {"items": (("x", "shared"),), "timeout": 0.0}),
    (["-E", "0", "x", "ls"], {"conflict_status": 0}),
    (["--conflict-exit-code", "255", "x", "ls"], {"conflict_status": 255}),
    (["--label", "a reason", "x", "ls"], {"label": "a reason"}),
    (["-o", "x", "ls"], {"command": ("ls",)}),
    (["x", "-c", "a | b"], {"name": "x", "command": ("/bin/shell", "-c", "a | b")}),
    (["x", "--command", "a | b"], {"command": ("/bin/shell", "-c", "a | b")}),
    (["-c", "a | b", "x"], {"name": "x", "command": ("/bin/shell", "-c", "a | b")}),
    (["x", "--", "-c", "a"], {"command": ("-c", "a")}),
]


@pytest.mark.parametrize(("words", "is_understood_as"), SAID)
def test_what_can_be_said(words: list[str], is_understood_as: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/bin/shell")
    understood = errand(*words)
    assert understood | is_understood_as == understood


#: What nobody has to be told slowly.
PLAIN = [
    [],
    ["-s"],
    ["--shared", "-x"],
    ["--mode", "SIX"],
    ["--mode=SIX", "-e"],
    ["--permits", "2/5"],
    ["--and", "y", "--and=z=shared"],
    ["--tree", "-n", "-o", "-q", "--verbose"],
    ["-w", "2.5", "--nb"],
    ["--wait=3", "-E", "7"],
    ["-c", "a | b"],
    ["--label", "why = because"],
    ["--label=-n"],
    ["--label="],
    ["--socket", "/tmp/x", "--reconnect-timeout", "9"],
]
PLAIN_FOR_RUN = [["--lease", "5"], ["-F"], ["--no-fork"], ["--kill-after=0"]]

#: What is left to argparse: it is wrong, or it is said in a way that is not usual.
NOT_PLAIN = [
    *([], ["x"], ["run"], ["run", "-n"], ["run", "-s", "--"], ["run", "-", "x"], ["run", "-w", "-5", "x"]),
    *(["run", "-w", "soon", "x"], ["run", "-w"], ["run", "-w5", "x"], ["run", "-sn", "x"], ["run", "--mode", "Y", "x"]),
    *(["run", "-E", "256", "x"], ["run", "--shared=1", "x"], ["run", "--share", "x"], ["run", "--help"]),
    *(["exec", "--lease", "5", "x"], ["exec", "-F", "x"], ["list"], ["--version"]),
]


def outcome(options: Any) -> dict[str, Any]:
    return {name: value for name, value in vars(options).items() if name not in ("refuse", "_words")}


@pytest.mark.parametrize(
    "words",
    [
        *(
            [command, *options, *rest]
            for command in ("run", "exec")
            for options in PLAIN
            for rest in (["x"], ["x", "-n"])
        ),
        *(["run", *options, "x", "--", "ls"] for options in PLAIN_FOR_RUN),
    ],
    ids=shlex.join,
)
def test_what_is_plain_is_read_quickly_and_no_otherwise(words: list[str]) -> None:
    options = quick_options(words)
    assert options is not None
    assert outcome(options) == outcome(parser(words).parse_args(words))


@pytest.mark.parametrize(("words", "is_understood_as"), SAID)
def test_what_is_not_plain_is_no_otherwise_either(words: list[str], is_understood_as: object) -> None:
    options = quick_options(["run", *words])
    assert options is None or outcome(options) == outcome(parser(["run"]).parse_args(["run", *words]))


@pytest.mark.parametrize("words", NOT_PLAIN, ids=shlex.join)
def test_what_is_not_plain_is_left_to_argparse(words: list[str]) -> None:
    assert quick_options(words) is None


@pytest.mark.parametrize("command", ["run", "exec"])
def test_every_option_is_read_quickly(command: str) -> None:
    """An option whose ways are new to it would be read wrongly, and nobody would know."""
    for words, terms in OPTIONS[command]:
        assert terms.get("action") in (None, "store_true", "store_const", "append")
        assert set(terms) <= {"action", "choices", "const", "default", "dest", "help", "metavar", "type"}
        assert all(word.startswith("-") for word in words)


def test_without_a_shell_of_ones_own_there_is_bin_sh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "")
    assert errand("x", "-c", "a")["command"] == ("/bin/sh", "-c", "a")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "COMMAND"),
        (["rum", "x", "ls"], "invalid choice: 'rum'"),
        (["run"], "the name of the lock is missing"),
        (["run", "--"], "the name of the lock is missing"),
        (["run", "x"], "the command to run is missing"),
        (["run", "x", "--"], "the command to run is missing"),
        (["exec", "x"], "the command to run is missing"),
        (["run", "", "ls"], 'the name "" is empty'),
        (["run", "a\nb", "ls"], "control character"),
        (["run", "a\x1b[31mb", "ls"], "control character"),
        (["run", "a" * 256, "ls"], "256 bytes"),
        (["run", "\udcff", "ls"], "surrogate"),
        (["run", "--label", "a\nb", "x", "ls"], "the label has a control character"),
        (["run", "-E", "256", "x", "ls"], "'256' is not an exit status"),
        (["run", "-E", "-1", "x", "ls"], "-E"),
        (["run", "-E", "one", "x", "ls"], "'one' is not an exit status"),
        (["run", "-w", "soon", "x", "ls"], "'soon' is not a number of seconds"),
        (["run", "-w", "nan", "x", "ls"], "'nan' is not a number of seconds"),
        (["run", "-w", "inf", "x", "ls"], "'inf' is not a number of seconds"),
        (["run", "-w", "-5", "x", "ls"], "-w"),
        (["run", "--mode", "mine", "x", "ls"], "'mine'"),
        (["run", "--permits", "4", "x", "ls"], "'4' is not N/LIMIT"),
        (["run", "--permits", "1/2/3", "x", "ls"], "'1/2/3' is not N/LIMIT"),
        (["run", "--permits", "-1/2", "x", "ls"], "--permits"),
        (["run", "--and", "a\nb", "x", "ls"], "control character"),
        (["run", "--and", "=shared", "x", "ls"], 'the name "" is empty'),
        (["run", "--lease", "long", "x", "ls"], "'long' is not a number of seconds"),
        (["run", "-F", "--lease", "1", "x", "ls"], "nobody is there to end COMMAND"),
        (["exec", "--lease", "1", "x", "ls"], "--lease"),
        (["run", "-z", "x", "ls"], "-z"),
        (["run", "--share", "x", "ls"], "--share"),
        (["run", "x", "-n", "ls"], "options go before it"),
        (["run", "x", "-c"], "-c takes exactly one argument"),
        (["run", "x", "-c", "a", "b"], "-c takes exactly one argument"),
        (["run", "-c", "a", "x", "b"], "nothing may follow the name"),
        (["exec", "--kill-after", "1", "x", "ls"], "--kill-after"),
        (["show"], "NAME"),
        (["list", "a", "b"], "b"),
        (["status", "--yaml"], "--yaml"),
    ],
)
def test_what_cannot_be_said(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(words)
    assert exit_.value.code == statuses.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("lockctl: ")
    assert complaint in lines[0]
    assert lines[1].startswith('lockctl: try "lockctl')
    assert err.replace("\n", "").isprintable()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert (exit_.value.code, capsys.readouterr().out) == (0, "lockctl 0.1.0\n")


def test_help_names_every_command_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for command in COMMANDS:
        assert len([line for line in lines if line.split()[:1] == [command] and len(line.split()) > 3]) == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_each_command_has_examples_that_can_be_said(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "exit status" in out
    assert max(map(len, out.splitlines())) <= 80
    examples = [line.split(" |")[0] for line in out.splitlines() if line.startswith("  lockctl ")]
    assert examples
    for example in examples:
        words = shlex.split(example)[1:]
        assert parser(words).parse_args(words).carry_out
