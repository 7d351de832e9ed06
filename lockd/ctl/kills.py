"""Ends the process that holds a grant, and no other, so that its grant is free without two ever having it."""

from __future__ import annotations

import os
import select
import signal
import time

from lockd.pidfds import found_again
from lockd_client.errors import AccessDenied, DaemonUnavailable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from lockd_client import AdminClient

#: Between two looks whether the daemon has noticed the end of a process, which takes it less than that as a rule.
_PAUSE_SECONDS = 0.01


def end_holder(admin: AdminClient, grant: Mapping[str, Any], reason: str, timeout_seconds: float) -> bool:
    """End the process that holds ``grant`` with SIGKILL, and wait until the daemon has taken all from it.

    It is found by its pidfd, which is compared with what the daemon knows of it, and asked for once more after that: so
    nobody is ended who has its number by now, or in another pid namespace, or who holds the grant no longer.

    Returns:
        Whether a process was ended. Otherwise the grant had ended by itself, and nothing was done.

    Raises:
        AccessDenied: This user may not send that process a signal. Nothing was done.
        DaemonUnavailable: The process cannot be told from others, or another one has the grant by now, and nothing was
            done. Or it has not exited in time, and then holds the grant still.
    """
    give_up_at = time.monotonic() + timeout_seconds
    pid, token = grant["pid"], grant["token"]
    if not pid or not grant["process"]:
        raise DaemonUnavailable(
            f"the process that holds {token} cannot be told from others for sure: it is of another pid namespace, or"
            " the kernel is too old. End it by hand, or break the grant without --kill"
        )
    pidfd = found_again(pid, grant["process"])
    if pidfd is None:
        # It has exited, or is not to be seen from here, where its number may be another one's.
        return _is_gone(admin, grant, reason, give_up_at)
    try:
        held = admin.break_(token=token, reason=reason, kill=True)["grants"]
        if not held:
            return False
        if (held[0]["pid"], held[0]["process"]) != (pid, grant["process"]):
            raise DaemonUnavailable(f"pid {held[0]['pid']} has taken {token} over meanwhile: nobody was ended")
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        except PermissionError:
            raise AccessDenied(f"this user may not end pid {pid}: its own user may, and root") from None
        except ProcessLookupError:
            pass
        _wait_for_exit(pidfd, pid, token, give_up_at)
    finally:
        os.close(pidfd)
    while _is_held(admin, token, reason):
        if time.monotonic() >= give_up_at:
            raise DaemonUnavailable(f"pid {pid} was ended, and the daemon has not noticed it: see its log")
        time.sleep(_PAUSE_SECONDS)
    return True


def _wait_for_exit(pidfd: int, pid: int, token: int, give_up_at: float) -> None:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    if not poll.poll(max(0.0, give_up_at - time.monotonic()) * 1000):
        raise DaemonUnavailable(
            f"pid {pid} was sent SIGKILL and has not exited yet: it is in the kernel (an uninterruptible sleep, or it"
            f" dumps core). It holds {token} until it does, and nothing was taken away"
        )


def _is_gone(admin: AdminClient, grant: Mapping[str, Any], reason: str, give_up_at: float) -> bool:
    """Wait until the daemon, too, has seen that the process has exited."""
    while _is_held(admin, grant["token"], reason):
        if time.monotonic() >= give_up_at:
            raise DaemonUnavailable(
                f"pid {grant['pid']} holds {grant['token']} and is not to be seen from here: run lockctl where the"
                " daemon runs"
            )
        time.sleep(_PAUSE_SECONDS)
    return False


def _is_held(admin: AdminClient, token: int, reason: str) -> bool:
    return bool(admin.break_(token=token, reason=reason, dry_run=True)["grants_total"])
