"""A class whose methods run under a lock."""

from __future__ import annotations

import functools

from ._default import lock as lock_of_name
from ._lock import Lock
from ._wrappers import runs_later

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    _T = TypeVar("_T")

    _LockOf = Callable[[Any], Lock | str]

#: Python calls these itself, in places where nobody can wait, or in ways that a wrapper would not survive.
_UNGUARDABLE = frozenset({"__del__", "__getattribute__", "__init_subclass__", "__new__"})


def guarded(cls: type[_T], lock: Lock | str | _LockOf, methods: Iterable[str]) -> type[_T]:
    """Return a subclass of ``cls`` that runs some of its methods under a lock.

    For a class that knows nothing of other processes, such as an embedded database::

        Base = guarded(Base, lambda base: path_lock(base.path), methods=("insert", "select", "delete"))

    or, to keep the plain class as it is, ``PS_Base = guarded(Base, lock("db", timeout=60), methods=...)``.

    The subclass has the name and the documentation of ``cls``. If the lock is refused, by a timeout for instance, the
    method does not run. A thread that holds the lock already does not wait for it again: guarded methods may call each
    other, also through ``super()`` and on other instances, and several calls can be one step within ``with lock:``.

    Args:
        lock: What they run under: a handle or a name, or a function that returns one of these for an instance, so that
            each file can have a lock of its own.
        methods: The names of the methods.

    Raises:
        AttributeError: ``cls`` has no such method.
        TypeError: That is a property, or a coroutine or generator function, whose body would run after the lock was
            released, or a method that cannot be guarded. What merely *returns* a generator cannot be told apart, so do
            not guard that either.
    """
    names = (methods,) if isinstance(methods, str) else tuple(methods)
    if not names:
        raise TypeError("there are no methods to guard")
    made: list[type] = []
    namespace: dict[str, object] = {
        "__doc__": cls.__doc__,
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        # Nothing is added to the instances: those of a class with slots would get a dictionary otherwise.
        "__slots__": (),
    }
    for name in names:
        namespace[name] = _guard(cls, name, lock, made)
    metaclass: Any = type(cls)
    subclass: type[_T] = metaclass(cls.__name__, (cls,), namespace)
    made.append(subclass)
    return subclass


def _guard(cls: type, name: str, lock: Lock | str | _LockOf, made: list[type]) -> object:
    """Return what stands for the method of that name in the subclass, which will be the one item of ``made``."""
    attribute = _found(cls, name)
    is_of_class = isinstance(attribute, classmethod | staticmethod)
    function = attribute.__func__ if isinstance(attribute, classmethod | staticmethod) else attribute
    fault = _fault(name, function)
    if fault is None and is_of_class and not isinstance(lock, Lock | str):
        fault = f"a {type(attribute).__name__}, which has no instance to find the lock of: give one lock for all"
    if fault is not None:
        raise TypeError(f"{cls.__qualname__}.{name} cannot be guarded: it is {fault}")

    @functools.wraps(function)
    def run_guarded(this: Any, /, *args: Any, **kwargs: Any) -> Any:
        handle = _handle(lock, this)
        if handle.owned():
            return getattr(super(made[0], this), name)(*args, **kwargs)
        with handle:
            return getattr(super(made[0], this), name)(*args, **kwargs)

    @functools.wraps(function)
    def run_static(*args: Any, **kwargs: Any) -> Any:
        return run_guarded(made[0], *args, **kwargs)

    if isinstance(attribute, staticmethod):
        return staticmethod(run_static)
    return classmethod(run_guarded) if isinstance(attribute, classmethod) else run_guarded


def _found(cls: type, name: str) -> Any:
    """Return an attribute of a class as it stands there, without the binding that comes with looking it up."""
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    raise AttributeError(f"{cls.__qualname__} has no method {name!r} to guard")


def _fault(name: str, function: object) -> str | None:
    """Return what is wrong with guarding this, in words that follow "it is"."""
    if name in _UNGUARDABLE:
        return "called by Python itself"
    later = runs_later(function)
    if later is not None:
        return f"{later}, whose body would run after the lock was released"
    if isinstance(function, functools.partialmethod):
        return None
    if isinstance(function, type) or not callable(function):
        return f"not a method: its type is {type(function).__name__}"
    return None


def _handle(lock: Lock | str | _LockOf, this: object) -> Lock:
    found = lock if isinstance(lock, Lock | str) else lock(this)
    if isinstance(found, str):
        return lock_of_name(found)
    if not isinstance(found, Lock):
        raise TypeError(f"the lock of {this!r} is to be a Lock or a name, and not {found!r}")
    return found
