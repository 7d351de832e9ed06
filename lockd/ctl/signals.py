"""Signals, as a program needs them that stands between others and a command."""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as signal
    from _socket import socket
else:
    # The public module makes enumerations of the same names, which takes as long as importing a third of the library.
    import _signal as signal

#: Python ignores these, and what is ignored stays ignored in a command.
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)

#: What the kernel gives as the origin of a signal of its own (SI_KERNEL; the signal module has no name for it).
_KERNEL = 0x80


def is_from_kernel(info: signal.struct_siginfo) -> bool:
    """Whether nobody has sent this signal: a key was pressed, and all processes in the foreground have it."""
    return info.si_code == _KERNEL


def die_of_interrupts() -> None:
    """Let Ctrl-C end this program as it ends one in C, unless it is ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def undo_python() -> None:
    """Give a command the signals as Python was given them."""
    die_of_interrupts()
    for number in _IGNORED_BY_PYTHON:
        signal.signal(number, signal.SIG_DFL)


def request_news(sock: socket) -> None:
    """Have this process sent SIGIO whenever something happens on ``sock``, its end included."""
    fcntl.fcntl(sock.fileno(), fcntl.F_SETOWN, os.getpid())
    flags = fcntl.fcntl(sock.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(sock.fileno(), fcntl.F_SETFL, flags | os.O_ASYNC)


def stop_here() -> None:
    """Stop this process as Ctrl-Z does, and return when it is continued. SIGTSTP has to be blocked."""
    # The default action, and not SIGSTOP: it does nothing where no shell is left that could continue the process.
    os.kill(os.getpid(), signal.SIGTSTP)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTSTP})
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTSTP})


def die_of(number: int) -> None:
    """End this process by a signal that ends processes.

    Returns only in the first process of a container, which the kernel protects from its own signals.
    """
    import resource

    # A core dump would be one of the wrong program.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
