"""Converts a grant: another mode, the same token."""

from __future__ import annotations

from lockd_wire.messages import Failed, Granted

from . import _modes as modes
from ._ask import described
from ._ends import refusal_of_grant
from ._standing import Conversion
from ._waiting import Waiting
from .errors import ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from lockd_wire.messages import Scalar

    from ._channel import Channel
    from ._machine import Machine
    from ._standing import Standing


def convert(channel: Channel, machine: Machine, standing: Standing, mode: str, timeout: float | None) -> None:
    """Have a grant converted to ``mode``, which is in the letters of the protocol.

    An interrupt takes it back: a conversion upwards is undone, and one downwards is completed, because that needs
    nobody's leave.
    """
    before = standing.common_mode()
    fallback = mode if modes.covers(before, mode) else before
    conversion = Conversion(standing, before, mode, fallback)
    waiting = Waiting()
    waiting.on_wait = standing.on_wait
    options: dict[str, Scalar] = {} if standing.on_wait is None else {"wait_notice": True}
    try:
        answer = channel.call(waiting, machine.convert, conversion, mode, timeout, options)
        machine.settle(waiting)
        if type(answer) is Granted:
            return
        if type(answer) is Failed:
            what = f"{described(standing.items)} in mode {modes.word_of(mode)}"
            raise refusal_of_grant(answer, standing, what, timeout)
        raise ProtocolError(f"lockd answered a conversion with {type(answer).__name__.upper()}")
    except BaseException:
        channel.abandon(waiting)
        if type(waiting.answer) is not Failed:
            machine.fall_back(conversion)
            channel.settle()
        raise
