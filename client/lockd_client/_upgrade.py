"""A stronger mode for the time of a block."""

from __future__ import annotations

from . import _modes as modes
from ._ask import described
from .errors import BadRequest, LockError, raise_unless_raised

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType

    from ._grant import Grant
    from ._session import Session
    from ._standing import Standing


class Upgrade:
    """A grant in a stronger mode for the time of a block. Made by `Grant.upgraded`."""

    __slots__ = ("_grant", "_mode", "_old_mode", "_session", "_standing", "_timeout")

    def __init__(self, grant: Grant, session: Session, standing: Standing, mode: str, timeout: float | None) -> None:
        self._grant, self._session, self._standing = grant, session, standing
        self._mode, self._timeout = modes.mode_of(mode), timeout
        # None while there is nothing to go back to.
        self._old_mode: str | None = None

    def __enter__(self) -> Grant:
        old_mode, mode = self._standing.common_mode(), modes.CODES[self._mode]
        if old_mode is None:
            raise BadRequest(
                f"{described(self._standing.items)} cannot be upgraded for a while: what is held in several modes, or "
                "is a semaphore, has no mode to go back to"
            )
        if not modes.covers(mode, old_mode):
            raise BadRequest(
                f"{described(self._standing.items)} cannot be upgraded from {modes.word_of(old_mode)} to {self._mode}, "
                "which lets in others whom the present mode keeps out"
            )
        self._old_mode = old_mode
        self._grant.convert(self._mode, self._timeout)
        return self._grant

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._old_mode is not None
        try:
            self._grant.check()
            self._session.lower(self._standing, self._old_mode)
        except LockError as error:
            raise_unless_raised(error, raised)
        except BaseException:
            # Interrupted. Done twice, it does no harm.
            self._session.lower(self._standing, self._old_mode)
            raise
