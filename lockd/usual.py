"""The requests of every lock that is taken, from bytes to events at once.

A program asks for the same name on the same terms again and again, and then its ACQUIRE is the same each time but for
the numbers in front. So what has been read and found good once is remembered by its bytes, and the next one is made of
it. Nothing is remembered that was refused, and whoever asks for what was forgotten has it read again.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from lockd.core import events as e
from lockd_wire import fixed
from lockd_wire.codec import TO_DAEMON

from .translate import event_of as _event_of

#: What is the same each time: the items, the terms, whether it is a tree.
_Wish: TypeAlias = tuple[tuple[e.Item, ...], e.Terms, bool]

#: Wishes that are remembered at the least, and half of what may be remembered. All of these take 1 MB with the longest
#: names there are, and 3 MB with as many names in each as a request may have.
_GENERATION: Final = 512

#: Bytes of a wish. Enough for the longest name.
_WISH_BYTES_MAX: Final = 280


class _Memory:
    """The wishes that were asked for last, in two generations: when the younger one is full, the older is forgotten."""

    __slots__ = ("old", "young")

    def __init__(self) -> None:
        self.young: dict[bytes, _Wish] = {}
        self.old: dict[bytes, _Wish] = {}

    def add(self, rest: bytes, wish: _Wish) -> None:
        """Remember what the bytes ``rest`` come to."""
        if len(rest) <= _WISH_BYTES_MAX:
            if len(self.young) >= _GENERATION:
                self.young, self.old = {}, self.young
            self.young[rest] = wish


_memory: Final = _Memory()


def event_of(session: int, body: bytes) -> e.Request | None:
    """Return what the body of a frame asks of the core, or None if it is not one of the usual ones.

    Raises:
        RemoteWireError: It is an ACQUIRE, and not one that the protocol allows.
    """
    if len(body) == fixed.RELEASE_BYTES:
        released = fixed.parts_of_release(body)
        if released is not None:
            number, token = released
            return e.Release(session, number, token, False)
    acquired = fixed.parts_of_acquire(body)
    if acquired is None:
        return None
    number, owner, rest = acquired
    wish = _memory.young.get(rest)
    if wish is None:
        wish = _memory.old.get(rest)
        if wish is None:
            event = _event_of(session, TO_DAEMON.decode(body))
            if type(event) is e.Acquire:
                _memory.add(rest, event[3:])
            return event
        _memory.add(rest, wish)
    items, terms, is_tree = wish
    return e.Acquire(session, number, owner, items, terms, is_tree)
