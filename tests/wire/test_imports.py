"""What a client pays for importing this package."""

from __future__ import annotations

import subprocess
import sys

# Each takes milliseconds to import, or is needed in rare cases only.
SLOW = [
    "asyncio",
    "contextlib",
    "dataclasses",
    "enum",
    "hashlib",
    "inspect",
    "logging",
    "pathlib",
    "re",
    "typing",
    "unicodedata",
]

PROGRAM = """
import sys
before = {*sys.modules}
import lockd_wire.codec, lockd_wire.endpoints, lockd_wire.framing, lockd_wire.names
for name in {*sys.modules} - before:
    print(name)
"""


def test_nothing_slow_is_imported() -> None:
    run = subprocess.run([sys.executable, "-I", "-c", PROGRAM], capture_output=True, text=True, check=True)
    imported = run.stdout.split()

    assert {"lockd_wire.codec", "msgpack"} <= {*imported}
    assert {*imported}.isdisjoint(SLOW)
