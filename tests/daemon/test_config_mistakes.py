"""What is said to a configuration that cannot be: one exact sentence for each mistake."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from lockd.config import ConfigError
from lockd.settings import describe
from support.configuration import DIRECTORIES, GROUP, loaded, problems

EVERY_KEY = ", ".join(option.key for option in describe())
ONE_OF_THE_LEVELS = '"debug", "info", "warning" or "error" is allowed.'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lockd.toml"


def problems_in(text: str | bytes, path: Path) -> list[str]:
    """What is said about a file with this text, without its name, which stands in front of each sentence."""
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    said = problems({"config": str(path)})
    assert all(sentence.startswith(str(path)) for sentence in said)
    return [sentence.removeprefix(str(path)) for sentence in said]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ('log_level = "loud"', [f': log_level is "loud": {ONE_OF_THE_LEVELS}']),
        ("log_level = 3", [f": log_level is 3: {ONE_OF_THE_LEVELS}"]),
        ("quotas = 5", [": quotas is a section: its options are written below a line [quotas]."]),
        ("[[quotas]]", [": quotas is a section: its options are written below a line [quotas]."]),
        ("[quota]\nsessions_max = 5", [": there is no section [quota]; did you mean [quotas]?"]),
        (
            "[zzz]",
            [
                ": there is no section [zzz]; there are [client_socket], [admin_socket], [quotas], [connections],"
                " [sessions], [metrics], [diagnostics]."
            ],
        ),
        ("[quotas]\nsession_max = 5", [": there is no option quotas.session_max; did you mean quotas.sessions_max?"]),
        (
            "[quotas.inner]\nx = 5",
            [
                ": there is no option quotas.inner; there are quotas.sessions_max, quotas.sessions_per_uid_max,"
                " quotas.grants_per_uid_max, quotas.waiters_per_uid_max."
            ],
        ),
        ('"a\\nb\\u202e" = 5', [f": there is no option a\\x0ab\\u202e; there are {EVERY_KEY}."]),
        ('log_level = "caf\u00e9\\u202e"', [f': log_level is "caf\u00e9\\u202e": {ONE_OF_THE_LEVELS}']),
        ("sessions_max = 5", [": there is no option sessions_max; did you mean quotas.sessions_max?"]),
        ("loglevel = 5", [": there is no option loglevel; did you mean log_level?"]),
        ("zzz = 5", [f": there is no option zzz; there are {EVERY_KEY}."]),
        ("[quotas]\nsessions_max = 0", [": quotas.sessions_max is 0: a whole number from 1 to 1000000 is allowed."]),
        (
            '[quotas]\nsessions_max = "5"',
            [': quotas.sessions_max is "5": a whole number from 1 to 1000000 is allowed.'],
        ),
        (
            "[quotas]\nsessions_max = 5.0",
            [": quotas.sessions_max is 5.0: a whole number from 1 to 1000000 is allowed."],
        ),
        (
            "[quotas]\nsessions_max = true",
            [": quotas.sessions_max is true: a whole number from 1 to 1000000 is allowed."],
        ),
        (
            "[connections]\nhello_seconds_max = 0",
            [": connections.hello_seconds_max is 0: a number from 0.1 to 600 is allowed."],
        ),
        (
            "[connections]\nhello_seconds_max = nan",
            [": connections.hello_seconds_max is NaN: a number from 0.1 to 600 is allowed."],
        ),
        (
            "[connections]\nframe_seconds_max = 1979-05-27",
            [': connections.frame_seconds_max is "1979-05-27": a number from 0.1 to 3600 is allowed.'],
        ),
        (
            "[client_socket]\nmode = 600",
            [': client_socket.mode is 600: a string of three octal digits such as "0660" is allowed.'],
        ),
        (
            '[client_socket]\nmode = "0680"',
            [': client_socket.mode is "0680": a string of three octal digits such as "0660" is allowed.'],
        ),
        (
            '[client_socket]\nmode = "0600\\n"',
            [': client_socket.mode is "0600\\n": a string of three octal digits such as "0660" is allowed.'],
        ),
        (
            "[admin_socket]\nuids = [-1]",
            [": admin_socket.uids is [-1]: a list of uids from 0 to 4294967294 without 65534 is allowed."],
        ),
        (
            "[admin_socket]\nuids = [65534, 0]",
            [
                ": admin_socket.uids is [65534, 0]: 65534 is not allowed: every uid of another user namespace appears"
                " as it."
            ],
        ),
        ('state_dir = "here"', [': state_dir is "here": an absolute path without control characters is allowed.']),
        (
            'state_dir = "/a\\u0000b"',
            [': state_dir is "/a\\u0000b": an absolute path without control characters is allowed.'],
        ),
        pytest.param(
            f'log_level = "{"x" * 1000}"',
            [f': log_level is "{"x" * 79}…: {ONE_OF_THE_LEVELS}'],
            id="long value",
        ),
        ('log_level "info"', [", line 1: this is not TOML: Expected '=' after a key in a key/value pair."]),
        (
            "[client_socket]\nmode = 0600",
            [", line 2: this is not TOML: Expected newline or end of document after a statement."],
        ),
        ('log_level = "info"\nlog_level = "info"', [", at its end: this is not TOML: Cannot overwrite a value."]),
        (b"# fine\n# caf\xe9\n", [", line 2: this is not TOML: it is not UTF-8."]),
        pytest.param(b"#" * 1_048_577, [": this is not TOML: it is longer than 1048576 bytes."], id="long file"),
        (
            '[client_socket]\nmode = "0660"\ngroup = "no such group"',
            [': client_socket.group is "no such group": this machine has no such group.'],
        ),
        (
            '[admin_socket]\ngroup = "no such group"',
            [': admin_socket.group is "no such group": this machine has no such group.'],
        ),
        (
            f'[client_socket]\ngroup = "{GROUP}"',
            [f': client_socket.group is "{GROUP}": client_socket.mode has to let it in, but is 0600.'],
        ),
        (
            "[quotas]\nsessions_max = 5\nsessions_per_uid_max = 6",
            [": quotas.sessions_per_uid_max is 6: at most quotas.sessions_max is allowed, which is 5 ({path})."],
        ),
    ],
)
def test_the_sentence_about_a_file(text: str | bytes, sentences: list[str], file: Path) -> None:
    assert problems_in(text, file) == [sentence.replace("{path}", str(file)) for sentence in sentences]


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LOCKD_LOG_LEVEL", "LOUD", f'log_level is "LOUD": {ONE_OF_THE_LEVELS}'),
        (
            "LOCKD_QUOTAS_SESSIONS_MAX",
            "many",
            'quotas.sessions_max is "many": a whole number from 1 to 1000000 is allowed.',
        ),
        (
            "LOCKD_QUOTAS_SESSIONS_MAX",
            "-1",
            'quotas.sessions_max is "-1": a whole number from 1 to 1000000 is allowed.',
        ),
        (
            "LOCKD_SESSIONS_RESUME_WINDOW_SECONDS",
            "nan",
            'sessions.resume_window_seconds is "nan": a number from 0 to 600 is allowed.',
        ),
        (
            "LOCKD_ADMIN_SOCKET_UIDS",
            "0,root",
            'admin_socket.uids is "0,root": a list of uids from 0 to 4294967294 without 65534 is allowed.',
        ),
        ("LOCKD_QUOTA_SESSIONS_MAX", "5", "there is no such option; did you mean LOCKD_QUOTAS_SESSIONS_MAX?"),
        (
            "LOCKD_",
            "5",
            f"there is no such option; there are {', '.join(option.environment for option in describe())}.",
        ),
    ],
)
def test_the_sentence_about_a_variable(name: str, value: str, sentence: str) -> None:
    assert problems({}, DIRECTORIES | {name: value}) == [f"environment variable {name}: {sentence}"]


def test_the_sentence_about_a_flag() -> None:
    path_words = "an absolute path without control characters is allowed."
    assert problems({"runtime_dir": "", "state_dir": "a\nb", "log_level": "x"}, {}) == [
        f'flag --runtime-dir: runtime_dir is "": {path_words}',
        f'flag --state-dir: state_dir is "{os.getcwd()}/a\\nb": {path_words}',
        f'flag --log-level: log_level is "x": {ONE_OF_THE_LEVELS}',
    ]


@pytest.mark.parametrize(("kind", "reason"), [("missing", "No such file or directory"), ("folder", "Is a directory")])
def test_the_sentence_about_a_file_that_cannot_be_read(kind: str, reason: str, tmp_path: Path) -> None:
    path = str(tmp_path / "missing" if kind == "missing" else tmp_path)
    assert problems({"config": path}) == [f"{path} (flag --config) cannot be read: {reason}."]
    assert problems({}, DIRECTORIES | {"LOCKD_CONFIG": path}) == [
        f"{path} (environment variable LOCKD_CONFIG) cannot be read: {reason}."
    ]


def test_a_file_of_the_system_that_cannot_be_read_is_not_the_same_as_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(uid=0, system_file=str(tmp_path))
    assert caught.value.problems == [f"{tmp_path} cannot be read: Is a directory."]


def test_a_unit_with_several_directories_has_to_say_which() -> None:
    assert problems({"config": None}, DIRECTORIES | {"CONFIGURATION_DIRECTORY": "/etc/a:/etc/b"}) == [
        "environment variable CONFIGURATION_DIRECTORY: it names several directories, /etc/a:/etc/b: say with --config"
        " which of them is meant.",
    ]
    assert problems({}, {"RUNTIME_DIRECTORY": "/run/a:/run/b", "STATE_DIRECTORY": "/a:/b"}) == [
        "environment variable RUNTIME_DIRECTORY: it names several directories, /run/a:/run/b: say with --runtime-dir"
        " which of them is meant.",
        "environment variable STATE_DIRECTORY: it names several directories, /a:/b: say with --state-dir which of them"
        " is meant.",
    ]


def test_a_quota_that_contradicts_a_default_says_so(file: Path) -> None:
    assert problems({}, DIRECTORIES | {"LOCKD_QUOTAS_SESSIONS_MAX": "4999"}) == [
        "default: quotas.sessions_per_uid_max is 5000: at most quotas.sessions_max is allowed, which is 4999"
        " (environment variable LOCKD_QUOTAS_SESSIONS_MAX)."
    ]


def test_the_epoch_is_not_kept_where_the_sockets_are(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    assert problems({"runtime_dir": f"{tmp_path}", "state_dir": f"{tmp_path}/link"}) == [
        f'flag --state-dir: state_dir is "{tmp_path}/link": it has to be another directory than runtime_dir, which does'
        " not outlive a reboot."
    ]


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    file.write_text('log_level = "loud"\nzzzzz = 1\n[quotas]\nsessions_max = 0\n')
    assert len(problems({"config": str(file), "log_level": "soft"}, {"LOCKD_TYPO": "1", **DIRECTORIES})) == 5


def test_a_flag_that_is_no_option_is_our_own_mistake() -> None:
    with pytest.raises(KeyError):
        loaded({"no_such_option": "1"})


def test_a_user_without_a_home_has_to_say_where_the_state_is_kept() -> None:
    with pytest.raises(ConfigError) as caught:
        loaded({"runtime_dir": "/r"}, {}, uid=2**31 - 5)
    assert caught.value.problems == [
        'default: state_dir is "~/.local/state/lockd": an absolute path without control characters is allowed.'
    ]


def test_the_group_of_strangers_is_no_group_of_readers(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("grp.getgrnam", lambda name: SimpleNamespace(gr_gid=65534))
    why = "gid 65534 is not allowed: every gid of another user namespace appears as it"
    assert problems_in('[admin_socket]\ngroup = "nogroup"', file) == [f': admin_socket.group is "nogroup": {why}.']
