"""Holds the borders of docs/design.md by reading the sources: who may import whom, and how long files may get.

Every rule applies to every module: there is no list of exemptions, and none is to be added. That each rule can fail is
shown at the end, with sources made up for the purpose.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator

import pytest

from support.sources import Module, import_cycle, imports_of, read_modules

Rule = Callable[[Module], Iterator[str]]

# The parts, and what each may import beside itself and the standard library: other parts, and packages from elsewhere.
# A part is a module with all that lies below it, except that "lockd" is lockd/__init__.py alone, which runs whenever
# anything below it is imported, the core included, and that "lockd.*" is the shell: every module of no other part.
MAY_IMPORT: dict[str, set[str]] = {
    "lockd_wire": {"msgpack"},
    "lockd_client": {"lockd_wire"},
    "lockd": set(),
    "lockd.core": set(),
    "lockd.journal": {"msgspec"},
    "lockd.pidfds": set(),
    "lockd.*": {
        *("lockd", "lockd.core", "lockd.journal", "lockd.pidfds", "lockd_wire"),
        *("trio", "msgspec", "rich", "prometheus_client"),
    },
    "lockd.ctl": {"lockd", "lockd.pidfds", "lockd_client", "lockd_wire", "rich", "argcomplete"},
    "lockd.demo": {"lockd_client", "rich", "tinydb"},
    "lockd.main": {
        *("lockd", "lockd.*", "lockd.core", "lockd.ctl", "lockd.demo", "lockd.journal", "lockd_client", "lockd_wire"),
        *("trio", "msgspec", "rich", "prometheus_client"),
    },
}

# The core is handed all of this as events.
CLOCKS = {"datetime", "time"}
CHANCE = {"random", "secrets", "uuid"}
THREADS = {"asyncio", "concurrent", "multiprocessing", "threading"}
FILES = {"fcntl", "io", "logging", "mmap", "os", "pathlib", "shutil", "tempfile"}
OTHER_PROCESSES = {"select", "selectors", "signal", "socket", "subprocess"}
IMPURE = CLOCKS | CHANCE | THREADS | FILES | OTHER_PROCESSES
IMPURE_BUILTINS = {"input", "open", "print"}

# Each costs milliseconds to import, and whoever takes one lock in a shell loop pays for it every time.
SLOW_TO_IMPORT = {
    "asyncio",
    "dataclasses",
    "inspect",
    "logging",
    "multiprocessing",
    "pathlib",
    "subprocess",
    "tempfile",
}

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 80
LEFTOVER = re.compile(r"\b(TODO|FIXME|XXX)\b")


def part_of(name: str) -> str:
    """Return the part of ours that a module belongs to, else the name of the foreign package."""
    if name == "lockd.__main__":
        return "lockd.main"
    top, *below = name.split(".")
    if top != "lockd" or not below:
        return top
    part = f"{top}.{below[0]}"
    return part if part in MAY_IMPORT else "lockd.*"


def forbidden_imports(module: Module, known: dict[str, Module]) -> Iterator[str]:
    part = part_of(module.name)
    for target, line, runs_at_import in imports_of(module, known):
        top = target.split(".")[0]
        if top in sys.stdlib_module_names:
            if part == "lockd.core" and top in IMPURE:
                yield f"{module.name}:{line}: the core is pure and may not import {target}"
            if part in ("lockd_client", "lockd_wire") and top in SLOW_TO_IMPORT and runs_at_import:
                yield f"{module.name}:{line}: {target} is slow to import: import it in the function that needs it"
        elif part_of(target) not in {part, *MAY_IMPORT[part]}:
            yield f"{module.name}:{line}: {part} may not import {target}"


def forbidden_calls(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called == "__import__" or called.split(".")[-1] == "import_module":
            yield f"{module.name}:{node.lineno}: {called}() imports behind the back of this test"
        if part_of(module.name) == "lockd.core" and called in IMPURE_BUILTINS:
            yield f"{module.name}:{node.lineno}: the core is pure and may not call {called}()"


def excesses(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{module.name} has {lines} lines, and {FILE_LINES_MAX} are the most"
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                where = f"{module.name}:{node.lineno}"
                yield f"{where}: {node.name} has {lines} lines, and {FUNCTION_LINES_MAX} are the most"


def leftovers(module: Module) -> Iterator[str]:
    for line, text in enumerate(module.source.splitlines(), start=1):
        if match := LEFTOVER.search(text):
            yield f"{module.name}:{line}: a {match[0]} was left behind"


def ambiguous_classes(module: Module) -> Iterator[str]:
    """The lock is the name; a class `Lock` in the daemon could be the resource, the grant or the request."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ClassDef) and node.name == "Lock" and module.name.split(".")[0] == "lockd":
            yield f"{module.name}:{node.lineno}: no class of the daemon is called Lock"


