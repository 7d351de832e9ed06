"""What can be said in each direction, and that nothing else gets through, whatever the bytes."""

from __future__ import annotations

import gc
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgpack import ExtType, Timestamp, packb

from lockd_wire import messages as m
from lockd_wire.codec import FROM_ADMIN, TO_ADMIN, TO_CLIENT, TO_DAEMON, Dialect, encode, size_of
from lockd_wire.errors import LocalWireError, RemoteWireError, WireError
from lockd_wire.limits import ELEMENTS_MAX, FRAME_BYTES_MAX, UINT_MAX
from support.vectors import read_vectors
from support.wire_messages import DIALECTS, FIELDS, NAMES, NUMBERS, OPTIONS, Kind, array_of, dialect_of, messages

VECTORS = read_vectors()
EXAMPLES = {type(vector.message): vector.message for vector in VECTORS}
NAMES_OF = {message: name for name, message in NAMES.items()}
PLENTY = 1_000_000

each_message = pytest.mark.parametrize("message", FIELDS)
each_dialect = pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
each_field = pytest.mark.parametrize(
    ("message", "position"),
    [
        pytest.param(EXAMPLES[message], position, id=f"{message.__name__}-{field}")
        for message in FIELDS
        for position, field in enumerate(message._fields)
    ],
)


def with_field(message: Any, position: int, value: object) -> Any:
    """Return the message with another value in one field, which may be a value of the wrong type."""
    return message._replace(**{message._fields[position]: value})


def refused(dialect: Dialect[Any], body: bytes) -> str:
    """Return why a body is no message."""
    with pytest.raises(RemoteWireError) as raised:
        dialect.decode(body)
    return str(raised.value)


@each_message
@settings(max_examples=40)
@given(data=st.data())
def test_what_is_encoded_is_decoded(message: type[m.Message], data: st.DataObject) -> None:
    said = data.draw(messages(message))

    frame = encode(said, PLENTY)
    assert int.from_bytes(frame[:4], "big") == len(frame) - 4
    heard = dialect_of(message).decode(frame[4:])
    assert type(heard) is message
    assert repr(heard) == repr(said)


def test_a_message_belongs_to_exactly_one_dialect() -> None:
    of_dialects = [message for dialect in DIALECTS.values() for message in dialect.message_types]

    assert len(of_dialects) == len(FIELDS)
    assert set(of_dialects) == FIELDS.keys()


@each_message
@each_dialect
def test_a_message_is_unknown_in_every_other_dialect(message: type[m.Message], dialect: Dialect[Any]) -> None:
    body = packb(array_of(EXAMPLES[message]))
    if message in dialect.message_types:
        assert dialect.decode(body) == EXAMPLES[message]
    elif b"pid" in body or isinstance(EXAMPLES[message], m.Welcome | m.Report):
        # It has maps in it, and the types of where there are none have not been looked at yet.
        refused(dialect, body)
    else:
        assert refused(dialect, body) == f"{NUMBERS[message]} is not the type of a message that may come here"


def test_numbers_and_texts_may_be_written_longer_than_they_need_to_be() -> None:
    body = bytes.fromhex("dc 0004  d3 0000000000000005  cd 0005  cf 0000000000000011  c2")

    assert TO_DAEMON.decode(body) == m.Release(5, 17, False)
    assert TO_DAEMON.decode(bytes.fromhex("dd 00000003  07  08  db 00000001 61")) == m.Query(8, "a")


def test_of_an_option_that_comes_twice_the_last_counts() -> None:
    body = packb([1, 0, "lockd", 1, "", [["a", 1], ["b", 2], ["a", 3]]])

    assert TO_DAEMON.decode(body) == m.Hello(0, "lockd", 1, "", {"a": 3, "b": 2})


def test_a_member_of_an_enumeration_is_as_good_as_its_text() -> None:
    class Code(StrEnum):
        TIMEOUT = "timeout"

    body = encode(m.Failed(1, 1, Code.TIMEOUT, "", {"code": Code.TIMEOUT}))[4:]

    assert TO_CLIENT.decode(body) == m.Failed(1, 1, "timeout", "", {"code": "timeout"})


