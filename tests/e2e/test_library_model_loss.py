"""What a process is told about others: who died, who waits, for whom it waits itself, and that it has lost something.

The Python library against a real daemon, in real processes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pytest

from support.actor import ActorRaised
from support.daemon import Daemon
from support.idle import wait_until
from support.library import TRY, Play, Queue

#: Keeps what the callbacks were told, and lets the main thread wait for it.
LISTENS: Final = """
from queue import SimpleQueue
told = SimpleQueue()

def hear(*what):
    told.put([*what, threading.current_thread() is threading.main_thread()])
"""

CLOCK: Final = r"(\d{4}-\d\d-\d\d )?\d\d:\d\d:\d\d, (just now|\S+ s ago)"


# Abandoned


def test_who_died_and_when_is_told_until_a_writer_has_put_it_in_order(play: Play, queue: Queue, name: str) -> None:
    victim, reader, writer, next_one = (play() for _ in range(4))
    victim("mine = lock(name, label='half of it'); mine.acquire()")
    reader("mine = rwlock(name).read()")
    reader.begin("mine.acquire()")
    queue.wait_for(reader.pid)
    # Not through the rounding of whoever counts in microseconds, or the other clock's.
    killed_at = datetime.now().timestamp() - 0.01
    victim.kill()
    assert reader.result() is True
    told_at = datetime.now().timestamp() + 0.01

    reader("[left] = mine.grant.abandoned")
    assert reader("left_by(mine.grant)") == [[name, victim.pid, "half of it"]]
    assert reader("[left.program, left.uid]") == ["actor_process.py", os.getuid()]
    assert killed_at <= reader("left.left_at.timestamp()") <= told_at
    assert re.fullmatch(
        rf'"{re.escape(name)}" was left by pid {victim.pid} \(actor_process\.py, "half of it"\) at {CLOCK}',
        reader("str(left)"),
    )
    # A reader mends nothing, and who dies in turn neither.
    reader("mine.release(); mine.locked()")
    assert writer(TRY) is True
    assert writer("left_by(mine.grant)") == [[name, victim.pid, "half of it"]]
    writer.kill()
    assert next_one("mine.acquire()") is True
    assert next_one("left_by(mine.grant)") == [[name, writer.pid, ""]]
    # An orderly release by a writer does.
    next_one("mine.release()")
    assert next_one("[mine.acquire(), mine.grant.abandoned]") == [True, []]


def test_of_several_names_those_are_told_that_were_left(play: Play, name: str) -> None:
    victim, other = play(), play()
    victim("mine = lock_all(name, name + ' b', (name + ' read', 'shared'), (name + ' pool', 1, 2)); mine.acquire()")
    victim.kill()
    other("mine = lock_all(name + ' read', (name + ' pool', 2, 2), name + ' c', name)")
    assert other("mine.acquire()") is True
    assert other("left_by(mine.grant)") == [[f"{name} pool", victim.pid, ""], [name, victim.pid, ""]]


def test_an_orderly_end_leaves_nothing_behind(play: Play) -> None:
    first, other = play("mine = lockd_client.connect().lock(name); client = mine._client"), play()
    assert first("mine.acquire()") is True
    first("client.close()")
    assert other("[mine.acquire(), mine.grant.abandoned]") == [True, []]


# Leases


def test_a_lease_is_taken_only_when_somebody_waits(play: Play, queue: Queue, name: str) -> None:
    holder = play(f"{LISTENS}\nmine = lock(name, lease=0, label='slow', on_lost=lambda grant: hear(grant is kept))")
    other = play()
    holder("kept = mine.__enter__()")
    # It has run out from the beginning on. Nobody waits, so it is held, and who merely tries does not wait.
    assert other(TRY) is False
    assert holder("[kept.check(), kept.lost, kept.is_held, told.empty()]") == [None, False, True, True]

    assert other("mine.acquire()") is True
    assert other("left_by(mine.grant)") == [[name, holder.pid, "slow"]]
    assert other("mine.grant.token") > holder("kept.token")
    assert holder("told.get(timeout=60)") == [True, False]
    assert holder("[kept.lost, kept.is_held]") == [True, False]
    lost = f'^LockLost: "{re.escape(name)}" is no longer held: the lease had run out when somebody else wanted it'
    for use in ("kept.check()", "kept.convert('shared')", "kept.handover()", "mine.__exit__(None, None, None)"):
        with pytest.raises(ActorRaised, match=lost):
            holder(use)
    assert queue.holders() == [other.pid]
    assert queue.admin.status()["leases_taken_total"] >= 1
    # And the holder may have it again, behind whoever has it now.
    holder("mine = lock(name)")
    holder.begin("mine.acquire()")
    queue.wait_for(holder.pid)
    other("mine.release()")
    assert holder.result() is True


def test_a_lease_that_has_not_run_out_is_kept(play: Play, queue: Queue) -> None:
    holder, other = play("mine = lock(name, lease=3600)"), play()
    assert holder(TRY) is True
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    assert holder("[mine.grant.check(), mine.grant.lost]") == [None, False]
    holder("mine.release()")
    assert other.result() is True


def test_what_the_block_raised_is_not_hidden_by_the_loss(play: Play) -> None:
    holder, other = play("mine = lock(name, lease=0)"), play()
    holder("""
def work():
    with mine:
        entered.set()
        go_on.wait(60)
        raise RuntimeError("the disk is full")

def outcome_of_work():
    try:
        work()
    except RuntimeError as error:
        notes.append([str(error), *error.__notes__])