@pytest.fixture(scope="module")
def modules() -> dict[str, Module]:
    return read_modules()


def test_every_part_has_modules(modules: dict[str, Module]) -> None:
    """A part that was renamed or moved away would be guarded by a rule about nothing."""
    assert {part_of(module.name) for module in modules.values()} == set(MAY_IMPORT)


def test_imports_go_one_way(modules: dict[str, Module]) -> None:
    assert [complaint for module in modules.values() for complaint in forbidden_imports(module, modules)] == []
    assert import_cycle(modules) is None


@pytest.mark.parametrize("rule", [forbidden_calls, excesses, leftovers, ambiguous_classes])
def test_no_module_breaks_the_rule(rule: Rule, modules: dict[str, Module]) -> None:
    assert [complaint for module in modules.values() for complaint in rule(module)] == []


# Now the checker itself.

OTHERS = [
    "lockd",
    "lockd.core",
    "lockd.core.manager",
    "lockd.ctl.main",
    "lockd.demo",
    "lockd.driver",
    "lockd.journal",
    "lockd.main",
]


def made_up(name: str, source: str) -> dict[str, Module]:
    """One module beside some that it could import."""
    modules = {other: Module(other, "") for other in OTHERS}
    return modules | {name: Module(name, source, is_package=name in ("lockd", "lockd.core", "lockd_client"))}


FORBIDDEN_IMPORTS = [
    ("lockd_wire.codec", "import trio"),
    ("lockd_wire.codec", "import lockd_client"),
    ("lockd_wire.codec", "from lockd import __version__"),
    ("lockd_wire.codec", "import pathlib"),
    ("lockd_client", "import msgpack"),
    ("lockd_client", "import lockd.core"),
    ("lockd_client", "class Lock:\n    import asyncio"),
    ("lockd_client.session", "def wait():\n    import trio"),
    ("lockd_client.session", "try:\n    from trio import Event\nexcept ImportError:\n    pass"),
    ("lockd_client.session", "if TYPE_CHECKING:\n    import lockd"),
    ("lockd_client.session", "from dataclasses import dataclass"),
    ("lockd.core", "from .. import driver"),
    ("lockd.core.manager", "import time"),
    ("lockd.core.manager", "from os.path import join"),
    ("lockd.core.manager", "def now():\n    from time import monotonic"),
    ("lockd.core.manager", "import lockd_wire"),
    ("lockd.core.manager", "from ..driver import Driver"),
    ("lockd", "import trio"),
    ("lockd", "from . import driver"),
    ("lockd", "from .core import manager"),
    ("lockd.journal.format", "from lockd.core import actions"),
    ("lockd.journal.files", "from ..driver import Driver"),
    ("lockd.driver", "import lockd_client"),
    ("lockd.driver", "import lockd.main"),
    ("lockd.driver", "from . import demo"),
    ("lockd.driver", "from .ctl import main"),
    ("lockd.driver", "import client"),
    ("lockd.driver", "import systemd.daemon"),
    ("lockd.driver", "import tinydb"),
    ("lockd.ctl.main", "import trio"),
    ("lockd.ctl.main", "import client"),
    ("lockd.ctl.main", "from lockd import core"),
    ("lockd.ctl.main", "from lockd.driver import Driver"),
    ("lockd.demo", "import trio"),
    ("lockd.demo.acts", "from lockd.core.manager import Manager"),
    ("lockd.main", "import requests"),
]

