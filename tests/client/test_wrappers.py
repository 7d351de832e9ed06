"""`locked`, `path_lock` and `guarded`."""

from __future__ import annotations

import abc
import asyncio
import functools
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import lockd_client
from lockd_client import BadRequest, Client, DeadlockDetected, Lock, LockTimeout, guarded, locked, path_lock
from lockd_wire import messages as m
from support.scripted_daemon import ScriptedDaemon

pytestmark = pytest.mark.usefixtures("module")


# locked


def test_a_locked_function_runs_under_the_lock(daemon: ScriptedDaemon) -> None:
    @locked("a", mode="shared", timeout=3, label="why")
    def double(number: int, *, plus: int = 0) -> int:
        """Double it."""
        assert "a" in daemon.holders
        return 2 * number + plus

    assert double(2, plus=1) == 5
    daemon.wait_until_idle()
    assert (double.__name__, double.__doc__) == ("double", "Double it.")
    asked = daemon.heard_of(m.Acquire)[0]
    assert asked[2:] == ((("a", "S"),), 3, {"label": "why"})


def test_a_locked_function_does_not_run_without_the_lock(daemon: ScriptedDaemon) -> None:
    daemon.hold("a")
    with pytest.raises(LockTimeout):
        locked("a", timeout=0)(lambda: pytest.fail("it ran"))()


def test_the_lock_is_released_when_the_function_raises(daemon: ScriptedDaemon) -> None:
    with pytest.raises(ZeroDivisionError):
        locked("a")(lambda: 1 / 0)()
    daemon.wait_until_idle()


def test_locked_by_a_handle(client: Client, daemon: ScriptedDaemon) -> None:
    assert locked(client.lock("a"))(lambda: "a" in daemon.holders)()


def test_a_locked_function_that_calls_itself_is_told_so(daemon: ScriptedDaemon) -> None:
    daemon.script = lambda session, message: (
        [m.Failed(message.id, 0, "deadlock", "", {})] if type(message) is m.Acquire and daemon.holders else None
    )

    @locked("a")
    def endless() -> None:
        endless()

    with pytest.raises(DeadlockDetected):
        endless()


async def coroutine() -> None: ...


async def asynchronous_generator() -> AsyncIterator[int]:
    yield 1


def generator() -> Iterator[int]:
    yield 1


LATER: list[tuple[Callable[..., Any], str]] = [
    (coroutine, "coroutine is a coroutine function"),
    (generator, "generator is a generator function"),
    (asynchronous_generator, "asynchronous_generator is an asynchronous generator function"),
    (functools.partial(coroutine), "is a coroutine function"),
]


@pytest.mark.parametrize(("function", "sentence"), LATER)
def test_what_would_run_after_the_release_is_refused(function: Callable[..., Any], sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence + ": its body would run after the lock was released"):
        locked("a")(function)


def test_the_flags_of_functions_are_those_that_python_says() -> None:
    import inspect

    from lockd_client._wrappers import _LATER

    assert set(_LATER) == {
        inspect.CO_GENERATOR,
        inspect.CO_COROUTINE,
        inspect.CO_ITERABLE_COROUTINE,
        inspect.CO_ASYNC_GENERATOR,
    }
    assert not asyncio.iscoroutinefunction(locked("a")(len))


# path_lock


def test_all_paths_to_a_file_are_one_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "data"
    file.write_text("")
    (tmp_path / "link").symlink_to(file)
    monkeypatch.chdir(tmp_path)
    paths: list[Any] = [file, str(file), os.fsencode(file), "data", "./data", "link"]
    paths.append(tmp_path / ".." / tmp_path.name / "data")
    assert {path_lock(path).name for path in paths} == {f"path:{os.path.realpath(file)}"}