notes, entered, go_on = [], threading.Event(), threading.Event()
thread = threading.Thread(target=outcome_of_work)
thread.start()
entered.wait(60)
""")
    assert other("mine.acquire()") is True
    holder("go_on.set(); thread.join()")
    [[error, note]] = holder("notes")
    assert error == "the disk is full"
    assert note.startswith("When the lock was to be released: ")
    assert "the lease had run out" in note


# Requests to yield


def test_a_polite_holder_releases_as_soon_as_somebody_waits(play: Play, queue: Queue) -> None:
    holder, other = (
        play(f"{LISTENS}\nmine = lock(name, on_yield=lambda grant: (hear(grant is kept), grant.release()))"),
        play(),
    )
    holder("kept = mine.__enter__()")
    assert other(TRY) is False
    assert holder("told.empty()") is True
    # Nobody prompts it.
    assert other("[mine.acquire(), mine.grant.abandoned]") == [True, []]
    assert holder("told.get(timeout=60)") == [True, False]
    assert holder("[kept.is_held, kept.lost]") == [False, False]
    with pytest.raises(ActorRaised, match=r"^NotOwner: .* was released before"):
        holder("kept.check()")
    assert queue.holders() == [other.pid]


def test_who_is_asked_to_yield_is_asked_once_and_may_go_on(play: Play, queue: Queue) -> None:
    holder = play(f"{LISTENS}\nmine = lock(name, on_yield=lambda grant: hear(grant.is_held))")
    first, second = play(), play()
    assert holder("mine.acquire()") is True
    first.begin("mine.acquire()")
    assert holder("told.get(timeout=60)") == [True, False]
    second.begin("mine.acquire()")
    queue.wait_for(first.pid, second.pid)
    assert holder("[mine.grant.check(), mine.locked(), told.empty()]") == [None, True, True]
    holder("mine.release()")
    assert first.result() is True


# Waiting


#: Writes what it is told into a file: the thread that could be asked for it is the one that waits.
TELLS: Final = """
import json

def tell(*what):
    with open(path, "a") as file:
        print(json.dumps([*what, threading.current_thread() is threading.main_thread()]), file=file)
"""


def wait_for_line(path: Path) -> list[Any]:
    """Wait until somebody has written a line, and return what it says."""
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), "a callback is called")
    [line] = path.read_text().splitlines()
    what = json.loads(line)
    assert isinstance(what, list)
    return what


def test_whoever_waits_is_told_for_what_and_for_whom(play: Play, queue: Queue, name: str, tmp_path: Path) -> None:
    path = tmp_path / "told"
    holder, first = play("mine = lock(name, label='nightly run')"), play()
    waiter = play(
        f"{TELLS}\nmine = lock(name, on_wait=lambda wait: tell(str(wait), wait.position, wait.waiters_total))",
        path=str(path),
    )
    # Who gets it at once waits for nobody.
    waiter("inside(mine); mine.locked()")
    assert holder(TRY) is True
    first.begin("mine.acquire()")
    queue.wait_for(first.pid)
    assert not path.exists()
    waiter.begin("inside(mine)")
    sentence, *rest = wait_for_line(path)
    assert re.fullmatch(
        rf'waiting for "{re.escape(name)}": held exclusively by pid {holder.pid} \(actor_process\.py, "nightly run"\) '
        rf"since {CLOCK}; 2nd in the queue",
        sentence,
    )
    # In the thread that waits, and once.
    assert rest == [2, 2, True]
    holder("mine.release()")
    assert first.result() is True
    first("mine.release()")
    waiter.result()
    wait_for_line(path)


def test_whoever_waits_for_several_names_is_told_of_the_one_in_the_way(
    play: Play, queue: Queue, name: str, tmp_path: Path
) -> None:
    path = tmp_path / "told"
    holders = [play("mine = semaphore(name + ' pool', 3)") for _ in range(2)]
    assert [holder(TRY) for holder in holders] == [True, True]
    waiter = play(
        f"{TELLS}\nmine = lock_all(name, (name + ' pool', 2, 3), on_wait=lambda wait: tell(str(wait)))", path=str(path)
    )
    waiter.begin("mine.acquire()")
    one, other = (rf"pid {holder.pid} \(actor_process\.py\) since {CLOCK}" for holder in holders)
    assert re.fullmatch(
        rf'waiting for "{re.escape(name)} pool": held by {one} and {other}; 1st in the queue', wait_for_line(path)[0]
    )
    holders[0]("mine.release()")
    assert waiter.result() is True


def test_what_the_callback_raises_ends_the_wait(play: Play, queue: Queue) -> None:
    holder, waiter = play(), play("mine = lock(name, on_wait=lambda wait: 1 / 0)")
    assert holder(TRY) is True
    with pytest.raises(ActorRaised, match=r"^ZeroDivisionError: "):
        waiter("mine.acquire()")
    assert waiter("mine.locked()") is True
    assert queue.waiters() == []


# Loss


@pytest.fixture
def own_daemon(runtime_dir: Path) -> Iterator[Daemon]:
    """A daemon that the test may kill."""
    with Daemon(runtime_dir) as daemon:
        yield daemon


def test_a_holder_learns_that_the_daemon_knows_nothing_of_it(play: Play, own_daemon: Daemon) -> None:
    setup = f"{LISTENS}\nmine = lock(name, on_lost=lambda grant: hear(grant is kept, grant.lost))"
    holder, unaware = play(setup, of=own_daemon), play(of=own_daemon)
    holder("kept = mine.__enter__()")
    unaware("many = lock_all(name + ' a', name + ' b'); many.acquire()")
    own_daemon.kill()
    (own_daemon.runtime_dir / "journal").unlink()
    own_daemon.start()
    assert holder("told.get(timeout=60)") == [True, True, False]
    with pytest.raises(ActorRaised, match=r"^LockLost: "):
        unaware("many.grant.convert('shared')")
    with pytest.raises(ActorRaised, match=r"^LockLost: "):
        unaware("many.release()")
