"""Which daemon a program finds must not depend on who runs it, and how."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lockd_wire.endpoints import admin_socket, client_socket, fault_of_shared_directory, runtime_directory

USER = 1234


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Where the system's daemon would be. It is not there."""
    return tmp_path / "run" / "lockd"


@pytest.fixture
def users(tmp_path: Path) -> Path:
    """Where each user has a directory, but for the one of these tests."""
    path = tmp_path / "run" / "user"
    path.mkdir(parents=True)
    return path


def found(system: Path, users: Path, uid: int = USER, **environ: str) -> str:
    return runtime_directory(environ, system=str(system), users=str(users), uid=uid)


def test_the_systems_daemon_comes_first(system: Path, users: Path) -> None:
    (users / str(USER)).mkdir()
    system.mkdir()

    assert found(system, users, XDG_RUNTIME_DIR=str(users)) == str(system)


def test_root_uses_the_systems_daemon_even_before_it_is_there(system: Path, users: Path) -> None:
    (users / "0").mkdir()

    assert found(system, users, uid=0, XDG_RUNTIME_DIR=str(users)) == str(system)


def test_a_file_is_no_directory(system: Path, users: Path) -> None:
    system.write_bytes(b"")

    assert found(system, users, XDG_RUNTIME_DIR=str(users)) == str(users / "lockd")


def test_then_comes_the_users_own(system: Path, users: Path, tmp_path: Path) -> None:
    (users / str(USER)).mkdir()

    assert found(system, users, XDG_RUNTIME_DIR=str(tmp_path)) == str(tmp_path / "lockd")


@pytest.mark.parametrize("unusable", ["", "no/such", "/no/such", ".", "tests"])
def test_cron_finds_what_a_terminal_finds(system: Path, users: Path, unusable: str) -> None:
    """A relative path would be another directory for each program."""
    (users / str(USER)).mkdir()

    assert found(system, users) == str(users / str(USER) / "lockd")
    assert found(system, users, XDG_RUNTIME_DIR=unusable) == str(users / str(USER) / "lockd")


def test_at_last_there_is_always_a_place(system: Path, users: Path) -> None:
    assert found(system, users) == f"/tmp/lockd-{USER}"


def test_without_arguments_it_is_about_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    system = "/run/lockd"
    mine = str(tmp_path / "lockd")

    assert runtime_directory() == (system if os.getuid() == 0 or os.path.isdir(system) else mine)
    assert client_socket() == runtime_directory() + "/lockd.sock"
    assert admin_socket() == runtime_directory() + "/admin.sock"

    monkeypatch.setenv("LOCKD_SOCKET", "/srv/lockd/clients")
    assert client_socket() == "/srv/lockd/clients"
    assert admin_socket() == "/srv/lockd/admin.sock"


@pytest.mark.parametrize(
    ("environ", "client", "admin"),
    [
        ({"LOCKD_SOCKET": "/srv/a/b.sock"}, "/srv/a/b.sock", "/srv/a/admin.sock"),
        ({"LOCKD_SOCKET": "b.sock"}, "b.sock", "admin.sock"),
        (
            {"LOCKD_SOCKET": "/srv/a/b.sock", "LOCKD_ADMIN_SOCKET": "/srv/c/d.sock"},
            "/srv/a/b.sock",
            "/srv/c/d.sock",
        ),
        (
            {"LOCKD_SOCKET": "/srv/a/b.sock", "LOCKD_ADMIN_SOCKET": ""},
            "/srv/a/b.sock",
            "/srv/a/admin.sock",
        ),
    ],
)
def test_the_environment_decides(environ: dict[str, str], client: str, admin: str) -> None:
    assert client_socket(environ) == client
    assert admin_socket(environ) == admin


def test_an_empty_variable_is_as_good_as_none() -> None:
    assert client_socket({"LOCKD_SOCKET": ""}) == client_socket({})


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory in which everybody may write, as /tmp is."""
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(0o1777)
    return path


def made(path: Path, mode: int = 0o700, uid: int = USER) -> Path:
    """Make a directory that belongs to this user, or to the one of these tests if this is root."""
    path.mkdir()
    if os.getuid() == 0:
        os.chown(path, uid, -1)
    path.chmod(mode)
    return path


def owner_of(path: Path) -> int:
    return path.lstat().st_uid


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500])
def test_a_directory_of_ones_own_is_believed(shared: Path, mode: int) -> None:
    directory = made(shared / "lockd", mode)

    assert fault_of_shared_directory(f"{directory}/lockd.sock", uid=owner_of(directory)) is None


def test_a_directory_of_root_is_believed(shared: Path) -> None:
    """Only root can make one; what anybody else makes here is a stranger's, and the opposite is true."""
    directory = made(shared / "lockd", uid=0)

    fault = fault_of_shared_directory(f"{directory}/lockd.sock", uid=owner_of(directory) + 1)
    assert (fault is None) == (owner_of(directory) == 0)


def test_a_directory_of_somebody_else_is_not_believed(shared: Path) -> None:
    directory = made(shared / "lockd")

    fault = fault_of_shared_directory(f"{directory}/lockd.sock", uid=owner_of(directory) + 1)
    assert fault is not None
    assert fault.startswith(f"{directory} belongs to somebody else or can be written by others")


@pytest.mark.parametrize("mode", [0o770, 0o720, 0o702, 0o777, 0o1777])
def test_a_directory_that_others_can_write_is_not_believed(shared: Path, mode: int) -> None:
    directory = made(shared / "lockd", mode)

    assert fault_of_shared_directory(f"{directory}/lockd.sock", uid=owner_of(directory)) is not None


def test_a_link_is_not_believed(shared: Path) -> None:
    """Its owner can let it point to something else at any time."""
    directory = made(shared / "real")
    (shared / "lockd").symlink_to(directory)

    assert fault_of_shared_directory(f"{shared}/lockd/lockd.sock", uid=owner_of(directory)) is not None


def test_a_socket_that_lies_open_is_not_believed(shared: Path) -> None:
    assert fault_of_shared_directory(f"{shared}/lockd.sock", uid=owner_of(shared)) is not None


def test_a_directory_that_somebody_could_still_make_is_not_believed(shared: Path) -> None:
    fault = fault_of_shared_directory(f"{shared}/lockd/lockd.sock")

    assert fault is not None
    assert fault.startswith(f"{shared}/lockd is not there (No such file or directory), and anybody could make it")


def test_where_nobody_else_can_write_there_is_nothing_to_doubt(tmp_path: Path) -> None:
    """The system's directory belongs to the user lockd, who is neither root nor the client."""
    directory = made(tmp_path / "lockd", uid=USER)

    assert fault_of_shared_directory(f"{directory}/lockd.sock", uid=owner_of(directory) + 1) is None
    assert fault_of_shared_directory(f"{tmp_path}/none/lockd.sock") is None
    assert fault_of_shared_directory(f"{tmp_path}/none/none/lockd.sock") is None


def test_the_path_may_be_relative(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = made(shared / "lockd")
    monkeypatch.chdir(directory)

    assert fault_of_shared_directory("lockd.sock", uid=owner_of(directory)) is None
    assert fault_of_shared_directory("lockd.sock", uid=owner_of(directory) + 1) is not None
    assert fault_of_shared_directory("../lockd/./lockd.sock", uid=owner_of(directory) + 1) is not None


def test_tmp_is_such_a_directory() -> None:
    """The place of last resort is what all this is for."""
    assert os.stat("/tmp").st_mode & 0o002
    assert fault_of_shared_directory("/tmp/lockd.sock") is not None