ALLOWED_IMPORTS = [
    ("lockd_wire.codec", "import struct, msgpack"),
    ("lockd_client", "from .session import Session\nimport lockd_wire.codec"),
    ("lockd_client", "def fork():\n    import logging"),
    ("lockd_client", "if TYPE_CHECKING:\n    from pathlib import Path"),
    ("lockd.core.manager", "from enum import Enum\nfrom . import queue\nfrom .errors import Bug"),
    (
        "lockd.driver",
        "import time, trio, msgspec\nfrom lockd_wire import codec\nfrom .core.manager import Manager",
    ),
    (
        "lockd.ctl.main",
        "from lockd import __version__\nfrom .. import __version__\nfrom . import table\nimport rich, lockd_client",
    ),
    ("lockd.demo.acts", "import tinydb\nfrom lockd_client import lock"),
    ("lockd.driver", "from .journal import Journal"),
    ("lockd.journal.files", "import os, msgspec\nfrom .format import Record"),
    ("lockd.main", "from . import demo, driver, journal\nfrom .ctl import main\nimport trio"),
]


@pytest.mark.parametrize(("name", "source"), FORBIDDEN_IMPORTS)
def test_a_forbidden_import_is_seen(name: str, source: str) -> None:
    modules = made_up(name, source)
    assert len(list(forbidden_imports(modules[name], modules))) == 1


@pytest.mark.parametrize(("name", "source"), ALLOWED_IMPORTS)
def test_an_allowed_import_is_not_complained_of(name: str, source: str) -> None:
    modules = made_up(name, source)
    assert list(forbidden_imports(modules[name], modules)) == []


def test_a_cycle_is_seen_unless_one_of_its_imports_waits_for_a_call() -> None:
    first, at_once, later = "import lockd_wire.b", "from . import a", "def f():\n    from . import a"
    assert import_cycle(_modules(("lockd_wire.a", first), ("lockd_wire.b", at_once))) is not None
    assert import_cycle(_modules(("lockd_wire.a", first), ("lockd_wire.b", later))) is None


def _modules(*pairs: tuple[str, str]) -> dict[str, Module]:
    return {name: Module(name, source) for name, source in pairs}


@pytest.mark.parametrize(
    ("rule", "name", "source"),
    [
        (forbidden_calls, "lockd.driver", "import importlib\nimportlib.import_module('lockd_client')"),
        (forbidden_calls, "lockd_client", "__import__('trio')"),
        (forbidden_calls, "lockd.core.manager", "def handle(event):\n    print(event)"),
        (forbidden_calls, "lockd.core.manager", "open('/run/lockd')"),
        (excesses, "lockd.driver", "x = 1\n" * (FILE_LINES_MAX + 1)),
        (excesses, "lockd.driver", "async def run():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
        (leftovers, "lockd.driver", "x = 1  # TODO: all of it"),
        (ambiguous_classes, "lockd.core.manager", "class Lock:\n    pass"),
    ],
)
def test_a_broken_rule_is_seen(rule: Rule, name: str, source: str) -> None:
    assert len(list(rule(Module(name, source)))) == 1
    assert list(rule(Module("lockd_client.session", "def wait():\n    return 1\n"))) == []


def test_what_is_just_within_the_limits_passes() -> None:
    longest = (
        "def wait():\n" + "    x = 1\n" * (FUNCTION_LINES_MAX - 1) + "x = 1\n" * (FILE_LINES_MAX - FUNCTION_LINES_MAX)
    )
    assert list(excesses(Module("lockd.driver", longest))) == []
