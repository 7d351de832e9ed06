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
from .units import add_units

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping
    from typing import Any

    #: What is asked, by whom, given the command line; and how the answer is shown to people.
    _Report = tuple[Callable[[AdminClient, argparse.Namespace], Any], Callable[[Any, Output], None]]


def report(options: argparse.Namespace) -> int:
    """Ask, show the answer, and return the exit status."""
    from . import pages

    reports: Mapping[str, _Report] = {
        "list": (_names, pages.show_names),
        "show": (_name, pages.show_name),
        "sessions": (_sessions, pages.show_sessions),
        "history": (lambda admin, options: list(admin.history(options.subject)), pages.show_history),
        "lock-order": (lambda admin, _: list(admin.lock_orders()), pages.show_orders),
        "status": (lambda admin, _: admin.status(), pages.show_status),
    }
    ask, show = reports[options.report]
    if (fault := fault_of_subject(options)) is not None:
        complain(fault)
        return statuses.USAGE
    try:
        with AdminClient(admin_path(options)) as admin:
            answer = ask(admin, options)
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


def graph(options: argparse.Namespace) -> int:
    """Ask who waits for whom, draw it, and return the exit status."""
    from .drawings import dot, mermaid
    from .graph import Graph, show_graph

    if (fault := fault_of_subject(options)) is not None:
        complain(fault)
        return statuses.USAGE
    try:
        with AdminClient(admin_path(options)) as admin:
            answer = Graph(admin.graph())
    except LockError as error:
        return complain_of_admin(error)
    if options.subject is not None:
        answer = answer.around(options.subject)
    output = Output()
    if options.json:
        import json

        output.document(json.dumps(answer.rows, indent=2))
    elif options.drawing is not None:
        output.document({"dot": dot, "mermaid": mermaid}[options.drawing](answer))
    else:
        show_graph(answer, output)
    return output.finish()


def _names(admin: AdminClient, options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = admin.names(options.subject, held=options.held, contended=options.contended, older_than=options.older_than)
    return sorted(rows, key=lambda row: row["name"])


def _name(admin: AdminClient, options: argparse.Namespace) -> dict[str, Any]:
    facts = admin.show(options.subject)
    add_units([*facts["holders"], *facts["waiters"]])
    try:
        happened = list(admin.history(options.subject))
    except DaemonUnavailable:
        # It was told to remember nothing.
        happened = []
    # The others are the holders and waiters that are shown anyway.
    return {**facts, "history": [row for row in happened if row["what"] not in ("granted", "queued")]}


def _sessions(admin: AdminClient, options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = [
        row
        for row in admin.sessions()
        if (row["grants"] or not options.held)
        and (row["waiting"] or not options.waiting)
        and row["age_seconds"] > options.older_than
    ]
    add_units(rows)
    return sorted(rows, key=lambda row: row["session"])


def fault_of_subject(options: argparse.Namespace) -> str | None:
    """Return what is wrong with the name or the prefix that is asked about: what begins no name cannot be."""
    fault = fault_of_name(options.subject) if options.subject else None
    return None if fault is None else f'the name "{options.subject:.80}" {fault}'


def complain_of_admin(error: LockError) -> int:
    """Say what the library says of a question on the admin socket, and return the exit status."""
    status = complain_of(error)
    if isinstance(error, AccessDenied):
        complain(
            "the daemon answers root, the user that it runs as, the uids in its admin_socket.uids, and the members of"
            " its admin_socket.group: try sudo"
        )
    return status


def admin_path(options: argparse.Namespace) -> str:
    """Return the admin socket that is meant."""
    if options.admin_socket is not None:
        path: str = options.admin_socket
        return path
    # A socket on the command line outranks both variables.
    return endpoints.admin_socket(os.environ if options.socket is None else {"LOCKD_SOCKET": options.socket})
