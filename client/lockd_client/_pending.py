"""A request, before and after it has an answer."""

from __future__ import annotations

from _weakref import ref

TYPE_CHECKING = False
if TYPE_CHECKING:
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


# Finalizers would be simpler than references with callbacks, but they would run for each and every object, and Python
# drops an interrupt that comes while one runs. A reference that goes before its object does nothing.


class RequestMade(ref[Pending]):
    """What the machine knows of a request: how to find the one who waits, unless he has gone."""

    __slots__ = ("id",)

    id: int


def id_of(request: RequestMade | int) -> int:
    """Return the id of a request that is named by itself or by its id."""
    return request if isinstance(request, int) else request.id
