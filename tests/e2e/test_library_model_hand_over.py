"""A grant goes from one process to another: the Python library against a real daemon, in real processes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import pytest

from support.actor import ActorRaised
from support.daemon import Daemon
from support.idle import wait_until
from support.library import TRY, Play, Queue
from support.permissions import SOMEBODY, needs_root
from support.sources import REPOSITORY

#: A program that takes over what its parent began, and is told through its standard input by what ticket.
CHILD: Final = """
import sys
from lockd_client import adopt

with adopt(sys.stdin.readline().strip()) as grant:
    print(grant.token, flush=True)
    print(grant.label, flush=True)
    sys.stdin.readline()
    with open(sys.argv[1], "a") as file:
        file.write("child\\n")
"""

#: Its parent, and the others: each writes a line while it has the lock.
PARENT: Final = """
import subprocess, sys

def write(line):
    with open(path, "a") as file:
        file.write(line + "\\n")

def start_child():
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", program, path], stdin=pipe, stdout=pipe, text=True)

def tell(text):
    child.stdin.write(text + "\\n")
    child.stdin.flush()
"""

NOT_VALID: Final = (
    "^NotOwner: .* the ticket is not valid: it was used before, or whoever made it holds the lock no more$"
)


def test_from_parent_to_child_through_a_pipe_and_nobody_gets_in_between(
    play: Play, queue: Queue, tmp_path: Path
) -> None:
    path = str(tmp_path / "file")
    parent, third = play(PARENT, path=path, program=CHILD), play(PARENT, path=path, program="")
    parent("mine = lock(name, label='two steps'); grant = mine.__enter__(); write('parent')")
    third.begin("inside(mine, lambda: write('third'))")
    queue.wait_for(third.pid)
    parent("child = start_child(); ticket = grant.handover()")
    child = parent("child.pid")
    # It is the parent's until the child has taken it.
    assert queue.holders() == [parent.pid]
    assert parent("[grant.check(), grant.is_held]") == [None, True]

    parent("tell(ticket)")
    token = parent("int(child.stdout.readline())")
    assert token == parent("grant.token")
    assert parent("child.stdout.readline()") == "two steps\n"
    assert queue.holders() == [child]
    queue.wait_for(third.pid)
    # It is no loss, but it is over. To release it is no mistake.
    assert parent("[grant.lost, grant.is_held]") == [False, False]
    with pytest.raises(ActorRaised, match=r"^NotOwner: .* was handed over, and its ticket has been used$"):
        parent("grant.check()")
    parent("mine.__exit__(None, None, None); mine.locked()")
    assert queue.holders() == [child]

    parent("tell('finish')")
    # The next token of all: nothing was granted to anybody since.
    assert third.result() == token + 1
    assert parent("child.wait()") == 0
    assert Path(path).read_text().splitlines() == ["parent", "child", "third"]


def test_the_end_of_the_maker_is_nothing_to_the_one_who_has_it(play: Play, queue: Queue) -> None:
    maker, heir, third = play(), play(), play()
    maker("mine.acquire()")
    heir(f"grant = adopt({maker('mine.grant.handover()')!r})")
    third.begin("mine.acquire()")
    queue.wait_for(third.pid)
    maker.kill()
    assert heir("[grant.check(), grant.name == name, grant.mode]") == [None, True, "exclusive"]
    wait_until(lambda: maker.pid not in [row["pid"] for row in queue.admin.sessions()], "the daemon knows of its death")
    queue.wait_for(third.pid)
    assert queue.holders() == [heir.pid]
    heir("grant.release()")
    assert third.result() is True
    assert third("mine.grant.abandoned") == []


def test_a_maker_that_is_killed_takes_its_ticket_along(play: Play, queue: Queue, name: str) -> None:
    maker, heir, third = play(), play(), play()
    maker("mine.acquire()")
    ticket = maker("mine.grant.handover()")
    third.begin("mine.acquire()")
    queue.wait_for(third.pid)
    maker.kill()
    assert third.result() is True
    assert third("left_by(mine.grant)") == [[name, maker.pid, ""]]
    with pytest.raises(ActorRaised, match=NOT_VALID):
        heir(f"adopt({ticket!r})")
    assert queue.holders() == [third.pid]
    third("mine.release()")
    assert heir("mine.acquire()") is True


def test_a_ticket_works_once_and_not_after_a_release(play: Play, queue: Queue) -> None:
    maker, heir, late = play(), play(), play()
    maker("mine.acquire(); grant = mine.grant")
    ticket = maker("grant.handover()")
    # Asked for again it is the same.
    assert maker("grant.handover()") == ticket
    token = heir(f"(grant := adopt({ticket!r})).token")
    assert token == maker("grant.token")
    for process in (late, heir, maker):
        with pytest.raises(ActorRaised, match=NOT_VALID):
            process(f"adopt({ticket!r})")
    assert queue.holders() == [heir.pid]
    # The one who has it now may hand it on, or change its mind.
    another = heir("grant.handover()")
    assert another != ticket
    heir("grant.release(); mine.locked()")
    with pytest.raises(ActorRaised, match=NOT_VALID):
        late(f"adopt({another!r})")
    assert late(TRY) is True


def test_what_is_handed_over_is_all_of_the_grant(play: Play, queue: Queue, name: str) -> None:
    maker, heir = play(), play()
    maker("mine = lock_all(name + '/a', (name + ' pool', 2, 3), tree=True); mine.acquire()")
    ticket = maker("mine.grant.handover()")
    assert heir(f"(grant := adopt({ticket!r})).names") == [f"{name}/a", f"{name} pool"]
    for each in (name, f"{name}/a", f"{name} pool"):
        assert queue.holders(each) == [heir.pid]
    heir("grant.convert('shared')")
    assert [queue.modes(name), queue.modes(f"{name}/a"), queue.permits(f"{name} pool")] == [["IS"], ["S"], [2]]
    heir("grant.release(); mine.locked()")
    assert list(queue.admin.names(name)) == []


def test_what_cannot_be_handed_over_stays(play: Play, queue: Queue) -> None:
    maker, heir = play("mine = rlock(name)"), play()
    maker("mine.acquire(); kept = mine.grant; mine.acquire()")
    with pytest.raises(ActorRaised, match=r"^BadRequest: .* was entered 2 times"):
        maker("kept.handover()")
    maker("mine.release()")
    ticket = maker("kept.handover()")
    # While there is a ticket it stays as it is, so that whoever brings it gets what was handed over.
    with pytest.raises(ActorRaised, match=r"^BadRequest: .* is being handed over"):
        maker("kept.convert('shared')")
    with pytest.raises(ActorRaised, match=r"^DeadlockDetected: this thread already holds "):
        maker("mine.acquire()")
    assert maker("[kept.check(), kept.mode, kept.is_held]") == [None, "exclusive", True]
    assert (queue.holders(), queue.waiters()) == ([maker.pid], [])
    # Whoever adopts it may do both.
    heir(f"kept = adopt({ticket!r}); mine = rlock(name); mine.acquire()")
    assert heir("[mine.grant.token == kept.token, kept.convert('shared'), mine.grant.mode]") == [True, None, "shared"]
    assert (queue.holders(), queue.modes()) == ([heir.pid], ["S"])


def test_what_its_holder_alone_can_have_beside_it_stays(play: Play, queue: Queue, name: str) -> None:
    maker = play("leaf, whole = lock(name + '/leaf', tree=True), lock(name)")
    assert maker("[leaf.acquire(), whole.acquire()]") == [True, True]
    with pytest.raises(
        ActorRaised, match=r"^BadRequest: .* by another grant too, with which this one goes only in the same"
    ):
        maker("whole.grant.handover()")
    assert maker("[leaf.grant.check(), whole.grant.check()]") == [None, None]
    maker("leaf.release()")
    assert len(maker("whole.grant.handover()")) >= 32


def test_the_heir_is_asked_to_yield_and_told_of_a_loss(play: Play, queue: Queue) -> None:
    listens = "from queue import SimpleQueue; told = SimpleQueue()"
    maker, heir, third = play(listens), play(listens), play()
    maker(
        "mine = lock(name, lease=0, on_yield=lambda grant: told.put('maker'), on_lost=lambda grant: told.put('maker'))"
    )
    maker("mine.acquire()")
    ticket = maker("mine.grant.handover()")
    heir("""
