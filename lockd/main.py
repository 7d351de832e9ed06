"""The command ``lockd``: ``serve``, ``reload``, ``config``, ``journal``, ``demo``."""

from __future__ import annotations

import argparse
import faulthandler
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial

from . import __version__

_OK, _FAILED = 0, 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status: 0 when all went well, 1 for a failure that was explained, 2 for
    wrong usage."""
    options = _parser().parse_args(argv)
    run: _Command = options.run
    return run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lockd",
        description="The lock manager of one host.",
        epilog="Administrators and shell scripts use lockctl.",
    )
    parser.add_argument("--version", action="version", version=f"lockd {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    serve = commands.add_parser(
        "serve", help="run the daemon", description="Run the daemon in the foreground, until SIGTERM or Ctrl-C."
    )
    serve.add_argument("--config", metavar="FILE", help="read this configuration file (TOML)")
    serve.add_argument("--runtime-dir", metavar="DIR", help="directory of the sockets")
    serve.add_argument("--state-dir", metavar="DIR", help="directory of what outlives a reboot")
    serve.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    serve.add_argument(
        "--reset-epoch",
        action="store_true",
        help="start although the epoch file is damaged; tokens may then repeat",
    )
    serve.set_defaults(run=_serve)

    reload = commands.add_parser(
        "reload",
        help="let a daemon read its configuration again",
        description="Let a daemon read its configuration again, and wait until it has. The log level and the quotas"
        " apply at once, other changes are complained of: they need a restart.",
    )
    reload.add_argument("pid", type=int, metavar="PID", help="the daemon")
    reload.add_argument("--config", metavar="FILE", help="as for serve")
    reload.add_argument("--runtime-dir", metavar="DIR", help="as for serve")
    reload.set_defaults(run=_reload)

    config = commands.add_parser("config", help="show every option, its default and its reason")
    config.set_defaults(run=_config)

    journal = commands.add_parser("journal", help="look at what the daemon has written down")
    actions = journal.add_subparsers(title="actions", metavar="ACTION", required=True)
    dump = actions.add_parser(
        "dump",
        help="print it, one line of JSON for each record",
        description="Print a journal, also that of a daemon that runs: a line of JSON for its header and one for each"
        " record, and on standard error in words how it ends. The exit status is 1 if a part of it cannot be read.",
    )
    dump.add_argument("--config", metavar="FILE", help="as for serve")
    dump.add_argument("--runtime-dir", metavar="DIR", help="as for serve")
    dump.add_argument("file", metavar="FILE", nargs="?", help="the journal (that of the configuration)")
    dump.set_defaults(run=_dump)

    demo = commands.add_parser("demo", help="50 processes on one database file, without locks and then with them")
    demo.add_argument("--processes", type=int, default=50, metavar="N", help="how many (50)")
    demo.add_argument("--seconds", type=float, default=6.0, metavar="S", help="how long each half works (6)")
    demo.set_defaults(run=_demo)
    return parser


def _serve(options: argparse.Namespace) -> int:
    import trio

    from .config import ConfigError, load
    from .directories import DirectoryError
    from .epoch import EpochError
    from .journal import JournalError
    from .listeners import ListenError
    from .logs import configure, log
    from .server import serve

    flags = {name: getattr(options, name) for name in ("config", "runtime_dir", "state_dir", "log_level")}
    read = partial(load, flags, os.environ, uid=os.getuid())
    try:
        config = read()
    except ConfigError as error:
        print(f"lockd: {error}", file=sys.stderr)
        return _FAILED
    configure(config.log_level)
    # Who ends a daemon that is stuck does so with SIGABRT, and wants to know where it was.
    if sys.stderr is not None:
        faulthandler.enable()
    try:
        trio.run(partial(serve, config, reset_epoch=options.reset_epoch, read_again=read))
    except (DirectoryError, EpochError, JournalError, ListenError) as error:
        log.error("%s", error)
        return _FAILED
    return _OK


def _reload(options: argparse.Namespace) -> int:
    from .config import ConfigError, load
    from .reload import ReloadError, ask

    flags = {name: getattr(options, name) for name in ("config", "runtime_dir")}
    try:
        ask(options.pid, load(flags, os.environ, uid=os.getuid()).runtime_dir)
    except (ConfigError, ReloadError) as error:
        for problem in error.problems:
            print(f"lockd: {problem}", file=sys.stderr)
        return _FAILED
    return _OK


def _config(options: argparse.Namespace) -> int:
    from .config import print_options

    print_options()
    return _OK


def _dump(options: argparse.Namespace) -> int:
    from .config import ConfigError, load
    from .journal import DumpError, dump, journal_path

    flags = {name: getattr(options, name) for name in ("config", "runtime_dir")}
    try:
        path = options.file
        if path is None:
            path = journal_path(load(flags, os.environ, uid=os.getuid()).runtime_dir)
        ending, is_whole = dump(path, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has had enough of it. Python tries once more when it exits, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    except (ConfigError, DumpError) as error:
        print(f"lockd: {error}", file=sys.stderr)
        return _FAILED
    print(f"lockd: {ending}", file=sys.stderr)
    return _OK if is_whole else _FAILED


def _demo(options: argparse.Namespace) -> int:
    from .demo import run

    return run(options.processes, options.seconds)


_Command = Callable[[argparse.Namespace], int]
