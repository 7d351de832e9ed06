"""A session that is nothing but frames, many of them at a time: what it takes to have a million locks."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from typing import Any, Final, Self

import msgpack

_HELLO, _ACQUIRE, _RELEASE, _QUERY = 1, 4, 5, 7
_WELCOME, _GRANTED, _STATE = 33, 34, 37

#: Requests that are sent before their answers are read. Answers that nobody reads may take up 256 KiB.
_AT_ONCE: Final = 500


def _frame(*fields: object) -> bytes:
    body = msgpack.packb(fields)
    assert isinstance(body, bytes)
    return len(body).to_bytes(4, "big") + body


class RawSession:
    """One session of this process. Only exclusive locks, each request by an owner of its own."""

    def __init__(self, path: str) -> None:
        """Connect and open a session."""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(path)
        self._unread = b""
        self._last_id = 0
        self._socket.sendall(_frame(_HELLO, 0, "lockd", 1, "bench", []))
        self._answer(_WELCOME)

    def hold(self, names: Iterable[str]) -> None:
        """Take these names, which are free."""
        for part in _parts(names):
            self._ask(part, 0)
            for _ in part:
                self._answer(_GRANTED)

    def queue(self, name: str, times: int) -> None:
        """Ask so many times for a name that is not free, and return when all the requests wait."""
        for part in _parts([name] * times):
            self._ask(part, None)
            # Its answer comes when all before it has been handled.
            self._last_id += 1
            self._socket.sendall(_frame(_QUERY, self._last_id, "bench/ping"))
            self._answer(_STATE)

    def take(self, name: str) -> int:
        """Take a name that is free, and return the token."""
        self._ask([name], 0)
        return self.granted()

    def release(self, token: int) -> None:
        """Give a grant up. There is no answer to that."""
        self._last_id += 1
        self._socket.sendall(_frame(_RELEASE, self._last_id, token, False))

    def granted(self) -> int:
        """Wait for a grant, and return its token."""
        token = self._answer(_GRANTED)[3]
        assert isinstance(token, int)
        return token

    def close(self) -> None:
        """End the connection. What the session holds it goes on holding, for this process lives."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, names: list[str], timeout: int | None) -> None:
        frames = []
        for name in names:
            self._last_id += 1
            frames.append(_frame(_ACQUIRE, self._last_id, self._last_id, [[name, "X"]], timeout, []))
        self._socket.sendall(b"".join(frames))

    def _answer(self, kind: int) -> list[Any]:
        while True:
            length = int.from_bytes(self._unread[:4], "big")
            if len(self._unread) >= 4 + length > 4:
                break
            data = self._socket.recv(1 << 16)
            if not data:
                raise EOFError("the daemon has ended the connection")
            self._unread += data
        body, self._unread = self._unread[4 : 4 + length], self._unread[4 + length :]
        fields = msgpack.unpackb(body)
        assert isinstance(fields, list)
        if fields[0] != kind:
            raise AssertionError(f"the daemon answers {fields} and not a message of type {kind}")
        return fields


def _parts(names: Iterable[str]) -> Iterator[list[str]]:
    part: list[str] = []
    for name in names:
        part.append(name)
        if len(part) == _AT_ONCE:
            yield part
            part = []
    if part:
        yield part
