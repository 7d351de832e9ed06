"""How this program introduces itself: what it is called in other people's error messages, and what it was before."""

from __future__ import annotations

import os
import sys

from lockd_wire.limits import MAGIC, PROGRAM_BYTES_MAX, VERSION
from lockd_wire.messages import Hello
from lockd_wire.names import fault_of_program

from ._words import printable

#: What tells this program from those that its process was before an exec. A forked child is another process anyway.
IMAGE = os.urandom(8).hex()


def introduction(program: str) -> Hello:
    """Return what opens a session of a program that is called so."""
    return Hello(0, MAGIC, VERSION, program, {"image": IMAGE})


def default_program() -> str:
    """Return the name of the script, module or interpreter that runs."""
    return fitted(_running())


def fitted(program: str) -> str:
    """Return ``program`` printable and cut to the length that there is room for, or nothing if that does not help."""
    if fault_of_program(program) is None:
        return program
    encoded = printable(program).encode("utf-8", "replace")[:PROGRAM_BYTES_MAX]
    shortened = encoded.decode("utf-8", "ignore")
    return shortened if fault_of_program(shortened) is None else ascii(shortened)[1:-1][:PROGRAM_BYTES_MAX]


def _running() -> str:
    script = sys.argv[0] if getattr(sys, "argv", None) else ""
    interpreter = os.path.basename(sys.executable or "python")
    if script in ("", "-"):
        return interpreter
    if script in ("-c", "-m"):
        return f"{interpreter} {script}"
    directory, name = os.path.split(script)
    if name == "__main__.py":
        # Run as `python -m package`, or as a directory or an archive.
        return os.path.basename(directory) or name
    return name
