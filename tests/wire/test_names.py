"""Which names there can be. What one side lets through the other one does not refuse: both ask these functions."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lockd_wire.limits import LABEL_BYTES_MAX, NAME_BYTES_MAX, PROGRAM_BYTES_MAX
from lockd_wire.names import fault_of_label, fault_of_name, fault_of_program, name_of_path

Fault = Callable[[str], str | None]

each_rule = pytest.mark.parametrize(
    ("fault_of", "bytes_max"),
    [(fault_of_name, NAME_BYTES_MAX), (fault_of_label, LABEL_BYTES_MAX), (fault_of_program, PROGRAM_BYTES_MAX)],
)
paths = st.binary(max_size=300) | st.text("/abcé%~ ", max_size=300).map(os.fsencode)

CONTROLS = [*map(chr, range(0x20)), "\x7f", *map(chr, range(0x80, 0xA0)), "\u2028", "\u2029"]
TURNS = [*"\u061c\u200e\u200f", *map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))]


@each_rule
@pytest.mark.parametrize(
    "text", ["a", " ", "reports/daily", "größe", "日本語", "\U0001f512", "שלום", "e\u200d", "\ufdfa", "~%\\\"'`$"]
)
def test_what_can_be_shown_is_allowed(fault_of: Fault, bytes_max: int, text: str) -> None:
    assert fault_of(text) is None


@each_rule
@pytest.mark.parametrize("character", ["a", "é", "日", "\U0001f512"])
def test_the_length_counts_in_bytes(fault_of: Fault, bytes_max: int, character: str) -> None:
    size = len(character.encode())
    longest = character * (bytes_max // size)
    longest += "a" * (bytes_max - len(longest.encode()))

    assert len(longest.encode()) == bytes_max
    assert fault_of(longest) is None
    assert fault_of(longest + "a") == f"is {bytes_max + 1} bytes long in UTF-8: at most {bytes_max} are allowed"


@each_rule
def test_nothing_is_allowed_that_a_terminal_obeys(fault_of: Fault, bytes_max: int) -> None:
    for character, rest in product(CONTROLS + TURNS, ["", "a", "é"]):
        for text in (character + rest, rest + character):
            fault = fault_of(text)
            assert fault is not None
            assert fault.startswith(f"has a control character in it ({text!a})")
            assert fault.isprintable()


@each_rule
def test_a_fault_is_short_however_long_the_text(fault_of: Fault, bytes_max: int) -> None:
    fault = fault_of("\x1b" * bytes_max)

    assert fault is not None
    assert len(fault) < 200


@each_rule
@pytest.mark.parametrize("text", ["e\u0301", "\u212b", "q\u0307\u0323"])
def test_a_text_is_in_normal_form(fault_of: Fault, bytes_max: int, text: str) -> None:
    fault = fault_of(text)

    assert fault is not None
    assert fault.startswith("is not in Unicode normal form C")
    assert fault_of(unicodedata.normalize("NFC", text)) is None


@each_rule
@pytest.mark.parametrize("text", ["\ud800", "a\udcff", os.fsdecode(b"/tmp/\xff")])
def test_half_a_surrogate_is_no_text(fault_of: Fault, bytes_max: int, text: str) -> None:
    fault = fault_of(text)

    assert fault is not None
    assert fault.startswith("has a surrogate in it")


def test_a_name_is_not_empty() -> None:
    assert fault_of_name("") == "is empty: a name has 1 to 255 bytes"
    assert fault_of_label("") is None
    assert fault_of_program("") is None


@given(st.text(st.characters(), max_size=300))
def test_a_fault_is_always_one_line(text: str) -> None:
    for fault_of in (fault_of_name, fault_of_label, fault_of_program):
        fault = fault_of(text)
        assert fault is None or fault.isprintable()
        if fault is None:
            assert text.encode().decode() == unicodedata.normalize("NFC", text)
            assert not {*text} & {*CONTROLS, *TURNS}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (b"/etc/passwd", "path:/etc/passwd"),
        (b"/srv/a b", "path:/srv/a%20b"),
        (b"/srv/100%", "path:/srv/100%25"),
        (b"/srv/100%25", "path:/srv/100%2525"),
        ("/srv/größe".encode(), "path:/srv/gr%C3%B6%C3%9Fe"),
        (b"/\xff\n\x1b", "path:/%FF%0A%1B"),
        (b"/-._+=@:,~09azAZ", "path:/-._+=@:,~09azAZ"),
        (b"/" + b"a" * 249, "path:/" + "a" * 249),
        (
            b"/" + b"a" * 250,
            "path-sha256:46d5fa800bd560dfb53238bc424ba6a9d7c9b8c709d6c509648eb6173413f804:" + "a" * 178,
        ),
    ],
)
def test_a_path_has_a_name(path: bytes, name: str) -> None:
    assert name_of_path(path) == name


@given(paths)
@example(b"\xff" * 4096)
@example(b"/" + b"a" * 249)
@example(b"/" + b"a" * 250)
@example(b"")
def test_the_name_of_any_path_is_a_name(path: bytes) -> None:
    name = name_of_path(path)

    assert fault_of_name(name) is None
    assert name.isascii()


@given(st.lists(paths, min_size=2, max_size=10, unique=True), st.binary(max_size=300))
def test_two_paths_never_share_a_name(some: list[bytes], tail: bytes) -> None:
    longer = [path + tail for path in some]

    assert len({name_of_path(path) for path in some}) == len(some)
    assert len({name_of_path(path) for path in longer}) == len(longer)


def test_every_byte_is_told_apart_in_a_path() -> None:
    assert len({name_of_path(b"/" + bytes([byte])) for byte in range(256)}) == 256


def test_the_name_of_a_long_path_ends_as_the_path_does() -> None:
    path = b"/srv/" + b"deep/" * 60 + b"reports.db"

    assert name_of_path(path).endswith("/deep/reports.db")
    assert len(name_of_path(path)) == NAME_BYTES_MAX
