"""Conversion, re-entry and deadlocks: the Python library against a real daemon, in real processes."""

from __future__ import annotations

import re
from typing import Final

import pytest

from support.actor import ActorRaised
from support.library import TRY, Play, Queue, interrupt_while_asleep

READS: Final = """
mine = rwlock(name, label=label).read()
mine.acquire()
grant = mine.grant
"""

UPDATES: Final = "mine = rwlock(name, label='updates').update()"

#: What is left after a conversion that came to nothing.
STILL_READS: Final = "[grant.mode, grant.check(), grant.is_held]"


# Conversion


def test_up_when_the_other_readers_have_gone_and_down_again(play: Play, queue: Queue) -> None:
    one, other = play(READS, label="one"), play(READS, label="other")
    late = play("mine = rwlock(name).read()")
    token = one("grant.token")
    one.begin("grant.convert('exclusive')")
    queue.wait_for(one.pid)
    assert queue.waiters()[0]["converts_from"] == "S"
    late.begin("mine.acquire()")
    queue.wait_for(one.pid, late.pid)
    # It reads as before while it waits.
    assert queue.modes() == ["S", "S"]
    other("mine.release()")
    one.result()
    assert one("[grant.mode, grant.token]") == ["exclusive", token]
    assert (queue.holders(), queue.modes()) == ([one.pid], ["X"])
    queue.wait_for(late.pid)
    one("grant.convert('shared')")
    assert late.result() is True
    assert one("[grant.mode, grant.token, mine.release()]") == ["shared", token, None]


def test_a_conversion_that_takes_too_long_keeps_the_old_mode(play: Play, queue: Queue, name: str) -> None:
    one, other = play(READS, label="one"), play(READS, label="other")
    for seconds in ("0", "0.05"):
        with pytest.raises(
            ActorRaised, match=rf'^LockTimeout: "{re.escape(name)}" in mode exclusive .*pid {other.pid} '
        ):
            one(f"grant.convert('exclusive', timeout={seconds})")
        assert one(STILL_READS) == ["shared", None, True]
    assert (queue.modes(), queue.waiters()) == (["S", "S"], [])


@pytest.mark.parametrize("way", ["grant.convert('exclusive')", "grant.upgraded().__enter__()"])
def test_ctrl_c_in_a_conversion_keeps_the_old_mode(way: str, play: Play, queue: Queue) -> None:
    one, other = play(READS, label="one"), play(READS, label="other")
    late = play("mine = rwlock(name).read()")
    one.begin(f"outcome(lambda: {way})")
    queue.wait_for(one.pid)
    late.begin("mine.acquire()")
    queue.wait_for(one.pid, late.pid)
    interrupt_while_asleep(one.pid)
    assert one.result() == "KeyboardInterrupt: "
    # Nobody wants to write any more.
    assert late.result() is True
    assert one(STILL_READS) == ["shared", None, True]
    assert (queue.modes(), queue.waiters()) == (["S", "S", "S"], [])
    # And it can try again.
    for reader in (other, late):
        reader("mine.release(); mine.locked()")
    assert one("[grant.convert('exclusive', timeout=0), grant.mode]") == [None, "exclusive"]
    assert queue.modes() == ["X"]


def test_two_readers_that_both_want_to_write(play: Play, queue: Queue, name: str) -> None:
    deadlocks = queue.admin.status()["deadlocks_total"]
    one, other = play(READS, label="one"), play(READS, label="other")
    one.begin("grant.convert('exclusive')")
    queue.wait_for(one.pid)
    assert other("circle(lambda: grant.convert('exclusive'))") == [
        [other.pid, "other", name, one.pid, "one", "shared"],
        [one.pid, "one", name, other.pid, "other", "shared"],
    ]
    assert other(STILL_READS) == ["shared", None, True]
    with pytest.raises(ActorRaised) as refused:
        other("grant.upgraded().__enter__()")
    sentence = str(refused.value)
    assert sentence.startswith(
        f'DeadlockDetected: waiting for "{name}" in mode exclusive would never end: pid {other.pid} '
    )
    assert f'pid {one.pid} (actor_process.py, "one") wants "{name}", exclusive, and pid {other.pid} (this' in sentence
    assert sentence.endswith(
        "This thread keeps what it holds: release that and try again, or take all that is needed at once with lock_all"
    )
    assert queue.admin.status()["deadlocks_total"] == deadlocks + 2
    # Whoever came first goes on as soon as the other one does as it is told.
    assert queue.modes() == ["S", "S"]
    other("mine.release()")
    one.result()
    assert one("grant.mode") == "exclusive"


