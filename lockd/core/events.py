"""Everything that can happen to the lock manager."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from .modes import Mode


class Peer(NamedTuple):
    """Whose session it is, by the kernel's word.

    ``process`` tells the process from any other that ever has the same pid. What is in it is the shell's affair.
    """

    pid: int
    uid: int
    gid: int
    process: str = ""


class Permits(NamedTuple):
    """What a request takes of a semaphore, and how many permits the semaphore has as far as the request knows."""

    permits: int
    limit: int


#: What a request wants of a name: a mode of a lock, or permits of a semaphore.
Demand: TypeAlias = Mode | Permits


class Item(NamedTuple):
    """One name that a request is for.

    ``is_asked`` is false for the ancestors of a name in a tree, which nobody asked for.
    """

    name: str
    demand: Demand
    is_asked: bool = True


class Terms(NamedTuple):
    """On which terms a grant is wanted.

    Attributes:
        label: Why, for whoever has to wait.
        timeout_seconds: None to wait for ever, 0 to try.
        is_reentrant: An owner that holds all of it already gets the grant it has once more.
        lease_seconds: After so long the grant may be taken away as soon as somebody waits; None: never.
        wants_yield_request: The holder is told when somebody waits behind it.
        wants_wait_notice: The session is told if the request has to wait, and for whom.
        exit_releases: The exit of the process ends the grant in order, as a release does.
    """

    label: str = ""
    timeout_seconds: float | None = None
    is_reentrant: bool = False
    lease_seconds: float | None = None
    wants_yield_request: bool = False
    wants_wait_notice: bool = False
    exit_releases: bool = False


#: What most requests want.
NO_TERMS: Final = Terms()


class OpenSession(NamedTuple):
    """A process has connected and introduced itself.

    ``image`` tells the program that runs in it from those that ran in it before (P1). The program chose it itself.
    """

    peer: Peer
    program: str
    ends_at_eof: bool
    image: str = ""


class Resume(NamedTuple):
    """A process has connected, and says that ``session`` is its own."""

    session: int
    peer: Peer


class Acquire(NamedTuple):
    """An owner asks for a grant. ``is_tree``: the slashes in the names make a tree."""

    session: int
    id: int
    owner: int
    items: tuple[Item, ...]
    terms: Terms
    is_tree: bool = False


class Convert(NamedTuple):
    """A session asks that a grant of its own have another mode. Of ``terms`` the timeout and the wait notice count."""

    session: int
    id: int
    token: int
    mode: Mode
    terms: Terms


class Release(NamedTuple):
    """A session gives a grant up. ``confirm`` asks for an answer."""

    session: int
    id: int
    token: int
    confirm: bool


class Cancel(NamedTuple):
    """A session takes its request ``request`` back, whatever has become of it."""

    session: int
    id: int
    request: int


class HandOver(NamedTuple):
    """A session lets whoever brings ``ticket``, which nobody can guess, have a grant of its own."""

    session: int
    id: int
    token: int
    ticket: str


class Adopt(NamedTuple):
    """An owner brings a ticket."""

    session: int
    id: int
    owner: int
    ticket: str


class Inherit(NamedTuple):
    """An owner asks for the next grant that an earlier program of its process has left behind."""

    session: int
    id: int
    owner: int


class Query(NamedTuple):
    """A session asks who holds a name."""

    session: int
    id: int
    name: str


class Malformed(NamedTuple):
    """A request came that nothing can be done with, for the reason in ``detail``. It uses its id up like any other."""

    session: int
    id: int
    detail: str


class Bye(NamedTuple):
    """A session ends of its own accord."""

    session: int
    id: int


class Disconnected(NamedTuple):
    """The connection of a session is gone, without a Bye."""

    session: int


class ProcessExited(NamedTuple):
    """The process of a session is gone."""

    session: int


class Break(NamedTuple):
    """An administrator takes grants away, whoever holds them, and says why in ``detail``."""

    tokens: tuple[int, ...]
    detail: str = ""


class Tick(NamedTuple):
    """Time has passed, and nothing else."""


Request: TypeAlias = Acquire | Convert | Release | Cancel | HandOver | Adopt | Inherit | Query | Malformed | Bye
Event: TypeAlias = OpenSession | Resume | Request | Disconnected | ProcessExited | Break | Tick
