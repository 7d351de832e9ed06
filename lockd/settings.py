"""Every option of the daemon, once: its name, type, bounds, unit, default and reason.

A field of a class below is an option, its class is the section it belongs to, and all else follows from that: which
values are believed, how the environment variables are called, what `describe` tells. `lockd.config` reads the values.
"""

from __future__ import annotations

import grp
import json
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_type_hints

from msgspec import Meta, Struct, inspect
from msgspec.structs import FieldInfo, fields

from lockd_wire.endpoints import SYSTEM_RUNTIME_DIRECTORY
from lockd_wire.limits import FRAME_BYTES_MAX, HELLO_SECONDS_MAX

from .core.bounds import DEFAULT_QUOTAS, Quotas
from .peers import OVERFLOW_UID

SYSTEM_STATE_DIRECTORY: Final = "/var/lib/lockd"

ENVIRONMENT_PREFIX: Final = "LOCKD_"

#: Variables with that prefix that are no options: they tell clients where to look, commands under a lock what they
#: hold, and the daemon where its file is and which boot this is.
OTHER_VARIABLES: Final = frozenset(
    ENVIRONMENT_PREFIX + name for name in ("SOCKET", "ADMIN_SOCKET", "NAME", "TOKEN", "CONFIG", "BOOT_ID")
)

#: The greatest uid there can be: the number above it says "none" to the kernel.
_UID_MAX: Final = 2**32 - 2


def _option(reason: str, unit: str, **constraints: Any) -> Meta:
    """Describe an option whose bounds are numbers or literals, from which msgspec can tell what is allowed."""
    return Meta(description=reason, extra={"unit": unit}, **constraints)


def _text(reason: str, unit: str, *, allowed: str, pattern: str | None = None) -> Meta:
    """Describe an option whose bounds have to be put into words."""
    return Meta(description=reason, extra={"unit": unit, "allowed": allowed}, pattern=pattern)


def _directory(reason: str, *, default: str, example: str) -> Meta:
    """Describe an option that is a directory, whose default depends on who starts the daemon, and how."""
    words = {"unit": "directory", "allowed": "an absolute path without control characters"}
    extra = words | {"default": default, "example": json.dumps(example)}
    return Meta(description=reason, extra=extra, pattern=r"\A/[^\x00-\x1f\x7f]*\Z")


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


class DiagnosticsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What the daemon remembers and looks out for beside its work."""

    history_names_max: Annotated[
        int,
        _option(
            "Of so many names, those last in use, the latest 16 to 32 ends of a grant or a wait are remembered, which"
            " answers who had it before. 1,000 names take up to 11 MB; 0 remembers nothing.",
            "names",
            ge=0,
            le=10**6,
        ),
    ] = 1000


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
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()


class Option(NamedTuple):
    """One option, as its field defines it."""

    #: Its path in the file: ``quotas.sessions_max``.
    key: str
    #: What its value counts or is.
    unit: str
    #: As it would be written in the file; in words where it depends on who starts the daemon.
    default: str
    #: A value as it would be written in the file: the default, where that is not in words.
    example: str
    #: Which values there are, in words that come before "is allowed".
    allowed: str
    reason: str
    #: The environment variable that sets it.
    environment: str
    #: What msgspec holds a value against.
    type: Any

    @property
    def section(self) -> str:
        """The part of the key before the dot, "" for an option that stands above all sections."""
        return self.key.rpartition(".")[0]

    @property
    def name(self) -> str:
        """The part of the key behind the dot."""
        return self.key.rpartition(".")[2]

    @property
    def flag(self) -> str:
        """How the option is written on a command line."""
        return "--" + self.key.replace(".", "-").replace("_", "-")


def describe() -> list[Option]:
    """Return every option, section by section, in the order of the file."""
    return list(_options_of(Settings))


def sections() -> list[str]:
    """Return the names of the sections, in the order of the file."""
    return list(dict.fromkeys(option.section for option in describe() if option.section))


def _options_of(struct: type[Struct], section: str = "") -> Iterator[Option]:
    types = get_type_hints(struct, include_extras=True)
    for info in fields(struct):
        if isinstance(types[info.name], type) and issubclass(types[info.name], Struct):
            yield from _options_of(types[info.name], f"{info.name}.")
        else:
            yield _option_of(info, types[info.name], section + info.name)


def _option_of(info: FieldInfo, annotated: Any, key: str) -> Option:
    (meta,) = annotated.__metadata__
    assert isinstance(meta, Meta)
    assert meta.description is not None
    assert meta.extra is not None
    return Option(
        key=key,
        unit=meta.extra["unit"],
        default=meta.extra.get("default") or json.dumps(info.default),
        example=meta.extra.get("example") or json.dumps(info.default),
        allowed=meta.extra.get("allowed") or _allowed_by(annotated),
        reason=meta.description,
        environment=ENVIRONMENT_PREFIX + key.replace(".", "_").upper(),
        type=annotated,
    )


def _allowed_by(annotated: Any) -> str:
    match inspect.type_info(annotated):
        case inspect.Metadata(type=inspect.IntType(ge=least, le=most)):
            return f"a whole number from {least} to {most}"
        case inspect.Metadata(type=inspect.FloatType(ge=least, le=most)):
            return f"a number from {least:g} to {most:g}"
        case inspect.Metadata(type=inspect.LiteralType()):
            # msgspec would tell them in alphabetical order.
            *words, last = (json.dumps(value) for value in get_args(get_args(annotated)[0]))
            return f"{', '.join(words)} or {last}"
        case other:
            raise TypeError(f"what {other} allows has to be put into words with the option")
