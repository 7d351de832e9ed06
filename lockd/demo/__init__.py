"""``lockd demo``: the two stories for which lockd was written, told with real processes on real data.

Act 1 (`database`): many processes on one file of an embedded database, without locks and then with them. Act 2
(`descriptors`): what closing a descriptor does to a lock of the kernel, and what it does to one of lockd.

Nothing outside a temporary directory is touched: the demo has a daemon of its own in it.
"""

from __future__ import annotations

import sys

from .children import DemoFailed, Stopped

_FAILED, _WRONG_USAGE, _INTERRUPTED = 1, 2, 130

#: A daemon with its default quotas serves so many processes of one user with room to spare.
_PROCESSES_MAX = 500
_SECONDS_MAX = 3600.0


def run(processes: int, seconds: float) -> int:
    """Play both acts and return the exit status.

    Args:
        processes: How many work on the database at once.
        seconds: How long each half of act 1 works.

    Returns:
        0 if nothing was lost under lockd, 1 if something was or if the demo could not be played (the reason is on
        standard error), 2 if the arguments make no sense, 130 after Ctrl-C, 128 + the number of another signal that
        ended it. Whatever it is, no process and no file of the demo is left.
    """
    if not 2 <= processes <= _PROCESSES_MAX:
        return _refuse(f"--processes has to be from 2 to {_PROCESSES_MAX}, not {processes}", _WRONG_USAGE)
    if not 0 < seconds <= _SECONDS_MAX:
        return _refuse(f"--seconds has to be more than 0 and at most {_SECONDS_MAX:g}, not {seconds:g}", _WRONG_USAGE)
    try:
        from .acts import play

        return play(processes, seconds)
    except ModuleNotFoundError as error:
        if error.name != "tinydb":
            raise
        return _refuse("the database it works on, TinyDB, is not installed: pip install 'lockd[demo]'", _FAILED)
    except DemoFailed as error:
        return _refuse(str(error), _FAILED)
    except Stopped as stopped:
        return _refuse(f"{stopped}; everything it started has ended", 128 + stopped.signal)
    except KeyboardInterrupt:
        return _refuse("interrupted; everything it started has ended", _INTERRUPTED)


def _refuse(sentence: str, status: int) -> int:
    print(f"lockd demo: {sentence}", file=sys.stderr)
    return status
