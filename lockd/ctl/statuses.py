"""The exit statuses of lockctl: those of flock(1), sysexits(3) and the shells, where these have one for the case."""

from __future__ import annotations

OK = 0

#: The lock was not granted in time. ``-E`` names another one.
CONFLICT = 1

#: Somebody was asked whether it is meant, and it is not: nothing was done.
DECLINED = 1

#: Nobody held what was to be taken away: nothing was done.
NOTHING_DONE = 1

#: The command line cannot be: nothing was asked of the daemon.
USAGE = 64

#: There is no daemon, or it cannot serve this now.
UNAVAILABLE = 69

#: A bug of lockctl's own.
SOFTWARE = 70

#: The system has no process to spare.
NO_PROCESS = 71

#: The answer cannot be written to standard output.
NOT_WRITTEN = 74

#: The lock was lost while the command ran, and the command was ended; or the daemon was ended, and something was lost.
LOST = 75

#: The daemon does not serve this user.
DENIED = 77

#: The command is there and cannot be executed.
NOT_EXECUTABLE = 126

#: There is no such command.
NOT_FOUND = 127

#: To this the number of the signal is added that ended the command.
SIGNALLED = 128
