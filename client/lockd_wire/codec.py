"""Messages to bytes and back: the only place that touches msgpack.

A `Dialect` is one direction of one socket: the table of the messages that may come from there, so that what belongs on
another socket is as unknown here as a made-up type. Both ways ask the same table, so that whatever `encode` lets
through, the other side can decode.
"""

from __future__ import annotations

from msgpack import Packer, unpackb

from . import fixed
from . import messages as m
from ._typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, TypeVar
from .errors import LocalWireError, RemoteWireError
from .limits import ELEMENTS_MAX, FRAME_BYTES_MAX, TEXT_BYTES_MAX, TIMEOUT_SECONDS_MAX, UINT_MAX  # noqa: F401  # In the source below.

if TYPE_CHECKING:
    from collections.abc import Callable

    #: The source of an expression that says whether ``{0}`` is of this kind. That may be anything at all: it came from
    #: a stranger.
    _Kind: TypeAlias = str

_T = TypeVar("_T")

_INFINITY: Final = float("inf")

#: Texts of this many characters are short enough in UTF-8, where a character takes up to 4 bytes.
_SHORT_TEXT: Final = TEXT_BYTES_MAX // 4

# Source, so that each message has one function in which the kinds of all its fields are written out (`_Shape`), as a
# named tuple has one for its making. A function for each field would say the same, and half of the time that a message
# takes would go into the calls.

# A bool is an int to Python, and never what is meant.
_uint: Final[_Kind] = "(type({0}) is int and 0 <= {0} <= UINT_MAX)"
_bool: Final[_Kind] = "(type({0}) is bool)"
_text: Final[_Kind] = "(isinstance({0}, str) and (len({0}) <= _SHORT_TEXT or len({0}.encode()) <= TEXT_BYTES_MAX))"
_timeout: Final[_Kind] = (
    "({0} is None or ((type({0}) is float or type({0}) is int) and 0 <= {0} <= TIMEOUT_SECONDS_MAX))"
)
_finite: Final[_Kind] = "(isinstance({0}, float) and -_INFINITY < {0} < _INFINITY)"
_int: Final[_Kind] = "(isinstance({0}, int) and -UINT_MAX <= {0} <= UINT_MAX)"


def _either(*kinds: _Kind) -> _Kind:
    return f"({' or '.join(kinds)})"


def _array_of(kind: _Kind) -> _Kind:
    return f"(type({{0}}) is tuple and len({{0}}) <= ELEMENTS_MAX and all([{kind.format('each')} for each in {{0}}]))"


def _pairs_of(kind: _Kind) -> _Kind:
    is_pair = f"type(pair) is tuple and len(pair) == 2 and {_text.format('pair[0]')} and {kind.format('pair[1]')}"
    are_pairs = f"len({{0}}) <= ELEMENTS_MAX and all([{is_pair} for pair in {{0}}])"
    return f"(type({{0}}) is tuple and (not {{0}} or ({are_pairs})))"


def _map_of(kind: _Kind) -> _Kind:
    fit = f"all([{_text.format('key')} and {kind.format('each')} for key, each in {{0}}.items()])"
    return f"(type({{0}}) is dict and (not {{0}} or (len({{0}}) <= ELEMENTS_MAX and {fit})))"


def _array(*kinds: _Kind) -> _Kind:
    fit = " and ".join([kind.format(f"{{0}}[{position}]") for position, kind in enumerate(kinds)])
    return f"(type({{0}}) is tuple and len({{0}}) == {len(kinds)} and {fit})"


_uint_or_nil = _either("{0} is None", _uint)
_scalar = _either("{0} is None", _text, _finite, _int)
_items = _array_of(_either(_array(_text, _text), _array(_text, _uint, _uint)))
_options = _pairs_of(_scalar)
_limits = _map_of(_uint)
_features = _array_of(_text)
_side = (_uint, _uint, _text, _text, _text, _uint)
_steps = _array_of(_array(_text, *_side, *_side, _finite, _bool))
_facts = _map_of(_either(_scalar, _map_of(_scalar), _array_of(_map_of(_scalar))))
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
    (51, m.Steps, (_uint, _uint, _uint, _uint, _steps)),
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
        self.has_options = kinds[-1] == _options
        #: Whether each element behind the first is of its kind.
        self.fits: Callable[[tuple[Any, ...]], bool] = self._compile_and_ask

    def __str__(self) -> str:
        """``AdminHello`` as ``ADMIN_HELLO``, the way the specification writes it."""
        words = (f"_{char}" if char.isupper() else char for char in self.message.__name__)
        return "".join(words).removeprefix("_").upper()

    def fault_of(self, array: tuple[Any, ...]) -> str:
        """Say why an array that does not fit does not."""
        if len(array) != self.size:
            return f"{self} has {self.size - 1} fields after its type, and not {len(array) - 1}"
        misfit = next(at for at, kind in enumerate(self.kinds) if not _compiled((kind,))((None, array[1 + at])))
        return f"{self} cannot have {_shown(array[1 + misfit])} as its {self.message._fields[misfit]}"

    def _compile_and_ask(self, array: tuple[Any, ...]) -> bool:
        # Not before it is needed: a program that takes one lock needs few of them.
        self.fits = _compiled(self.kinds)
        return self.fits(array)


def _compiled(kinds: tuple[_Kind, ...]) -> Callable[[tuple[Any, ...]], bool]:
    fit = " and ".join([kind.format(f"array[{position}]") for position, kind in enumerate(kinds, 1)])
    function: Callable[[tuple[Any, ...]], bool] = eval(f"lambda array: {fit}", globals())
    return function


_SHAPE_OF_TYPE: Final = {number: _Shape(number, message, kinds) for number, message, kinds in _SHAPES}
_SHAPE_OF_MESSAGE: Final = {shape.message: shape for shape in _SHAPE_OF_TYPE.values()}


class Dialect(Generic[_T]):
    """The messages that may come over one socket in one direction, and the bounds of their frames."""

    def __init__(self, types: range, *, pairs_max: int) -> None:
        self.frame_bytes_max = FRAME_BYTES_MAX
        self._pairs_max = pairs_max
        self._shapes = {number: shape for number, shape in _SHAPE_OF_TYPE.items() if number in types}
        #: What reads most of the bodies that have so many bytes.
        self._readers: dict[int, Callable[[bytes], Any]] = {
            size: read for number, (size, read) in fixed.READERS.items() if number in types
        }

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
        read = self._readers.get(len(body))
        if read is not None and (message := read(body)) is not None:
            return message  # type: ignore[no-any-return]  # It is one of those that _T stands for.
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


def rest_of_acquire(
    items: tuple[tuple[str, str] | tuple[str, int, int], ...], timeout: float | None, options: dict[str, m.Scalar]
) -> bytes:
    """Return what `fixed.acquire` puts behind the owner.

    Raises:
        LocalWireError: As for `encode`.
    """
    longer = fixed.BEGINNING_BYTES - fixed.SHORTEST_BEGINNING_BYTES
    frame = encode(m.Acquire(0, 0, items, timeout, options), FRAME_BYTES_MAX - longer)
    return frame[fixed.SHORTEST_BEGINNING_BYTES :]


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
