"""What this package needs of `typing` at run time, without `typing`.

Importing that takes longer than everything else a client imports, and many a client takes one lock and ends. Type
checkers see the real thing. At run time `collections.namedtuple` makes a `NamedTuple`, which is all that the real one
does, and the rest stands in annotations, which nothing evaluates.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar
else:
    from collections import namedtuple

    Any = Final = TypeAlias = None

    class _NamedTupleMaker(type):
        def __new__(cls, name, bases, namespace):
            if not bases:
                return super().__new__(cls, name, bases, namespace)
            made = namedtuple(name, namespace["__annotations__"], module=namespace["__module__"])
            made.__doc__ = namespace["__doc__"]
            return made

    class NamedTuple(metaclass=_NamedTupleMaker):
        pass

    class Generic:
        def __class_getitem__(cls, parameters):
            return cls

    def TypeVar(name):
        return name


__all__ = ["TYPE_CHECKING", "Any", "Final", "Generic", "NamedTuple", "TypeAlias", "TypeVar"]
