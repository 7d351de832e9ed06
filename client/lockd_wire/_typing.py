"""What this package needs of `typing` at run time, without `typing`.

Importing that takes longer than everything else a client imports, and many a client takes one lock and ends. Type
checkers see the real thing. At run time a `NamedTuple` is made here, and the rest stands in annotations, which nothing
evaluates.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
else:
    from _collections import _tuplegetter

    Any = Final = TypeAlias = None

    # What `collections.namedtuple` makes, but for two things: all have the same methods, and not each some of its own;
    # and what makes an instance is compiled when there is to be one. Both together take seven times as long as the rest
    # of the class, there are dozens of messages, and a program that takes one lock needs few of them.

    class _Named(tuple):
        __slots__ = ()

        def __new__(cls, *args, **kwargs):
            fields = ", ".join(cls._fields)
            make = eval(f"lambda _cls, {fields}: _new(_cls, ({fields},))", {"_new": tuple.__new__})
            make.__qualname__ = f"{cls.__qualname__}.__new__"
            cls.__new__ = staticmethod(make)
            return make(cls, *args, **kwargs)

        @classmethod
        def _make(cls, values):
            return cls(*values)

        def _replace(self, **values):
            return type(self)(**{**self._asdict(), **values})

        def _asdict(self):
            return dict(zip(self._fields, self, strict=True))

        def __repr__(self):
            return (
                f"{type(self).__name__}({', '.join([f'{name}={value!r}' for name, value in self._asdict().items()])})"
            )

        def __getnewargs__(self):
            return tuple(self)

    class _NamedTupleMaker(type):
        def __new__(cls, name, bases, namespace):
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            fields = tuple(namespace["__annotations__"])
            getters = {field: _tuplegetter(position, None) for position, field in enumerate(fields)}
            same = {what: namespace[what] for what in ("__module__", "__qualname__", "__doc__")}
            return type(
                name, (_Named,), {**same, "__slots__": (), "__match_args__": fields, "_fields": fields, **getters}
            )

    class NamedTuple(metaclass=_NamedTupleMaker):
        pass

    class Generic:
        def __class_getitem__(cls, parameters):
            return cls

    def TypeVar(name):
        return name


__all__ = ["TYPE_CHECKING", "Any", "Final", "Generic", "NamedTuple", "TypeAlias", "TypeVar"]