@each_field
def test_a_wrong_field_is_not_encoded(message: m.Message, position: int) -> None:
    for wrong in FIELDS[type(message)][position].wrong:
        with pytest.raises(LocalWireError, match=f"^{NAMES_OF[type(message)]} can"):
            encode(with_field(message, position, wrong), PLENTY)


@each_field
def test_a_wrong_field_is_not_decoded(message: m.Message, position: int) -> None:
    dialect = dialect_of(type(message))
    assert dialect.decode(packb(array_of(message))) == message

    for wrong in FIELDS[type(message)][position].wrong:
        try:
            body = packb(array_of(with_field(message, position, wrong)))
        except OverflowError:
            # No msgpack can say a number as great as that.
            continue
        refused(dialect, body)


@pytest.mark.parametrize(
    "wrong",
    [
        *(
            None,
            "label",
            {},
            [1],
            ["label"],
            [["label"]],
            [["label", 1, 1]],
            [[1, 1]],
            [["label", []]],
            [[["label", 1]]],
        ),
        *([["label", float("inf")]], [["label", -(2**63)]], [["label", 1]] * (ELEMENTS_MAX + 1)),
    ],
)
def test_options_are_pairs(wrong: object) -> None:
    refused(TO_DAEMON, packb([1, 0, "lockd", 1, "", wrong]))
    refused(TO_DAEMON, packb([4, 1, 1, [], 0, wrong]))


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        (m.Cancel(-1, 5), "CANCEL cannot have -1 as its id"),
        (m.Cancel(4, 2**70), "CANCEL cannot have a value of type int as its request"),
        (m.Cancel(4, 10**5000), "CANCEL cannot have a value of type int as its request"),
        (m.AdminHello(0, "\x1b" * 2000, 1), "ADMIN_HELLO cannot have '" + r"\x1b" * 9 + "... as its magic"),
        (with_field(m.Release(1, 2, True), 2, None), "RELEASE cannot have None as its confirm"),
        (m.Acquire(1, 1, (), float("nan"), {}), "ACQUIRE cannot have nan as its timeout"),
        (with_field(m.Acquire(1, 1, (), 1, {}), 2, ((),)), "ACQUIRE cannot have a value of type tuple as its items"),
        (m.Query(1, "\ud800"), "QUERY cannot be encoded: 'utf-8' codec can't encode character '\\ud800'"),
        (m.Query(1, "\ud800" * 300), "QUERY cannot be encoded: 'utf-8' codec can't encode characters"),
    ],
)
def test_the_error_says_which_field_of_which_message_is_wrong(wrong: m.Message, sentence: str) -> None:
    with pytest.raises(LocalWireError) as raised:
        encode(wrong)

    assert str(raised.value).startswith(sentence)


def test_a_peer_is_told_the_same() -> None:
    assert refused(TO_DAEMON, packb([6, 1, "\x1b[2J"])) == "CANCEL cannot have '\\x1b[2J' as its request"
    assert refused(TO_DAEMON, packb([6, [], 1])) == "CANCEL cannot have a value of type tuple as its id"
    assert refused(TO_CLIENT, packb([33, 0, 0, 1, 1, 1, {"a": -1}, []])).endswith("as its limits")


