"""``lockctl list``, ``show``, ``sessions`` and ``status``: a question on the admin socket, and the answer."""

from __future__ import annotations

import os

from lockd_client import AdminClient
from lockd_client.errors import AccessDenied, LockError
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
        "show": (lambda admin, name: admin.show(name), pages.show_name),
        "sessions": (lambda admin, _: list(admin.sessions()), pages.show_sessions),
        "lock-order": (lambda admin, _: list(admin.lock_orders()), pages.show_orders),
        "status": (lambda admin, _: admin.status(), pages.show_status),
    }
    ask, show = reports[options.report]
    # What begins no name cannot be asked for.
    fault = fault_of_name(options.subject) if options.subject else None
    if fault is not None:
        complain(f'the name "{options.subject:.80}" {fault}')
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
