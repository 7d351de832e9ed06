"""Opens a session: connects, says HELLO and waits for WELCOME."""

from __future__ import annotations

import time

from lockd_wire import messages as m
from lockd_wire._typing import NamedTuple
from lockd_wire.codec import TO_CLIENT, encode
from lockd_wire.errors import ErrorCode, RemoteWireError
from lockd_wire.framing import FrameDecoder
from lockd_wire.limits import FRAME_BYTES_MAX, HELLO_SECONDS_MAX, MAGIC, VERSION

from ._addresses import connected_transport, unreachable
from ._forks import renew_after_fork
from ._machine import Machine
from ._outbox import Outbox
from ._program import introduction
from ._refusals import plain_error
from ._words import printable
from .errors import AccessDenied, DaemonUnavailable, LockError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from lockd_wire.messages import Failed

    from ._transport import Transport

_VARIABLE = "LOCKD_SOCKET"

#: How long a daemon may take to answer HELLO, over as many connections as that takes.
ANSWER_SECONDS = HELLO_SECONDS_MAX

#: How long it may take to answer RESUME before the connection is tried anew. A call that is about to raise
#: DaemonUnavailable is kept no longer than this.
RESUME_SECONDS = 2.0

#: Between two attempts to reach a daemon that is gone: the first pause, and the longest. A daemon that is started anew
#: is there within a second.
_PAUSE_SECONDS = 0.01
_PAUSE_SECONDS_MAX = 0.25


class Opened(NamedTuple):
    """A connection for a session that there was before."""

    transport: Transport
    #: What was received behind the welcome.
    decoder: FrameDecoder
    welcome: m.Welcome


def open_connection(path: str, program: str) -> tuple[Transport, Machine]:
    """Return a connection to the daemon at ``path``, and its machine, welcomed.

    A daemon that hangs up before it has answered was killed or is about to end, and nothing has come of HELLO. Where a
    service manager keeps the socket, the next one is there already.

    Raises:
        DaemonUnavailable: There is no daemon, or it does not answer.
        AccessDenied: It does not serve this user.
        ProtocolError: What answers is not a lockd that this library understands.
    """
    answer_by = time.monotonic() + ANSWER_SECONDS
    pause = _PAUSE_SECONDS
    while (opened := _opened(path, program, answer_by)) is None:
        if time.monotonic() + pause >= answer_by:
            raise DaemonUnavailable(
                f"something listens at {printable(path)}, but hangs up each time before it answers as lockd does. This "
                f"was tried for {ANSWER_SECONDS:g} s"
            )
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)
    return opened


def _opened(path: str, program: str, answer_by: float) -> tuple[Transport, Machine] | None:
    """Return what `open_connection` does, or None if the daemon has hung up without an answer."""
    transport = connected_transport(path, _VARIABLE)
    try:
        machine = Machine(program)
        is_welcome = _shake_hands(transport, machine, printable(path), answer_by)
        transport.set_timeout(None)
    except OSError as error:
        transport.close()
        raise unreachable(path, _VARIABLE, error) from None
    except BaseException:
        transport.close()
        raise
    if not is_welcome:
        transport.close()
        return None
    return transport, machine


def _shake_hands(transport: Transport, machine: Machine, path: str, answer_by: float) -> bool:
    send_if_possible(transport, machine.outbox)
    while machine.welcome is None:
        transport.set_timeout(max(0.001, answer_by - time.monotonic()))
        try:
            is_open = transport.receive(machine.decoder.receive_data)
        except TimeoutError:
            raise DaemonUnavailable(
                f"something listens at {path}, but has not answered as lockd does for {ANSWER_SECONDS:g} s: it is "
                "stopped or very busy, or no lockd"
            ) from None
        except ConnectionError:
            is_open = False
        try:
            machine.handle_received()
        except RemoteWireError as error:
            raise ProtocolError(f"what answers at {path} is no lockd: {printable(str(error))}") from None
        if machine.last_words is not None:
            raise _turned_away(machine.last_words, path)
        if not is_open and machine.welcome is None:
            return False
    if machine.welcome.version != VERSION:
        raise ProtocolError(
            f"lockd at {path} speaks version {machine.welcome.version} of the protocol, and this library "
            f"version {VERSION}"
        )
    return True


