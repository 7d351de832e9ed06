"""Messages to bytes and back: the only place that touches msgpack.

A `Dialect` is one direction of one socket: the table of the messages that may come from there, so that what belongs on
another socket is as unknown here as a made-up type. Both ways ask the same table, so that whatever `encode` lets
through, the other side can decode.
"""

from __future__ import annotations

from msgpack import Packer, unpackb

from . import messages as m
from ._typing import TYPE_CHECKING, Any, Final, Generic, TypeVar
from .errors import LocalWireError, RemoteWireError
from .limits import ELEMENTS_MAX, FRAME_BYTES_MAX, TEXT_BYTES_MAX, TIMEOUT_SECONDS_MAX, UINT_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    #: Says whether a value is of this kind. A value may be anything at all: it came from a stranger.
    _Kind = Callable[[object], bool]

_T = TypeVar("_T")

_INFINITY: Final = float("inf")

#: Texts of this many characters are short enough in UTF-8, where a character takes up to 4 bytes.
_SHORT_TEXT: Final = TEXT_BYTES_MAX // 4


def _uint(value: object) -> bool:
    # A bool is an int to Python, and never what is meant.
    return type(value) is int and 0 <= value <= UINT_MAX


def _uint_or_nil(value: object) -> bool:
    return value is None or _uint(value)


def _bool(value: object) -> bool:
    return type(value) is bool


def _text(value: object) -> bool:
    return isinstance(value, str) and (len(value) <= _SHORT_TEXT or len(value.encode()) <= TEXT_BYTES_MAX)


def _timeout(value: object) -> bool:
    return value is None or ((type(value) is float or type(value) is int) and 0 <= value <= TIMEOUT_SECONDS_MAX)


def _scalar(value: object) -> bool:
    if isinstance(value, float):
        return -_INFINITY < value < _INFINITY
    if isinstance(value, int):
        return -UINT_MAX <= value <= UINT_MAX
    return value is None or _text(value)


def _array_of(kind: _Kind) -> _Kind:
    return lambda value: type(value) is tuple and len(value) <= ELEMENTS_MAX and all(map(kind, value))


def _pairs_of(kind: _Kind) -> _Kind:
    def are_pairs(value: object) -> bool:
        if type(value) is not tuple or len(value) > ELEMENTS_MAX:
            return False
        for pair in value:
            if type(pair) is not tuple or len(pair) != 2:
                return False
            key, element = pair
            if not _text(key) or not kind(element):
                return False
        return True

    return are_pairs


def _map_of(kind: _Kind) -> _Kind:
    return lambda value: (
        type(value) is dict
        and (not value or (len(value) <= ELEMENTS_MAX and all(map(_text, value)) and all(map(kind, value.values()))))
    )


def _either(first: _Kind, second: _Kind) -> _Kind:
    return lambda value: first(value) or second(value)


def _item(value: object) -> bool:
    if type(value) is not tuple:
        return False
    if len(value) == 2:
        return _text(value[0]) and _text(value[1])
    return len(value) == 3 and _text(value[0]) and _uint(value[1]) and _uint(value[2])


_items = _array_of(_item)
_options = _pairs_of(_scalar)
_limits = _map_of(_uint)
_features = _array_of(_text)
_facts = _map_of(_either(_scalar, _either(_map_of(_scalar), _array_of(_map_of(_scalar)))))
_rows = _array_of(_map_of(_either(_scalar, _map_of(_scalar))))

