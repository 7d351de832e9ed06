"""Which names and labels there can be, and the names of files.

Both sides ask here: the client so that a mistake is reported where it was made, the daemon because it believes no
client.
"""

from __future__ import annotations

from .limits import LABEL_BYTES_MAX, NAME_BYTES_MAX, PROGRAM_BYTES_MAX

#: Characters that print as nothing but change the order in which others are shown (Unicode Standard Annex 9): with them
#: one name can pass for another.
_BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

#: Unicode categories that a terminal or a log could take for an order: controls, line and paragraph separators.
_FORBIDDEN_CATEGORIES = frozenset({"Cc", "Zl", "Zp"})

#: Bytes of a path that stand for themselves in its lock name.
_PLAIN_PATH_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+=@:,~")


def fault_of_name(name: str) -> str | None:
    """Say what is wrong with ``name`` as the name of a lock, in words that follow "the name …", or return None."""
    if not name:
        return f"is empty: a name has 1 to {NAME_BYTES_MAX} bytes"
    return _fault_of_text(name, NAME_BYTES_MAX)


def fault_of_label(label: str) -> str | None:
    """Say what is wrong with ``label``, in words that follow "the label …", or return None."""
    return _fault_of_text(label, LABEL_BYTES_MAX)


def fault_of_program(program: str) -> str | None:
    """Say what is wrong with ``program`` as what a peer calls itself, or return None."""
    return _fault_of_text(program, PROGRAM_BYTES_MAX)


def _fault_of_text(text: str, bytes_max: int) -> str | None:
    if text.isascii():
        if len(text) > bytes_max:
            return _too_long(len(text), bytes_max)
        return None if text.isprintable() else _unprintable(text)
    # The tables of Unicode take a millisecond to load, and most names are ASCII.
    import unicodedata

    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return (
            "has a surrogate in it, which UTF-8 cannot carry: if it is the path of a file, name_of_path gives its name"
        )
    if size > bytes_max:
        return _too_long(size, bytes_max)
    if not unicodedata.is_normalized("NFC", text):
        return "is not in Unicode normal form C and would look like another one: unicodedata.normalize('NFC', …) helps"
    if any(char in _BIDI_CONTROLS or unicodedata.category(char) in _FORBIDDEN_CATEGORIES for char in text):
        return _unprintable(text)
    return None


def _too_long(size: int, bytes_max: int) -> str:
    return f"is {size} bytes long in UTF-8: at most {bytes_max} are allowed"


def _unprintable(text: str) -> str:
    return f"has a control character in it ({text!a:.80}): it is shown on terminals and in logs, which obey such"


def name_of_path(canonical_path: bytes) -> str:
    """Return the lock name of the file with this canonical path, which may have any bytes in it.

    Bytes outside a plain set are percent-encoded, so two paths never share a name and the name shows the path. Where
    that would be longer than a name can be, a SHA-256 of the path stands for it, and as much of its end as fits for
    people to read.
    """
    encoded = "".join(chr(byte) if byte in _PLAIN_PATH_BYTES else f"%{byte:02X}" for byte in canonical_path)
    name = f"path:{encoded}"
    if len(name) <= NAME_BYTES_MAX:
        return name
    from hashlib import sha256

    head = f"path-sha256:{sha256(canonical_path).hexdigest()}:"
    return head + encoded[-(NAME_BYTES_MAX - len(head)) :]