def send_if_possible(transport: Transport, outbox: Outbox) -> None:
    """Send, unless the other side has hung up already: then what can still be read may say why."""
    try:
        outbox.flush(transport.sending)
    except ConnectionError:
        return


def _turned_away(words: Failed, path: str) -> LockError:
    if words.code == ErrorCode.VERSION:
        return ProtocolError(
            f"lockd at {path} does not speak version {VERSION} of the protocol, which is all that this library does "
            f"({printable(words.sentence)}): install the lockd-client of the daemon's release"
        )
    return plain_error(words.code, words.sentence)


def reopen_connection(
    path: str, program: str, session: int, has_something: Callable[[], bool], goes_on: Callable[[], bool]
) -> Opened | None:
    """Return another connection for a session, or None if the daemon does not know the session.

    Where the session has nothing that could be missed, a new one takes its place.

    Args:
        path: The daemon's socket.
        program: For a new session.
        session: The session.
        has_something: Whether it has anything.
        goes_on: Whether to try again. It is tried once in any case.

    Raises:
        DaemonUnavailable: There is no daemon, or no way to it at present, or it does not answer. What the session has
            it still has.
        AccessDenied: It says that it does not serve this user any more.
        ProtocolError: What answers is not a lockd that this library understands.
    """
    pause = _PAUSE_SECONDS
    while True:
        try:
            return _reopened(path, program, session, has_something)
        except DaemonUnavailable:
            if not goes_on():
                raise
        time.sleep(pause)
        pause = min(2 * pause, _PAUSE_SECONDS_MAX)


def _reopened(path: str, program: str, session: int, has_something: Callable[[], bool]) -> Opened | None:
    try:
        transport = connected_transport(path, _VARIABLE)
    except AccessDenied as error:
        # A daemon opens its socket to others a moment after it has made it, and so does whoever makes the directory.
        raise DaemonUnavailable(f"{error}") from None
    # Until the channel has it, nobody else would close its copy in a child.
    renew_after_fork(transport)
    try:
        decoder = FrameDecoder(FRAME_BYTES_MAX)
        answer = _answer(transport, decoder, m.Resume(0, MAGIC, VERSION, session), path)
        if type(answer) is m.Failed and answer.code == ErrorCode.SESSION_LOST:
            if has_something():
                transport.close()
                return None
            answer = _answer(transport, decoder, introduction(program), path)
        if type(answer) is m.Failed:
            raise _turned_away(answer, printable(path))
        if type(answer) is not m.Welcome or answer.version != VERSION:
            raise ProtocolError(f"what answers at {printable(path)} is no lockd of version {VERSION} of the protocol")
        transport.set_timeout(None)
    except OSError as error:
        transport.close()
        raise unreachable(path, _VARIABLE, error) from None
    except BaseException:
        transport.close()
        raise
    return Opened(transport, decoder, answer)


def _answer(transport: Transport, decoder: FrameDecoder, message: m.Hello | m.Resume, path: str) -> m.DaemonMessage:
    """Say something and return the answer, which is the next frame; what comes behind it stays in the decoder."""
    answer_by = time.monotonic() + RESUME_SECONDS
    outbox = Outbox()
    outbox.put(encode(message))
    send_if_possible(transport, outbox)
    try:
        while (body := decoder.peek()) is None:
            transport.set_timeout(max(0.001, answer_by - time.monotonic()))
            if not transport.receive(decoder.receive_data):
                raise ConnectionResetError
        answer = TO_CLIENT.decode(body)
        decoder.advance()
    except RemoteWireError as error:
        raise ProtocolError(f"what answers at {printable(path)} is no lockd: {printable(str(error))}") from None
    except (TimeoutError, ConnectionError):
        raise DaemonUnavailable(f"something listens at {printable(path)}, but has not answered as lockd does") from None
    return answer