def test_update_mode_is_for_that(play: Play, queue: Queue) -> None:
    deadlocks = queue.admin.status()["deadlocks_total"]
    one, other = play(UPDATES), play(UPDATES)
    reader, late = play(READS, label="reader"), play("mine = rwlock(name).read()")
    one("grant = mine.__enter__()")
    # The second one waits before it has read, beside it others read.
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    assert queue.modes() == ["S", "U"]
    one("upgrade = grant.upgraded()")
    one.begin("upgrade.__enter__() is grant")
    queue.wait_for(one.pid, other.pid)
    late.begin("mine.acquire()")
    queue.wait_for(one.pid, other.pid, late.pid)
    reader("mine.release()")
    assert one.result() is True
    assert (queue.holders(), queue.modes(), one("grant.mode")) == ([one.pid], ["X"], "exclusive")
    # At the end of the block it has its old mode again, and readers come. The other one still waits.
    one("upgrade.__exit__(None, None, None)")
    assert one("grant.mode") == "update"
    assert late.result() is True
    queue.wait_for(other.pid)
    assert queue.modes() == ["U", "S"]
    one("mine.__exit__(None, None, None)")
    assert other.result() is True
    assert queue.admin.status()["deadlocks_total"] == deadlocks


def test_an_exception_in_an_upgraded_block_goes_back_too(play: Play, queue: Queue) -> None:
    one, late = play(UPDATES), play("mine = rwlock(name).read()")
    one("""
def work():
    with mine as grant:
        try:
            with grant.upgraded():
                modes.append(grant.mode)
                inside.set()
                go_on.wait(60)
                raise RuntimeError("in the middle")
        except RuntimeError as error:
            modes.append(f"{grant.mode} after {error}")
            grant.check()
            outside.wait(60)

modes, inside, go_on, outside = [], threading.Event(), threading.Event(), threading.Event()
thread = threading.Thread(target=work)
thread.start()
inside.wait(60)
""")
    late.begin("mine.acquire()")
    queue.wait_for(late.pid)
    one("go_on.set()")
    assert late.result() is True
    assert queue.modes() == ["U", "S"]
    one("outside.set(); thread.join()")
    assert one("modes") == ["exclusive", "update after in the middle"]
    assert one("mine.locked(), mine.grant") == [True, None]
    assert queue.modes() == ["S"]


def test_all_locks_of_a_grant_are_converted_and_their_ancestors_follow(play: Play, queue: Queue, name: str) -> None:
    one, other = play(), play()
    one("mine = lock_all((name + '/a', 'shared'), (name + '/b', 'shared'), (name + ' pool', 1, 2), tree=True)")
    one("mine.acquire()")
    other("mine = lock(name + '/b', mode='shared', tree=True); mine.acquire()")
    with pytest.raises(ActorRaised, match=r"^LockTimeout: .*/b"):
        one("mine.grant.convert('exclusive', timeout=0)")
    assert [queue.modes(each) for each in (f"{name}/a", f"{name}/b", name)] == [["S"], ["S", "S"], ["IS", "IS"]]
    other("mine.release(); mine.locked()")
    one("mine.grant.convert('exclusive', timeout=0)")
    assert [queue.modes(each) for each in (f"{name}/a", f"{name}/b", name)] == [["X"], ["X"], ["IX"]]
    assert queue.permits(f"{name} pool") == [1]


# Re-entry


def test_nested_functions_that_all_take_the_lock(play: Play, queue: Queue) -> None:
    one, other = (
        play("""
def outer():
    with rlock(name) as grant:
        tokens.append(grant.token)
        middle()
        state.append(grant.is_held)

@lockd_client.locked(rlock(name, timeout=5))
def middle():
    with rlock(name, mode="shared") as grant:
        tokens.append(grant.token)
        inmost.set()
        go_on.wait(60)

tokens, state, inmost, go_on = [], [], threading.Event(), threading.Event()
thread = threading.Thread(target=outer)
"""),
        play(),
    )
    one("thread.start(); inmost.wait(60)")
    # Through all of it there is one holder with one token.
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    assert (queue.holders(), queue.modes()) == ([one.pid], ["X"])
    one("go_on.set(); thread.join()")
    assert other.result() is True
    first, second = one("tokens")
    assert first == second
    assert one("state") == [True]


def test_the_last_release_frees_it(play: Play, queue: Queue) -> None:
    one, other = play("mine = rlock(name)"), play()
    assert one("[mine.acquire(), mine.acquire(), mine.acquire()]") == [True, True, True]
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    for _ in range(2):
        one("mine.release(); mine.locked()")
        queue.wait_for(other.pid)
    one("mine.release()")
    assert other.result() is True
    with pytest.raises(ActorRaised, match=r"^NotOwner: "):
        one("mine.release()")
    assert queue.holders() == [other.pid]