#: Type, message, and what each field may be. The types are those of docs/protocol.md.
_SHAPES: Final[tuple[tuple[int, type[m.Message], tuple[_Kind, ...]], ...]] = (
    (1, m.Hello, (_uint, _text, _uint, _text, _options)),
    (2, m.Resume, (_uint, _text, _uint, _uint)),
    (3, m.Bye, (_uint,)),
    (4, m.Acquire, (_uint, _uint, _items, _timeout, _options)),
    (8, m.Convert, (_uint, _uint, _text, _timeout, _options)),
    (5, m.Release, (_uint, _uint, _bool)),
    (6, m.Cancel, (_uint, _uint)),
    (9, m.HandOver, (_uint, _uint)),
    (10, m.Adopt, (_uint, _uint, _text)),
    (11, m.Inherit, (_uint, _uint)),
    (7, m.Query, (_uint, _text)),
    (33, m.Welcome, (_uint, _uint, _uint, _uint, _uint, _limits, _features)),
    (34, m.Granted, (_uint, _uint, _uint, _facts)),
    (35, m.Failed, (_uint, _uint, _text, _text, _facts)),
    (36, m.Done, (_uint, _uint)),
    (37, m.State, (_uint, _uint, _facts)),
    (38, m.Ticket, (_uint, _uint, _text)),
    (48, m.Waiting, (_uint, _uint, _uint, _facts)),
    (49, m.YieldRequested, (_uint, _uint, _uint, _facts)),
    (50, m.Lost, (_uint, _uint, _uint, _text)),
    (65, m.AdminHello, (_uint, _text, _uint)),
    (66, m.Status, (_uint,)),
    (67, m.List, (_uint, _text, _uint, _options)),
    (68, m.Show, (_uint, _text)),
    (69, m.Sessions, (_uint, _uint)),
    (70, m.Graph, (_uint, _uint)),
    (71, m.History, (_uint, _text, _uint)),
    (72, m.Watch, (_uint, _text)),
    (73, m.Metrics, (_uint, _uint)),
    (74, m.Break, (_uint, _text, _uint, _text, _options)),
    (75, m.Orders, (_uint, _uint)),
    (97, m.AdminWelcome, (_uint, _uint, _text)),
    (98, m.Report, (_uint, _facts)),
    (99, m.Rows, (_uint, _rows, _uint_or_nil)),
    (100, m.AdminFailed, (_uint, _text, _text)),
    (101, m.Happened, (_uint, _uint, _rows)),
)


class _Shape:
    """A row of the table above, ready for use on the array of a message: its type, and then its fields."""

    __slots__ = ("fits", "has_options", "kinds", "message", "number", "size")

    def __init__(self, number: int, message: type[m.Message], kinds: tuple[_Kind, ...]) -> None:
        self.number = number
        self.message = message
        self.kinds = kinds
        self.size = 1 + len(kinds)
        self.fits = _each(kinds)
        self.has_options = kinds[-1] is _options

    def __str__(self) -> str:
        """``AdminHello`` as ``ADMIN_HELLO``, the way the specification writes it."""
        words = (f"_{char}" if char.isupper() else char for char in self.message.__name__)
        return "".join(words).removeprefix("_").upper()

    def fault_of(self, array: tuple[Any, ...]) -> str:
        """Say why an array that does not fit does not."""
        if len(array) != self.size:
            return f"{self} has {self.size - 1} fields after its type, and not {len(array) - 1}"
        misfit = next(position for position, kind in enumerate(self.kinds) if not kind(array[1 + position]))
        return f"{self} cannot have {_shown(array[1 + misfit])} as its {self.message._fields[misfit]}"


def _each(kinds: tuple[_Kind, ...]) -> Callable[[tuple[Any, ...]], bool]:
    """Return a function that says of an array whether each element behind the first is of its kind.

    A loop would say the same, and take half as long again.
    """
    match kinds:
        case (a,):
            return lambda array: a(array[1])
        case (a, b):
            return lambda array: a(array[1]) and b(array[2])
        case (a, b, c):
            return lambda array: a(array[1]) and b(array[2]) and c(array[3])
        case (a, b, c, d):
            return lambda array: a(array[1]) and b(array[2]) and c(array[3]) and d(array[4])
        case (a, b, c, d, e):
            return lambda array: a(array[1]) and b(array[2]) and c(array[3]) and d(array[4]) and e(array[5])
    first, rest = _each(kinds[:4]), _each(kinds[4:])
    return lambda array: first(array) and rest(array[4:])


_SHAPE_OF_TYPE: Final = {number: _Shape(number, message, kinds) for number, message, kinds in _SHAPES}
_SHAPE_OF_MESSAGE: Final = {shape.message: shape for shape in _SHAPE_OF_TYPE.values()}


