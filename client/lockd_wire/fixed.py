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
_RELEASE_FRAME: Final = Struct(">IBBBQBQB")
_GRANTED_FRAME: Final = Struct(">IBBBQBQBQB")

# The bodies of these, of which nothing but the numbers is looked at. Of ACQUIRE it is the beginning of the body.
_ACQUIRE: Final = Struct(">3xQxQ")
_RELEASE: Final = Struct(">3xQxQx")
_GRANTED: Final = Struct(">3xQxQxQx")

#: The bytes of ACQUIRE up to its items: with an id and an owner of one byte each, and in the frames that are made here.
SHORTEST_BEGINNING_BYTES: Final = 8
BEGINNING_BYTES: Final = _ACQUIRE_BEGINNING.size

#: The bytes of the body of RELEASE in the frames that are made here.
RELEASE_BYTES: Final = _RELEASE.size

# Each of the following three raises struct.error if a number does not fit into 8 bytes, which is a bug on this side.


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


# Taken for one large number, a body differs from the one with the greatest numbers that there can be in the bits of its
# own numbers only. So one comparison tells whether all the rest is as it has to be.
_GREATEST_ACQUIRE: Final = int.from_bytes(acquire(UINT_MAX, UINT_MAX, b"")[4:], "big")
_GREATEST_RELEASE: Final = int.from_bytes(release(UINT_MAX, UINT_MAX)[4:], "big")
_GREATEST_GRANTED: Final = int.from_bytes(granted(UINT_MAX, UINT_MAX, UINT_MAX)[4:], "big")
_BITS_OF_ACQUIRE: Final = _GREATEST_ACQUIRE ^ int.from_bytes(acquire(0, 0, b"")[4:], "big")
_BITS_OF_RELEASE: Final = _GREATEST_RELEASE ^ int.from_bytes(release(0, 0)[4:], "big")
_BITS_OF_GRANTED: Final = _GREATEST_GRANTED ^ int.from_bytes(granted(0, 0, 0)[4:], "big")

# What a named tuple does for its making, without the call of a function.
_made = tuple.__new__


def parts_of_acquire(body: bytes) -> tuple[int, int, bytes] | None:
    """Return the id, the owner and the rest of the body of a frame that `acquire` makes, or None if it is another one.
    What the rest is nobody has looked at."""
    beginning = body[: _ACQUIRE.size]
    if int.from_bytes(beginning, "big") | _BITS_OF_ACQUIRE == _GREATEST_ACQUIRE:
        number, owner = _ACQUIRE.unpack(beginning)
        return number, owner, body[_ACQUIRE.size :]
    return None


def parts_of_release(body: bytes) -> tuple[int, int] | None:
    """Return the id and the token in the body of a frame that `release` makes, or None if it is another one of as many
    bytes."""
    if int.from_bytes(body, "big") | _BITS_OF_RELEASE == _GREATEST_RELEASE:
        number, token = _RELEASE.unpack(body)
        return number, token
    return None


def _read_release(body: bytes) -> Release | None:
    parts = parts_of_release(body)
    return None if parts is None else _made(Release, (*parts, False))


def _read_granted(body: bytes) -> Granted | None:
    if int.from_bytes(body, "big") | _BITS_OF_GRANTED == _GREATEST_GRANTED:
        return _made(Granted, (*_GRANTED.unpack(body), {}))
    return None


#: By the type of the message: how long such a body is, and what reads one of that length. None: it is another message,
#: or has a number that no message has.
READERS: Final[Mapping[int, tuple[int, Callable[[bytes], Message | None]]]] = {
    _RELEASE_TYPE: (RELEASE_BYTES, _read_release),
    _GRANTED_TYPE: (_GRANTED.size, _read_granted),
}
