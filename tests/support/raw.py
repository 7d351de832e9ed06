"""A client that is nothing but bytes: frames made by hand, as somebody would who has only docs/protocol.md.

It knows neither lockd_client nor lockd_wire, on purpose: a mistake that they share with the daemon has to show.
"""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any, Final, Self

import msgpack

#: Nothing that is waited for here takes this long. When it is over the test fails.
DEADLINE_SECONDS: Final = 60.0

HELLO, RESUME, BYE, ACQUIRE, RELEASE, CANCEL, QUERY, CONVERT, HAND_OVER, ADOPT, INHERIT = range(1, 12)
WELCOME, GRANTED, FAILED, DONE, STATE, TICKET, WAITING, YIELD_REQUESTED, LOST, STEPS = *range(33, 39), *range(48, 52)
ADMIN_HELLO, STATUS, LIST, SHOW, SESSIONS, GRAPH, HISTORY, WATCH = 65, 66, 67, 68, 69, 70, 71, 72
METRICS, BREAK, ORDERS = 73, 74, 75
ADMIN_WELCOME, REPORT, ROWS, ADMIN_FAILED, HAPPENED = 97, 98, 99, 100, 101

#: For ever, as a timeout; and a try.
FOREVER: Final = None
TRY: Final = 0


def frame(*fields: object) -> bytes:
    """Return one frame with these fields in its array."""
    return frame_of_body(msgpack.packb(fields))


def frame_of_body(body: bytes) -> bytes:
    """Return one frame with this body, whatever is in it."""
    return len(body).to_bytes(4, "big") + body


def hello(program: str = "test", **options: object) -> bytes:
    """Return the first frame of a client."""
    return frame(HELLO, 0, "lockd", 1, program, list(options.items()))


def code_of(answer: list[Any]) -> str:
    """Return the code of a FAILED, and fail if it is something else."""
    assert answer[0] == FAILED, answer
    code = answer[3]
    assert isinstance(code, str)
    return code