class Dialect(Generic[_T]):
    """The messages that may come over one socket in one direction, and the bounds of their frames."""

    def __init__(self, types: range, *, pairs_max: int) -> None:
        self.frame_bytes_max = FRAME_BYTES_MAX
        self._pairs_max = pairs_max
        self._shapes = {number: shape for number, shape in _SHAPE_OF_TYPE.items() if number in types}

    @property
    def message_types(self) -> frozenset[type[m.Message]]:
        """The classes of the messages of this dialect."""
        return frozenset(shape.message for shape in self._shapes.values())

    def decode(self, body: bytes) -> _T:
        """Return the message in the body of one frame.

        Raises:
            RemoteWireError: The bytes are not a message of this dialect. Nothing else is ever raised, whatever the
                bytes.
        """
        try:
            # Written out: with the bounds as ** of one dict the call takes nearly twice as long.
            array = unpackb(
                body,
                use_list=False,
                strict_map_key=True,
                max_array_len=ELEMENTS_MAX,
                max_map_len=self._pairs_max,
                max_str_len=TEXT_BYTES_MAX,
                max_bin_len=0,
                max_ext_len=0,
            )
        except ValueError as error:
            # msgpack's own exceptions, and the UnicodeDecodeError of a bad string, are all kinds of ValueError.
            cause = str(error) or type(error).__name__
            raise RemoteWireError(f"a frame is not msgpack within the bounds of the protocol: {cause}") from None
        if type(array) is not tuple or not array:
            raise RemoteWireError("a frame holds something else than an array with a message in it")
        number = array[0]
        shape = self._shapes.get(number) if type(number) is int else None
        if shape is None:
            raise RemoteWireError(f"{_shown(number)} is not the type of a message that may come here")
        if len(array) != shape.size or not shape.fits(array):
            raise RemoteWireError(shape.fault_of(array))
        fields = (*array[1:-1], dict(array[-1])) if shape.has_options else array[1:]
        # What _make() does, but for counting the fields again.
        return tuple.__new__(shape.message, fields)  # type: ignore[return-value]  # It is one of those that _T stands for.


def encode(message: m.Message, frame_bytes_max: int = FRAME_BYTES_MAX) -> bytes:
    """Return ``message`` as a frame: its length and its body.

    Raises:
        LocalWireError: The message has a value that the protocol does not allow there, or is too long. That is a bug on
            this side.
    """
    shape = _SHAPE_OF_MESSAGE.get(type(message))
    if shape is None:
        raise LocalWireError(f"{_shown(message)} is not a message")
    fields: tuple[Any, ...] = message
    try:
        if shape.has_options:
            array = (shape.number, *fields[:-1], tuple(fields[-1].items()))
        else:
            array = (shape.number, *fields)
        if not shape.fits(array):
            raise LocalWireError(shape.fault_of(array))
        # A packer of its own each time: the garbage collector may run a finalizer in the middle of packing, and that
        # one may have a message to send, too.
        body: bytes = Packer(buf_size=1024).pack(array)
    except (AttributeError, ValueError) as error:
        raise LocalWireError(f"{shape} cannot be encoded: {error}") from error
    if len(body) > frame_bytes_max:
        raise LocalWireError(f"{shape} would take {len(body)} bytes: a frame has at most {frame_bytes_max}")
    return len(body).to_bytes(4, "big") + body


def size_of(value: object) -> int:
    """Return how many bytes of a frame a part of a message takes."""
    return len(Packer(buf_size=1024).pack(value))


def _shown(value: object) -> str:
    """A value as a few words of a sentence, with nothing in them that a terminal obeys, and nothing that is nested."""
    if value is None or isinstance(value, (str, float)) or (isinstance(value, int) and -UINT_MAX <= value <= UINT_MAX):
        text = ascii(value)
        return text if len(text) <= 40 else f"{text[:37]}..."
    return f"a value of type {type(value).__name__}"


#: What a client may say, and what the daemon answers. Maps come from the daemon only: docs/protocol.md says why.
TO_DAEMON: Final[Dialect[m.ClientMessage]] = Dialect(range(1, 33), pairs_max=0)
TO_CLIENT: Final[Dialect[m.DaemonMessage]] = Dialect(range(33, 65), pairs_max=ELEMENTS_MAX)
TO_ADMIN: Final[Dialect[m.AdminRequest]] = Dialect(range(65, 97), pairs_max=0)
FROM_ADMIN: Final[Dialect[m.AdminReply]] = Dialect(range(97, 129), pairs_max=ELEMENTS_MAX)
