"""The messages of the protocol, each the fields of its frame behind the type, in their order.

``docs/protocol.md`` says what they mean. A message holds plain values only; `codec` says which values each field may
have, and nothing here knows how they travel.
"""

from __future__ import annotations

from ._typing import Final, NamedTuple, TypeAlias

#: What options and facts may be. Facts nest no deeper than a list of holders does.
Scalar: TypeAlias = str | int | float | bool | None
Facts: TypeAlias = dict[str, Scalar | dict[str, Scalar] | tuple[dict[str, Scalar], ...]]
Row: TypeAlias = dict[str, Scalar | dict[str, Scalar]]

#: The facts of one step of a deadlock, in the order in which STEPS has them. FAILED has them by these names.
STEP_FACTS: Final = (
    *("name", "pid", "uid", "program", "label", "mode", "permits"),
    *("blocker_pid", "blocker_uid", "blocker_program", "blocker_label", "blocker_mode", "blocker_permits"),
    *("seconds", "queued"),
)
Step: TypeAlias = tuple[Scalar, ...]


class Hello(NamedTuple):
    """Opens a session."""

    id: int
    magic: str
    version: int
    program: str
    options: dict[str, Scalar]


class Resume(NamedTuple):
    """Takes up a session that this process has opened before, over another connection."""

    id: int
    magic: str
    version: int
    session: int


class Bye(NamedTuple):
    """Ends the session and frees all it holds."""

    id: int


class Acquire(NamedTuple):
    """Asks for a grant.

    Each of ``items`` is a name and a mode, or a name, a number of permits and the limit of the semaphore. ``timeout``
    is in seconds; None is for ever, and 0 is a try.
    """

    id: int
    owner: int
    items: tuple[tuple[str, str] | tuple[str, int, int], ...]
    timeout: float | None
    options: dict[str, Scalar]


class Convert(NamedTuple):
    """Asks that a grant of the session's have another mode. ``timeout`` as in ACQUIRE."""

    id: int
    token: int
    mode: str
    timeout: float | None
    options: dict[str, Scalar]


class Release(NamedTuple):
    """Gives a grant up, and is answered only if ``confirm`` is true."""

    id: int
    token: int
    confirm: bool


class Cancel(NamedTuple):
    """Takes the request with the id ``request`` back, whether it still waits or has been granted."""

    id: int
    request: int


class HandOver(NamedTuple):
    """Asks for a ticket by which another process can adopt a grant of the session's."""

    id: int
    token: int


class Adopt(NamedTuple):
    """Makes ``owner`` the owner of the grant that ``ticket`` was made for."""

    id: int
    owner: int
    ticket: str


class Inherit(NamedTuple):
    """Makes ``owner`` the owner of a grant that an earlier program of this process has left behind."""

    id: int
    owner: int


class Query(NamedTuple):
    """Asks who holds a name."""

    id: int
    name: str


class Welcome(NamedTuple):
    """The answer to HELLO and to RESUME."""

    id: int
    covered: int
    version: int
    session: int
    epoch: int
    limits: dict[str, int]
    features: tuple[str, ...]


class Granted(NamedTuple):
    """The request got through."""

    id: int
    covered: int
    token: int
    facts: Facts


class Failed(NamedTuple):
    """The request did not get through, or, with id 0, the connection ends."""

    id: int
    covered: int
    code: str
    sentence: str
    facts: Facts


class Done(NamedTuple):
    """A request that has nothing to say but that it took effect."""

    id: int
    covered: int


class State(NamedTuple):
    """The answer to QUERY."""

    id: int
    covered: int
    facts: Facts


class Ticket(NamedTuple):
    """The answer to HAND_OVER."""

    id: int
    covered: int
    ticket: str


class Waiting(NamedTuple):
    """A notice: the request with the id ``request`` has to wait. ``id`` is 0, as in every notice."""

    id: int
    covered: int
    request: int
    facts: Facts


class YieldRequested(NamedTuple):
    """A notice: somebody waits behind the grant with this token."""

    id: int
    covered: int
    token: int
    facts: Facts


class Lost(NamedTuple):
    """A notice: the grant with this token is the session's no more, for ``reason``."""

    id: int
    covered: int
    token: int
    reason: str


class Steps(NamedTuple):
    """A notice: steps of the deadlock because of which the request with the id ``request`` fails, from ``position`` on.

    FAILED has the first of them.
    """

    id: int
    covered: int
    request: int
    position: int
    steps: tuple[Step, ...]


class AdminHello(NamedTuple):
    """Opens a conversation on the admin socket."""

    id: int
    magic: str
    version: int


class Status(NamedTuple):
    """Asks how the daemon is."""

    id: int


class List(NamedTuple):
    """Asks for a page of the names that are held or waited for."""

    id: int
    prefix: str
    cursor: int
    options: dict[str, Scalar]


class Show(NamedTuple):
    """Asks for one name in full."""

    id: int
    name: str


class Sessions(NamedTuple):
    """Asks for a page of the sessions."""

    id: int
    cursor: int


class Graph(NamedTuple):
    """Asks for a page of who waits for whom."""

    id: int
    cursor: int


class History(NamedTuple):
    """Asks for a page of what happened to a name lately."""

    id: int
    name: str
    cursor: int


class Watch(NamedTuple):
    """Asks to be told what happens to all names that begin with ``prefix``, from now on."""

    id: int
    prefix: str


class Metrics(NamedTuple):
    """Asks for a page of the metrics, as texts that belong behind each other."""

    id: int
    cursor: int


class Break(NamedTuple):
    """Takes grants away: the one with this token, or, where that is 0, what is held of the name."""

    id: int
    name: str
    token: int
    reason: str
    options: dict[str, Scalar]


class Orders(NamedTuple):
    """Asks for a page of the pairs of names that are taken in opposite orders."""

    id: int
    cursor: int


class AdminWelcome(NamedTuple):
    """The answer to ADMIN_HELLO."""

    id: int
    version: int
    release: str


class Report(NamedTuple):
    """The answer to STATUS, SHOW, WATCH and BREAK."""

    id: int
    facts: Facts


class Rows(NamedTuple):
    """A page. ``cursor`` is what to ask for next, None behind the last page."""

    id: int
    rows: tuple[Row, ...]
    cursor: int | None


class Happened(NamedTuple):
    """Tells what has happened, to whoever watches. ``missed`` more have happened before, and are not told."""

    id: int
    missed: int
    rows: tuple[dict[str, Scalar | dict[str, Scalar]], ...]


class AdminFailed(NamedTuple):
    """The admin request was refused; with id 0 the connection ends."""

    id: int
    code: str
    sentence: str


ClientMessage: TypeAlias = (
    Hello | Resume | Bye | Acquire | Convert | Release | Cancel | HandOver | Adopt | Inherit | Query
)
Notice: TypeAlias = Waiting | YieldRequested | Lost | Steps
DaemonMessage: TypeAlias = Welcome | Granted | Failed | Done | State | Ticket | Notice
AdminRequest: TypeAlias = (
    AdminHello | Status | List | Show | Sessions | Graph | History | Watch | Metrics | Break | Orders
)
AdminReply: TypeAlias = AdminWelcome | Report | Rows | AdminFailed | Happened
Message: TypeAlias = ClientMessage | DaemonMessage | AdminRequest | AdminReply
