"""What a shell offers when somebody presses TAB: options, and the names that are held or waited for.

argcomplete knows the shells. The script that it makes has the shell start lockctl with ``_ARGCOMPLETE`` set, and what
could stand next is then told by the parser itself, so it is never out of date.
"""

from __future__ import annotations

import argparse
import os
from itertools import islice

import argcomplete
from argcomplete.completers import FilesCompleter
from argcomplete.shell_integration import shellcode

from lockd_client import AdminClient
from lockd_client.errors import LockError

from .reports import admin_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

#: What is offered at the most. Nobody looks through more, and the shell waits for it.
_NAMES_MAX = 200


def print_script(options: argparse.Namespace) -> int:
    """Print what makes a shell complete, and return the exit status."""
    from .output import Output

    output = Output()
    output.document(shellcode(["lockctl"], shell=options.shell).rstrip("\n"))
    return output.finish()


def answer_shell(parser: argparse.ArgumentParser) -> None:
    """Tell the shell that has started this what could stand next, and exit."""
    for command in _commands(parser):
        for action in command._actions:
            completer = _COMPLETERS.get(action.dest)
            if completer is not None:
                action.completer = completer  # type: ignore[attr-defined]  # It is how argcomplete is told.
    argcomplete.autocomplete(parser, always_complete_options="long")


def _commands(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def _names(prefix: str, parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return names that begin in this way, if this user may ask for them."""
    place = argparse.Namespace(socket=getattr(parsed_args, "socket", None))
    place.admin_socket = getattr(parsed_args, "admin_socket", None)
    try:
        with AdminClient(admin_path(place)) as admin:
            return [row["name"] for row in islice(admin.names(prefix), _NAMES_MAX)]
    except LockError:
        return []


def _name_or_command(prefix: str, parsed_args: argparse.Namespace, **others: Any) -> list[str]:
    """Return what may stand next of NAME [--] COMMAND [ARGUMENT ...]."""
    words = [word for word in parsed_args.rest or () if word != "--"]
    if not words:
        return _names(prefix, parsed_args)
    if len(words) == 1 and "/" not in prefix:
        return sorted(_commands_on_path(prefix))
    return list(FilesCompleter()(prefix, **others))


def _commands_on_path(prefix: str) -> set[str]:
    found: set[str] = set()
    for directory in os.get_exec_path():
        try:
            entries = os.listdir(directory)
        except OSError:
            continue
        found.update(entry for entry in entries if entry.startswith(prefix))
    return found


_COMPLETERS: dict[str, Callable[..., list[str]]] = {
    "subject": _names,
    "also": _names,
    "rest": _name_or_command,
}
