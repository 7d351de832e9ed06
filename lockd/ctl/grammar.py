"""What the command lines of all commands have in common."""

from __future__ import annotations

import argparse
import os

from . import statuses

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, TypeAlias

    # A private name, but the only one there is for what add_subparsers() returns.
    Commands: TypeAlias = "argparse._SubParsersAction[Parser]"


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with a command line, and ends with the status that flock(1) has for it."""

    def error(self, message: str) -> NoReturn:
        from .complaints import complain

        complain(message)
        complain(f'try "{self.prog} --help"')
        self.exit(statuses.USAGE)


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Makes help as wide as the terminal.

    So does argparse, but it asks for the width whenever an option is added, and asks a module that is slow to import.
    """

    def __init__(self, prog: str) -> None:
        try:
            columns = os.get_terminal_size(1).columns
        except OSError:
            columns = 80
        super().__init__(prog, width=columns - 2)


def add_command(commands: Commands, name: str, summary: str, text: str, epilog: str) -> argparse.ArgumentParser:
    """Add a command, with its help."""
    return commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=epilog,
        formatter_class=Formatter,
        allow_abbrev=False,
    )


def add_sockets(command: argparse.ArgumentParser) -> None:
    """Let the command be told which daemon is meant."""
    command.add_argument("--admin-socket", metavar="PATH", help="the admin socket, instead of $LOCKD_ADMIN_SOCKET")
    command.add_argument("--socket", metavar="PATH", help="the client socket; the admin socket is beside it")
