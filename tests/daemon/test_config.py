"""Who decides what the value of an option is, and what is told about the options."""

from __future__ import annotations

import grp
import os
import pwd
import tomllib
from pathlib import Path

import pytest

from lockd.config import load, print_options, sample
from lockd.core.bounds import DEFAULT_QUOTAS, Quotas
from lockd.options import Option
from lockd.settings import describe
from lockd_wire.limits import HELLO_SECONDS_MAX
from support import configuration_page
from support.configuration import DIRECTORIES, GROUP, NOWHERE, USER, loaded, problems


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lockd.toml"


# Who decides.


def test_without_anything_the_defaults_hold() -> None:
    config = loaded()
    assert config.log_level == "info"
    assert config.client_socket.permissions == 0o600
    assert config.client_socket.gid() is None
    assert config.admin_socket.uids == ()
    assert config.quotas.for_core() == DEFAULT_QUOTAS
    assert config.connections.outbox_bytes_max == 262_144
    assert config.connections.hello_seconds_max == HELLO_SECONDS_MAX
    assert config.connections.frame_seconds_max == 60.0
    assert config.connections.unintroduced_max == 64
    assert config.sessions.resume_window_seconds == 2.0


def test_a_flag_goes_before_the_environment_before_the_file_before_the_default(file: Path) -> None:
    key = "quotas.grants_per_uid_max"
    file.write_text("[quotas]\ngrants_per_uid_max = 3\n")
    in_file = {"config": str(file)}
    in_environment = DIRECTORIES | {"LOCKD_QUOTAS_GRANTS_PER_UID_MAX": "2"}
    seen = [
        loaded(in_file | {key: "1"}, in_environment),
        loaded(in_file | {key: None}, in_environment),
        loaded(in_file),
        loaded(),
    ]
    assert [(config.value(key), config.sources[key]) for config in seen] == [
        (1, "flag --quotas-grants-per-uid-max"),
        (2, "environment variable LOCKD_QUOTAS_GRANTS_PER_UID_MAX"),
        (3, str(file)),
        (1_000_000, "default"),
    ]


def test_every_option_can_be_set_by_its_variable_and_by_the_file(file: Path) -> None:
    """To a value that is not the default, so that a variable that is not read is found out."""
    file.write_text(f"""
        runtime_dir = "/r"
        state_dir = "/s"
        log_level = "debug"
        [client_socket]
        mode = "0660"
        group = "{GROUP}"
        [admin_socket]
        uids = [1000, 1001]
        group = "{GROUP}"
        [quotas]
        sessions_max = 4
        sessions_per_uid_max = 3
        grants_per_uid_max = 2
        waiters_per_uid_max = 1
        [connections]
        outbox_bytes_max = 16384
        hello_seconds_max = 1
        frame_seconds_max = 0.5
        unintroduced_max = 2
        [sessions]
        resume_window_seconds = 0
        state_loss_delay_seconds = 1
        [metrics]
        patterns = ["reports/*", "db"]
        [diagnostics]
        history_names_max = 0
        convoy_waiters = 7
        long_hold_seconds = 2.5
        lock_order = false
        lock_order_classes = ["queue/*"]
    """)
    by_file = loaded({"config": str(file)}, {})
    tree = tomllib.loads(file.read_text())
    texts = {}
    for option in describe():
        value = tree[option.section][option.name] if option.section else tree[option.name]
        texts[option.environment] = ",".join(map(str, value)) if isinstance(value, list) else str(value).lower()
    by_environment = loaded({}, texts)
    for option in describe():
        assert by_file.value(option.key) == by_environment.value(option.key) != loaded().value(option.key) or (
            option.unit == "directory"
        )
        assert by_file.sources[option.key] == str(file)
        assert by_environment.sources[option.key] == f"environment variable {option.environment}"
    assert by_file.client_socket.permissions == 0o660
    assert by_file.client_socket.gid() == grp.getgrnam(GROUP).gr_gid
    assert by_file.quotas.for_core() == Quotas(4, 3, 2, 1)
    assert type(by_file.connections.hello_seconds_max) is float


