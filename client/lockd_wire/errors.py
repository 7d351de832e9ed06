"""The two ways in which a message can be wrong, and the codes of a refusal.

::

    WireError
    ├── LocalWireError     this side was about to send what the protocol does not allow: a bug on this side
    └── RemoteWireError    the other side sent it: the connection is of no further use
"""

from __future__ import annotations

from ._typing import Final


class WireError(Exception):
    """A message that cannot be. Never raised itself: always one of the two below."""


class LocalWireError(WireError):
    """This side tried to send a message that the protocol does not allow. Nothing was encoded."""


class RemoteWireError(WireError):
    """The peer sent bytes that are not the protocol.

    Where its next frame would begin is unknown, so the connection has to end.
    """


class ErrorCode:
    """Why a request was refused. The values are part of the protocol.

    These are texts and no `enum.Enum`, which would take a tenth of the time in which a client is imported.
    """

    TIMEOUT: Final = "timeout"
    CANCELLED: Final = "cancelled"
    DEADLOCK: Final = "deadlock"
    NOT_OWNER: Final = "not_owner"
    KIND_MISMATCH: Final = "kind_mismatch"
    LIMIT_MISMATCH: Final = "limit_mismatch"
    HELD_BY_EARLIER_PROGRAM: Final = "held_by_earlier_program"
    NOTHING_INHERITED: Final = "nothing_inherited"
    BAD_REQUEST: Final = "bad_request"
    SESSION_LOST: Final = "session_lost"
    QUOTA: Final = "quota"
    VERSION: Final = "version"
    PROTOCOL: Final = "protocol"
    ACCESS_DENIED: Final = "access_denied"
    UNAVAILABLE: Final = "unavailable"