@each_message
@pytest.mark.parametrize("change", [-1, 1])
def test_a_message_has_exactly_its_fields(message: type[m.Message], change: int) -> None:
    array = array_of(EXAMPLES[message])
    wrong = array[:-1] if change < 0 else (*array, 0)
    count = len(message._fields)

    assert refused(dialect_of(message), packb(wrong)) == (
        f"{NAMES_OF[message]} has {count} fields after its type, and not {count + change}"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "incomplete"),
        (packb([]), "something else than an array"),
        (packb(3), "something else than an array"),
        (packb("lockd"), "something else than an array"),
        (packb({}), "something else than an array"),
        (b"\xc1", "FormatError"),
        (packb([3, 1])[:-1], "incomplete"),
        (packb([3, 1]) + b"\0", "extra data"),
        (packb([3, 1]) * 2, "extra data"),
        (packb([12, 1]), "12 is not the type"),
        (packb([0, 1]), "0 is not the type"),
        (packb([-3, 1]), "-3 is not the type"),
        (packb([2**64 - 1, 1]), "a value of type int is not the type"),
        (packb([3.0, 1]), "3.0 is not the type"),
        (packb([True, 0, "lockd", 1, "", []]), "True is not the type"),
        (packb(["\x1b[2J", 1]), r"'\x1b[2J' is not the type"),
        (packb([[], 1]), "a value of type tuple is not the type"),
        (packb([None]), "None is not the type"),
        (packb([3, b""]), "a value of type bytes as its id"),
        (packb([3, b"1"]), "1 exceeds max_bin_len(0)"),
        (packb([3, ExtType(1, b"")]), "a value of type ExtType as its id"),
        (packb([3, ExtType(1, b"1")]), "exceeds max_ext_len(0)"),
        (packb([3, Timestamp(1, 0)]), "exceeds max_ext_len(0)"),
        (b"\x92\x03\xc7\x00\xff", "invalid timestamp data"),
        (packb([7, 1, "a" * 1025]), "1025 exceeds max_str_len(1024)"),
        (packb([3] * (ELEMENTS_MAX + 1)), "33 exceeds max_array_len(32)"),
        (b"\xdd\xff\xff\xff\xff", "4294967295 exceeds max_array_len(32)"),
        (b"\x93\x07\x01\xa2\xc3\x28", "invalid continuation byte"),
        (b"\x93\x07\x01\xa3\xed\xa0\x80", "invalid continuation byte"),
        (b"\x91" * 5000, "StackError"),
        (b"\x91" * 1000 + b"\x01", "a value of type tuple is not the type"),
        (b"\x92\x03" + b"\x91" * 1000 + b"\x01", "a value of type tuple as its id"),
    ],
)
def test_other_bytes_are_no_message(body: bytes, reason: str) -> None:
    assert reason in refused(TO_DAEMON, body)


@pytest.mark.parametrize("dialect", [TO_DAEMON, TO_ADMIN])
def test_no_map_comes_from_a_client(dialect: Dialect[Any]) -> None:
    """Its keys would be interned before anybody had looked at them, which in CPython 3.12.1 is for ever."""
    assert refused(dialect, packb([3, {"a": 1}])).endswith("1 exceeds max_map_len(0)")


@pytest.mark.parametrize("dialect", [TO_CLIENT, FROM_ADMIN])
@pytest.mark.parametrize("key", [1, None, 1.5, True, b"a", (1,)])
def test_keys_are_texts(dialect: Dialect[Any], key: object) -> None:
    number = 37 if dialect is TO_CLIENT else 98
    array = [37, 1, 1, {key: 1}] if dialect is TO_CLIENT else [number, 1, {key: 1}]

    refused(dialect, packb(array))


@each_dialect
@given(body=st.binary(max_size=200))
def test_arbitrary_bytes_are_a_message_or_a_remote_error(dialect: Dialect[Any], body: bytes) -> None:
    check_decode(dialect, body)


_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=2),
    lambda values: (
        st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=2) | st.integers(0, 3), values, max_size=3)
    ),
    max_leaves=12,
)


def on_the_wire(kind: Kind) -> st.SearchStrategy[Any]:
    """Give right values of a field in the form in which they travel."""
    return kind.right.map(lambda options: list(options.items())) if kind is OPTIONS else kind.right


@each_dialect
@given(data=st.data())
def test_arbitrary_fields_are_a_message_or_a_remote_error(dialect: Dialect[Any], data: st.DataObject) -> None:
    message = data.draw(st.sampled_from([message for message in FIELDS if message in dialect.message_types]))
    fields = [data.draw(on_the_wire(kind) | _values) for kind in FIELDS[message]]

    check_decode(dialect, packb([NUMBERS[message], *fields]))


@given(
    st.sampled_from(VECTORS).map(lambda vector: vector.body),
    st.lists(
        st.tuples(st.integers(0, PLENTY), st.integers(0, 255), st.sampled_from(["change", "insert", "remove", "cut"]))
    ),
)
def test_a_damaged_message_is_a_message_or_a_remote_error(original: bytes, damages: list[tuple[int, int, str]]) -> None:
    body = bytearray(original)
    for place, byte, what in damages:
        position = place % (len(body) + 1)
        if what == "cut":
            del body[position:]
        else:
            body[position : position + (what != "insert")] = b"" if what == "remove" else bytes([byte])

    for dialect in DIALECTS.values():
        check_decode(dialect, bytes(body))


