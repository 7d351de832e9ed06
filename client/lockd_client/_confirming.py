"""Waits until the daemon has done what it was told."""

from __future__ import annotations

from lockd_wire.messages import Done, Failed

from . import _ends as ends
from ._ask import described
from ._refusals import plain_error
from ._waiting import Waiting
from .errors import LockError, ProtocolError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._channel import Channel
    from ._machine import Machine
    from ._standing import Standing


def confirm(channel: Channel, machine: Machine, standing: Standing) -> None:
    """Wait until the daemon has done all that it was told before this, among it the release of ``standing``.

    The answer comes behind all that was said before the question, over whichever connection, so this is the same for
    a release, a cancel and what was taken over by another thread.

    Raises:
        LockLost: The daemon has lost its state before it has answered.
        LockError: There is no answer. What was said will be said again as soon as there is a daemon.
    """
    assert machine.welcome is not None
    epoch = machine.welcome.epoch
    waiting = Waiting()
    try:
        answer = channel.call(waiting, machine.confirm)
        machine.settle(waiting)
    except LockError:
        channel.abandon(waiting)
        if channel.end is not None:
            raise channel.end.error_of_grant(described(standing.items)) from None
        raise
    except BaseException:
        channel.abandon(waiting)
        raise
    if type(answer) is Failed:
        raise plain_error(answer.code, answer.sentence)
    if type(answer) is not Done:
        raise ProtocolError(f"lockd answered a release with {type(answer).__name__.upper()}")
    if machine.welcome.epoch != epoch:
        raise ends.unconfirmed(described(standing.items))