def test_hard_links_are_different_locks(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    os.link(tmp_path / "data", tmp_path / "hard")
    assert path_lock(tmp_path / "data").name != path_lock(tmp_path / "hard").name


@pytest.mark.parametrize("name", [b"\xff\xfe", b"a\nb", "e\u0301".encode(), b"x" * 255, b"%41", b"A", b" "])
def test_any_bytes_that_a_path_can_have(name: bytes, daemon: ScriptedDaemon) -> None:
    with path_lock(b"/nowhere/" + name, timeout=3, label="why") as grant:
        assert grant.name.isascii()
    assert path_lock(b"/nowhere/%41").name != path_lock(b"/nowhere/A").name


@pytest.mark.parametrize("path", ["", b"", "a\0b"])
def test_what_is_no_path(path: Any) -> None:
    with pytest.raises(BadRequest, match="is no path of a file"):
        path_lock(path)


def test_a_path_through_a_client_of_ones_own(client: Client, daemon: ScriptedDaemon) -> None:
    with path_lock("/nowhere", mode="shared", client=client):
        assert len(daemon.heard_of(m.Hello)) == 1


# guarded


class Database:
    """An embedded database that knows nothing of other processes."""

    __slots__ = ("path", "rows")

    def __init__(self, path: str = "db") -> None:
        self.path = path
        self.rows: list[str] = []

    def insert(self, row: str) -> int:
        """Add a row."""
        self.rows.append(row)
        return len(self.rows)

    def replace(self, old: str, new: str) -> int:
        self.delete(old)
        return self.insert(new)

    def delete(self, row: str) -> None:
        self.rows.remove(row)

    def scan(self) -> Iterator[str]:
        yield from self.rows

    async def fetch(self) -> None: ...

    @property
    def size(self) -> int:
        return len(self.rows)

    @classmethod
    def create(cls, path: str) -> Database:
        return cls(path)

    @staticmethod
    def check(path: str) -> str:
        return f"{path} is fine"

    limit = 5


METHODS = ("insert", "replace", "delete")


def acquired(daemon: ScriptedDaemon) -> list[str]:
    """Return the names in the order in which they were acquired."""
    return [message.items[0][0] for message in daemon.heard if type(message) is m.Acquire]


def test_guarded_methods_run_under_the_lock(daemon: ScriptedDaemon) -> None:
    guard = guarded(Database, lockd_client.lock("db"), METHODS)
    database = guard()
    assert database.insert("x") == 1
    assert acquired(daemon) == ["db"]
    daemon.wait_until_idle()


def test_the_class_looks_like_the_original() -> None:
    guard = guarded(Database, "db", METHODS)
    assert issubclass(guard, Database)
    assert isinstance(guard(), Database)
    assert (guard.__name__, guard.__qualname__, guard.__module__) == ("Database", "Database", __name__)
    assert guard.__doc__ == Database.__doc__
    assert guard.insert.__doc__ == "Add a row."
    assert not hasattr(guard(), "__dict__")
    assert guard.scan is Database.scan


def test_methods_that_call_each_other_take_the_lock_once(daemon: ScriptedDaemon) -> None:
    database = guarded(Database, lockd_client.lock("db"), METHODS)()
    database.insert("old")
    assert database.replace("old", "new") == 1
    assert acquired(daemon) == ["db", "db"]
    daemon.wait_until_idle()


def test_calls_through_super_and_on_other_instances_take_it_once(daemon: ScriptedDaemon) -> None:
    guard = guarded(Database, "db", METHODS)
    other = guard()

    class Logged(guard):  # type: ignore[misc, valid-type]  # a class that mypy cannot follow
        def insert(self, row: str) -> int:
            other.insert(f"log of {row}")
            count: int = super().insert(row)
            return count

    twice = guarded(Logged, "db", ("insert",))
    assert twice().insert("x") == 1
    assert acquired(daemon) == ["db"]
    daemon.wait_until_idle()


def test_several_calls_can_be_one_step(daemon: ScriptedDaemon) -> None:
    handle = lockd_client.lock("db")
    database = guarded(Database, handle, METHODS)()
    with handle:
        database.insert("a")
        database.insert("b")
    assert acquired(daemon) == ["db"]


def test_a_shared_hold_does_not_do_for_an_exclusive_method(daemon: ScriptedDaemon) -> None:
    database = guarded(Database, lockd_client.lock("db", timeout=0), METHODS)()
    with lockd_client.lock("db", mode="shared"), pytest.raises(LockTimeout):
        database.insert("a")
    assert database.rows == []


def test_each_instance_can_have_a_lock_of_its_own(daemon: ScriptedDaemon) -> None:
    by_name = guarded(Database, lambda database: database.path, METHODS)
    by_handle = guarded(Database, lambda database: path_lock(database.path), METHODS)
    by_name("one").insert("x")
    by_name("two").insert("x")
    by_handle("/three").insert("x")
    assert acquired(daemon) == ["one", "two", "path:/three"]


def test_two_threads_exclude_each_other(daemon: ScriptedDaemon) -> None:
    inside: list[str] = []
    overlaps: list[int] = []

    class Slow(Database):
        def insert(self, row: str) -> int:
            inside.append(row)
            overlaps.append(len(inside))
            inside.pop()
            return 0

    database = guarded(Slow, lockd_client.lock("db"), METHODS)()
    threads = [threading.Thread(target=lambda: [database.insert("x") for _ in range(30)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert overlaps == [1] * 90
    daemon.wait_until_idle()


def test_a_method_does_not_run_without_the_lock(daemon: ScriptedDaemon) -> None:
    daemon.hold("db")
    database = guarded(Database, lockd_client.lock("db", timeout=0), METHODS)()
    with pytest.raises(LockTimeout):
        database.insert("x")
    assert database.rows == []


def test_class_methods_and_static_methods(daemon: ScriptedDaemon) -> None:
    guard = guarded(Database, "db", ("create", "check"))
    created = guard.create("elsewhere")
    assert type(created) is guard
    assert guard.check("it") == "it is fine"
    assert created.check("it") == "it is fine"
    assert acquired(daemon) == ["db"] * 3


def test_methods_made_in_c(daemon: ScriptedDaemon) -> None:
    guard = guarded(dict, "db", ("__setitem__", "update", "__len__"))
    mapping = guard()
    mapping["a"] = 1
    mapping.update(b=2)
    assert len(mapping) == 2
    assert acquired(daemon) == ["db"] * 3


def test_abstract_methods_stay_abstract() -> None:
    class Abstract(abc.ABC):
        @abc.abstractmethod
        def insert(self) -> None: ...

    guard = guarded(Abstract, "db", ("insert",))  # type: ignore[type-abstract]  # that is the point
    with pytest.raises(TypeError, match="abstract"):
        guard()


@pytest.mark.parametrize(
    ("name", "error", "sentence"),
    [
        ("select", AttributeError, "Database has no method 'select' to guard"),
        ("size", TypeError, "Database.size cannot be guarded: it is not a method: its type is property"),
        ("limit", TypeError, "Database.limit cannot be guarded: it is not a method: its type is int"),
        ("path", TypeError, "Database.path cannot be guarded: it is not a method: its type is member_descriptor"),
        ("__class__", TypeError, "Database.__class__ cannot be guarded: it is not a method: its type is getset_"),
        ("scan", TypeError, "Database.scan cannot be guarded: it is a generator function, whose body would run after"),
        ("fetch", TypeError, "Database.fetch cannot be guarded: it is a coroutine function, whose body would run"),
        ("__new__", TypeError, "Database.__new__ cannot be guarded: it is called by Python itself"),
    ],
)
def test_what_cannot_be_guarded(name: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        guarded(Database, "db", ("insert", name))


@pytest.mark.parametrize("name", ["create", "check"])
def test_what_has_no_instance_cannot_have_a_lock_of_an_instance(name: str) -> None:
    kind = {"create": "classmethod", "check": "staticmethod"}[name]
    with pytest.raises(TypeError, match=f"it is a {kind}, which has no instance to find the lock of"):
        guarded(Database, lambda database: "db", (name,))


def test_no_methods_at_all() -> None:
    with pytest.raises(TypeError, match="there are no methods to guard"):
        guarded(Database, "db", ())
    assert guarded(Database, "db", "insert").insert is not Database.insert


def test_a_function_that_gives_no_lock() -> None:
    database = guarded(Database, lambda database: None, METHODS)()  # type: ignore[arg-type, return-value]  # so it is
    with pytest.raises(TypeError, match="is to be a Lock or a name, and not None"):
        database.insert("x")


def test_a_child_takes_the_lock_itself(daemon: ScriptedDaemon) -> None:
    """What the thread of the parent held when it forked, its copy in the child does not hold."""
    handle = lockd_client.lock("db", timeout=0)
    database = guarded(Database, handle, METHODS)()
    assert isinstance(handle, Lock)
    with handle:
        child = os.fork()
        if child == 0:
            try:
                database.insert("x")
            except LockTimeout:
                os._exit(7)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
