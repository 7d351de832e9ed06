"""What ``lockctl`` reports: a question on the admin socket, and the answer."""

from __future__ import annotations

import os

from lockd_client import AdminClient
from lockd_client.errors import AccessDenied, DaemonUnavailable, LockError
from lockd_wire import endpoints
from lockd_wire.names import fault_of_name

from . import statuses
from .complaints import complain, complain_of
from .output import Output

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from typing import Any

    #: What is asked, by whom, about what; and how the answer is shown to people.
    _Report = tuple[Callable[[AdminClient, str], Any], Callable[[Any, Output], None]]


def report(options: argparse.Namespace) -> int:
    """Ask, show the answer, and return the exit status."""
    from . import pages

    reports: Mapping[str, _Report] = {
        "list": (lambda admin, prefix: list(admin.names(prefix)), pages.show_names),
        "show": (_shown, pages.show_name),
        "sessions": (lambda admin, _: list(admin.sessions()), pages.show_sessions),
        "history": (lambda admin, name: list(admin.history(name)), pages.show_history),
        "status": (lambda admin, _: admin.status(), pages.show_status),
    }
    ask, show = reports[options.report]
    if (fault := fault_of_subject(options)) is not None:
        complain(fault)
        return statuses.USAGE
    try:
        with AdminClient(admin_path(options)) as admin:
            answer = ask(admin, options.subject)
    except LockError as error:
        return complain_of_admin(error)
    output = Output()
    if options.json:
        import json

        # ASCII alone: no order to a terminal gets through, and every locale can show it.
        output.document(json.dumps(answer, indent=2))
    else:
        show(answer, output)
    return output.finish()


def fault_of_subject(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the name or the prefix that is asked about: what begins no name cannot be."""
    fault = fault_of_name(options.subject) if options.subject else None
    return None if fault is None else f'the name "{options.subject:.80}" {fault}'


def _shown(admin: AdminClient, name: str) -> dict[str, Any]:
    facts = admin.show(name)
    try:
        happened = list(admin.history(name))
    except DaemonUnavailable:
        # It was told to remember nothing.
        happened = []
    # The others are the holders and waiters that are shown anyway.
    return {**facts, "history": [row for row in happened if row["what"] not in ("granted", "queued")]}


def complain_of_admin(error: LockError) -> int:
    """Say what the library says of a question on the admin socket, and return the exit status."""
    status = complain_of(error)
    if isinstance(error, AccessDenied):
        complain("the daemon answers root, the user that it runs as, and the uids in its admin_socket.uids: try sudo")
    return status


def admin_path(options: argparse.Namespace) -> str:
    """Return the admin socket that is meant."""
    if options.admin_socket is not None:
        path: str = options.admin_socket
        return path
    # A socket on the command line outranks both variables.
    return endpoints.admin_socket(os.environ if options.socket is None else {"LOCKD_SOCKET": options.socket})
