"""The client that the functions of the module share, and these functions."""

from __future__ import annotations

from . import _modes as modes
from ._client import Client
from ._session import RECONNECT_SECONDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from typing import Unpack

    from ._ask import Terms, WireItem
    from ._grant import Grant
    from ._lock import Lock
    from ._rwlock import RWLock

_default = Client(None, None, is_default=True)


def default_client() -> Client:
    """Return the client of this process that is opened on first use."""
    return _default


def connect(
    path: str | os.PathLike[str] | None = None,
    *,
    program: str | None = None,
    reconnect_timeout: float = RECONNECT_SECONDS,
    watch: bool = False,
) -> Client:
    """Open a session with the daemon.

    Args:
        path: The daemon's socket. By default the one that all programs use: ``$LOCKD_SOCKET``, or else ``lockd.sock``
            in the runtime directory of the system's daemon, or of the user's where there is none.
        program: What this program is called in other people's error messages. By default the name of the script.
        reconnect_timeout: How long a call waits, in seconds, for a daemon that is being restarted, before it raises
            DaemonUnavailable. This is on top of the call's own timeout, which is the daemon's to keep.
        watch: Have a thread of this library's notice by itself that the daemon has gone, and connect again as soon as
            there is another. A release that the daemon was sent and had not read then takes effect at once, and a
            session that is lost is noticed (`Grant.lost`, `on_lost`). Without it both happen at the next call. The
            thread does nothing while the daemon is there, tries once a second at the most while it is not, and ends
            with the client.

    Raises:
        DaemonUnavailable: There is no daemon.
        AccessDenied: It does not serve this user.
        ProtocolError: What answers is not a lockd that this library understands.
        BadRequest: The program cannot be called that.
    """
    client = Client(path, program, reconnect_timeout=reconnect_timeout, watch=watch)
    try:
        client.session()
    except BaseException:
        # Interrupted when it was open already and nobody had it yet.
        client.close()
        raise
    return client


def lock(name: str, *, mode: str = modes.EXCLUSIVE, **terms: Unpack[Terms]) -> Lock:
    """Return a handle of the lock with this name, without taking it.

    ::

        with lock("reports/daily", timeout=5, label="nightly run") as grant:
            publish(report, fencing_token=grant.token)

    Args:
        name: What is locked: 1 to 255 bytes of UTF-8 in normal form C, without control characters. Everybody who may
            connect to the daemon can see it.
        mode: "exclusive"; "shared" to hold the lock together with others who asked for it in shared mode; "update" to
            hold it together with those, but with no other updater (`RWLock.update`); or one of the modes of databases
            for whoever locks parts of a thing by names of his own: "IS" and "IX", the intention to lock parts in
            shared or exclusive mode, and "SIX", which is shared and IX.
        timeout: The longest time that `with` waits, in seconds; 0 is a try, and -1 or None no limit.
        label: Why the lock is wanted, for those who have to wait for it: up to 256 bytes.
        tree: The slashes in the name make a tree (there has to be something between two of them, and behind the last
            one): who holds ``db`` exclusively keeps out whoever wants ``db/users``,
            and the other way round. All who lock something in the tree have to say so. Up to 16 levels.
        reentrant: A thread that holds the lock may take it again (`rlock`).
        lease: Seconds after which the lock may be taken away, but only when somebody waits for it. By default it never
            is. The holder finds out by `Grant.check`, `Grant.lost` or `on_lost`; what it does in between, only a
            resource that compares tokens can refuse.
        exit_releases: The exit of this process is an orderly end, and leaves the lock no more abandoned
            (`Grant.abandoned`) than a release does.
        on_wait: Called with a `Wait`, in the thread that waits, when the lock cannot be had at once. It says who holds
            it. What it raises ends the wait. Also called when the grant is
            converted and has to wait for that. If the wait is over by then, it is not called.
        on_yield: Called with the grant, once, when somebody begins to wait for it. What to make of it is up to you.
        on_lost: Called with the grant when it is lost: by its lease, or because the daemon has lost its state.

    `on_yield` and `on_lost` are called by a thread of this library's, which exists from the first grant that has one.

    Raises:
        BadRequest: The name, mode, label or lease cannot be.
        ValueError: The timeout is negative.
    """
    return _default.lock(name, mode=mode, **terms)


def rlock(name: str, *, mode: str = modes.EXCLUSIVE, **terms: Unpack[Terms]) -> Lock:
    """Return a handle of a lock that the thread which holds it may take again, as a `threading.RLock`.

    Each time is to be released; the last release frees the lock. All of them have one token. The arguments are those of
    `lock`.
    """
    return _default.rlock(name, mode=mode, **terms)


def rwlock(name: str, **terms: Unpack[Terms]) -> RWLock:
    """Return a lock that many may hold to read, or one to write: ``with rwlock("x").read():``.

    The arguments are those of `lock`.
    """
    return _default.rwlock(name, **terms)


def semaphore(name: str, limit: int, permits: int = 1, **terms: Unpack[Terms]) -> Lock:
    """Return a handle of a semaphore, which lets in as many as have `limit` permits among them.

    ::

        with semaphore("downloads", 4):
            ...                          # four at most

    Those who wait are served in the order in which they came: who wants many permits is not starved by others who want
    few.

    Args:
        name: As for `lock`. The name of a lock cannot be that of a semaphore at the same time.
        limit: How many permits there are, up to a million. All who use it have to say the same number.
        permits: How many are taken at a time.

    The other arguments are those of `lock`.

    Raises:
        BadRequest: There cannot be such a semaphore, or it has not so many permits.
    """
    return _default.semaphore(name, limit, permits, **terms)


def lock_all(*wanted: Lock | str | WireItem, **terms: Unpack[Terms]) -> Lock:
    """Return a handle of several names at once: all of them are granted together, or none.

    ::

        with lock_all("accounts/17", "accounts/4", ("rates", "shared"), ("workers", 1, 8)):
            ...

    While it waits it holds nothing, so those who take all that they need in this way never wait for each other in a
    circle, whatever the order of the names. It is one grant with one token.

    Args:
        wanted: Up to 16, each with a name of its own: a name, to be held exclusively; a pair of name and mode; a triple
            of name, permits and limit of a semaphore; or a handle, of which only the names and how they are held count.

    The other arguments are those of `lock`.

    Raises:
        BadRequest: There are none or too many, a name comes twice, or one of them cannot be.
    """
    return _default.lock_all(*wanted, **terms)


def adopt(
    ticket: str,
    *,
    on_yield: Callable[[Grant], object] | None = None,
    on_lost: Callable[[Grant], object] | None = None,
) -> Grant:
    """Take over what another process of this user holds. `Client.adopt` says more."""
    return _default.adopt(ticket, on_yield=on_yield, on_lost=on_lost)


def inherited() -> list[Grant]:
    """Take over what this process held before it became this program by exec. `Client.inherited` says more.

    ::

        with ExitStack() as stack:
            held = {grant.name: stack.enter_context(grant) for grant in inherited()}
    """
    return _default.inherited()
