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
List the names that are held or waited for, sorted.
"""

LIST_EXAMPLES = """\
examples:
  lockctl list
  lockctl list reports/
      only names that begin with this
  lockctl list --contended
      where somebody waits
  lockctl list --older-than 3600
      what somebody has held for more than an hour
  lockctl list --json | jq -r '.[] | select(.waiters_total > 9).name'
"""

SHOW = """\
Show who holds one name and who waits for it, in the order in which they came,
and who has left it without releasing it.
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

GRAPH = """\
Show who waits for whom. At the top of each tree is one who waits for nobody;
below everybody are those whose way it is in, each with the name that it waits
for. Who holds a name is shown rather than who comes first in its queue.
"""

GRAPH_EXAMPLES = """\
examples:
  lockctl graph
  lockctl graph db/orders
      only what hangs together with this name
  lockctl graph --dot | dot -Tsvg >waits.svg
      as a picture; dashed arrows lead to those who come first in a queue
  lockctl graph --mermaid
      for a page in Markdown
"""

COMPLETION = """\
Print a script by which a shell completes commands, options, and the names of
locks, as far as this user may ask for them.
"""

COMPLETION_EXAMPLES = """\
examples:
  lockctl completion bash >/etc/bash_completion.d/lockctl
      for everybody, from the next shell on
  eval "$(lockctl completion bash)"
      for this shell
  lockctl completion zsh >/usr/local/share/zsh/site-functions/_lockctl
  lockctl completion fish >~/.config/fish/completions/lockctl.fish
"""

HISTORY = """\
Show what happened to one name lately: how long each waited and held it, and how
that ended; then who holds it and who waits for it now. The daemon remembers the
latest 16 to 32 of each of the names that were last in use.
"""

HISTORY_EXAMPLES = """\
examples:
  lockctl history backup
  lockctl history backup --json | jq 'map(select(.what == "timed out")) | length'
"""

WATCH = """\
Tell what happens to the locks, a line for each event, until Ctrl-C. A daemon
that goes away is waited for. The daemon waits for nobody: of what is more than
1000 events in a second, or comes faster than it is read, is told how many they
were.
"""

WATCH_EXAMPLES = """\
examples:
  lockctl watch
  lockctl watch reports/
      only names that begin with this
  lockctl watch --json | jq 'select(.what == "abandoned")'
"""

TOP = """\
Show the names that are held or waited for, those where most wait in front, again
and again.

keys:
  c, w, h   sort by contention (waiters), by the longest wait, by how long held
  /         show only names that have a text in them; Enter ends it, Esc clears it
  q         quit
"""

TOP_EXAMPLES = """
examples:
  lockctl top
  lockctl top -d 5 reports/
  lockctl top --once --sort holds
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

BREAK = """\
Take a lock away. With --kill the process that holds it is ended first, which
frees all that it holds, and never do two have the lock: that is the way to do
it. Without, the process lives on. It is told, and may go on writing beside
whoever has the lock next until it looks; only a resource that compares fencing
tokens is safe against that. On a terminal it asks first.
"""

BREAK_EPILOG = f"""\
examples:
  lockctl break --kill backup --reason "hangs on a dead disk"
      ends whoever holds "backup"
  lockctl break 236223201280000017 --reason "its host lost the volume"
      one grant, whatever its name: "lockctl show --json" has the tokens
  lockctl break --kill --all config --reason "upgrade" --yes
      every reader, without a question

exit status:
  {statuses.OK:<5} it was done
  {statuses.NOTHING_DONE:<5} nobody held it, or the answer to the question was no: nothing was done
  {statuses.USAGE:<5} wrong usage; several grants, and not --all; or nobody to ask, and no --yes
  {statuses.UNAVAILABLE:<5} there is no daemon, it cannot do it now, or the process does not exit
  {statuses.NOT_WRITTEN:<5} it was done, and that cannot be written
  {statuses.DENIED:<5} this user may not
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