def test_uids_in_a_variable_may_have_commas_and_spaces_between_them() -> None:
    assert loaded({}, DIRECTORIES | {"LOCKD_ADMIN_SOCKET_UIDS": "0, 1000 1001"}).admin_socket.uids == (0, 1000, 1001)


def test_a_variable_that_is_set_to_nothing_is_not_set() -> None:
    environ = DIRECTORIES | {"LOCKD_LOG_LEVEL": "", "LOCKD_CONFIG": "", "LOCKD_NO_SUCH_THING": ""}
    assert loaded({}, environ).sources["log_level"] == "default"


def test_variables_of_clients_and_commands_are_none_of_ours() -> None:
    others = ("SOCKET", "ADMIN_SOCKET", "NAME", "TOKEN", "BOOT_ID")
    assert loaded({}, DIRECTORIES | {f"LOCKD_{name}": "x" for name in others}).log_level == "info"


def test_the_file_is_the_flags_then_the_variables_then_for_root_the_systems(tmp_path: Path) -> None:
    paths = {}
    for level in ("debug", "warning", "error"):
        paths[level] = str(tmp_path / level)
        Path(paths[level]).write_text(f'log_level = "{level}"')
    flag, variable = {"config": paths["debug"]}, DIRECTORIES | {"LOCKD_CONFIG": paths["warning"]}
    system = paths["error"]
    assert loaded(flag, variable, uid=0, system_file=system).log_level == "debug"
    assert loaded({}, variable, uid=0, system_file=system).log_level == "warning"
    assert loaded({}, uid=0, system_file=system).log_level == "error"
    assert loaded({}, uid=0).log_level == "info"
    assert loaded({}, system_file=system).log_level == "info"


# The directories.


def test_root_has_the_directories_of_the_system() -> None:
    config = load({}, {}, uid=0, system_file=NOWHERE)
    assert (config.runtime_dir, config.state_dir) == ("/run/lockd", "/var/lib/lockd")


def test_a_user_has_directories_of_their_own(tmp_path: Path) -> None:
    config = loaded({}, {"XDG_RUNTIME_DIR": str(tmp_path), "HOME": "/home/ada"})
    assert (config.runtime_dir, config.state_dir) == (f"{tmp_path}/lockd", "/home/ada/.local/state/lockd")
    assert config.sources["runtime_dir"] == config.sources["state_dir"] == "default"


@pytest.mark.parametrize(
    ("environ", "state_dir"),
    [
        ({"XDG_STATE_HOME": "/data/state", "HOME": "/home/ada"}, "/data/state/lockd"),
        ({"XDG_STATE_HOME": "state", "HOME": "/home/ada"}, "/home/ada/.local/state/lockd"),
    ],
)
def test_the_state_is_kept_where_xdg_says(environ: dict[str, str], state_dir: str) -> None:
    assert loaded({"runtime_dir": "/r"}, environ).state_dir == state_dir


def test_without_home_the_users_entry_decides() -> None:
    entry = pwd.getpwall()[-1]
    assert entry.pw_uid != 0
    assert loaded({"runtime_dir": "/r"}, {}, uid=entry.pw_uid).state_dir == f"{entry.pw_dir}/.local/state/lockd"


def test_the_directories_of_a_unit_are_the_defaults_in_it() -> None:
    unit = {"RUNTIME_DIRECTORY": "/run/unit", "STATE_DIRECTORY": "/var/lib/unit"}
    for uid in (0, USER):
        config = loaded({}, unit, uid=uid)
        assert (config.runtime_dir, config.state_dir) == ("/run/unit", "/var/lib/unit")
        assert config.sources["state_dir"] == "environment variable STATE_DIRECTORY"
    assert loaded({"runtime_dir": "/r"}, unit).runtime_dir == "/r"