@pytest.mark.parametrize("way", ["mine.acquire()", "mine.acquire(timeout=5)", TRY, "inside(lock(name, timeout=0))"])
def test_a_plain_lock_that_its_owner_takes_again(way: str, play: Play, queue: Queue, name: str) -> None:
    one, other = play("mine = lock(name, label='outer')"), play()
    assert one(TRY) is True
    assert one(f"circle(lambda: {way})") == [
        [one.pid, "" if "inside" in way else "outer", name, one.pid, "outer", "exclusive"]
    ]
    with pytest.raises(
        ActorRaised, match=r'^DeadlockDetected: this thread already holds .* \("outer"\) since .* rlock$'
    ):
        one(way)
    # It is still held, once.
    assert (queue.holders(), queue.waiters()) == ([one.pid], [])
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    one("mine.release()")
    assert other.result() is True


# Threads

#: Two threads, each of which does what it is given.
THREADS: Final = """
from concurrent.futures import ThreadPoolExecutor

one, two = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
a, b = lock(name, label="takes a"), lock(name + " b", label="takes b")

def by(thread, call):
    return thread.submit(call).result()
"""


def test_two_threads_that_wait_for_each_other_are_told(play: Play, queue: Queue, name: str) -> None:
    process = play(THREADS)
    assert process("[by(one, a.acquire), by(two, b.acquire)]") == [True, True]
    process("waits = one.submit(b.acquire)")
    queue.wait_for(process.pid, name=f"{name} b")
    assert process("circle(lambda: by(two, a.acquire))") == [
        [process.pid, "takes a", name, process.pid, "takes a", "exclusive"],
        [process.pid, "takes b", f"{name} b", process.pid, "takes b", "exclusive"],
    ]
    queue.wait_for(process.pid, name=f"{name} b")
    process("by(two, b.release)")
    assert process("waits.result(60)") is True


#: As many threads as there are steps, each of which takes a lock and then wants that of the next one.
MANY_THREADS: Final = """
from concurrent.futures import ThreadPoolExecutor

threads = [ThreadPoolExecutor(1) for _ in range(STEPS)]
locks = [lock(f"{name} {number}", label=f"of {number}") for number in range(STEPS)]
for thread, each in zip(threads, locks):
    thread.submit(each.acquire).result()

def waits(number):
    threads[number].submit(locks[number + 1].acquire)

def closes():
    return threads[-1].submit(locks[0].acquire).exception()
"""


def test_a_circle_of_forty_threads_is_told_step_by_step(play: Play, queue: Queue, name: str) -> None:
    process = play(MANY_THREADS.replace("STEPS", "40"))
    for number in range(39):
        process(f"waits({number})")
        queue.wait_for(process.pid, name=f"{name} {number + 1}")
    process("error = closes()")
    assert process("(type(error).__name__, error.cycle_total)") == ["DeadlockDetected", 40]
    told = "[[step.name, step.waiter.label, step.blocker.label, step.blocker.mode] for step in error.cycle]"
    assert process(told) == [[f"{name} {number}", f"of {number}", f"of {number}", "exclusive"] for number in range(40)]
    # And in words.
    assert process("str(error)").count(" wants ") == 40
    # Nobody else is concerned, and all get on.
    process("threads[-1].submit(locks[-1].release).result()")
    queue.wait_for(name=f"{name} 39")


@pytest.mark.parametrize("kind", ["lock", "rlock"])
def test_two_threads_of_a_process_are_never_taken_for_one(kind: str, play: Play, queue: Queue) -> None:
    process = play(f"{THREADS}\na = {kind}(name)")
    assert process("by(one, a.acquire)") is True
    process("waits = two.submit(a.acquire)")
    queue.wait_for(process.pid)
    assert process("waits.done()") is False
    process("by(one, a.release)")
    assert process("waits.result(60)") is True


def test_what_would_be_a_circle_of_processes_is_none_of_threads(play: Play, queue: Queue, name: str) -> None:
    process, other = play(THREADS), play("b = lock(name + ' b')")
    assert process("by(one, a.acquire)") is True
    assert other("b.acquire()") is True
    other.begin("mine.acquire()")
    queue.wait_for(other.pid)
    # The other process waits for the first thread, and the second thread for the other process.
    process("waits = two.submit(b.acquire)")
    queue.wait_for(process.pid, name=f"{name} b")
    process("by(one, a.release)")
    assert other.result() is True
    other("b.release()")
    assert process("waits.result(60)") is True


def test_a_deadlock_of_permits_and_locks_names_both(play: Play, queue: Queue, name: str) -> None:
    one, other = (play("pool = semaphore(name + ' pool', 3, 2, label='has permits')") for _ in range(2))
    assert one("pool.acquire()") is True
    assert other("mine.acquire()") is True
    one.begin("mine.acquire()")
    queue.wait_for(one.pid)
    with pytest.raises(ActorRaised) as refused:
        other("inside(pool)")
    assert (
        f'wants "{name} pool", 2 permits, and pid {one.pid} (actor_process.py, "has permits") holds it, 2 permits, '
        in (str(refused.value))
    )
    other("mine.release()")
    assert one.result() is True
