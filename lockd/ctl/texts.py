"""The longer texts of ``lockctl --help``, for a terminal of 80 columns."""

from __future__ import annotations

from . import statuses

DESCRIPTION = "Run commands under the locks of lockd, and ask who holds which."

EPILOG = """\
"lockctl COMMAND --help" has more, and examples.
Which daemon is asked, $LOCKD_SOCKET and $LOCKD_ADMIN_SOCKET say.
"""

RUN = """\
Run a command under a lock. The lock is held exactly as long as the process of
COMMAND lives, whatever becomes of lockctl and of what COMMAND leaves behind.
COMMAND finds the name in LOCKD_NAME and the fencing token in LOCKD_TOKEN.
Signals are passed on to it. A daemon that is killed or restarted keeps the
lock. If the lock is lost, because its lease was taken or the daemon has lost
its state, COMMAND and what it has started are ended.
"""

RUN_EXAMPLES = """\
examples:
  lockctl run backup -- rsync -a /srv /mnt
      waits for the lock "backup", then runs rsync
  lockctl run -n backup -- rsync -a /srv /mnt
      only if nobody else has it
  lockctl run -w 10 -E 99 backup -c 'pull && build'
      waits for 10 seconds at most, else exits with 99
  lockctl run -s config -- cat /etc/app.conf
      together with other readers
  lockctl run --permits 1/4 encoders -- ffmpeg ...
      four of these at a time
  lockctl run --and db=shared --and mail reports -- make
      all three or none, "db" together with other readers
"""

EXEC = """\
Take a lock and become the command: it has the pid that lockctl had, and no
other process stays behind. The lock is held until it exits. COMMAND finds the
name in LOCKD_NAME and the fencing token in LOCKD_TOKEN.
"""

EXEC_EXAMPLES = """\
examples:
  lockctl exec importer -- /usr/bin/importer
      the ExecStart= of a service
  lockctl exec a -- lockctl exec b -- make
      two locks
"""

LOCKING_STATUSES = f"""
exit status: that of COMMAND, or 128 + N if signal N ended it; otherwise
  {statuses.CONFLICT:<5} the lock was not granted in time (-E names another status)
  {statuses.USAGE:<5} wrong usage
  {statuses.UNAVAILABLE:<5} there is no daemon, or it cannot serve this now
  {statuses.LOST:<5} the lock was lost while COMMAND ran, and COMMAND was ended (run only)
  {statuses.DENIED:<5} the daemon does not serve this user
  {statuses.NOT_EXECUTABLE:<5} COMMAND cannot be executed
  {statuses.NOT_FOUND:<5} there is no such command
Without the lock COMMAND is never run.
"""

LIST = """\
List the names that are held or waited for, in the order in which they came into
use.
"""

LIST_EXAMPLES = """\
examples:
  lockctl list
  lockctl list reports/
      only names that begin with this
  lockctl list --json | jq -r '.[] | select(.waiters_total > 0).name'
      where somebody waits
"""

SHOW = """\
Show who holds one name and who waits for it, in the order in which they came.
"""

SHOW_EXAMPLES = """\
examples:
  lockctl show backup
  lockctl show backup --json | jq '.holders[].pid'
"""

SESSIONS = """\
List the processes that the daemon knows. One that is detached has no connection
to it, and keeps what it holds.
"""

SESSIONS_EXAMPLES = """\
examples:
  lockctl sessions
  lockctl sessions --json | jq '.[] | select(.attached | not)'
"""

STATUS = """\
Show how the daemon is and what it has done since it started.
"""

STATUS_EXAMPLES = """\
examples:
  lockctl status
  lockctl status --json | jq .waiters
"""

METRICS = """\
Print the metrics of the daemon in the text format of Prometheus.
"""

LOCK_ORDER = """\
List the pairs of names that were taken in opposite orders by different owners
since the daemon started. Two of them at the same moment are a deadlock.
"""

LOCK_ORDER_EXAMPLES = """\
examples:
  lockctl lock-order
  lockctl lock-order --json | jq -r '.[].first | .held + " before " + .wanted'
"""

REPORT_STATUSES = f"""
exit status:
  {statuses.OK:<5} answered
  {statuses.USAGE:<5} wrong usage
  {statuses.UNAVAILABLE:<5} there is no daemon, or it cannot answer
  {statuses.NOT_WRITTEN:<5} the answer cannot be written
  {statuses.DENIED:<5} this user may not ask
"""

METRICS_EPILOG = f"""\
examples:
  lockctl metrics | grep lockd_waiters
  lockctl metrics --textfile /var/lib/node_exporter/lockd.prom
      for the textfile collector of the node exporter, from a timer
{REPORT_STATUSES}"""

CHAOS = """\
End the daemon on purpose, while it is in use, and show that nothing was lost.
lockctl takes locks of its own and has others wait for them; it notes what
everybody else holds and waits for; it ends the daemon, waits for the next one,
and compares. Programs see a pause. On a terminal it asks first.
"""

CHAOS_EPILOG = f"""\
examples:
  lockctl chaos restart
      once, with SIGKILL, as a crash would
  lockctl chaos restart --stop-signal term --rounds 10 --yes
      ten times in order, without a question
  lockctl chaos restart --yes --json | jq '.rounds[].pause_seconds'

exit status:
  {statuses.OK:<5} the daemon was ended and came back, and nothing was lost
  {statuses.DECLINED:<5} the answer to the question was no
  {statuses.USAGE:<5} wrong usage
  {statuses.UNAVAILABLE:<5} there is no daemon, it cannot be exercised now, or it did not come back
  {statuses.NOT_WRITTEN:<5} the answer cannot be written
  {statuses.LOST:<5} something was lost: what, is said
  {statuses.DENIED:<5} this user may not
"""
