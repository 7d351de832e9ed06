"""Importing the library needs msgpack alone and is quick."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

import lockd_client
from support.scripted_daemon import ScriptedDaemon

# What takes milliseconds to import and is not needed. Whatever already runs in a bare interpreter does not count.
SLOW = {
    *("asyncio", "contextlib", "dataclasses", "enum", "functools", "inspect", "logging", "pathlib", "re", "selectors"),
    *("select", "signal", "socket", "subprocess", "threading", "types", "typing", "warnings", "weakref"),
}


def python(*arguments: str) -> str:
    return subprocess.run([sys.executable, *arguments], check=True, capture_output=True, text=True).stdout


def test_the_library_needs_neither_the_daemon_nor_trio() -> None:
    program = """
import sys
for blocked in ("trio", "lockd", "msgspec", "rich", "anyio"):
    sys.modules[blocked] = None
import lockd_client
files = {name.partition(".")[0] for name, module in sys.modules.items() if getattr(module, "__file__", None)}
print(*files - sys.stdlib_module_names)
"""
    # Without site packages' own hooks, which import what they like.
    modules = set(python("-I", "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}" + program).split())
    assert modules == {"lockd_client", "lockd_wire", "msgpack"}


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="which modules import which differs between versions")
def test_nothing_slow_is_imported() -> None:
    program = "import sys; before = set(sys.modules); import lockd_client; print(*(set(sys.modules) - before))"
    imported = set(python("-I", "-c", program).split())
    assert imported & SLOW == set()


# What a program needs that converts, waits, adopts or administrates, for instance, and others do not.
LAZY = {
    *("_abandonment", "_admin", "_adoption", "_confirming", "_conversion", "_cycle", "_guarded", "_holders", "_path"),
    *("_rwlock", "_upgrade", "_wait", "_watcher", "_wrappers"),
}


def test_what_few_programs_need_is_imported_when_they_do(daemon: ScriptedDaemon) -> None:
    program = """
import sys, lockd_client
def show():
    print(*(name.partition(".")[2] for name in sys.modules if name.startswith("lockd_client.")))
show()
with lockd_client.lock("a", timeout=1, label="why", lease=5, tree=True), lockd_client.rlock("b"):
    pass
lockd_client.lock("c").locked()
show()
with lockd_client.lock("d", on_lost=print):
    pass
show()
"""
    environment = {**os.environ, "LOCKD_SOCKET": str(daemon.path)}
    shown = subprocess.run([sys.executable, "-I", "-c", program], env=environment, capture_output=True, text=True)
    imported, used, watched = (set(line.split()) for line in shown.stdout.splitlines())
    assert imported & LAZY == set()
    assert used & LAZY == set()
    assert watched & LAZY == {"_watcher"}
    assert {module.stem for module in Path(lockd_client.__file__).parent.glob("_*.py")} >= LAZY


def test_what_is_imported_late_is_there_like_everything_else() -> None:
    """Whether it has been asked for or not."""
    program = """
import lockd_client
before = set(dir(lockd_client))
assert before >= set(lockd_client.__all__)
from lockd_client import *
assert set(dir(lockd_client)) >= before
print(*(f"{name}={eval(name).__name__}" for name in lockd_client.__all__))
"""
    assert python("-c", program).split() == [f"{name}={name}" for name in lockd_client.__all__]
    with pytest.raises(AttributeError, match="module 'lockd_client' has no attribute 'look'"):
        lockd_client.look  # type: ignore[attr-defined]  # noqa: B018  # That is what is tested.


def test_the_time_that_it_takes_is_reported(
    record_property: Callable[[str, object], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def seconds(program: str) -> float:
        started_at = time.perf_counter()
        python("-I", "-c", program)
        return time.perf_counter() - started_at

    # In turns, so that whatever else the machine does hits both alike.
    pairs = [(seconds("pass"), seconds("import lockd_client")) for _ in range(7)]
    milliseconds = 1000 * median(with_it - without for without, with_it in pairs)
    record_property("import_milliseconds", milliseconds)
    with capsys.disabled():
        print(f"\n[import lockd_client takes {milliseconds:.1f} ms over an empty interpreter]", end=" ")


def test_everything_that_is_public_is_there_and_explained() -> None:
    assert lockd_client.__all__ == sorted(lockd_client.__all__)
    for name in lockd_client.__all__:
        assert getattr(lockd_client, name).__doc__, name
    assert os.path.exists(os.path.join(os.path.dirname(lockd_client.__file__), "py.typed"))