def check_decode(dialect: Dialect[Any], body: bytes) -> None:
    """Decode: no other error than the remote one, and what comes out is a message that could have been sent."""
    try:
        message = dialect.decode(body)
    except RemoteWireError as error:
        reason = str(error)
    else:
        reason = ""
        assert type(message) in dialect.message_types
        assert repr(dialect.decode(encode(message, PLENTY)[4:])) == repr(message)
    # It is logged, and sent back to the peer.
    assert reason == "" or reason.isprintable()
    assert len(reason) < 300


@each_dialect
@given(data=st.data())
def test_arbitrary_fields_are_encoded_or_a_local_error(dialect: Dialect[Any], data: st.DataObject) -> None:
    message: Any = data.draw(st.sampled_from([message for message in FIELDS if message in dialect.message_types]))
    anything = _values | st.text(st.characters(), max_size=3) | st.integers() | st.just(object())
    said = message._make(data.draw(st.tuples(*(kind.right | anything for kind in FIELDS[message]))))
    try:
        frame = encode(said, PLENTY)
    except LocalWireError:
        return
    assert repr(dialect.decode(frame[4:])) == repr(said)


def test_a_frame_has_a_greatest_length() -> None:
    row: dict[str, m.Scalar | dict[str, m.Scalar]] = {"name": "a" * 1000}
    fits = m.Rows(1, (row,) * 8, None)
    assert len(encode(fits)) <= 4 + FRAME_BYTES_MAX
    body = encode(m.Rows(1, (row,) * 9, None), PLENTY)[4:]

    with pytest.raises(LocalWireError, match=f"^ROWS would take {len(body)} bytes: a frame has at most 8192$"):
        encode(m.Rows(1, (row,) * 9, None))


def test_the_bound_of_a_frame_may_be_the_peers() -> None:
    assert len(encode(m.Bye(1), 3)) == 4 + 3
    with pytest.raises(LocalWireError):
        encode(m.Bye(1), 2)


@pytest.mark.parametrize("other", [(3, 1), None, "BYE", object(), m.Bye])
def test_other_values_are_no_messages(other: Any) -> None:
    with pytest.raises(LocalWireError, match=r" is not a message$"):
        encode(other)


def test_a_finalizer_may_send_in_the_middle_of_a_message() -> None:
    """A lock that is garbage is released as soon as the collector finds it, which can be while a message is packed."""
    release = m.Release(2, 1, False)
    expected = encode(release)
    sent = []

    def finalize(*_: object) -> None:
        sent.append(encode(release))

    thresholds = gc.get_threshold()
    gc.callbacks.append(finalize)
    try:
        # From here on nearly every new container starts a collection, and the error of a surrogate is one.
        gc.set_threshold(1)
        for _ in range(20):
            with pytest.raises(LocalWireError):
                encode(m.Query(1, "a surrogate \ud800"))
    finally:
        gc.set_threshold(*thresholds)
        gc.callbacks.remove(finalize)

    assert len(sent) > 20
    assert set(sent) == {expected}


def test_the_two_errors_are_told_apart_and_have_a_common_name() -> None:
    assert issubclass(LocalWireError, WireError)
    assert issubclass(RemoteWireError, WireError)
    assert not issubclass(LocalWireError, RemoteWireError)
    assert not issubclass(RemoteWireError, LocalWireError)


def test_the_greatest_id_is_a_signed_64_bit_number() -> None:
    assert TO_DAEMON.decode(encode(m.Bye(UINT_MAX))[4:]) == m.Bye(2**63 - 1)


def test_the_size_of_a_part_is_what_it_takes_in_a_frame() -> None:
    facts: m.Facts = {"name": "a", "holders": ()}

    assert size_of(facts) == len(encode(m.Report(1, facts))) - len(encode(m.Report(1, {}))) + 1