class Raw:
    """One connection. What blocks, blocks no longer than `DEADLINE_SECONDS`."""

    def __init__(self, path: str) -> None:
        """Connect, and say nothing yet."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(DEADLINE_SECONDS)
        self._unread = b""
        #: The answer to HELLO or RESUME.
        self.welcome: list[Any] = []
        try:
            self.sock.connect(path)
        except OSError:
            self.sock.close()
            raise

    @classmethod
    def welcomed(cls, path: str, program: str = "test", **options: object) -> Self:
        """Connect to the client socket and say HELLO."""
        return cls(path)._opened(WELCOME, hello(program, **options))

    @classmethod
    def resumed(cls, path: str, session: int) -> Self:
        """Connect to the client socket and take up a session of this process."""
        return cls(path)._opened(WELCOME, frame(RESUME, 0, "lockd", 1, session))

    @classmethod
    def administrator(cls, path: str) -> Self:
        """Connect to the admin socket and say ADMIN_HELLO."""
        return cls(path)._opened(ADMIN_WELCOME, frame(ADMIN_HELLO, 0, "lockd-admin", 1))

    @property
    def session(self) -> int:
        """The id of the session."""
        session = self.welcome[4]
        assert isinstance(session, int)
        return session

    @property
    def covered(self) -> int:
        """What the daemon had seen when it said WELCOME."""
        covered = self.welcome[2]
        assert isinstance(covered, int)
        return covered

    def send_bytes(self, data: bytes) -> None:
        """Send bytes, whatever they are."""
        self.sock.sendall(data)

    def send(self, *fields: object) -> None:
        """Send one frame."""
        self.send_bytes(frame(*fields))

    def receive(self) -> list[Any]:
        """Return the next frame as the fields of its array.

        Raises:
            EOFError: The daemon has ended the connection, between two frames or in the middle of one.
        """
        length = int.from_bytes(self._read(4), "big")
        fields = msgpack.unpackb(self._read(length))
        assert isinstance(fields, list), fields
        return fields

    def ask(self, *fields: object) -> list[Any]:
        """Send one frame and return the next one that comes."""
        self.send(*fields)
        return self.receive()

    def acquire(self, request: int, name: str, mode: str = "X", timeout: float | None = FOREVER, owner: int = 1) -> int:
        """Ask for one name, and return the token once it is granted."""
        answer = self.ask(ACQUIRE, request, owner, [[name, mode]], timeout, [])
        assert answer[:2] == [GRANTED, request], answer
        token = answer[3]
        assert isinstance(token, int)
        return token

    def want(
        self, request: int, *items: list[Any], timeout: float | None = FOREVER, owner: int = 1, **options: Any
    ) -> None:
        """Ask for all of ``items``, each a name and a mode or a name, permits and a limit. Wait for no answer."""
        self.send(ACQUIRE, request, owner, items, timeout, list(options.items()))

    def queue_up(self, request: int, *items: list[Any], owner: int = 1, **options: Any) -> None:
        """Ask for what cannot be had at once, and return when the request waits. The next id is used up as well."""
        ask = frame(ACQUIRE, request, owner, items, options.pop("timeout", FOREVER), list(options.items()))
        # In one go, so that the request cannot have timed out before the daemon is asked.
        self.send_bytes(ask + frame(QUERY, request + 1, "ping"))
        answer = self.receive()
        assert answer[:2] == [STATE, request + 1], answer

    def granted(self, request: int, facts: dict[str, Any] | None = None) -> int:
        """Wait for the grant of a request, with no facts but these, and return the token."""
        answer = self.receive()
        assert answer[:2] == [GRANTED, request], answer
        assert answer[4] == (facts or {}), answer
        token = answer[3]
        assert isinstance(token, int)
        return token

    def take(self, request: int, *items: list[Any], owner: int = 1, **options: Any) -> int:
        """Ask for all of ``items``, which are free, and return the token."""
        self.want(request, *items, timeout=TRY, owner=owner, **options)
        return self.granted(request)

    def failed(self, request: int, code: str) -> dict[str, Any]:
        """Wait for the refusal of a request, for this reason, and return the facts."""
        answer = self.receive()
        assert [*answer[:2], answer[3]] == [FAILED, request, code], answer
        facts = answer[5]
        assert isinstance(facts, dict)
        return facts

    def release(self, request: int, token: int) -> None:
        """Give a grant up, and wait until that is done."""
        answer = self.ask(RELEASE, request, token, True)
        assert answer[:2] == [DONE, request], answer

    def facts_of(self, request: int, name: str) -> dict[str, Any]:
        """Ask who has a name and who wants it."""
        answer = self.ask(QUERY, request, name)
        assert answer[:2] == [STATE, request], answer
        facts = answer[3]
        assert isinstance(facts, dict)
        return facts

    def pong(self, request: int) -> None:
        """Ask for something that changes nothing, and wait for the answer: all that was sent before is handled then."""
        answer = self.ask(QUERY, request, "ping")
        assert answer[:2] == [STATE, request], answer

    def is_ended(self) -> bool:
        """Wait for the end of the connection, and say whether it comes before the next frame."""
        try:
            self.receive()
        except EOFError:
            return True
        return False

    def close(self) -> None:
        """Hang up."""
        self.sock.close()

    def _opened(self, expected: int, first: bytes) -> Self:
        try:
            self.send_bytes(first)
            answer = self.receive()
            assert answer[0] == expected, answer
            self.welcome = answer
        except BaseException:
            self.close()
            raise
        return self

    def _read(self, size: int) -> bytes:
        while len(self._unread) < size:
            try:
                data = self.sock.recv(65536)
            except ConnectionResetError:
                # How the kernel tells of an end with something in between that was never read.
                data = b""
            if not data:
                raise EOFError(f"the connection ended, with {len(self._unread)} bytes of a frame before it")
            self._unread += data
        data, self._unread = self._unread[:size], self._unread[size:]
        return data

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
