"""Every option of the daemon, once: its name, type, bounds, unit, default and reason.

A field of a class below is an option, its class is the section it belongs to, and all else follows from that
(`lockd.options`): which values are believed, how the environment variables are called, what `describe` tells.
`lockd.config` reads the values.
"""

from __future__ import annotations

import grp
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct

from lockd_wire.endpoints import SYSTEM_RUNTIME_DIRECTORY
from lockd_wire.limits import FRAME_BYTES_MAX, HELLO_SECONDS_MAX, NAME_BYTES_MAX

from .core.bounds import DEFAULT_QUOTAS, Quotas
from .options import ENVIRONMENT_PREFIX, Option, options_of
from .options import directory as _directory
from .options import option as _option
from .options import text as _text
from .peers import OVERFLOW_UID

SYSTEM_STATE_DIRECTORY: Final = "/var/lib/lockd"

#: Variables with that prefix that are no options: they tell clients where to look, commands under a lock what they
#: hold, and the daemon where its file is and which boot this is.
OTHER_VARIABLES: Final = frozenset(
    ENVIRONMENT_PREFIX + name for name in ("SOCKET", "ADMIN_SOCKET", "NAME", "TOKEN", "CONFIG", "BOOT_ID")
)

#: The greatest uid there can be: the number above it says "none" to the kernel.
_UID_MAX: Final = 2**32 - 2


#: Patterns of names that can be given: those that are measured, each of which is written in every scrape while others
#: wait, and those that are only looked at.
_MEASURED_MAX: Final = 16
_CLASSES_MAX: Final = 32

_Pattern = Annotated[str, Meta(min_length=1, max_length=NAME_BYTES_MAX)]
_PATTERNS_ALLOWED: Final = f"patterns of 1 to {NAME_BYTES_MAX} characters"


def _gid_of(group: str) -> int | None:
    return grp.getgrnam(group).gr_gid if group else None


class ClientSocketSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may connect to the clients' socket. A socket that systemd passes has the permissions of its unit instead."""

    mode: Annotated[
        str,
        _text(
            "Who may write to the socket may ask for locks, and sees names and labels of everybody. Unless it is told"
            " otherwise, the daemon serves its own user alone.",
            "octal permissions",
            allowed='a string of three octal digits such as "0660"',
            pattern=r"\A0?[0-7]{3}\Z",
        ),
    ] = "0600"
    group: Annotated[
        str,
        _text(
            'The group that the socket is given to, whose members may connect if the mode is "0660". Empty: the group'
            " of the daemon.",
            "name of a group",
            allowed="the name of a group",
        ),
    ] = ""

    @property
    def permissions(self) -> int:
        """The mode as a number."""
        return int(self.mode, 8)

    def gid(self) -> int | None:
        """Look up the id of the group. None: the socket keeps the group of the daemon.

        Raises:
            KeyError: This machine has no such group.
        """
        return _gid_of(self.group)


class AdminSocketSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """Who may use the admin socket."""

    uids: Annotated[
        tuple[Annotated[int, Meta(ge=0, le=_UID_MAX)], ...],
        _text(
            "Who may use it beside root and the daemon's own user, if the permissions of the socket let them connect."
            f" {OVERFLOW_UID} is refused, because every stranger of another user namespace appears as it. The"
            " environment variable holds them with commas between them.",
            "uids",
            allowed=f"a list of uids from 0 to {_UID_MAX} without {OVERFLOW_UID}",
        ),
    ] = ()
    group: Annotated[
        str,
        _text(
            "The group whose members may look at everything and change nothing: the socket is given to it, with the"
            ' mode "0660". Empty: nobody may but those who may do anything. They see names, labels and programs of'
            " everybody.",
            "name of a group",
            allowed="the name of a group",
        ),
    ] = ""

    @property
    def permissions(self) -> int:
        """The mode of a socket that the daemon makes itself."""
        return 0o660 if self.group else 0o600

    def gid(self) -> int | None:
        """Look up the id of the group. None: there is none.

        Raises:
            KeyError: This machine has no such group.
        """
        return _gid_of(self.group)


class QuotaSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """How much there may be at all, and how much of it one uid may have."""

    sessions_max: Annotated[
        int,
        _option(
            "Each session costs the daemon two descriptors, and their number is limited.",
            "sessions",
            ge=1,
            le=10**6,
        ),
    ] = DEFAULT_QUOTAS.sessions_max
    sessions_per_uid_max: Annotated[
        int,
        _option("It takes two users who work together to keep the others out.", "sessions", ge=1, le=10**6),
    ] = DEFAULT_QUOTAS.sessions_per_uid_max
    grants_per_uid_max: Annotated[
        int,
        _option(
            "A program that takes lock after lock and releases none gets an error before the daemon is in trouble.",
            "grants",
            ge=1,
            le=10**9,
        ),
    ] = DEFAULT_QUOTAS.grants_per_uid_max
    waiters_per_uid_max: Annotated[
        int,
        _option(
            "The same for requests that wait, which also take time whenever a queue moves on.",
            "requests",
            ge=1,
            le=10**9,
        ),
    ] = DEFAULT_QUOTAS.waiters_per_uid_max

    def for_core(self) -> Quotas:
        """Return the same in the form that the core takes."""
        return Quotas(*(getattr(self, name) for name in Quotas._fields))


class ConnectionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is put up with from a connection. Cutting it off takes nothing from its session, which is then detached."""

    outbox_bytes_max: Annotated[
        int,
        _option(
            "Answers that the peer has not read. With more of them than this it is cut off: the daemon waits for no"
            " reader. The least is two of the longest answers there are.",
            "bytes",
            ge=2 * FRAME_BYTES_MAX,
            le=2**30,
        ),
    ] = 256 * 1024
    hello_seconds_max: Annotated[
        float,
        _option(
            "How long a new connection may take to say who it is. The protocol promises clients the default.",
            "seconds",
            ge=0.1,
            le=600,
        ),
    ] = HELLO_SECONDS_MAX
    frame_seconds_max: Annotated[
        float,
        _option(
            "How long a message may take from its first byte to its last. Clients send it in one piece, so one that"
            " takes long comes from a process that was stopped in the middle, or means harm.",
            "seconds",
            ge=0.1,
            le=3600,
        ),
    ] = 60.0
    unintroduced_max: Annotated[
        int,
        _option(
            "How many connections there may be that have not said who they are. They belong to no session yet, so no"
            " quota counts them.",
            "connections",
            ge=1,
            le=10**5,
        ),
    ] = 64


class SessionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What becomes of sessions without a connection."""

    resume_window_seconds: Annotated[
        float,
        _option(
            "How long the others stay behind a waiter whose process has lost its connection, before they may pass it."
            " It keeps its place. A process that runs reconnects at once; others are slow to notice.",
            "seconds",
            ge=0,
            le=600,
        ),
    ] = 2.0
    state_loss_delay_seconds: Annotated[
        float,
        _option(
            "How long nothing is granted when the journal is lost while the machine runs. Whoever held locks still"
            " believes in them, and learns meanwhile that they are gone.",
            "seconds",
            ge=0,
            le=3600,
        ),
    ] = 15.0


class MetricsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What is measured name by name."""

    patterns: Annotated[
        tuple[_Pattern, ...],
        _text(
            'Names whose waits and holds are measured by themselves, such as "reports/*": * is any text, slashes'
            " included, ? any character, [ab] one of these. A name counts for the first pattern that it fits, and for"
            ' "other" if it fits none. Each pattern is 28 more lines of every scrape.',
            "patterns of names",
            allowed=f"a list of up to {_MEASURED_MAX} {_PATTERNS_ALLOWED}",
            max_length=_MEASURED_MAX,
        ),
    ] = ()


class DiagnosticsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the daemon remembers and looks out for beside its work."""

    history_names_max: Annotated[
        int,
        _option(
            "Of so many names, those last in use, the latest 16 to 32 ends of a grant or a wait are remembered, which"
            " answers who had it before. 1,000 names take 11 MB, and 35 MB where names and labels are as long as they"
            " can be; 0 remembers nothing.",
            "names",
            ge=0,
            le=10**6,
        ),
    ] = 1000
    convoy_waiters: Annotated[
        int,
        _option(
            "A name for which so many requests wait is told of in the log, and again each time they have doubled. 0: no"
            " name ever is.",
            "requests",
            ge=0,
            le=10**6,
        ),
    ] = 100
    long_hold_seconds: Annotated[
        float,
        _option(
            "A grant that is held for longer than this is told of in the log, whether somebody waits for it or not. 0:"
            " none ever is. There is no time that is too long for everybody.",
            "seconds",
            ge=0,
            le=10**7,
        ),
    ] = 0.0
    lock_order: Annotated[
        bool,
        _option(
            "Whether names that are taken in opposite orders by different owners are found and told of, as the deadlock"
            " that they will be some day.",
            "true or false",
        ),
    ] = True
    lock_order_classes: Annotated[
        tuple[_Pattern, ...],
        _text(
            "Patterns as in metrics.patterns. Names that fit one are a single name as far as their order goes, for"
            " programs that make up new names all the time.",
            "patterns of names",
            allowed=f"a list of up to {_CLASSES_MAX} {_PATTERNS_ALLOWED}",
            max_length=_CLASSES_MAX,
        ),
    ] = ()


class Settings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All options. What each is for, `describe` tells."""

    runtime_dir: Annotated[
        str,
        _directory(
            "Where the sockets are made. Clients look in the default directory; for any other they need LOCKD_SOCKET.",
            default=f"$RUNTIME_DIRECTORY under systemd, {SYSTEM_RUNTIME_DIRECTORY} for root, else lockd in"
            " $XDG_RUNTIME_DIR",
            example=SYSTEM_RUNTIME_DIRECTORY,
        ),
    ]
    state_dir: Annotated[
        str,
        _directory(
            "Where the epoch is kept, thanks to which tokens rise over reboots. So it has to outlive them.",
            default=f"$STATE_DIRECTORY under systemd, {SYSTEM_STATE_DIRECTORY} for root, else lockd in $XDG_STATE_HOME"
            " or ~/.local/state",
            example=SYSTEM_STATE_DIRECTORY,
        ),
    ]
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        _option("Messages of this level and graver ones are logged.", "level"),
    ] = "info"
    client_socket: ClientSocketSettings = ClientSocketSettings()
    admin_socket: AdminSocketSettings = AdminSocketSettings()
    quotas: QuotaSettings = QuotaSettings()
    connections: ConnectionSettings = ConnectionSettings()
    sessions: SessionSettings = SessionSettings()
    metrics: MetricsSettings = MetricsSettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()


def describe() -> list[Option]:
    """Return every option, section by section, in the order of the file."""
    return list(options_of(Settings))


def sections() -> list[str]:
    """Return the names of the sections, in the order of the file."""
    return list(dict.fromkeys(option.section for option in describe() if option.section))