def on(what):
    return lambda grant: told.put([what, grant is kept])
""")
    heir(f"kept = adopt({ticket!r}, on_yield=on('yield'), on_lost=on('lost'))")
    assert third("mine.acquire()") is True
    assert sorted(heir("[told.get(timeout=60), told.get(timeout=60)]")) == [["lost", True], ["yield", True]]
    assert heir("kept.lost") is True
    assert maker("[mine.locked(), told.empty()]") == [True, True]


STRANGER: Final = """
import sys
sys.path.insert(0, tests)
from support.permissions import effective_uid
with effective_uid(uid):
    client = lockd_client.connect()
"""


@needs_root
def test_a_ticket_is_worth_nothing_to_another_user(play: Play, runtime_dir: Path) -> None:
    config = runtime_dir / "lockd.toml"
    config.write_text('[client_socket]\nmode = "0666"\n')
    runtime_dir.chmod(0o711)
    with Daemon(runtime_dir, "--config", str(config)) as daemon:
        maker, heir = play(of=daemon), play(of=daemon)
        thief = play(STRANGER, of=daemon, tests=str(REPOSITORY / "tests"), uid=SOMEBODY)
        maker("mine.acquire()")
        ticket = maker("mine.grant.handover()")
        with pytest.raises(ActorRaised, match=rf"^NotOwner: .*uid {os.getuid()}"):
            thief(f"client.adopt({ticket!r})")
        assert thief("client.lock(name).acquire(blocking=False)") is False
        # It has not been used up by that.
        assert maker("mine.grant.check()") is None
        assert heir(f"adopt({ticket!r}).token") == maker("mine.grant.token")
