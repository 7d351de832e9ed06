"""The messages of every lock that is taken, in frames that have their numbers always in the same places.

msgpack lets a number take 8 bytes, however small it is. Where all numbers of a message do, and all else in it is the
same each time, its frame is made and read by one call, and not field by field. It says the same: whoever reads msgpack
reads such a frame as any other one, and nobody has to write it so.
"""

from __future__ import annotations

from struct import Struct

from ._typing import TYPE_CHECKING, Final
from .limits import UINT_MAX
from .messages import Granted, Release

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .messages import Message

# In msgpack: an array of so many elements, a number of 8 bytes, false, and an empty map.
_ARRAY_OF_4, _ARRAY_OF_5, _ARRAY_OF_6 = 0x94, 0x95, 0x96
_UINT64 = 0xCF
_FALSE = 0xC2
_NO_FACTS = 0x80

_ACQUIRE_TYPE, _RELEASE_TYPE, _GRANTED_TYPE = 4, 5, 34

_ACQUIRE_BEGINNING: Final = Struct(">IBBBQBQ")
_RELEASE: Final = Struct(">BBBQBQB")
_RELEASE_FRAME: Final = Struct(">IBBBQBQB")
_GRANTED: Final = Struct(">BBBQBQBQB")
_GRANTED_FRAME: Final = Struct(">IBBBQBQBQB")

#: The bytes of ACQUIRE up to its items: with an id and an owner of one byte each, and in the frames that are made here.
SHORTEST_BEGINNING_BYTES: Final = 8
BEGINNING_BYTES: Final = _ACQUIRE_BEGINNING.size

# Each of the following raises struct.error if a number does not fit into 8 bytes, which is a bug on this side.


def acquire(number: int, owner: int, rest: bytes) -> bytes:
    """Return the frame of an ACQUIRE. ``rest`` is what `codec.encode` makes of all that follows the owner."""
    length = BEGINNING_BYTES - 4 + len(rest)
    return _ACQUIRE_BEGINNING.pack(length, _ARRAY_OF_6, _ACQUIRE_TYPE, _UINT64, number, _UINT64, owner) + rest


def release(number: int, token: int) -> bytes:
    """Return the frame of a RELEASE that wants no answer."""
    return _RELEASE_FRAME.pack(_RELEASE.size, _ARRAY_OF_4, _RELEASE_TYPE, _UINT64, number, _UINT64, token, _FALSE)


def granted(number: int, covered: int, token: int) -> bytes:
    """Return the frame of a GRANTED without facts."""
    return _GRANTED_FRAME.pack(
        *(_GRANTED.size, _ARRAY_OF_5, _GRANTED_TYPE, _UINT64, number, _UINT64, covered, _UINT64, token, _NO_FACTS)
    )


def _read_release(body: bytes) -> Release | None:
    array, kind, a, number, b, token, confirm = _RELEASE.unpack(body)
    if array == _ARRAY_OF_4 and kind == _RELEASE_TYPE and a == b == _UINT64 and confirm == _FALSE:
        return Release(number, token, False) if number <= UINT_MAX and token <= UINT_MAX else None
    return None


def _read_granted(body: bytes) -> Granted | None:
    array, kind, a, number, b, covered, c, token, facts = _GRANTED.unpack(body)
    if array == _ARRAY_OF_5 and kind == _GRANTED_TYPE and a == b == c == _UINT64 and facts == _NO_FACTS:
        return Granted(number, covered, token, {}) if max(number, covered, token) <= UINT_MAX else None
    return None


#: By the type of the message: how long such a body is, and what reads one of that length. None: it is another message,
#: or has a number that no message has.
READERS: Final[Mapping[int, tuple[int, Callable[[bytes], Message | None]]]] = {
    _RELEASE_TYPE: (_RELEASE.size, _read_release),
    _GRANTED_TYPE: (_GRANTED.size, _read_granted),
}