def test_the_file_is_in_the_directory_that_a_unit_has_set_up(tmp_path: Path, file: Path) -> None:
    unit = DIRECTORIES | {"CONFIGURATION_DIRECTORY": str(tmp_path)}
    assert loaded({}, unit).log_level == "info"
    file.write_text('log_level = "error"\n')
    for uid in (0, USER):
        assert loaded({}, unit, uid=uid).log_level == "error"
    (other := tmp_path / "other.toml").write_text('log_level = "debug"\n')
    assert loaded({}, unit | {"LOCKD_CONFIG": str(other)}).log_level == "debug"
    assert loaded({"config": str(other)}, unit).log_level == "debug"


def test_a_path_on_the_command_line_is_meant_from_where_it_was_typed() -> None:
    config = loaded({"runtime_dir": "run", "state_dir": "/s"}, {})
    assert config.runtime_dir == os.path.abspath("run")


def test_a_users_daemon_is_not_started_beside_the_systems_by_accident(tmp_path: Path) -> None:
    there = str(tmp_path)
    assert problems({}, {"HOME": "/home/ada"}, system_runtime_dir=there) == [
        f"default: programs on this machine look for the system's daemon, in {there}, and two daemons would grant one"
        " lock twice: use the system's or, if its programs are given LOCKD_SOCKET, name a directory for another one"
        " with --runtime-dir."
    ]
    for flags, environ in [
        ({"runtime_dir": "/r"}, {}),
        ({}, {"LOCKD_RUNTIME_DIR": "/r"}),
        ({}, {"RUNTIME_DIRECTORY": "/r"}),
    ]:
        assert loaded(flags, environ | {"HOME": "/h"}, system_runtime_dir=there).runtime_dir == "/r"
    assert loaded({}, {}, uid=0, system_runtime_dir=there).runtime_dir == there


# What is told about the options.


def test_every_quota_of_the_core_is_an_option() -> None:
    assert [option.name for option in describe() if option.section == "quotas"] == list(Quotas._fields)


@pytest.mark.parametrize("option", describe(), ids=lambda option: option.key)
def test_an_option_says_all_that_there_is_to_say(option: Option) -> None:
    assert option.unit
    assert option.allowed
    assert option.reason.endswith(".")
    assert option.environment == f"LOCKD_{option.key.replace('.', '_').upper()}"


def test_the_sample_is_a_file_that_changes_nothing(file: Path) -> None:
    file.write_text(sample())
    assert tomllib.loads(sample()) == {
        section: {}
        for section in (
            *("client_socket", "admin_socket", "quotas", "connections", "sessions"),
            *("metrics", "diagnostics"),
        )
    }
    assert loaded({"config": str(file)}).value("quotas") == loaded().quotas


def test_the_sample_has_every_option_with_its_default(file: Path) -> None:
    uncommented = "\n".join(line if line.startswith("# ") else line.removeprefix("#") for line in sample().splitlines())
    file.write_text(uncommented)
    config, default = loaded({"config": str(file)}, {}), loaded()
    for option in describe():
        assert config.sources[option.key] == str(file)
        assert option.unit == "directory" or config.value(option.key) == default.value(option.key)


def test_the_options_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    print_options()
    assert capsys.readouterr().out == sample()


def test_the_page_has_the_options_of_today() -> None:
    page = configuration_page.PAGE.read_text("utf-8")
    assert configuration_page.updated(page) == page, "run: python tests/support/configuration_page.py"


def test_a_page_with_other_options_would_be_noticed() -> None:
    page = configuration_page.PAGE.read_text("utf-8")
    for wrong in (page.replace("sessions_max", "session_max"), page.replace("`10000`", "`20000`")):
        assert configuration_page.updated(wrong) != wrong


def test_the_examples_of_the_page_are_true(file: Path) -> None:
    page = configuration_page.PAGE.read_text("utf-8")
    example = page.partition("```toml\n")[2].partition("```")[0]
    file.write_text(example.replace("lockd-clients", GROUP))
    assert loaded({"config": str(file)}).quotas.sessions_max == 2000
    file.write_text("[quotas]\nsession_max = 1\n")
    for sentence in problems({"config": str(file)}, DIRECTORIES | {"LOCKD_LOG_LEVEL": "loud"}):
        assert sentence.replace(str(file), "/etc/lockd/lockd.toml") in page
