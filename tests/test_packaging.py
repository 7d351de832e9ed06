"""Builds the wheels, looks at what they hold, and uses them installed, far from the source tree.

Nothing is fetched: the wheels are built by the hatchling that the tests run with, and the virtual environment that they
are installed into borrows the third-party packages of this one, while pip checks that these are what the wheels need.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from email.message import Message
from email.parser import Parser
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import pytest

import lockd

REPOSITORY = Path(__file__).parent.parent
CLIENT = REPOSITORY / "client"


class Distribution(NamedTuple):
    """A built wheel."""

    wheel: Path

    @property
    def files(self) -> set[str]:
        with ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def metadata(self, name: str) -> str:
        folder = "-".join(self.wheel.name.split("-")[:2]) + ".dist-info"
        with ZipFile(self.wheel) as archive:
            return archive.read(f"{folder}/{name}").decode()

    @property
    def headers(self) -> Message:
        return Parser().parsestr(self.metadata("METADATA"))


def build(project: Path, folder: Path, *options: str) -> Distribution:
    """Build a source distribution, and from that the wheel: what is published can be built again by whoever gets it."""
    command = [sys.executable, "-m", "build", "--no-isolation", *options, "--outdir", str(folder), str(project)]
    run(command, cwd=folder)
    (wheel,) = folder.glob("*.whl")
    return Distribution(wheel)


def run(command: list[str], cwd: Path) -> str:
    """Run a program to its end in a directory from which the sources cannot be imported, and return what it prints."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def source_files(*packages: Path) -> set[str]:
    """What a wheel of these packages must hold: every file, except what running Python leaves there."""
    return {
        str(path.relative_to(package.parent))
        for package in packages
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def project_table(folder: Path) -> dict[str, Any]:
    table: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    return table


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    return build(REPOSITORY, tmp_path_factory.mktemp("daemon"))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    return build(CLIENT, tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def elsewhere(daemon: Distribution, client: Distribution, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds nothing but a virtual environment with both wheels in it."""
    folder = tmp_path_factory.mktemp("elsewhere")
    venv.create(folder / "venv", symlinks=True, with_pip=False)
    borrow_third_party_packages(folder)
    wheels = [str(client.wheel), str(daemon.wheel)]
    run([*python(folder), "-m", "pip", "install", "--no-index", "--disable-pip-version-check", *wheels], cwd=folder)
    return folder


def borrow_third_party_packages(folder: Path) -> None:
    """Link what is installed here into the new environment, except for lockd and for what changes how Python starts."""
    (target,) = folder.glob("venv/lib/python*/site-packages")
    for installed in Path(sysconfig.get_path("purelib")).iterdir():
        if "lockd" not in installed.name and installed.suffix != ".pth" and installed.name != "__pycache__":
            (target / installed.name).symlink_to(installed)


def python(folder: Path) -> list[str]:
    return [str(folder / "venv/bin/python"), "-I"]


def code_files(distribution: Distribution) -> set[str]:
    return {name for name in distribution.files if ".dist-info/" not in name}


def test_the_wheel_of_the_daemon_holds_its_package_and_no_more(daemon: Distribution) -> None:
    assert code_files(daemon) == source_files(REPOSITORY / "lockd")
    assert "lockd/py.typed" in daemon.files


def test_the_wheel_of_the_client_holds_its_two_packages_and_no_more(client: Distribution) -> None:
    assert code_files(client) == source_files(CLIENT / "lockd_client", CLIENT / "lockd_wire")
    assert {"lockd_client/py.typed", "lockd_wire/py.typed"} <= client.files


@pytest.mark.parametrize(
    "broken",
    [
        'packages = ["lockd", "client/lockd_client"]',
        'packages = ["lockd"]\nexclude = ["py.typed"]',
        'packages = ["lockd"]\nforce-include = { "client/README.md" = "lockd/README.md" }',
    ],
)
def test_a_wheel_with_other_files_is_seen(tmp_path: Path, broken: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(REPOSITORY, copy, ignore=shutil.ignore_patterns(".*", "tests", "docs"))
    settings = (copy / "pyproject.toml").read_text("utf-8")
    right = 'packages = ["lockd"]'
    assert settings.count(right) == 1
    (copy / "pyproject.toml").write_text(settings.replace(right, broken), "utf-8")
    assert code_files(build(copy, tmp_path, "--wheel")) != source_files(copy / "lockd")


def test_the_versions_agree(daemon: Distribution, client: Distribution) -> None:
    version = project_table(REPOSITORY)["version"]
    assert lockd.__version__ == version
    assert project_table(CLIENT)["version"] == version
    assert (daemon.headers["Version"], client.headers["Version"]) == (version, version)
    assert f"lockd-client=={version}" in requirements(daemon)


def test_the_client_needs_msgpack_alone(client: Distribution) -> None:
    assert [requirement.split(">")[0] for requirement in requirements(client)] == ["msgpack"]


def requirements(distribution: Distribution) -> list[str]:
    found: list[str] = distribution.headers.get_all("Requires-Dist", [])
    return [requirement for requirement in found if "extra ==" not in requirement]


def test_both_carry_the_licence(daemon: Distribution, client: Distribution) -> None:
    text = (REPOSITORY / "LICENSE").read_text("utf-8")
    assert daemon.metadata("licenses/LICENSE") == text
    assert client.metadata("licenses/LICENSE") == text


@pytest.mark.parametrize("program", ["lockd", "lockctl"])
def test_the_installed_programs_know_their_version(elsewhere: Path, program: str) -> None:
    assert (
        run([str(elsewhere / "venv/bin" / program), "--version"], cwd=elsewhere) == f"{program} {lockd.__version__}\n"
    )


def test_the_installed_packages_come_from_the_wheels(elsewhere: Path) -> None:
    """Without this, the tests of this file could pass on the source tree."""
    code = "import lockd, lockd_client, lockd_wire; print(lockd.__file__, lockd_client.__file__, lockd_wire.__file__)"
    for path in run([*python(elsewhere), "-c", code], cwd=elsewhere).split():
        assert Path(path).is_relative_to(elsewhere)


def test_pip_finds_every_requirement_satisfied(elsewhere: Path) -> None:
    assert run([*python(elsewhere), "-m", "pip", "check"], cwd=elsewhere) == "No broken requirements found.\n"


IMPORT_THE_CLIENT = """
import sys
for name in {blocked!r}:
    sys.modules[name] = None
import lockd_client, lockd_wire
print(*sorted(set({unwanted!r}) & set(sys.modules)))
"""


def test_the_client_imports_without_the_daemon_and_what_that_needs(elsewhere: Path) -> None:
    code = IMPORT_THE_CLIENT.format(
        blocked=["lockd", "trio", "msgspec", "rich"], unwanted=["asyncio", "dataclasses", "inspect", "logging"]
    )
    assert run([*python(elsewhere), "-c", code], cwd=elsewhere) == "\n"


@pytest.mark.parametrize("blocked", ["lockd_wire", "msgpack"])
def test_blocking_a_package_does_keep_it_from_being_imported(elsewhere: Path, blocked: str) -> None:
    code = IMPORT_THE_CLIENT.format(blocked=[blocked], unwanted=[])
    with pytest.raises(AssertionError, match=rf"import of {blocked} halted|No module named '{blocked}\.\w+'; "):
        run([*python(elsewhere), "-c", code], cwd=elsewhere)


def test_lockctl_starts_without_trio(elsewhere: Path) -> None:
    code = "import sys; sys.modules['trio'] = None; from lockd.ctl.main import main; sys.exit(main(['--version']))"
    assert run([*python(elsewhere), "-c", code], cwd=elsewhere) == f"lockctl {lockd.__version__}\n"
