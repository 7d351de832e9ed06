"""A lock for readers and writers."""

from __future__ import annotations

from . import _modes as modes
from ._ask import Ask, lock_item
from ._lock import Lock
from ._words import quoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._ask import Terms
    from ._client import Client


class RWLock:
    """A lock that many may hold to read, or one to write.

    Made by `lockd_client.rwlock` or `Client.rwlock`. Readers and writers are served in the order in which they came: a
    reader does not overtake a writer who waits.
    """

    __slots__ = ("_client", "_name", "_terms")

    def __init__(self, client: Client, name: str, terms: Terms) -> None:
        self._client, self._name, self._terms = client, name, terms
        # A mistake is told where it is made.
        self.write()

    def read(self) -> Lock:
        """Return a handle that takes the lock in shared mode."""
        return self._handle(modes.SHARED)

    def write(self) -> Lock:
        """Return a handle that takes the lock in exclusive mode."""
        return self._handle(modes.EXCLUSIVE)

    def update(self) -> Lock:
        """Return a handle that takes the lock in update mode, for whoever reads and may come to write.

        Beside one updater others may read, but not update or write. When it does come to write, the grant is `upgraded`
        (`Grant.upgraded`). Of two readers that wanted to be upgraded, each would wait for the other; of two updaters
        the second waits before it has read.
        """
        return self._handle(modes.UPDATE)

    def _handle(self, mode: str) -> Lock:
        return Lock(self._client, Ask((lock_item(self._name, mode),), **self._terms))

    def __repr__(self) -> str:
        return f"<lockd_client.RWLock {quoted(self._name)}>"

    def __reduce__(self) -> tuple[type[RWLock], tuple[Client, str, Terms]]:
        return RWLock, (self._client, self._name, self._terms)
