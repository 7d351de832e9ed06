"""A request, before and after it has an answer."""

from __future__ import annotations

from _weakref import ref

from lockd_wire import messages as m


class Pending:
    """A request, for the one who waits for its answer.

    It exists before the request does, and whoever waits holds the only lasting reference to it. So when he goes without
    a word (interrupted while he was cleaning up after an interrupt), it is collected, and the request is taken back.
    """

    __slots__ = ("__weakref__", "answer", "id", "notice")

    def __init__(self) -> None:
        #: 0 until there is a request.
        self.id = 0
        self.answer: m.DaemonMessage | None = None
        #: That it has to wait, until somebody has been told.
        self.notice: m.Waiting | None = None

    def wake(self) -> bool:
        """Make the one who waits look again, and return whether he was asleep."""
        return False


class StepsAhead(dict[tuple[int, int], tuple[m.Step, ...]]):
    """Steps of a deadlock that were told ahead of its refusal, by the request that is refused and their position."""

    def note(self, told: m.Steps) -> None:
        """Keep these until the refusal has come."""
        self[told.request, told.position] = told.steps

    def put_into(self, message: m.DaemonMessage) -> m.DaemonMessage:
        """Return a message, with these if it is the refusal, and forget them if that has come before it."""
        if type(message) is m.Failed:
            from ._cycle import with_steps

            # Not forgotten yet: an interrupt may have it handled once more.
            return with_steps(message, self)
        if type(message) is not m.Steps:
            self.clear()
        return message


# Finalizers would be simpler than references with callbacks, but they would run for each and every object, and Python
# drops an interrupt that comes while one runs. A reference that goes before its object does nothing.


class RequestMade(ref[Pending]):
    """What the machine knows of a request: how to find the one who waits, unless he has gone."""

    __slots__ = ("id",)

    id: int


def id_of(request: RequestMade | int) -> int:
    """Return the id of a request that is named by itself or by its id."""
    return request if isinstance(request, int) else request.id
