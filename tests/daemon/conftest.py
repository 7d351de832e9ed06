"""What the tests of the trio shell share: a daemon in the process of the test."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trio

from lockd.journal.files import Files
from support.shell import Shell, Start, start_shell


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    """What is to be closed at the end of the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def start(runtime_dir: Path, nursery: trio.Nursery, closing: ExitStack) -> Start:
    """Start a daemon with options of the test's own."""

    async def start(**options: str) -> Shell:
        return await start_shell(runtime_dir, nursery, closing, **options)

    return start


@pytest.fixture
async def shell(start: Start) -> Shell:
    """A daemon as anybody would start it."""
    return await start()


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the calls that fail for want of room."""
    failing: set[str] = set()
    for name in ("write", "allocate", "make"):
        original = getattr(Files, name)

        def call(
            files: Files, *arguments: object, name: str = name, original: Callable[..., object] = original
        ) -> object:
            if name in failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return original(files, *arguments)

        monkeypatch.setattr(Files, name, call)
    return failing
